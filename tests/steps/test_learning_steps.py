"""The steps tune, train, evaluate and compare of an organ-dose experiment, one after the other, on made tables."""

import json
from argparse import Namespace
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from theradose.errors import SettingsError
from theradose.experiment_sections import ExperimentSettings, PlanningSettings
from theradose.features.presets import preset_from, read_preset
from theradose.learning_schemas import PLANS, UPTAKE_SCALING
from theradose.models import fitting
from theradose.models.store import load_model
from theradose.settings import to_json
from theradose.steps import compare, evaluate, plan_activities, train, tune
from theradose.steps.learning import image_card
from theradose.tables import (
    COVARIATE_MANIFEST,
    COVARIATES,
    EXPERIMENTS,
    HISTORY,
    METRICS,
    ORGAN_DOSE,
    PREDICTIONS,
    SPLITS,
    TIAC,
    TRIALS,
    read_table,
    write_table,
)

SETTINGS = ExperimentSettings(
    name="organs",
    kind="organ_dose",
    title="Organs",
    organs=("kidneys", "liver"),
    baselines=("population_mean", "pet_scaled"),
    predictors=("hybrid", "mlp"),
    tuning={"trials": 3, "folds": 4},
    training={"epochs": 10, "patience": 5},
    t_eff_h={"kidneys": 40.0},
)
NAMES = SETTINGS.all_predictors


class Recorder:
    """Stands in for a run of the tracking store and keeps what it is told."""

    def __init__(self, step, tags):
        self.step, self.tags, self.told = step, tags, []

    def __getattr__(self, name):
        return lambda *values, **named: self.told.append((name, *values, *named.values()))


def study(folder, tables, monkeypatch, settings=SETTINGS, predictors=NAMES):
    """Run all steps in a folder and return the recorded runs."""
    runs = []

    @contextmanager
    def recorded(tracking, step, tags):
        runs.append(Recorder(step, tags))
        yield runs[-1]

    for module in (tune, train, evaluate):
        monkeypatch.setattr(module, "open_run", recorded)
    schemas = {
        "covariates": COVARIATES,
        "covariate_manifest": COVARIATE_MANIFEST,
        "labels": ORGAN_DOSE,
        "splits": SPLITS,
        "tiac": TIAC,
    }
    files = {
        name: write_table(table, folder / f"{name}.tsv", schema)
        for (name, schema), table in zip(schemas.items(), tables, strict=False)  # curves only for a later cycle
    }
    shared = {"settings": to_json(settings), "seed": 7, "pairs": None, "tracking": folder / "tracking.json", **files}
    for name in predictors:
        own = {**shared, "predictor": name, "out": folder / "E" / name}
        tune.run(Namespace(**own))
        train.run(Namespace(**own, tune=own["out"] / "tune.json", radiomics=None, presets=None))
    models = [folder / "E" / name / "model" for name in predictors]
    evaluate.run(Namespace(**shared, models=models, truth=None, out=folder / "E"))
    compare.run(Namespace(metrics=[folder / "E" / "metrics.tsv"], limits=None, seed=1, out=folder / "compare"))
    return runs


@pytest.fixture(scope="module")
def monkeymodule():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def done(tmp_path_factory, organ_tables, monkeymodule):
    folder = tmp_path_factory.mktemp("study")
    return folder, study(folder, organ_tables(), monkeymodule)


def test_every_predictor_leaves_its_files(done):
    folder, _ = done
    for name in NAMES:
        own = folder / "E" / name
        trials = read_table(own / "trials.tsv", TRIALS)
        assert set(trials["part"]) == {"kidneys", "liver"}
        assert len(trials) == (2 if name in SETTINGS.baselines else 6)
        history = read_table(own / "history.tsv", HISTORY)
        assert history.empty == (name != "mlp")
        assert set(load_model(own / "model").predictors) == {"kidneys", "liver"}
        assert json.loads((own / "train.json").read_text())["parts"]["liver"]["patients"] == 16
        for part in ("provenance.json", "tuning/provenance.json"):
            assert json.loads((own / part).read_text())["inputs"]


def test_networks_are_pruned_when_asked_and_other_predictors_never(tmp_path, organ_tables, monkeypatch):
    asked = {"trials": 14, "folds": 4, "pruning": True}
    settings = SETTINGS.model_copy(update={"tuning": SETTINGS.tuning.model_validate(asked), "organs": ("kidneys",)})
    seen = []
    judged = fitting.out_of_fold

    def watched(*arguments, **named):
        seen.append(named.get("on_fold") is not None)
        return judged(*arguments, **named)

    monkeypatch.setattr(fitting, "out_of_fold", watched)
    runs = study(tmp_path, organ_tables(), monkeypatch, settings)
    states = {name: read_table(tmp_path / "E" / name / "trials.tsv", TRIALS)["state"].tolist() for name in NAMES}
    assert {name for name, found in states.items() if "pruned" in found} == {"mlp"}
    assert len(states["mlp"]) == 14
    assert sum(seen) == 14
    told = [entry for run in runs if run.step == "tune" for entry in run.told if entry[0] == "trial"]
    assert sum(entry[-1] for entry in told) == states["mlp"].count("pruned")
    chosen = json.loads((tmp_path / "E" / "mlp" / "tune.json").read_text())["parts"]["kidneys"]["value"]
    assert chosen == read_table(tmp_path / "E" / "mlp" / "trials.tsv", TRIALS)["value"].min()


