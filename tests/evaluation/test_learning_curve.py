"""Scores by the number of patients learned from: judged on test patients alone, the same draws for every predictor."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from theradose.evaluation.figures_training import scores_by_patients
from theradose.evaluation.learning_curve import FILE, learning_curve, names_in, write_learning_curve
from theradose.experiment_sections import ExperimentSettings, LearningCurveSettings
from theradose.learning_schemas import LEARNING_CURVE
from theradose.models.baselines import PetScaled, PopulationMean
from theradose.models.examples import subset
from theradose.models.linear import RidgeDose
from theradose.models.organ_dose import score
from theradose.models.predictors import TrainingPlan
from theradose.models.store import Trained
from theradose.tables import checked

PLAN = TrainingPlan()
ORGANS = SimpleNamespace(subset=subset, score=score)
ASKED = LearningCurveSettings(sizes=(6, 12, 500), repeats=4)


class NosyRidge(RidgeDose):
    """Writes down who it learns from."""

    seen = None

    def _fit(self, examples, **named):
        type(self).seen.append(tuple(examples.patients))
        return super()._fit(examples, **named)


@pytest.fixture
def fitted(organ_examples):
    """Return everyone, and models that have learned from the training patients."""
    training, everyone, _ = organ_examples(n_patients=60, n_test=20)
    models = {}
    NosyRidge.seen = []
    for model in (PopulationMean(), PetScaled(), NosyRidge(k=3, alpha=10.0)):
        model.fit(training, seed=1, training=PLAN)
        models[model.name] = Trained({"kidneys": model}, {}, {})
    NosyRidge.seen.clear()
    return everyone, models


def curve(everyone, models, asked=ASKED, seed=5):
    return learning_curve(asked, {"kidneys": everyone}, models, kind=ORGANS, training=PLAN, seed=seed)


def test_every_size_is_drawn_and_the_last_point_is_the_model_itself(fitted):
    everyone, models = fitted
    table = checked(curve(everyone, models), LEARNING_CURVE)
    assert table.groupby(["predictor", "patients"]).size().tolist() == [4, 4, 1] * 3
    assert sorted(set(table["patients"])) == [6, 12, 40]
    held = subset(everyone, names_in(everyone, "test"))
    for name, model in models.items():
        whole = table[(table["predictor"] == name) & (table["patients"] == 40)]["score"].item()
        assert whole == score(held, model.predictors["kidneys"].predict(held))


def test_no_test_patient_is_learned_from_and_smaller_draws_are_part_of_larger_ones(fitted):
    everyone, models = fitted
    curve(everyone, models)
    where = dict(zip(everyone.patients, everyone.partitions, strict=True))
    assert [len(names) for names in NosyRidge.seen] == [6, 12] * 4
    assert {where[patient] for names in NosyRidge.seen for patient in names} == {"train"}
    for few, more in zip(NosyRidge.seen[::2], NosyRidge.seen[1::2], strict=True):
        assert set(few) < set(more)
    assert len({frozenset(names) for names in NosyRidge.seen}) == 8


def test_what_must_be_learned_gets_better_with_patients_and_what_is_known_hardly(fitted):
    everyone, models = fitted
    table = curve(everyone, models, LearningCurveSettings(sizes=(6, 12), repeats=12))
    mean = table.groupby(["predictor", "patients"])["score"].mean()
    ridge, physics = (mean[name, 6] / mean[name, 40] for name in ("ridge", "pet_scaled"))
    assert ridge > 1.3
    assert 1.0 < physics < 1.2  # a median of six scatters: sqrt(1 + pi / 12) of a normal error is 1.12


def test_the_same_seed_draws_the_same_patients(fitted):
    everyone, models = fitted
    assert curve(everyone, models).equals(curve(everyone, models))
    assert not curve(everyone, models, seed=6).equals(curve(everyone, models))


def test_a_part_without_test_patients_is_left_out(fitted):
    everyone, models = fitted
    nobody = replace(everyone, partitions=["train"] * len(everyone))
    both = {name: Trained({**m.predictors, "liver": m.predictors["kidneys"]}, {}, {}) for name, m in models.items()}
    parts = {"kidneys": everyone, "liver": nobody}
    table = learning_curve(ASKED, parts, both, kind=ORGANS, training=PLAN, seed=1)
    assert set(table["voi"]) == {"kidneys"}


def test_an_older_curve_does_not_stay_and_without_test_patients_there_is_none(fitted, tmp_path):
    everyone, models = fitted
    settings = ExperimentSettings(
        name="t", kind="organ_dose", title="t", baselines=("pet_scaled",), predictors=(), learning_curve=ASKED
    )
    told = {"parts": {"kidneys": everyone}, "models": models, "folds": {}, "seed": 1, "out": tmp_path}
    assert write_learning_curve(ORGANS, PLAN, settings=settings, **told)
    assert (tmp_path / FILE).is_file()
    assert write_learning_curve(ORGANS, PLAN, settings=settings.model_copy(update={"learning_curve": None}), **told)
    assert not (tmp_path / FILE).exists()
    nobody = {"kidneys": replace(everyone, partitions=["train"] * len(everyone))}
    assert not write_learning_curve(ORGANS, PLAN, settings=settings, **{**told, "parts": nobody})
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    "changes", [{"kind": "latency"}, {"learning_curve": {"sizes": []}}, {"learning_curve": {"sizes": [3]}}]
)
def test_curves_that_cannot_be_are_refused(changes):
    given = {"name": "t", "kind": "organ_dose", "title": "t", "baselines": ("b",), "predictors": ()}
    with pytest.raises(ValidationError, match="learning_curve"):
        ExperimentSettings(**{**given, "learning_curve": {"sizes": [9]}, **changes})


def test_the_picture_has_a_panel_a_part_and_a_line_a_predictor():
    rows = [
        {"predictor": name, "voi": voi, "patients": n, "repeat": repeat, "score": 1.0 / n + 0.01 * repeat}
        for name in ("pet_scaled", "ridge")
        for voi in ("liver", "kidneys")
        for n, repeats in ((10, 3), (20, 3), (44, 1))
        for repeat in range(repeats)
    ]
    figure = scores_by_patients(pd.DataFrame(rows))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["kidneys", "liver"]
    for axes in figure.axes:
        assert len(axes.lines) == 2
        assert [text.get_text() for text in axes.get_xticklabels()] == ["10", "20", "44"]
        assert axes.lines[0].get_ydata() == pytest.approx([0.11, 0.06, 1 / 44])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["PET-scaled", "ridge"]
    assert np.isfinite(figure.axes[0].get_xlim()).all()
