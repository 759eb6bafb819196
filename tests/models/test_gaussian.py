import warnings

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor

from theradose.models.baselines import PetScaled, PopulationMean
from theradose.models.columns import learned
from theradose.models.examples import OrganExamples, subset
from theradose.models.gaussian import GaussianDose, HybridGaussianDose, kernel
from theradose.models.predictors import TrainingPlan

PLAN = TrainingPlan()


def fitted(model, examples):
    model.fit(examples, seed=1, training=PLAN)
    return model


def error(model, examples):
    return np.mean(np.abs(model.predict(examples) - examples.log_dose))


@pytest.mark.parametrize("ard", [False, True])
@pytest.mark.parametrize("predictor", [GaussianDose, HybridGaussianDose])
def test_restored_arrays_say_what_scikit_learn_says(organ_examples, predictor, ard):
    training, everyone, _ = organ_examples(n_patients=40)
    model = fitted(predictor(ard=ard, k=3, signal=2.0), training)
    again = predictor.restore(model.state(), model.tensors())
    target = training.log_dose - model.offset(training)
    columns, x = learned(training, target, 3, PLAN)
    order = np.argsort(target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        process = GaussianProcessRegressor(kernel(3, ard=ard, signal=2.0), normalize_y=True)
        process.fit(x[order], target[order])
    expected = model.offset(everyone) + process.predict(columns.prepare(everyone))
    np.testing.assert_allclose(again.predict(everyone), expected, rtol=1e-9, atol=1e-9)
    assert again.tensors()["length"].shape == ((3,) if ard else (1,))


def test_a_patient_is_predicted_the_same_alone(organ_examples):
    training, everyone, _ = organ_examples()
    model = fitted(GaussianDose(), training)
    alone = model.predict(subset(everyone, everyone.patients[:1]))
    assert alone.tobytes() == model.predict(everyone)[:1].tobytes()


@pytest.mark.parametrize(("predictor", "limit"), [(GaussianDose, PopulationMean), (HybridGaussianDose, PetScaled)])
def test_without_signal_the_baseline_is_left(organ_examples, predictor, limit):
    training, everyone, _ = organ_examples()
    shrunk = fitted(predictor(signal=1e-9), training)
    np.testing.assert_allclose(shrunk.predict(everyone), fitted(limit(), training).predict(everyone), atol=1e-6)


def test_far_from_every_patient_physics_is_left(organ_examples):
    training, everyone, _ = organ_examples()
    far = everyone.covariates.copy()
    radiomic = [name for name in far if name.startswith("radiomic")]
    far[radiomic] = far[radiomic] + 1e9
    there = OrganExamples("kidneys", everyone.patients, everyone.partitions, far, everyone.dose)
    model = fitted(HybridGaussianDose(signal=1.0), training)
    np.testing.assert_allclose(model.predict(there), fitted(PetScaled(), training).predict(there), atol=1e-9)


def test_hybrid_finds_what_uptake_leaves_open(organ_examples):
    training, everyone, _ = organ_examples(n_patients=140, n_test=60, spread=0.02)
    test = subset(everyone, [p for p in everyone.patients if p not in training.patients])
    found = error(fitted(HybridGaussianDose(signal=1.0, k=3), training), test)
    assert found < 0.5 * error(fitted(PetScaled(), training), test)


def test_order_of_patients_is_not_kept(organ_examples):
    training, _, _ = organ_examples()
    tensors = fitted(GaussianDose(), training).tensors()
    columns, x = learned(training, training.log_dose, 8, PLAN)
    assert columns.names
    assert (tensors["points"] == x[np.argsort(training.log_dose)]).all()
