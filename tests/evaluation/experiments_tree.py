"""What experiments leave in a results folder: predictions, scores, models, maps and their comparison."""

import json

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from theradose.evaluation.compare import verdict, with_roles
from theradose.evaluation.score_table import score_table
from theradose.imaging.nifti import read_volume
from theradose.provenance import write_json
from theradose.tables import EXPERIMENTS, HISTORY, METRICS, PREDICTIONS, SPLITS, TRIALS, write_table
from theradose.vocabulary import organ_of

PREDICTORS = {"population_mean": 0.35, "pet_scaled": 0.18, "ridge": 0.22, "hybrid": 0.16, "mlp": 0.3}
BASELINES = ("population_mean", "pet_scaled")


def predictions_of(organ_dose, truth, splits, rng):
    """Return predictions of every predictor for every patient and organ."""
    organs = organ_dose[organ_dose["level"] == "organ"]
    known = truth.assign(organ=truth["voi"].map(organ_of)).groupby(["patient", "organ"])["dose_gy_per_gbq"].mean()
    rows = []
    for name, sd in PREDICTORS.items():
        for row in organs.merge(splits, on="patient").to_dict("records"):
            value = row["dose_gy_per_gbq"] * float(rng.lognormal(0, sd))
            rows.append((
                name, row["patient"], row["voi"], row["partition"], row["fold"], value, value * 0.7, value * 1.4,
                row["dose_gy_per_gbq"], known[row["patient"], row["voi"]], value,
            ))  # fmt: skip
    return pd.DataFrame(rows, columns=[*PREDICTIONS.names(), "median_gy_per_gbq"])


def write_predictor(folder, name, parts, rng):
    """Write what tune and train leave for one predictor."""
    learned = name not in BASELINES
    parameters = {"alpha": 0.37, "features": 5} if learned else {}
    card = {
        "predictor": name,
        "interval": 0.9,
        "seed": 1,
        "parts": {p: {"patients": 8, "ranges": {"suv_mean": [1.2, 30.5]}} for p in parts},
    }
    record = {
        "format": 1,
        "parts": {p: {"predictor": name, "state": {"parameters": parameters}} for p in parts},
        "card": card,
    }
    write_json(folder / "model/model.json", record)
    save_file({"x": np.arange(3.0)}, folder / "model/weights.safetensors")
    trials = [
        (p, i, float(rng.lognormal(-1, 0.2)), "{}", "complete") for p in parts for i in range(8 if learned else 1)
    ]
    write_table(pd.DataFrame(trials, columns=TRIALS.names()), folder / "trials.tsv", TRIALS)
    epochs = np.arange(1, 60) if name in ("mlp", "unet") else np.array([])
    loss = 0.2 + np.exp(-epochs / 12)
    history = [
        pd.DataFrame(
            {
                "part": p,
                "epoch": epochs.astype(int),
                "train_loss": loss,
                "validation_loss": loss + 0.02 + 4e-5 * epochs**2,
            }
        )
        for p in parts
    ]
    write_table(pd.concat(history), folder / "history.tsv", HISTORY)


def write_experiment(root, rng, *, name, kind, metrics, predictors, parts):
    """Write metrics, description and models of an experiment."""
    folder = root / "experiments" / name
    write_table(metrics, folder / "metrics.tsv", METRICS)
    about = {"name": name, "kind": kind, "title": name.replace("_", " ").capitalize(), "predictors": list(predictors)}
    about["baselines"] = [p for p in predictors if p in (*BASELINES, "pet_scaled_map")]
    write_json(folder / "experiment.json", about)
    for predictor in predictors:
        write_predictor(folder / predictor, predictor, parts, rng)
    return about


def write_maps(root, data, patients, rng):
    """Write maps of one experiment on dose maps and return its scores."""
    arrays, about = {}, {}
    for patient in patients[:2]:
        path = root / f"dose/chunk-0/sub-{patient}_cycle-1_dose.nii.gz"
        dose = read_volume(path).values / 7.4
        mask = data.load_one(patient, "mask").values
        z = np.unique(np.nonzero(mask > 0)[0])
        own = {"label": dose[z], "truth": dose[z] * 1.1, "mask": np.ones_like(dose[z]), "pet": dose[z], "ct": dose[z]}
        own |= {f"predicted/{p}": dose[z] * float(rng.uniform(0.7, 1.2)) for p in ("pet_scaled_map", "unet")}
        arrays |= {f"{patient}/{key}": np.ascontiguousarray(value, np.float32) for key, value in own.items()}
        about[patient] = {"slices": z.tolist(), "spacing_zyx_mm": list(read_volume(path).grid.spacing_zyx_mm)}
    folder = root / "experiments/dose_map"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        arrays, folder / "maps.safetensors", metadata={"about": json.dumps({"unit": "Gy/GBq", "patients": about})}
    )
    rows = []
    for predictor, value in (("pet_scaled_map", 0.06), ("unet", 0.05)):
        for reference in ("label", "truth"):
            for partition in ("train", "test"):
                for metric, unit in (("rmse", "Gy/GBq"), ("ssim", "1"), ("sum_bias_percent", "%")):
                    rows.append(
                        (
                            "dose_map",
                            predictor,
                            "all",
                            reference,
                            partition,
                            metric,
                            unit,
                            value,
                            value * 0.8,
                            value * 1.2,
                            4,
                        )
                    )
    return pd.DataFrame(rows, columns=METRICS.names())


def write_experiments(root, data, truth, organ_dose, *, patients, rng):
    """Write two experiments, their comparison and the split."""
    n = len(patients)
    splits = pd.DataFrame({
        "patient": patients, "centre": "north", "stratum": "north",
        "partition": ["test" if i % 3 == 0 else "train" for i in range(n)],
        "fold": [-1 if i % 3 == 0 else i % 2 for i in range(n)],
    })  # fmt: skip
    write_table(splits, root / "split/splits.tsv", SPLITS)
    predictions = predictions_of(organ_dose, truth, splits, rng)
    organs = list(dict.fromkeys(predictions["voi"]))
    write_table(predictions, root / "experiments/organ_dose/predictions.tsv", PREDICTIONS)
    scores = score_table(
        predictions, experiment="organ_dose", organs=organs, baselines=BASELINES, predictors=list(PREDICTORS), seed=1
    )
    first = write_experiment(
        root, rng, name="organ_dose", kind="organ_dose", metrics=scores, predictors=PREDICTORS, parts=organs
    )
    maps = write_maps(root, data, patients, rng)
    second = write_experiment(
        root, rng, name="dose_map", kind="dose_map", metrics=maps, predictors=("pet_scaled_map", "unet"), parts=["all"]
    )
    best = {"organ_dose": verdict(scores, first), "dose_map": verdict(maps, second)}
    pairs = ((scores, first), (maps, second))
    tables = [with_roles(table, about, best[about["name"]]["best"]) for table, about in pairs]
    write_table(pd.concat(tables), root / "compare/experiments.tsv", EXPERIMENTS)
    write_json(root / "compare/best.json", best)
