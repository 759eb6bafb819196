"""Judge predicted dose maps: per patient, against labels and planted truth, and keep a few maps for the report."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import save as save_tensors

from theradose.evaluation.bootstrap import draws, limits
from theradose.evaluation.gamma import pass_percent
from theradose.evaluation.map_metrics import MAP_METRICS, MapMetric
from theradose.experiment_sections import ExperimentSettings
from theradose.imaging.nifti import read_volume
from theradose.imaging.normalise import dose_per_activity, on_grid
from theradose.models.dose_map import ALL
from theradose.models.image_examples import CT_CHANNEL, PET_CHANNEL, ImageExamples, cut
from theradose.models.store import Trained
from theradose.provenance import write_atomically
from theradose.tables import METRICS, PREDICTIONS, write_table
from theradose.vocabulary import organ_of, voi_of_label

BODY, EVERYTHING = "body", "all"
MAPS_FILE = "maps.safetensors"
MAPS_OF = 4
NOT_IN_A_FOLD = -1
DECIDES = "rmse"


@dataclass(frozen=True)
class Case:
    """One patient's unaugmented slices, what each predictor says of them, and the planted truth where there is one.

    All maps are (n, h, w) in Gy/GBq.
    """

    patient: str
    examples: ImageExamples
    predicted: dict[str, np.ndarray]
    truth: np.ndarray | None

    @property
    def partition(self) -> str:
        """The patient's partition."""
        return str(self.examples.table["partition"].iloc[0])

    @property
    def references(self) -> dict[str, np.ndarray]:
        """What predictions are judged against: the label, made from images, and the truth when it is known."""
        return {"label": self.examples.dose} | ({} if self.truth is None else {"truth": self.truth})


def truth_map(folder: Path, examples: ImageExamples) -> np.ndarray | None:
    """Return the planted dose (Gy/GBq) in the slices of one patient's pairs, or None where none is planted."""
    first = examples.table.iloc[0]
    patient = str(first["patient"])
    path = folder / f"sub-{patient}_dose.nii.gz"
    if not path.is_file():
        return None
    dose = dose_per_activity(read_volume(path), float(first["administered_mbq"]))
    planted = on_grid({"dose": dose}, examples.grids[patient])["dose"]
    corner = (int(first["row_from"]), int(first["column_from"]))
    height, width = examples.dose.shape[1:]
    return cut(planted.values, examples.table["slice"].to_numpy(), corner, (height, width))


def _predictions(examples: ImageExamples, trained: Trained) -> np.ndarray:
    """Return maps for all pairs: of training patients by the fits without them, of others by the model."""
    training = np.asarray(examples.table["partition"] == "train")
    found = np.zeros_like(examples.dose)
    found[training] = trained.out_of_fold[ALL]
    wanted = ~training & examples.originals
    if wanted.any():
        found[wanted] = trained.predictors[ALL].predict(examples.pick(wanted))
    return found


def cases(examples: ImageExamples, models: Mapping[str, Trained], truth: Path | None) -> Iterator[Case]:
    """Yield each patient's case, patients in order of their names."""
    maps = {name: _predictions(examples, trained) for name, trained in models.items()}
    for patient in sorted(set(examples.patients)):
        chosen = np.asarray(examples.table["patient"] == patient) & examples.originals
        own = examples.pick(chosen)
        planted = None if truth is None else truth_map(truth, own)
        yield Case(patient, own, {name: values[chosen] for name, values in maps.items()}, planted)


def gamma_metrics(examples: ImageExamples) -> dict[str, MapMetric]:
    """Return the gamma pass rates that one patient's slices allow: within each, and in the volume if whole."""
    spacing = examples.grids[str(examples.table["patient"].iloc[0])].spacing_zyx_mm
    ways = {"gamma_2d_pass_percent": True}
    if len(examples) > 1 and (np.diff(examples.table["slice"]) == 1).all():
        ways["gamma_3d_pass_percent"] = False
    return {
        name: MapMetric(partial(pass_percent, spacing_zyx_mm=spacing, in_plane=flat), "%")
        for name, flat in ways.items()
    }


def scores(case: Case) -> list[dict[str, object]]:
    """Return every metric of every predictor against every reference for one patient."""
    metrics = MAP_METRICS | gamma_metrics(case.examples)
    return [
        {
            "predictor": name, "patient": case.patient, "reference": reference, "partition": case.partition,
            "metric": metric, "unit": entry.unit, "score": entry.compute(prediction, wanted, case.examples.mask),
        }
        for name, prediction in case.predicted.items()
        for reference, wanted in case.references.items()
        for metric, entry in metrics.items()
    ]  # fmt: skip


def mean_with_limits(values: np.ndarray, seed: int) -> dict[str, float]:
    """Return the mean over patients (n,) and its 95 % bootstrap limits, NaN for one patient alone."""
    low, high = (np.nan, np.nan)
    if len(values) > 1:
        low, high = limits(values[draws(len(values), seed)].mean(axis=1))
    return {"value": float(values.mean()), "low": low, "high": high, "n": len(values)}


