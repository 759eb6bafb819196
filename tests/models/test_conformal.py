import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theradose.errors import DataError
from theradose.models.conformal import half_width, half_width_or_nan, log_spread, lowest_mape, rank, smallest_n


def test_rank_by_hand():
    assert rank(19, 0.9) == 18
    assert rank(9, 0.9) == 9  # 10 x 0.9 = 9 exactly, in spite of binary fractions
    assert rank(20, 0.8) == 17


@given(st.floats(0.5, 0.99))
def test_smallest_n_is_the_first_with_a_finite_interval(level):
    n = smallest_n(level)
    assert rank(n, level) <= n
    assert n == 1 or rank(n - 1, level) > n - 1


def test_half_width_takes_the_ranked_residual():
    assert half_width(np.array([-5.0, 1, 2, 3, 4, 0.5, 0.1, -2.5, 0.2, 0.3]), 0.8) == 4.0  # rank ceil(11 x 0.8) = 9


def test_infinite_interval_is_refused_or_empty():
    with pytest.raises(DataError, match="at least 9"):
        half_width(np.zeros(8), 0.9)
    assert np.isnan(half_width_or_nan(np.zeros(8), 0.9))


@pytest.mark.parametrize("n", [12, 20, 50])
def test_coverage_of_exchangeable_residuals(n):
    """Vovk 2005: level <= coverage <= level + 1 / (n + 1), on average over calibration sets."""
    rng = np.random.default_rng(n)
    inside = [abs(rng.normal()) <= half_width(rng.normal(size=n), 0.9) for _ in range(20000)]
    assert 0.9 - 0.008 <= np.mean(inside) <= 0.9 + 1 / (n + 1) + 0.008


def test_lowest_mape_is_the_best_point():
    rng = np.random.default_rng(1)
    spread = 0.4
    doses = 2.0 * np.exp(spread * rng.normal(size=200_000))
    points = np.linspace(1.2, 2.4, 241)
    errors = [np.mean(np.abs(p - doses) / doses) for p in points]
    assert points[np.argmin(errors)] == pytest.approx(lowest_mape(np.array(2.0), spread), abs=0.02)


def test_log_spread_by_hand():
    assert log_spread(np.array([0.3, -0.4])) == pytest.approx(np.sqrt(0.125))
    assert log_spread(np.zeros(0)) == 0.0
