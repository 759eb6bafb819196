import numpy as np
import pytest
from safetensors.numpy import save
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline

from theradose.errors import DataError
from theradose.features.cycles import LAST_DOSE
from theradose.models.baselines import LastCycle, PetScaled, PopulationMean
from theradose.models.column_network import held_back
from theradose.models.columns import preparation
from theradose.models.examples import SUV, WEIGHT, OrganExamples, subset
from theradose.models.linear import HybridDose, LastCycleHybrid, RidgeDose
from theradose.models.mlp import MlpDose
from theradose.models.predictors import TrainingPlan
from theradose.models.registry import PREDICTORS
from theradose.models.tabular import TabularDose

PLAN = TrainingPlan(epochs=300, patience=60, batch_size=32)
LEARNERS = [one for one in PREDICTORS.values() if issubclass(one, TabularDose) and one.kind == "organ_dose"]


def fitted(predictor, examples):
    predictor.fit(examples, seed=1, training=PLAN)
    return predictor


def error(predictor, examples):
    return np.mean(np.abs(predictor.predict(examples) - examples.log_dose))


def test_population_mean_by_hand(organ_examples):
    training, everyone, _ = organ_examples()
    expected = np.prod(training.dose) ** (1 / len(training))
    np.testing.assert_allclose(np.exp(fitted(PopulationMean(), training).predict(everyone)), expected)


def test_pet_scaled_is_exact_when_the_law_is(organ_examples):
    training, everyone, _ = organ_examples()
    dose = 7.0 * everyone.column(SUV) / everyone.column(WEIGHT)
    exact = OrganExamples("kidneys", everyone.patients, everyone.partitions, everyone.covariates, dose)
    model = fitted(PetScaled(), subset(exact, training.patients))
    np.testing.assert_allclose(np.exp(model.predict(exact)), dose)
    assert np.exp(model.log_k) == pytest.approx(7.0)


def test_ridge_is_scikit_learns_pipeline(organ_examples):
    training, everyone, _ = organ_examples()
    model = fitted(RidgeDose(alpha=3.0, k=5), training)
    always = [list(training.covariates).index(name) for name in (SUV, WEIGHT)]
    chain = Pipeline([("prepare", preparation(5, always=always)), ("ridge", Ridge(3.0))])
    chain.fit(training.covariates.to_numpy(float), training.log_dose)
    np.testing.assert_allclose(model.predict(everyone), chain.predict(everyone.covariates.to_numpy(float)), rtol=1e-10)


def test_last_cycle_repeats_the_dose_before_and_its_hybrid_shrinks_to_the_mean_change(organ_examples):
    training, everyone, _ = organ_examples(earlier=True)
    before = everyone.column(LAST_DOSE)
    np.testing.assert_allclose(np.exp(fitted(LastCycle(), training).predict(everyone)), before)
    change = np.exp(np.mean(training.log_dose - np.log(training.column(LAST_DOSE))))
    hybrid = fitted(LastCycleHybrid(alpha=1e9, k=10), training)
    np.testing.assert_allclose(np.exp(hybrid.predict(everyone)), before * change, rtol=1e-6)
    with pytest.raises(DataError, match=LAST_DOSE):
        fitted(LastCycle(), organ_examples()[0])


def test_hybrid_shrinks_to_physics(organ_examples):
    training, everyone, _ = organ_examples()
    physics, hybrid = fitted(PetScaled(), training), fitted(HybridDose(alpha=1e9, k=10), training)
    np.testing.assert_allclose(hybrid.predict(everyone), physics.predict(everyone), atol=1e-6)


def test_hybrid_finds_what_uptake_leaves_open(organ_examples):
    training, everyone, _ = organ_examples(n_patients=200, n_test=100, spread=0.02)
    test = subset(everyone, [p for p in everyone.patients if p not in training.patients])
    assert error(fitted(HybridDose(alpha=10.0, k=3), training), test) < 0.5 * error(fitted(PetScaled(), training), test)


@pytest.mark.parametrize("predictor", LEARNERS)
def test_the_mean_is_learned_when_nothing_varies(organ_examples, predictor):
    training, everyone, _ = organ_examples(earlier=True)
    flat = training.covariates * 0.0 + 1.0
    alike = OrganExamples("kidneys", training.patients, training.partitions, flat, training.dose)
    model = fitted(predictor(), alike)
    again = predictor.restore(model.state(), model.tensors())
    left = again.predict(everyone) - again.offset(everyone)
    np.testing.assert_allclose(left, (training.log_dose - again.offset(alike)).mean())
    assert model.state()["columns"] == []


@pytest.mark.parametrize("predictor", LEARNERS)
def test_a_model_without_one_of_its_arrays_is_not_built(organ_examples, predictor):
    training, _, _ = organ_examples(earlier=True)
    model = fitted(predictor(), training)
    for name in ("intercept", *predictor.stored):
        rest = {other: values for other, values in model.tensors().items() if other != name}
        with pytest.raises(KeyError, match=name):
            predictor.restore(model.state(), rest)


def test_mlp_learns_better_than_the_mean(organ_examples):
    training, everyone, _ = organ_examples(n_patients=150, n_test=50)
    test = subset(everyone, [p for p in everyone.patients if p not in training.patients])
    assert error(fitted(MlpDose(), training), test) < 0.7 * error(fitted(PopulationMean(), training), test)


def test_watching_patients_are_not_learned_from(organ_examples):
    training, _, _ = organ_examples()
    learning, watching = held_back(training, 5, subset)
    assert not set(learning.patients) & set(watching.patients)
    assert sorted([*learning.patients, *watching.patients]) == sorted(training.patients)
    assert len(watching) == len(training) // 5
    assert held_back(subset(training, training.patients[:9]), 5, subset)[1] is None


@pytest.mark.parametrize("predictor", [*LEARNERS, MlpDose])
def test_scaling_and_selection_see_nothing_of_held_out_patients(organ_examples, predictor):
    training, everyone, _ = organ_examples(earlier=True)
    changed = everyone.covariates.copy()
    held = np.array(everyone.partitions) == "test"
    changed.loc[held] = changed.loc[held] * 1000.0 + 5.0
    other = OrganExamples("kidneys", everyone.patients, everyone.partitions, changed, everyone.dose)
    first, second = predictor(), predictor()
    plan = TrainingPlan(epochs=3)
    first.fit(subset(everyone, training.patients), seed=1, training=plan)
    second.fit(subset(other, training.patients), seed=1, training=plan)
    assert save(first.tensors()) == save(second.tensors())
