import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr

from theradose.evaluation.survival import (
    KaplanMeier,
    brier,
    c_index,
    censoring,
    integrated_brier,
    rmse_log,
    weights_of,
)

ONE = np.ones(1)
# Whole numbers give ties, among events and between event and censoring.
COHORTS = st.lists(st.tuples(st.integers(1, 8), st.booleans(), st.integers(0, 5)), min_size=2, max_size=25)


def arrays(cases):
    months, observed, predicted = (np.array(column, float) for column in zip(*cases, strict=True))
    return months, observed > 0, predicted, np.ones(len(cases))


def kaplan_meier(months, observed):
    """Return the curve of Kaplan and Meier (1958), S(t) = prod_{t_k <= t} (1 - d_k / n_k): what `censoring` mirrors."""
    t, seen = np.asarray(months, float), np.asarray(observed, bool)
    steps = np.unique(t[seen])
    at_risk = (t[:, None] >= steps).sum(axis=0)
    events = (seen[:, None] & (t[:, None] == steps)).sum(axis=0)
    return KaplanMeier(steps, np.cumprod(1.0 - events / np.maximum(at_risk, 1)))


def test_rmse_by_hand():
    known = [True, False, True]
    assert rmse_log([1.0, 9.0, 2.0], [0.0, 0.0, 0.0], known, np.ones(3)) == pytest.approx(np.sqrt(2.5))
    assert rmse_log([1.0, 9.0, 2.0], [0.0, np.nan, 0.0], known, [[3, 5, 0], [0, 1, 0]]) == pytest.approx(
        [1.0, np.nan], nan_ok=True
    )


def test_c_index_by_hand():
    """Events at 1 and 3, censored at 2 and 4: pairs 1-2, 1-3, 1-4, 3-4; the third patient is predicted too early."""
    found = c_index([2.0, 3.0, 1.0, 4.0], [1, 2, 3, 4], [1, 0, 1, 0], np.ones(4))
    assert found == pytest.approx(3 / 4)
    assert c_index([2.0, 3.0, 2.0, 4.0], [1, 2, 3, 4], [1, 0, 1, 0], np.ones(4)) == pytest.approx(3.5 / 4)


def test_one_who_leaves_at_the_time_of_an_event_stayed_longer():
    assert c_index([1.0, 2.0], [5, 5], [1, 0], np.ones(2)) == pytest.approx(1.0)
    assert np.isnan(c_index([1.0, 2.0], [5, 5], [1, 1], np.ones(2)))


@given(COHORTS)
def test_c_of_reversed_order_is_the_rest(cases):
    months, observed, predicted, w = arrays(cases)
    there, back = c_index(predicted, months, observed, w), c_index(-predicted, months, observed, w)
    assert (np.isnan(there) and np.isnan(back)) or there + back == pytest.approx(1.0)


@given(COHORTS)
def test_c_of_a_constant_is_a_half(cases):
    months, observed, _, w = arrays(cases)
    assert c_index(np.ones(len(w)), months, observed, w) == pytest.approx(
        0.5 if np.isfinite(c_index(months, months, observed, w)) else np.nan, nan_ok=True
    )


@settings(deadline=None)
@given(COHORTS, st.integers(0, 100))
def test_weights_are_patients_drawn_again(cases, seed):
    months, observed, predicted, _ = arrays(cases)
    n = len(months)
    draws = np.random.default_rng(seed).integers(0, n, (3, n))
    w, left = weights_of(draws), censoring(months, observed)
    at_once = c_index(predicted, months, observed, w)
    briers = brier(predicted / 5, months, observed, w, at_months=2.0, left=left)
    errors = rmse_log(predicted, months, observed, w)
    for k, chosen in enumerate(draws):
        one = np.ones(n)
        assert at_once[k] == pytest.approx(
            c_index(predicted[chosen], months[chosen], observed[chosen], one), nan_ok=True
        )
        own = brier(predicted[chosen] / 5, months[chosen], observed[chosen], one, at_months=2.0, left=left)
        assert briers[k] == pytest.approx(own, nan_ok=True)
        again = rmse_log(predicted[chosen], months[chosen], observed[chosen], one)
        assert errors[k] == pytest.approx(again, nan_ok=True)


def test_kaplan_meier_by_hand():
    """Events at 1 and 3 of four, one leaves at 2: 3/4, then 3/4 x 1/2."""
    curve = kaplan_meier([1, 2, 3, 4], [1, 0, 1, 0])
    assert curve.at([0.5, 1, 2.5, 3, 9]) == pytest.approx([1, 0.75, 0.75, 0.375, 0.375])
    assert curve.before([1, 3]) == pytest.approx([1, 0.75])
    left = censoring([1, 2, 3, 4], [1, 0, 1, 0])
    assert left.at([1, 2, 3.9, 4]) == pytest.approx([1, 2 / 3, 2 / 3, 0])


