import numpy as np
import pytest
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline

from theradose.models.columns import preparation
from theradose.models.examples import subset
from theradose.models.neighbours import NearestPatients
from theradose.models.predictors import TrainingPlan


def fitted(model, examples):
    model.fit(examples, seed=1, training=TrainingPlan())
    return model


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_neighbours_are_scikit_learns_pipeline(organ_examples, weights):
    training, everyone, _ = organ_examples(n_patients=40)
    model = fitted(NearestPatients(neighbours=4, weights=weights, k=5), training)
    again = NearestPatients.restore(model.state(), model.tensors())
    chain = Pipeline([("prepare", preparation(5)), ("knn", KNeighborsRegressor(4, weights=weights))])
    chain.fit(training.covariates.to_numpy(float), training.log_dose)
    np.testing.assert_allclose(again.predict(everyone), chain.predict(everyone.covariates.to_numpy(float)), rtol=1e-9)


def test_one_neighbour_remembers_and_all_neighbours_average(organ_examples):
    training, everyone, _ = organ_examples()
    one, every = (fitted(NearestPatients(neighbours=n, weights="uniform"), training) for n in (1, 25))
    np.testing.assert_allclose(one.predict(training), training.log_dose)
    np.testing.assert_allclose(every.predict(everyone), training.log_dose.mean())


def test_a_patient_is_predicted_the_same_alone(organ_examples):
    training, everyone, _ = organ_examples()
    model = fitted(NearestPatients(), training)
    alone = model.predict(subset(everyone, everyone.patients[:1]))
    assert alone.tobytes() == model.predict(everyone)[:1].tobytes()


def test_order_of_patients_is_not_kept(organ_examples):
    training, _, _ = organ_examples()
    values = fitted(NearestPatients(), training).tensors()["values"]
    assert (np.diff(values) >= 0).all()
    assert (values == np.sort(training.log_dose)).all()