def metrics_table(
    found: pd.DataFrame, *, experiment: str, baselines: Sequence[str], predictors: Sequence[str], seed: int
) -> pd.DataFrame:
    """Turn scores per patient into a table of schema METRICS: means over patients with 95 % limits.

    Rows stand for the VOI `body` and again for `all`, the mean over the VOIs judged, of which there is one. The rows
    `rmse_minus_best_baseline` compare each predictor with the baseline of the lowest out-of-fold RMSE, in pairs.
    """
    groups = ["predictor", "reference", "partition", "metric", "unit"]
    arrays = {
        key: rows.sort_values("patient")["score"].to_numpy(float) for key, rows in found.groupby(groups, sort=False)
    }
    for (name, reference, partition, metric, unit), values in list(arrays.items()):
        if metric == DECIDES:
            standard = best_baseline(found, baselines)
            other = arrays[standard, reference, partition, metric, unit]
            arrays[name, reference, partition, f"{DECIDES}_minus_best_baseline", unit] = values - other
    rows = [
        {"experiment": experiment, "voi": voi, **dict(zip(groups, key, strict=True)), **mean_with_limits(values, seed)}
        for key, values in arrays.items()
        for voi in (BODY, EVERYTHING)
    ]
    order = {name: place for place, name in enumerate(predictors)}
    table = pd.DataFrame(rows, columns=METRICS.names())
    return table.sort_values("predictor", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def best_baseline(found: pd.DataFrame, baselines: Sequence[str]) -> str:
    """Return the baseline of the lowest out-of-fold RMSE against the label, the first of equals."""
    chosen = (found["metric"] == DECIDES) & (found["reference"] == "label") & (found["partition"] == "train")
    mean = found[chosen].groupby("predictor")["score"].mean()
    return min(baselines, key=lambda name: (mean[name], baselines.index(name)))


def means(case: Case, organs: tuple[str, ...]) -> list[dict[str, object]]:
    """Return the mean of each predictor's map in the body and in organs, within the slices at hand."""
    labels = np.unique(case.examples.organs[case.examples.organs > 0]).tolist()
    inside = {o: [label for label in labels if organ_of(voi_of_label(label)) == o] for o in organs}
    regions = {BODY: case.examples.mask} | {o: np.isin(case.examples.organs, own) for o, own in inside.items() if own}
    shared = {"patient": case.patient, "partition": case.partition}
    return [
        {
            "predictor": name, **shared, "voi": voi, "low_gy_per_gbq": np.nan, "high_gy_per_gbq": np.nan,
            "predicted_gy_per_gbq": float(prediction[region].mean()),
            "label_gy_per_gbq": float(case.examples.dose[region].mean()),
            "truth_gy_per_gbq": np.nan if case.truth is None else float(case.truth[region].mean()),
        }
        for name, prediction in case.predicted.items()
        for voi, region in regions.items()
    ]  # fmt: skip


def maps_bytes(shown: list[Case]) -> bytes:
    """Return maps of patients as safetensors, (n, h, w): `<patient>/{pet,ct,label,mask,truth,predicted/<name>}`."""
    arrays: dict[str, np.ndarray] = {}
    about = {}
    for case in shown:
        examples = case.examples
        own = {"pet": examples.inputs[:, PET_CHANNEL], "ct": examples.inputs[:, CT_CHANNEL], "label": examples.dose}
        own |= {"mask": examples.mask} | ({} if case.truth is None else {"truth": case.truth})
        own |= {f"predicted/{name}": values for name, values in case.predicted.items()}
        arrays |= {f"{case.patient}/{name}": np.ascontiguousarray(v, np.float32) for name, v in own.items()}
        spacing = examples.grids[case.patient].spacing_zyx_mm
        about[case.patient] = {"slices": examples.table["slice"].tolist(), "spacing_zyx_mm": spacing}
    return bytes(
        save_tensors(arrays, metadata={"about": json.dumps({"unit": "Gy/GBq", "patients": about}, sort_keys=True)})
    )


def evaluate(
    *,
    settings: ExperimentSettings,
    parts: Mapping[str, ImageExamples],
    models: Mapping[str, Trained],
    folds: Mapping[str, int],
    truth: Path | None,
    seed: int,
    out: Path,
) -> None:
    """Write metrics.tsv, predictions.tsv (means of the maps) and maps.safetensors (of up to four patients) into `out`.

    Rows of partition `train` are out-of-fold predictions; `folds` gives the fold of each patient.
    """
    judged = list(cases(parts[ALL], models, truth))
    scored = pd.DataFrame([row for case in judged for row in scores(case)])
    table = metrics_table(
        scored, experiment=settings.name, baselines=settings.baselines, predictors=list(models), seed=seed
    )
    rows = pd.DataFrame([row for case in judged for row in means(case, settings.organs)])
    rows["fold"] = [folds.get(patient, NOT_IN_A_FOLD) for patient in rows["patient"]]
    write_table(table, out / "metrics.tsv", METRICS)
    write_table(rows, out / "predictions.tsv", PREDICTIONS)
    held = [case for case in judged if case.partition == "test"] or judged
    write_atomically(out / MAPS_FILE, maps_bytes(held[:MAPS_OF]))
