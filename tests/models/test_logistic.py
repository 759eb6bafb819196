import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss as log_loss_of_sklearn

from theradose.models.logistic import fit_logistic, log_loss, rate_of


def data(n=80, k=3, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, k))
    return x, 1.0 * (rng.random(n) < expit(-1.0 + x[:, 0]))


def test_the_rate_by_hand():
    assert rate_of(np.zeros(9)) == pytest.approx(0.05)
    assert rate_of(np.array([1.0, 0.0, 1.0])) == pytest.approx(2.5 / 4)


@pytest.mark.parametrize("alpha", [0.1, 3.0, 100.0])
def test_is_scikit_learns_fit_with_half_a_patient_of_each_class_more(alpha):
    x, y = data()
    more, label = np.vstack([x, np.zeros((2, 3))]), np.append(y, [0.0, 1.0])
    weight = np.append(np.ones(len(x)), [0.5, 0.5])
    other = LogisticRegression(C=1.0 / alpha, tol=1e-10, max_iter=10000).fit(more, label, sample_weight=weight)
    intercept, slope = fit_logistic(x, y, alpha)
    assert intercept == pytest.approx(other.intercept_[0], abs=1e-5)
    np.testing.assert_allclose(slope, other.coef_[0], atol=1e-5)


def test_without_columns_the_odds_are_those_of_the_rate():
    y = np.array([1.0, 0.0, 0.0, 0.0])
    intercept, slope = fit_logistic(np.zeros((4, 0)), y, 1.0)
    assert intercept == pytest.approx(logit(rate_of(y)))
    assert slope.shape == (0,)


@pytest.mark.parametrize("event", [0.0, 1.0])
def test_one_class_gives_the_base_rate_and_nothing_infinite(event):
    x = data(n=30)[0]
    y = np.full(30, event)
    intercept, slope = fit_logistic(x - x.mean(axis=0), y, 1e3)
    assert intercept == pytest.approx(logit(rate_of(y)), abs=1e-2)
    assert np.abs(slope).max() < 1e-2
    intercept, slope = fit_logistic(x, y, 1e-3)
    assert np.isfinite([intercept, *slope]).all()


def test_separated_classes_stay_finite():
    x = np.linspace(-1.0, 1.0, 20)[:, None]
    intercept, slope = fit_logistic(x, 1.0 * (x[:, 0] > 0), 1e-2)
    assert np.isfinite([intercept, *slope]).all()
    assert slope[0] > 5


def test_offset_that_is_the_truth_leaves_nothing_to_learn():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(20000, 2))
    offset = -1.0 + 1.3 * x[:, 0]
    y = 1.0 * (rng.random(20000) < expit(offset))
    intercept, slope = fit_logistic(x, y, 1.0, offset)
    np.testing.assert_allclose([intercept, *slope], 0.0, atol=0.06)
    intercept, slope = fit_logistic(x, y, 1.0)
    np.testing.assert_allclose([intercept, *slope], [-1.0, 1.3, 0.0], atol=0.06)


def test_offset_and_slope_share_the_gradient():
    """At the summit the gradient, written out here by itself, is zero."""
    x, y = data(seed=3)
    offset = np.linspace(-1.0, 1.0, len(y))
    intercept, slope = fit_logistic(x, y, 2.0, offset)
    left = expit(offset + intercept + x @ slope) - y
    half = expit(offset.mean() + intercept) - 0.5
    assert left.sum() + half == pytest.approx(0.0, abs=1e-7)
    np.testing.assert_allclose(x.T @ left + 2.0 * slope, 0.0, atol=1e-7)


def test_more_columns_than_patients_is_the_same_summit():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(15, 40)), np.array([0.0, 1.0, 0.0] * 5)
    intercept, slope = fit_logistic(x, y, 5.0)
    left = expit(intercept + x @ slope) - y
    np.testing.assert_allclose(x.T @ left + 5.0 * slope, 0.0, atol=1e-7)
    assert left.sum() + expit(intercept) - 0.5 == pytest.approx(0.0, abs=1e-7)


def test_log_loss_is_scikit_learns():
    rng = np.random.default_rng(4)
    odds, y = rng.normal(size=50), 1.0 * (rng.random(50) < 0.3)
    assert log_loss(y, odds) == pytest.approx(log_loss_of_sklearn(y, expit(odds)))
    assert log_loss(np.array([1.0]), np.array([-800.0])) == pytest.approx(800.0)