def test_best_trial_is_what_is_trained(done):
    folder, _ = done
    trials = read_table(folder / "E/hybrid/trials.tsv", TRIALS)
    tuned = json.loads((folder / "E/hybrid/tune.json").read_text())["parts"]
    trained = json.loads((folder / "E/hybrid/train.json").read_text())["parts"]
    for part, entry in tuned.items():
        rows = trials[trials["part"] == part]
        assert entry["value"] == rows["value"].min()
        assert json.loads(rows.loc[rows["value"].idxmin(), "parameters"]) == entry["parameters"]
        assert trained[part]["parameters"] == entry["parameters"]
        assert trained[part]["score"] == pytest.approx(entry["value"])


def test_every_patient_is_predicted_once_by_each(done):
    folder, _ = done
    found = read_table(folder / "E/predictions.tsv", PREDICTIONS)
    assert found.groupby(["predictor", "voi"]).size().eq(24).all()
    assert (found.loc[found["partition"] == "train", "fold"] >= 0).all()
    assert (found.loc[found["partition"] == "test", "fold"] == -1).all()
    assert found[["predicted_gy_per_gbq", "median_gy_per_gbq", "low_gy_per_gbq", "high_gy_per_gbq"]].notna().all().all()


def test_tables_of_scores_hold_models_beside_baselines(done):
    folder, _ = done
    scores = read_table(folder / "E/metrics.tsv", METRICS)
    assert list(dict.fromkeys(scores["predictor"])) == list(NAMES)
    table = read_table(folder / "compare/experiments.tsv", EXPERIMENTS)
    assert set(table.loc[table["role"] == "baseline", "predictor"]) == set(SETTINGS.baselines)
    best = json.loads((folder / "compare/best.json").read_text())["organs"]
    assert best["best_baseline"] == "pet_scaled"
    assert best["best"] in NAMES
    physics, mean = (
        scores[(scores["predictor"] == name) & (scores["metric"] == "mape") & (scores["voi"] == "all")].set_index(
            "partition"
        )["value"]
        for name in ("pet_scaled", "population_mean")
    )
    assert (physics < mean).all()


def test_plans_are_for_every_patient_by_each(done, tmp_path):
    folder, _ = done
    asked = SETTINGS.model_copy(update={"planning": PlanningSettings(cycles=2, probability=0.1)})
    chosen = Namespace(
        settings=to_json(asked), radionuclide="Lu-177", predictions=folder / "E" / "predictions.tsv",
        models=[folder / "E" / name / "model" for name in NAMES], out=tmp_path / "plans.tsv",
    )  # fmt: skip
    plan_activities.run(chosen)
    table = read_table(chosen.out, PLANS)
    assert table.groupby("predictor").size().eq(24).all()
    assert set(table["predictor"]) == set(NAMES)
    planned = table[table["doubt"] == ""]
    assert len(planned) > 24
    assert set(planned["binding_organ"]) <= {"kidneys", "liver"}
    assert planned["exceeded_label"].isin([0, 1]).all()
    assert json.loads((tmp_path / "plans" / "provenance.json").read_text())["settings"]["planning"]["cycles"] == 2
    with pytest.raises(SettingsError, match="no therapy to plan"):
        plan_activities.run(Namespace(**{**vars(chosen), "settings": to_json(SETTINGS)}))


def test_runs_are_told_trials_epochs_and_scores(done):
    _, runs = done
    by_step = {(run.step, run.tags["predictor"]): run.told for run in runs}
    assert len([entry for entry in by_step["tune", "mlp"] if entry[0] == "trial"]) == 6
    assert not [entry for entry in by_step["tune", "pet_scaled"] if entry[0] == "trial"]
    series = next(entry[1] for entry in by_step["train", "mlp"] if entry[0] == "series")
    assert {"epoch", "kidneys/train_loss", "kidneys/validation_loss"} == set(series[0])
    metrics = next(entry[1] for entry in by_step["evaluate", "hybrid"] if entry[0] == "metrics")
    assert "test/label/all/mape" in metrics
    assert all(np.isfinite(list(metrics.values())))


def test_a_model_carries_the_half_lives_its_study_declared(done):
    assert load_model(done[0] / "E" / "hybrid" / "model").card["t_eff_h"] == {"kidneys": 40.0}


def test_same_seed_same_bytes(tmp_path, organ_tables, monkeypatch, done):
    study(tmp_path, organ_tables(), monkeypatch)
    for name in (
        "tune.json",
        "trials.tsv",
        "history.tsv",
        "train.json",
        "model/model.json",
        "model/weights.safetensors",
    ):
        for predictor in NAMES:
            assert (tmp_path / "E" / predictor / name).read_bytes() == (done[0] / "E" / predictor / name).read_bytes()
    for name in ("E/predictions.tsv", "E/metrics.tsv", "compare/best.json", "compare/experiments.tsv"):
        assert (tmp_path / name).read_bytes() == (done[0] / name).read_bytes()


