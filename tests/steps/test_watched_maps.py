"""A dose map whose training is watched by validation patients, from pairs of slices to scores."""

from argparse import Namespace
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from theradose.errors import SettingsError
from theradose.experiment_sections import ExperimentSettings
from theradose.models.image_examples import save_examples
from theradose.settings import to_json
from theradose.steps import evaluate, train, tune
from theradose.steps.learning import plan_of
from theradose.tables import HISTORY, METRICS, SPLITS, read_table, write_table

SETTINGS = ExperimentSettings(
    name="maps", kind="dose_map", title="t", baselines=("pet_scaled_map",), predictors=("cnn2d",),
    tuning={"trials": 1, "folds": 2}, training={"epochs": 30, "patience": 2, "batch_size": 8, "watch": "validation"},
)  # fmt: skip
WATCHING = ("v006", "v007", "v008")


@pytest.fixture
def tables(tmp_path, image_cohort, monkeypatch):
    """Write pairs and splits of six training, three validation and two test patients; return what steps are given."""

    @contextmanager
    def quiet(*told):
        class Silent:
            def __getattr__(self, name):
                return lambda *values, **named: None

        yield Silent()

    for module in (tune, train, evaluate):
        monkeypatch.setattr(module, "open_run", quiet)
    examples, splits = image_cohort(n_patients=11, test=2, n_slices=2)

    def moved(table):
        return table.assign(partition=np.where(table["patient"].isin(WATCHING), "validation", table["partition"]))

    splits = moved(splits).assign(fold=lambda t: t["fold"].where(t["partition"] == "train", -1))
    save_examples(replace(examples, table=moved(examples.table)), tmp_path / "pairs", held_out_copies=True)
    files = {"pairs": tmp_path / "pairs", "splits": write_table(splits, tmp_path / "splits.tsv", SPLITS)}
    return {"seed": 3, "tracking": tmp_path / "t.json", **files}


def trained(tables, folder, settings=SETTINGS):
    """Run tune, train and evaluate; return the history of the network."""
    given = {**tables, "settings": to_json(settings)}
    for name in settings.all_predictors:
        own = {**given, "predictor": name, "out": folder / name}
        tune.run(Namespace(**own))
        train.run(Namespace(**own, tune=folder / name / "tune.json", radiomics=None, presets=None))
    models = [folder / name / "model" for name in settings.all_predictors]
    evaluate.run(Namespace(**given, models=models, truth=None, out=folder))
    return read_table(folder / "cnn2d" / "history.tsv", HISTORY)


def test_training_ends_when_validation_patients_see_no_gain(tables, tmp_path):
    history = trained(tables, tmp_path / "E")
    best = int(history["validation_loss"].argmin())
    assert len(history) == min(30, best + 1 + SETTINGS.training.patience)
    scores = read_table(tmp_path / "E" / "metrics.tsv", METRICS)
    counts = scores[(scores["metric"] == "rmse") & (scores["voi"] == "all")].groupby("partition")["n"].max()
    assert counts.to_dict() == {"train": 6, "validation": 3, "test": 2}
    held_back = SETTINGS.model_copy(update={"training": SETTINGS.training.model_copy(update={"watch": "held_back"})})
    other = trained(tables, tmp_path / "H", held_back)
    assert other["validation_loss"][0] != history["validation_loss"][0]


def test_a_study_without_validation_patients_is_refused(image_cohort):
    examples, splits = image_cohort()
    with pytest.raises(SettingsError, match="partition validation") as caught:
        plan_of(SETTINGS, {"all": examples}, splits)
    assert "thirds" in str(caught.value)
    assert plan_of(ExperimentSettings(**{**SETTINGS.model_dump(), "training": {}}), {}, splits).watching is None


@pytest.mark.parametrize("changes", [{"kind": "organ_dose"}, {"audit_permutations": 5}])
def test_only_dose_maps_without_an_audit_are_watched_by_validation_patients(changes):
    with pytest.raises(ValidationError, match=r"training\.watch"):
        ExperimentSettings(**{**SETTINGS.model_dump(), **changes})
    assert ExperimentSettings(**{**SETTINGS.model_dump(), "training": {}, "audit_permutations": 5}).audit_permutations
