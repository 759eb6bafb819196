"""On noise nothing can be learned: who selects on all patients is found out, who selects inside the fold passes."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from theradose.errors import DataError
from theradose.evaluation.leakage_audit import SHUFFLED, audit, audit_models, in_folds, shuffled, skill
from theradose.evaluation.report_scores import audit_words
from theradose.evaluation.results import ExperimentResults
from theradose.experiment_sections import ExperimentSettings
from theradose.features.selection import DistinctColumns, most_relevant
from theradose.models.baselines import PopulationMean
from theradose.models.latency_predictors import ConstantLatency, MechanisticLatency
from theradose.models.linear import RidgeDose
from theradose.models.outcome_predictors import BaseRate, Logistic, Ntcp
from theradose.models.predictors import TrainingPlan
from theradose.models.store import Trained
from theradose.models.tiac_predictors import TiacMean, TiacPetScaled
from theradose.tables import AUDIT, checked, write_table


def noise(seed, n, p=1000):
    rng = np.random.default_rng(seed)
    groups = [f"p{i:02d}" for i in range(n)]
    folds = list(GroupKFold(5, shuffle=True, random_state=seed).split(np.zeros(n), groups=groups))
    return rng.normal(size=(n, p)), rng.normal(size=n), groups, folds


def selected_outside(x, folds, k=20):
    """Choose columns on everyone, then cross-validate: the classical mistake."""

    def procedure(y):
        kept = most_relevant(k).fit(x, y).get_support()
        return in_folds(make_pipeline(StandardScaler(), Ridge(10.0)), x[:, kept], folds)(y)

    return procedure


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("seed", "n"),
    [(1, 40), *(pytest.param(*case, marks=SLOW) for case in [(2, 50), (3, 60), (4, 45), (5, 55), (6, 40)])],
)
def test_selection_outside_the_fold_fails_and_inside_passes_on_noise(seed, n):
    x, y, groups, folds = noise(seed, n)
    inside = make_pipeline(DistinctColumns(), most_relevant(20), StandardScaler(), Ridge(10.0))
    rng = np.random.default_rng(seed)
    honest = audit(in_folds(inside, x, folds), y, groups, rng=rng, permutations=8)
    cheat = audit(selected_outside(x, folds), y, groups, rng=rng, permutations=20)
    assert honest.passed
    assert honest.null.mean() < 0
    assert not cheat.passed
    assert cheat.verdict == "leak"
    assert cheat.null.mean() > 0.3
    assert "held-out labels have been seen" in cheat.sentence()
    assert "no leak" in honest.sentence()


def test_scaling_outside_sees_no_label_and_passes():
    x, y, groups, folds = noise(5, 50, p=20)
    everyone = StandardScaler().fit_transform(x)
    found = audit(in_folds(Ridge(1.0), everyone, folds), y, groups, rng=np.random.default_rng(5), permutations=10)
    assert found.passed


def test_a_true_signal_is_no_leak():
    x, y, groups, folds = noise(6, 50, p=30)
    y = y + 2.0 * x[:, 3]
    inside = make_pipeline(DistinctColumns(), most_relevant(5), StandardScaler(), Ridge(1.0))
    found = audit(in_folds(inside, x, folds), y, groups, rng=np.random.default_rng(6), permutations=9)
    assert found.passed
    assert found.score > 0.5
    assert found.p == pytest.approx(1 / 10)


def test_false_alarms_are_rare():
    alarms = 0
    for seed in range(15):
        x, y, groups, folds = noise(100 + seed, 30, p=5)
        found = audit(in_folds(Ridge(5.0), x, folds), y, groups, rng=np.random.default_rng(seed), permutations=6)
        alarms += not found.passed
    assert alarms == 0


def test_the_mean_has_no_skill_and_is_no_leak():
    _, y, groups, folds = noise(7, 30, p=1)
    found = audit(
        in_folds(Ridge(1e12), np.zeros((30, 1)), folds), y, groups, rng=np.random.default_rng(7), permutations=5
    )
    assert -0.2 < found.score < 0.0  # the mean of the others leans away from those held out
    assert found.passed
    with pytest.raises(DataError, match="too few"):
        audit(lambda labels: labels, y, groups, rng=np.random.default_rng(7), permutations=2)


def test_knowing_the_label_is_a_leak():
    _, y, groups, _ = noise(8, 30, p=1)
    found = audit(lambda labels: labels, y, groups, rng=np.random.default_rng(8), permutations=5)
    assert not found.passed
    assert skill(y, y) == 1.0


def test_labels_are_handed_around_by_patient():
    groups = ["a", "b", "a", "c", "d", "c", "e"]
    y = np.array([1.0, 2.0, 1.5, 3.0, 4.0, 3.5, 5.0])
    for seed in range(20):
        found = shuffled(y, groups, np.random.default_rng(seed))
        assert sorted(found) == sorted(y)
        assert (found[0], found[2]) in {(1.0, 1.5), (3.0, 3.5)}
        assert {found[1], found[4], found[6]} == {2.0, 4.0, 5.0}


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

    monkeypatch.setattr("theradose.evaluation.leakage_audit.replace", lambda own, dose: remember(np.log(dose)))
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


def audited(kind, examples, models, monkeypatch, remember):
    """Return the verdicts on fitted models, `remember(shuffled examples)` telling a peeping one what it wants."""
    settings = ExperimentSettings(
        name="t", kind=kind, title="t", baselines=("b",), predictors=(), tuning={"folds": 4}, audit_permutations=6,
    )  # fmt: skip
    honest = SHUFFLED[kind]

    def told(own, y):
        found = honest.relabelled(own, y)
        remember(found)
        np.testing.assert_array_equal(honest.labels(found), y)
        return found

    monkeypatch.setitem(SHUFFLED, kind, replace(honest, relabelled=told))
    for model in models:
        model.fit(examples, seed=1, training=TrainingPlan())
    trained = {type(model).__name__: Trained({"kidneys": model}, {}, {}) for model in models}
    folds = {patient: place % 4 for place, patient in enumerate(examples.patients)}
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


def test_labels_that_are_all_the_same_are_refused():
    with pytest.raises(DataError, match="all the same"):
        audit(lambda y: y, np.ones(4), ["a", "b", "c", "d"], rng=np.random.default_rng(1), permutations=5)


def test_the_report_says_what_was_found(tmp_path):
    assert audit_words(ExperimentResults("t", tmp_path)) == ""
    row = {"predictor": "mlp", "voi": "kidneys", "permutations": 20, "skill": 0.4, "null_mean": -0.1, "null_max": 0.1}
    clean = {**row, "p": 0.05, "p_leak": 0.9, "verdict": "clean"}
    write_table(pd.DataFrame([clean]), tmp_path / "audit.tsv", AUDIT)
    assert "no leak was found" in audit_words(ExperimentResults("t", tmp_path))
    leak = {**clean, "voi": "liver", "null_mean": 0.5, "p_leak": 1e-9, "verdict": "leak"}
    write_table(pd.DataFrame([clean, leak]), tmp_path / "audit.tsv", AUDIT)
    assert "seen by MLP (liver)" in audit_words(ExperimentResults("t", tmp_path))
