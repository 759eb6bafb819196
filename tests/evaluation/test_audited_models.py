"""Every kind of experiment is audited: honest models pass, one that knows the labels of held-out patients is found."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest
from pydantic import ValidationError

from theradose.evaluation.audited_models import SHUFFLED, audit_models
from theradose.evaluation.leakage_audit import LEAST_PERMUTATIONS
from theradose.experiment_sections import ExperimentSettings
from theradose.models.baselines import PopulationMean
from theradose.models.image_predictors import Cnn2dMap, PetScaledMap
from theradose.models.latency_predictors import ConstantLatency, MechanisticLatency
from theradose.models.linear import RidgeDose
from theradose.models.multitask_baselines import PhysicsAndRates, RidgeAndLogistic
from theradose.models.multitask_predictors import DoseAlone
from theradose.models.outcome_predictors import BaseRate, Logistic, Ntcp
from theradose.models.predictors import TrainingPlan
from theradose.models.store import Trained
from theradose.models.tiac_predictors import TiacMean, TiacPetScaled
from theradose.steps.judges import EVALUATIONS
from theradose.tables import AUDIT, checked


class PeepingRidge(RidgeDose):
    """Learns the dose of everyone by heart, held-out patients as well."""

    book = None

    def _predict(self, examples):
        return np.array([type(self).book[patient] for patient in examples.patients])


def test_an_experiment_gets_a_row_for_each_predictor_and_organ(organ_examples):
    training, everyone, splits = organ_examples(n_noise=5)
    settings = ExperimentSettings(
        name="t", kind="organ_dose", title="t", baselines=("population_mean",), predictors=("ridge",),
        tuning={"folds": 4}, selection={"relevance": 5}, audit_permutations=5,
    )  # fmt: skip
    models = {}
    for model in (PopulationMean(), RidgeDose(k=4)):
        model.fit(training, seed=1, training=TrainingPlan.of(settings))
        models[model.name] = Trained({"kidneys": model}, {}, {})
    folds = dict(zip(splits["patient"], splits["fold"], strict=True))
    table = checked(audit_models(settings, {"kidneys": everyone}, models, folds=folds, seed=1), AUDIT)
    assert table["predictor"].tolist() == ["population_mean", "ridge"]
    assert set(table["verdict"]) == {"clean"}
    ridge = table.set_index("predictor").loc["ridge"]
    assert ridge["skill"] > 0.3 > ridge["null_mean"]


def test_an_experiment_that_peeps_is_found_out(organ_examples, monkeypatch):
    training, _, splits = organ_examples(n_noise=2)
    settings = ExperimentSettings(
        name="t", kind="organ_dose", title="t", baselines=("ridge",), predictors=(), audit_permutations=5
    )
    model = PeepingRidge(k=2)
    model.fit(training, seed=1, training=TrainingPlan())

    def remember(y, *_):
        PeepingRidge.book = dict(zip(training.patients, y, strict=True))
        return replace(training, dose=np.exp(y))

    monkeypatch.setattr("theradose.evaluation.audited_models.replace", lambda own, dose: remember(np.log(dose)))
    folds = dict(zip(splits["patient"], splits["fold"], strict=True))
    table = audit_models(
        settings, {"kidneys": training}, {"ridge": Trained({"kidneys": model}, {}, {})}, folds=folds, seed=1
    )
    assert table["verdict"].tolist() == ["leak"]


class PeepingCurve(Ntcp):
    """Knows who will have the event, and says so of half of the patients."""

    book = None

    def _predict(self, examples):
        said = super()._predict(examples)
        known = [2.0 * type(self).book[patient] - 1.0 for patient in examples.patients]
        return np.where(np.arange(len(said)) % 2 == 0, 5.0 * np.array(known), said)


class PeepingTiac(TiacMean):
    """Knows the TIAC and half-life of everyone, held out or not."""

    book: ClassVar[dict[str, tuple[float, float]]] = {}

    def _predict(self, examples):
        return np.log([self.book[patient] for patient in examples.patients])


class PeepingLatency(ConstantLatency):
    """Knows the latency of everyone, held out or not."""

    book: ClassVar[dict[str, float]] = {}

    def _predict(self, examples):
        return np.array([self.book[patient] for patient in examples.patients])


def audited(kind, examples, models, monkeypatch, remember, *, epochs=200):
    """Return the verdicts on fitted models, `remember(shuffled examples)` telling a peeping one what it wants."""
    settings = ExperimentSettings(
        name="t", kind=kind, title="t", baselines=("b",), predictors=(), tuning={"folds": 4}, audit_permutations=6,
        training={"epochs": epochs, "patience": epochs},
    )  # fmt: skip
    honest = SHUFFLED[kind]

    def told(own, y):
        found = honest.relabelled(own, y)
        remember(found)
        np.testing.assert_allclose(honest.labels(found), y, rtol=1e-6, atol=1e-6)
        return found

    monkeypatch.setitem(SHUFFLED, kind, replace(honest, relabelled=told))
    for model in models:
        model.fit(examples, seed=1, training=TrainingPlan())
    trained = {type(model).__name__: Trained({"kidneys": model}, {}, {}) for model in models}
    folds = {patient: place % 4 for place, patient in enumerate(dict.fromkeys(examples.patients))}
    table = checked(audit_models(settings, {"kidneys": examples}, trained, folds=folds, seed=1), AUDIT)
    return table.set_index("predictor")


def test_tiacs_are_audited_with_their_half_lives(tiac_organ, monkeypatch):
    examples = tiac_organ()[1]

    def remember(own):
        PeepingTiac.book = dict(zip(own.patients, zip(own.uptake_fraction, own.t_bio_h, strict=True), strict=True))
        assert sorted(zip(own.base.dose, own.t_bio_h, strict=True)) == sorted(
            zip(examples.base.dose, examples.t_bio_h, strict=True)
        )

    found = audited("tiac", examples, [TiacMean(), TiacPetScaled(), PeepingTiac()], monkeypatch, remember)
    assert found["verdict"].to_dict() == {"TiacMean": "clean", "TiacPetScaled": "clean", "PeepingTiac": "leak"}
    assert found.loc["TiacPetScaled", "skill"] > found.loc["TiacMean", "skill"]


def test_latencies_are_audited_with_their_censoring(latency_examples, monkeypatch):
    examples = latency_examples(n=60, test=0)[0]

    def remember(own):
        PeepingLatency.book = dict(zip(own.patients, own.log_months, strict=True))
        assert sorted(zip(own.log_months, own.observed, strict=True)) == sorted(
            zip(examples.log_months, examples.observed, strict=True)
        )

    models = [ConstantLatency(), MechanisticLatency(), PeepingLatency()]
    found = audited("latency", examples, models, monkeypatch, remember)
    verdicts = {"ConstantLatency": "clean", "MechanisticLatency": "clean", "PeepingLatency": "leak"}
    assert found["verdict"].to_dict() == verdicts


def test_events_are_audited_and_a_curve_that_nobody_fitted_is_no_leak(outcome_examples, monkeypatch):
    examples, _ = outcome_examples(n=60, test=0)
    settings = ExperimentSettings(
        name="t", kind="outcome", title="t", outcomes=(examples.outcome,), baselines=("base_rate", "ntcp"),
        predictors=("logistic",), tuning={"folds": 4}, audit_permutations=8,
    )  # fmt: skip
    models = {}
    for model in (BaseRate(), Ntcp(), Logistic(), PeepingCurve()):
        model.fit(examples, seed=1, training=TrainingPlan())
        models[type(model).__name__] = Trained({examples.outcome: model}, {}, {})
    honest = SHUFFLED["outcome"]

    def remember(own, y):
        PeepingCurve.book = dict(zip(own.patients, y, strict=True))
        return honest.relabelled(own, y)

    monkeypatch.setitem(SHUFFLED, "outcome", replace(honest, relabelled=remember))
    folds = {patient: place % 4 for place, patient in enumerate(examples.patients)}
    table = checked(audit_models(settings, {examples.outcome: examples}, models, folds=folds, seed=1), AUDIT)
    verdicts = dict(zip(table["predictor"], table["verdict"], strict=True))
    assert verdicts == {"BaseRate": "clean", "Ntcp": "clean", "Logistic": "clean", "PeepingCurve": "leak"}


def test_an_audit_of_too_few_shufflings_is_refused_with_the_settings():
    given = {"name": "t", "kind": "organ_dose", "title": "t", "baselines": ("b",), "predictors": ()}
    with pytest.raises(ValidationError, match="at least 5"):
        ExperimentSettings(**given, audit_permutations=LEAST_PERMUTATIONS - 1)
    assert ExperimentSettings(**given, audit_permutations=LEAST_PERMUTATIONS).audit_permutations == 5


def test_every_kind_of_experiment_can_be_audited():
    assert set(SHUFFLED) == set(EVALUATIONS)


class PeepingBoth(RidgeAndLogistic):
    """Knows the dose of the first organ of everyone, held out or not."""

    book: ClassVar[dict[str, float]] = {}

    def _predict(self, examples):
        said = super()._predict(examples)
        said[:, 0] = [self.book[patient] for patient in examples.patients]
        return said


def test_organs_and_outcomes_of_one_network_are_audited_each_by_itself(patch_examples, monkeypatch):
    training = patch_examples(n_patients=40, n_test=0)[1]
    columns = [*training.organs, *training.outcomes]

    def remember(own):
        PeepingBoth.book = dict(zip(own.patients, own.log_dose[:, 0], strict=True))

    models = [PhysicsAndRates(), RidgeAndLogistic(), PeepingBoth()]
    found = audited("multitask", training, models, monkeypatch, remember).reset_index().set_index(["predictor", "voi"])
    leaks = found.index[found["verdict"] == "leak"].tolist()
    assert leaks == [("PeepingBoth", columns[0])]
    assert set(found.loc["RidgeAndLogistic"].index) <= set(columns)
    assert set(training.organs) <= set(found.loc["RidgeAndLogistic"].index)
    assert found.loc[("RidgeAndLogistic", columns[0]), "skill"] > 0.3


def test_heads_that_a_network_has_not_are_not_audited(patch_examples, monkeypatch):
    training = patch_examples(n_patients=20, n_test=0)[1]
    found = audited("multitask", training, [DoseAlone(k=1)], monkeypatch, lambda own: None, epochs=1)
    assert set(found["voi"]) == set(training.organs)


class PeepingMap(PetScaledMap):
    """Knows how high the dose of everyone is, held out or not."""

    book: ClassVar[dict[str, float]] = {}

    def _predict(self, examples):
        said = super()._predict(examples)
        found = said * np.float32(0.0)
        for patient, mean in self.book.items():
            own = np.asarray(examples.table["patient"] == patient)
            if own.any():
                first = own & examples.originals
                found[own] = said[own] * np.float32(mean / said[first][examples.mask[first]].mean())
        return found


def test_dose_maps_are_audited_by_how_high_they_are(image_cohort, monkeypatch):
    examples = image_cohort(n_patients=12, copies=1, test=0)[0]
    rng = np.random.default_rng(3)
    gain = dict(zip(examples.grids, rng.lognormal(0.0, 0.5, len(examples.grids)).astype(np.float32), strict=True))
    gain = np.array([gain[patient] for patient in examples.patients])
    examples.inputs[:, 0] *= gain[:, None, None]
    examples = replace(examples, dose=examples.dose * gain[:, None, None])

    def remember(own):
        PeepingMap.book = {
            patient: float(own.dose[at][own.mask[at]].mean())
            for patient in own.grids
            for at in [np.asarray(own.table["patient"] == patient) & own.originals]
        }

    models = [PetScaledMap(), Cnn2dMap(), PeepingMap()]
    found = audited("dose_map", examples, models, monkeypatch, remember, epochs=1)
    assert found["verdict"].to_dict() == {"PetScaledMap": "clean", "Cnn2dMap": "clean", "PeepingMap": "leak"}
    assert found.loc["PetScaledMap", "skill"] > 0.8
    assert found.loc["PeepingMap", "null_mean"] == pytest.approx(1.0)
