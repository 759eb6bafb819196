from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save
from scipy.special import logit

from theradose.models.folds import out_of_fold
from theradose.models.logistic import log_loss, rate_of
from theradose.models.outcome_examples import CAUSES, subset
from theradose.models.outcome_predictors import (
    OUTCOME_PREDICTORS,
    HybridOutcome,
    Logistic,
    Ntcp,
    OutcomeMlp,
    deviate,
    held_back,
)
from theradose.models.predictors import TrainingPlan
from theradose.vocabulary import LEARNED_OUTCOMES

PLAN = TrainingPlan(epochs=60, patience=20, batch_size=32)
EVERY = pytest.mark.parametrize("predictor", OUTCOME_PREDICTORS.values(), ids=OUTCOME_PREDICTORS)
LEARNERS = pytest.mark.parametrize(
    "predictor", [p for n, p in OUTCOME_PREDICTORS.items() if n != "base_rate"], ids=lambda p: p.name
)


def training(examples):
    return subset(
        examples, [p for p, part in zip(examples.patients, examples.partitions, strict=True) if part != "test"]
    )


def fitted(predictor, examples):
    predictor.fit(examples, seed=1, training=PLAN)
    return predictor


def test_deviates_by_hand():
    # Kidneys: EQD2 = BED / (1 + 2 / 2.6); 28 Gy of it is TD50, and m 0.10 makes 2.8 Gy one deviate (Burman 1991).
    bed = np.array([28.0, 30.8]) * (1.0 + 2.0 / 2.6)
    np.testing.assert_allclose(deviate("kidney_toxicity", bed), [0.0, 1.0], atol=1e-12)
    np.testing.assert_allclose(deviate("renal_impairment", bed), [0.0, 1.0], atol=1e-12)
    np.testing.assert_allclose(deviate("xerostomia", np.array([39.9, 39.9 * 1.4])), [0.0, 1.0], atol=1e-12)
    np.testing.assert_allclose(deviate("response", np.array([50.0])), np.log(1.5))
    np.testing.assert_allclose(deviate("marrow_toxicity", np.array([1.0])), 0.5)


@EVERY
@pytest.mark.parametrize("event", [0.0, 1.0])
def test_one_class_alone_gives_the_base_rate(outcome_examples, predictor, event):
    examples, _ = outcome_examples()
    own = training(examples)
    own = replace(own, observed=np.full(len(own), event))
    prediction = fitted(predictor(), own).predict(examples)
    assert np.isfinite(prediction).all()
    # Those held back by a network to watch for the end count in no rate: 32 patients are left of 40.
    rate = rate_of(np.full(32 if predictor is OutcomeMlp else 40, event))
    if predictor in (Ntcp, HybridOutcome):  # a curve that may rise a little with the dose, its mean is the rate
        assert np.sign(prediction - logit(0.5)).tolist() == [np.sign(event - 0.5)] * len(prediction)
        assert prediction.mean() == pytest.approx(logit(rate), abs=0.3)
    else:
        np.testing.assert_allclose(prediction, logit(rate), atol=1e-6)


@EVERY
@pytest.mark.parametrize("outcome", LEARNED_OUTCOMES)
def test_every_outcome_can_be_learned(outcome_examples, predictor, outcome):
    examples, _ = outcome_examples(outcome=outcome)
    assert np.isfinite(fitted(predictor(), training(examples)).predict(examples)).all()


@LEARNERS
def test_learns_more_than_the_base_rate(outcome_examples, predictor):
    examples, chance = outcome_examples(n=600, test=300, log_odds_per_spread=2.0)
    own, test = training(examples), examples.partitions == np.array("test")
    weak = {"alpha": 10.0} if "alpha" in predictor.defaults else {}
    odds = fitted(predictor(**weak), own).predict(examples)[test]
    bare = np.full(test.sum(), logit(rate_of(own.observed)))
    gain = log_loss(chance[test], bare) - log_loss(chance[test], odds)
    possible = log_loss(chance[test], bare) - log_loss(chance[test], logit(chance[test]))
    assert gain > 0.5 * possible
    assert gain <= possible


@EVERY
def test_out_of_fold_with_a_fold_of_one_class(outcome_examples, predictor):
    """All events stand in one fold: fits without it have one class."""
    examples, _ = outcome_examples(n=40, test=0)
    examples = replace(examples, observed=1.0 * (np.arange(40) < 5))
    names = list(examples.patients)
    folds = [(names[10:], names[:10]), (names[:10] + names[20:], names[10:20]), (names[:20], names[20:])]
    odds = out_of_fold(predictor, {}, examples, folds=folds, subset=subset, seed=1, training=PLAN)
    assert np.isfinite(odds).all()


def test_the_curve_never_falls_with_the_dose(outcome_examples):
    examples, _ = outcome_examples(n=300, test=0, log_odds_per_spread=-2.0)
    prediction = fitted(Ntcp(), examples).predict(examples)
    np.testing.assert_allclose(prediction, logit(rate_of(examples.observed)))
    rising, _ = outcome_examples(n=300, test=0)
    order = np.argsort(rising.dose)
    assert (np.diff(fitted(Ntcp(), rising).predict(rising)[order]) > 0).all()


def test_hybrid_shrinks_to_the_curve(outcome_examples):
    examples, _ = outcome_examples()
    own = training(examples)
    curve, hybrid = fitted(Ntcp(), own).predict(examples), fitted(HybridOutcome(alpha=1e9), own).predict(examples)
    np.testing.assert_allclose(hybrid - curve, (hybrid - curve)[0], atol=1e-6)
    np.testing.assert_allclose(hybrid, curve, atol=0.05)


def test_logistic_sees_dose_and_risk_factors_alone(outcome_examples):
    examples, _ = outcome_examples(n=200, test=0)
    cause = CAUSES[examples.outcome]
    names = fitted(Logistic(), examples).state()["columns"]
    assert cause.dose_column in names
    assert set(names) <= {cause.dose_column, *cause.others}


@EVERY
def test_scaling_and_selection_see_nothing_of_held_out_patients(outcome_examples, predictor):
    examples, _ = outcome_examples()
    changed = examples.covariates.copy()
    held = np.array(examples.partitions) == "test"
    changed.loc[held] = changed.loc[held] * 1000.0 + 5.0
    other = replace(examples, covariates=changed, observed=np.where(held, 1.0 - examples.observed, examples.observed))
    first, second = fitted(predictor(), training(examples)), fitted(predictor(), training(other))
    assert save(first.tensors()) == save(second.tensors())


def test_watching_patients_share_the_events_and_are_not_learned_from(outcome_examples):
    examples, _ = outcome_examples(n=100, test=0)
    learning, watching = held_back(examples, seed=5)
    assert not set(learning.patients) & set(watching.patients)
    assert sorted([*learning.patients, *watching.patients]) == sorted(examples.patients)
    assert len(watching) == 20
    assert abs(watching.observed.mean() - examples.observed.mean()) <= 0.05
    assert held_back(subset(examples, examples.patients[:9]), seed=5)[1] is None