def test_an_event_comes_before_a_censoring_of_the_same_time():
    """Two at 5: the event is gone when the other leaves, so nobody is left."""
    assert censoring([5, 5, 7], [1, 0, 1]).at([5]) == pytest.approx([0.5])
    assert kaplan_meier([5, 5, 7], [1, 0, 1]).at([5]) == pytest.approx([2 / 3])


@given(COHORTS)
def test_both_curves_together_are_who_is_left(cases):
    """S(t) G(t) is the part of patients still under view: the identity behind weighting for censoring."""
    months, observed, *_ = arrays(cases)
    t = np.arange(9.0)
    part = (months[:, None] > t).mean(axis=0)
    assert kaplan_meier(months, observed).at(t) * censoring(months, observed).at(t) == pytest.approx(part)


@given(COHORTS, st.integers(1, 6))
def test_brier_of_the_kaplan_meier_constant_is_p_times_1_minus_p(cases, at):
    months, observed, _, w = arrays(cases)
    p, left = float(kaplan_meier(months, observed).at(at)), censoring(months, observed)
    found = brier(np.full(len(w), p), months, observed, w, at_months=at, left=left)
    if left.at(at) > 0:
        assert found == pytest.approx(p * (1 - p))
        for other in (0.0, 0.3, 1.0):
            assert found <= brier(np.full(len(w), other), months, observed, w, at_months=at, left=left) + 1e-12
    else:
        assert np.isnan(found)


def test_brier_without_censoring_is_the_squared_error():
    free = np.array([0.9, 0.4, 0.2])
    left = censoring([1, 20, 30], [1, 1, 1])
    assert brier(free, [1, 20, 30], [1, 1, 1], np.ones(3), at_months=12, left=left) == pytest.approx(
        (0.81 + 0.36 + 0.64) / 3
    )


def test_one_who_left_before_counts_for_nothing_but_makes_others_count_more():
    left = censoring([3, 5, 9, 10], [0, 1, 0, 1])
    found = brier([0.5, 0.5, 0.5, 0.5], [3, 5, 9, 10], [0, 1, 0, 1], np.ones(4), at_months=6, left=left)
    assert found == pytest.approx((0 + 3 * 0.25 / 0.75) / 4)


def test_integrated_brier_of_a_straight_line():
    left = censoring([9, 9], [1, 1])
    free = np.array([[1.0, 1.0], [0.0, 0.0], [1.0, 1.0]])
    found = integrated_brier(free, [9, 9], [1, 1], np.ones(2), grid_months=np.array([0.0, 1.0, 3.0]), left=left)
    assert found == pytest.approx((0.5 * 1 + 0.5 * 2) / 3)


# Made with scikit-survival 0.28.0: concordance_index_censored, brier_score, integrated_brier_score; the first 25
# patients give the censoring, the last 15 are judged with spread 0.45.
MONTHS = [
    13.656, 36.741, 24.925, 4.307, 13.576, 10.525, 6.569, 13.0, 3.725, 14.299, 17.602, 18.022, 10.763, 13.13, 9.338,
    5.603, 32.527, 10.724, 5.292, 14.837, 15.126, 5.316, 11.574, 14.67, 8.19, 4.983, 7.177, 2.75, 11.097, 3.685, 19.639,
    4.039, 17.017, 4.523, 9.998, 12.382, 16.873, 7.909, 9.91, 3.405,
]  # fmt: skip
OBSERVED = [
    1, 0, 0, 1, 1, 1, 1, 1, 1, 0, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 0,
    1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1,
]  # fmt: skip
LOG_MEDIAN = [1.3, 1.9, 2.2, 2.7, 1.7, 2.5, 2.6, 2.7, 1.4, 2.9, 3.4, 2.8, 2.2, 2.3, 1.3]
TIMES = (6.0, 12.0, 15.0, 19.0)
REFERENCE = {
    "c": 0.7819148936170213,
    "brier": (0.07652939049496017, 0.13221961478405844, 0.19424472476908095, 0.17178121849673592),
    "integrated": 0.14215349320756912,
}


def test_against_scikit_survival():
    months, observed, w = np.array(MONTHS[25:]), np.array(OBSERVED[25:]) > 0, np.ones(15)
    left = censoring(MONTHS[:25], OBSERVED[:25])
    assert c_index(LOG_MEDIAN, months, observed, w) == pytest.approx(REFERENCE["c"], rel=1e-12)
    free = np.stack([ndtr((np.array(LOG_MEDIAN) - np.log(t)) / 0.45) for t in TIMES])
    found = [brier(own, months, observed, w, at_months=t, left=left) for own, t in zip(free, TIMES, strict=True)]
    assert found == pytest.approx(REFERENCE["brier"], rel=1e-9)
    both = integrated_brier(free, months, observed, w, grid_months=np.array(TIMES), left=left)
    assert both == pytest.approx(REFERENCE["integrated"], rel=1e-9)
