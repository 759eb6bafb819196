import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.metrics import log_loss as log_loss_of_sklearn

from theradose.cohort.virtual.outcome_scores import bayes_auc, brier_floor, expected_auc
from theradose.evaluation import classification
from theradose.evaluation.classification import (
    METRICS,
    accuracy,
    auc,
    brier,
    calibration_intercept,
    calibration_slope,
    expected_calibration_error,
    log_loss,
    precision,
    sensitivity,
    specificity,
)


def sample(n=400, seed=0, digits=2):
    """Return rounded probabilities, so that some are equal, and events."""
    rng = np.random.default_rng(seed)
    p = np.round(rng.uniform(0.05, 0.95, n), digits)
    return p, 1.0 * (rng.random(n) < p)


def test_examples_in_docstrings():
    found = doctest.testmod(classification, extraglobs={"np": np})
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("seed", range(3))
def test_are_scikit_learns(seed):
    p, y = sample(seed=seed)
    called = 1.0 * (p >= 0.4)
    assert auc(p, y) == pytest.approx(roc_auc_score(y, p))
    assert brier(p, y) == pytest.approx(brier_score_loss(y, p))
    assert log_loss(p, y) == pytest.approx(log_loss_of_sklearn(y, p))
    assert sensitivity(called, y) == pytest.approx(recall_score(y, called))
    assert specificity(called, y) == pytest.approx(recall_score(1 - y, 1 - called))
    assert precision(called, y) == pytest.approx(precision_score(y, called))
    assert accuracy(called, y) == pytest.approx(accuracy_score(y, called))


@pytest.mark.parametrize("seed", range(3))
def test_calibration_line_is_an_unpenalised_logistic_regression(seed):
    p, y = sample(seed=seed)
    p = expit(0.4 + 1.7 * logit(p))  # too extreme, and too high
    line = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10000).fit(logit(p)[:, None], y)
    assert calibration_slope(p, y) == pytest.approx(line.coef_[0, 0], rel=1e-4)
    a = calibration_intercept(p, y)
    assert expit(logit(p) + a).mean() == pytest.approx(y.mean())  # what an intercept alone must do


def test_calibration_of_the_truth_is_right_and_of_others_as_much_off():
    rng = np.random.default_rng(1)
    odds = rng.normal(-1.0, 1.0, 1000)
    p = expit(odds)
    assert calibration_slope(p, p) == pytest.approx(1.0)
    assert calibration_intercept(p, p) == pytest.approx(0.0, abs=1e-9)
    assert expected_calibration_error(p, p) == pytest.approx(0.0, abs=1e-12)
    assert calibration_slope(expit(2.0 * odds), p) == pytest.approx(0.5)
    assert calibration_intercept(expit(odds + 0.7), p) == pytest.approx(-0.7)


def test_calibration_error_by_hand():
    p = np.repeat([0.1, 0.3, 0.8], [2, 3, 5])
    y = np.array([0, 1, 0, 0, 0, 1, 1, 1, 1, 0.0])
    # Bins begin at each of the three values; |sum p - sum y| is 0.8, 0.9 and 0.
    assert expected_calibration_error(p, y) == pytest.approx((0.8 + 0.9 + 0.0) / 10)
    ranks = np.arange(100) / 100
    up = 1.0 * (np.arange(100) >= 50)
    apart = [abs(ranks[k : k + 10].mean() - up[k : k + 10].mean()) for k in range(0, 100, 10)]
    assert expected_calibration_error(ranks, up) == pytest.approx(np.mean(apart))


@pytest.mark.parametrize("seed", range(3))
def test_against_chances_are_the_formulas_of_the_virtual_cohort(seed):
    rng = np.random.default_rng(seed)
    chance = rng.uniform(0.01, 0.6, 300)
    guess = np.round(expit(logit(chance) + rng.normal(size=300)), 2)
    assert auc(guess, chance) == pytest.approx(expected_auc(chance, guess))
    assert auc(chance, chance) == pytest.approx(bayes_auc(chance))
    assert brier(chance, chance) == pytest.approx(brier_floor(chance))