def test_a_test_patients_data_change_no_model(tmp_path, organ_tables, monkeypatch):
    tables = organ_tables()
    settings = SETTINGS.model_copy(update={"baselines": ("pet_scaled",), "predictors": ("hybrid",)})
    covariates, manifest, labels, splits = (table.copy() for table in tables)
    held = set(splits.loc[splits["partition"] == "test", "patient"])
    numbers = list(covariates.columns[2:])
    covariates.loc[covariates["patient"].isin(held), numbers] *= 3.0
    labels.loc[labels["patient"].isin(held), "dose_gy_per_gbq"] *= 5.0
    study(tmp_path / "a", tables, monkeypatch, settings, ("pet_scaled", "hybrid"))
    study(tmp_path / "b", (covariates, manifest, labels, splits), monkeypatch, settings, ("pet_scaled", "hybrid"))
    for predictor in ("pet_scaled", "hybrid"):
        for name in ("trials.tsv", "model/model.json", "model/weights.safetensors"):
            one, other = (tmp_path / run / "E" / predictor / name for run in "ab")
            assert one.read_bytes() == other.read_bytes()


def test_a_model_without_its_baseline_is_not_judged(tmp_path, organ_tables, monkeypatch):
    settings = SETTINGS.model_copy(update={"baselines": ("pet_scaled",), "predictors": ("hybrid",)})
    with pytest.raises(SettingsError, match="no model of hybrid"):
        study(tmp_path, organ_tables(), monkeypatch, settings, ("pet_scaled",))


def test_left_out_patients_are_said(tmp_path, organ_tables, monkeypatch, capsys):
    covariates, manifest, labels, splits = organ_tables()
    covariates.loc[(covariates["patient"] == "v002") & (covariates["voi"] == "liver"), "physics.pet_suv_mean"] = np.nan
    settings = SETTINGS.model_copy(update={"predictors": ()})
    study(tmp_path, (covariates, manifest, labels, splits), monkeypatch, settings, ("population_mean", "pet_scaled"))
    assert "liver: patient v002 left out: no PET uptake" in capsys.readouterr().out
    found = pd.read_csv(tmp_path / "E/metrics.tsv", sep="\t")
    found = found[(found["partition"] == "train") & (found["metric"] == "mape") & (found["predictor"] == "pet_scaled")]
    assert found.set_index("voi")["n"].to_dict() == {"kidneys": 16, "liver": 15, "all": 16}


def test_a_model_carries_presets_with_all_that_is_done_to_an_image():
    """With PyRadiomics' part alone, a new patient's images would keep their own voxels."""
    presets = Path(__file__).parents[2] / "config" / "radiomics"
    names = {"pet": "pet_8mm", "ct": "ct_8mm"}
    chosen = Namespace(radiomics=json.dumps({"presets": names}), presets=presets, data=None)
    kept = image_card(chosen, [])
    for modality, name in names.items():
        carried = preset_from(kept["radiomics"]["presets"][modality], modality, name)
        assert carried == read_preset(presets / f"{name}.yaml", modality)
        assert carried.preparation.spacing_mm == (8.0, 8.0, 8.0)


def test_a_later_cycle_is_said_in_model_and_record_and_the_last_dose_is_its_prediction(
    organ_tables, tmp_path, monkeypatch
):
    covariates, manifest, labels, splits = organ_tables(organs=("liver",))
    second = labels.assign(cycle=2, dose_gy_per_gbq=0.5 * labels["dose_gy_per_gbq"])
    curves = labels.assign(
        model="mono", tia_std_mbq_h=0.1, tiac_h=2.0, tiac_std_h=0.1, t_eff_h=50.0, tail_fraction=0.1, aicc=1.0,
        parameters="{}", covariance="[]", flags="", reason="",
    )[TIAC.names()]  # fmt: skip
    names = ("population_mean", "last_cycle")
    given = {"organs": ("liver",), "baselines": names, "predictors": (), "cycle": 2, "name": "later"}
    settings = SETTINGS.model_copy(update=given)
    study(tmp_path, (covariates, manifest, pd.concat([labels, second]), splits, curves), monkeypatch, settings, names)
    assert json.loads((tmp_path / "E/experiment.json").read_text())["cycle"] == 2
    assert load_model(tmp_path / "E/last_cycle/model").card["cycle"] == 2
    found = read_table(tmp_path / "E/predictions.tsv", PREDICTIONS)
    own = found[found["predictor"] == "last_cycle"]
    np.testing.assert_allclose(own["median_gy_per_gbq"], 2.0 * own["label_gy_per_gbq"])
    scaling = read_table(tmp_path / "E/uptake_scaling.tsv", UPTAKE_SCALING)
    np.testing.assert_allclose(scaling["ratio"], 1.0)
