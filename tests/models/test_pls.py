import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.pipeline import Pipeline

from theradose.models.columns import preparation
from theradose.models.linear import RidgeDose
from theradose.models.pls import PlsDose
from theradose.models.predictors import TrainingPlan


def fitted(model, examples):
    model.fit(examples, seed=1, training=TrainingPlan())
    return model


@pytest.mark.parametrize("components", [1, 3])
def test_pls_is_scikit_learns_pipeline(organ_examples, components):
    training, everyone, _ = organ_examples(n_patients=40)
    model = fitted(PlsDose(components=components, k=9), training)
    again = PlsDose.restore(model.state(), model.tensors())
    always = [list(training.covariates).index(name) for name in PlsDose.always]
    chain = Pipeline([("prepare", preparation(9, always=always)), ("pls", PLSRegression(components, scale=False))])
    chain.fit(training.covariates.to_numpy(float), training.log_dose)
    expected = chain.predict(everyone.covariates.to_numpy(float)).ravel()
    np.testing.assert_allclose(again.predict(everyone), expected, rtol=1e-10)


def test_as_many_directions_as_columns_are_least_squares(organ_examples):
    training, everyone, _ = organ_examples(n_patients=40)
    pls, squares = fitted(PlsDose(components=4, k=4), training), fitted(RidgeDose(alpha=1e-12, k=4), training)
    np.testing.assert_allclose(pls.predict(everyone), squares.predict(everyone), rtol=1e-8)


def test_fewer_columns_or_patients_than_directions(organ_examples):
    training, everyone, _ = organ_examples(n_patients=11)
    assert len(training) == 3
    for k in (1, 5):
        assert np.isfinite(fitted(PlsDose(components=6, k=k), training).predict(everyone)).all()