def test_against_chances_are_means_over_drawn_events():
    rng = np.random.default_rng(5)
    chance, guess = rng.uniform(0.1, 0.6, 60), rng.uniform(0.05, 0.7, 60)
    drawn = 1.0 * (rng.random((20000, 60)) < chance)
    many = np.broadcast_to(guess, drawn.shape)
    assert brier(guess, chance) == pytest.approx(brier(many, drawn).mean(), abs=1e-3)
    assert log_loss(guess, chance) == pytest.approx(log_loss(many, drawn).mean(), abs=3e-3)
    assert auc(guess, chance) == pytest.approx(auc(many, drawn).mean(), abs=0.01)
    called = 1.0 * (guess > 0.3)
    assert sensitivity(called, chance) == pytest.approx(sensitivity(many > 0.3, drawn).mean(), abs=0.01)


@pytest.mark.parametrize("name", METRICS)
def test_many_at_once_are_each_alone_and_gaps_count_in_nothing(name):
    metric = METRICS[name]
    rng = np.random.default_rng(2)
    p = np.round(rng.uniform(0.05, 0.95, (4, 5, 60)), 1)
    y = 1.0 * (rng.random(p.shape) < p)
    said = 1.0 * (p > 0.5) if metric.of_call else p
    gap = rng.random(p.shape) < 0.2
    found = metric.score(np.where(gap, np.nan, said), y)
    also = metric.score(said, np.where(gap, np.nan, y))
    each = [[metric.score(said[i, j][~gap[i, j]], y[i, j][~gap[i, j]]) for j in range(5)] for i in range(4)]
    np.testing.assert_allclose(found, each, rtol=1e-9)
    np.testing.assert_allclose(also, each, rtol=1e-9)


@pytest.mark.parametrize("event", [0.0, 1.0])
def test_one_class_has_no_auc_and_no_line_but_a_loss(event):
    p, y = sample(n=50)[0], np.full(50, event)
    for score in (auc, calibration_slope, calibration_intercept):
        assert np.isnan(score(p, y))
    assert np.isfinite([brier(p, y), log_loss(p, y), expected_calibration_error(p, y)]).all()
    assert np.isnan((sensitivity if event == 0 else specificity)(1.0 * (p > 0.5), y))


def test_nothing_can_be_said_of_nobody_or_of_equal_predictions():
    nobody = np.full(5, np.nan)
    assert all(np.isnan(metric.score(nobody, nobody)) for metric in METRICS.values())
    p, y = np.full(10, 0.3), np.array([1.0, 0.0] * 5)
    assert auc(p, y) == 0.5
    assert np.isnan(calibration_slope(p, y))
    assert expected_calibration_error(p, y) == pytest.approx(0.2)


def test_a_cut_that_separates_has_no_slope():
    p = np.linspace(0.1, 0.9, 20)
    assert np.isnan(calibration_slope(p, 1.0 * (p > 0.5)))


def test_certainty_that_is_wrong_costs_much_but_not_infinitely():
    assert 20.0 < log_loss(np.array([0.0]), np.array([1.0])) < 30.0


pairs = st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=2, max_size=30)


@settings(deadline=None)
@given(pairs)
def test_auc_of_the_opposite_is_what_is_missing_to_one(rows):
    p, y = np.array([r[0] / 10 for r in rows]), np.array([float(r[1]) for r in rows])
    if 0 < y.sum() < len(y):
        assert auc(1.0 - p, y) == pytest.approx(1.0 - auc(p, y))
        assert auc(p, 1.0 - y) == pytest.approx(1.0 - auc(p, y))
        assert auc(p**3, y) == pytest.approx(auc(p, y))  # order alone counts
    else:
        assert np.isnan(auc(p, y))


@settings(deadline=None)
@given(pairs, st.randoms(use_true_random=False))
def test_order_of_patients_does_not_matter(rows, random):
    other = list(rows)
    random.shuffle(other)
    first, second = (
        (np.array([r[0] / 10 for r in these]), np.array([float(r[1]) for r in these])) for these in (rows, other)
    )
    for name in ("auc", "brier", "log_loss", "calibration_error"):
        score = METRICS[name].score
        np.testing.assert_allclose(score(*first), score(*second), rtol=1e-9, atol=1e-12)


@settings(deadline=None)
@given(st.lists(st.floats(0.02, 0.98), min_size=2, max_size=20), st.integers(0, 2**31))
def test_nobody_expects_a_lower_loss_than_the_truth(chances, seed):
    chance = np.array(chances)
    guess = np.random.default_rng(seed).uniform(0.01, 0.99, len(chance))
    for score in (brier, log_loss):
        assert score(chance, chance) <= score(guess, chance) + 1e-12
