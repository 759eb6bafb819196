"""Intervals with a stated coverage from out-of-fold residuals, and the point of a log-normal that lowers MAPE."""

import math

import numpy as np

from theradose.errors import DataError


def rank(n: int, level: float) -> int:
    """Return which of n sorted residuals bounds an interval of a coverage: ceil((n + 1) level), at most n + 1.

    The (n + 1) makes the promise hold for a new patient, not for those at hand (Vovk 2005; Barber 2021 for residuals
    from cross-validation). n + 1 means that no residual is large enough: the interval would be infinite.

    >>> rank(20, 0.9), rank(8, 0.9)
    (19, 9)
    """
    # Binary fractions lie a little beside their decimals: 10 x 0.9 must not become 9.000000000000002.
    return math.ceil(round((n + 1) * level, 9))


def smallest_n(level: float) -> int:
    """Return how many residuals a finite interval of a coverage needs.

    >>> smallest_n(0.9)
    9
    """
    n = 1
    while rank(n, level) > n:
        n += 1
    return n


def half_width(residuals: np.ndarray, level: float) -> float:
    """Return the half width, in the unit of the residuals (n,), of an interval that covers with at least `level`.

    DataError when there are too few residuals: the interval would be infinite.
    """
    n = len(residuals)
    if rank(n, level) > n:
        raise DataError(
            "too few patients for an interval",
            got=f"{n} out-of-fold residuals",
            expected=f"at least {smallest_n(level)} for {level:.0%}",
            remedy="train on more patients, or ask for a lower coverage",
            code="THR-423",
        )
    return float(np.sort(np.abs(residuals))[rank(n, level) - 1])


def half_width_or_nan(residuals: np.ndarray, level: float) -> float:
    """Return the half width of the interval, NaN (an empty cell) when it would be infinite."""
    return half_width(residuals, level) if rank(len(residuals), level) <= len(residuals) else math.nan


def log_spread(residuals: np.ndarray) -> float:
    """Return s, the root mean square of out-of-fold log residuals (n,)."""
    return float(np.sqrt(np.mean(np.square(residuals)))) if len(residuals) else 0.0


def lowest_mape(median: np.ndarray, spread: float) -> np.ndarray:
    """Return the point that lowers the expected |p - y| / y of a log-normal y: median x exp(-s^2).

    E|p/y - 1| is least at the median of y under the weight 1/y, and that weight moves a log-normal (mu, s) to mu - s^2.

    >>> float(lowest_mape(np.array([2.0]), 0.5)[0].round(4))
    1.5576
    """
    return np.asarray(median * math.exp(-(spread**2)))
