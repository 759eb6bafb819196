"""Scores of predicted against reference doses: plain functions over the last axis, so that resampling is one call.

Arrays are (..., n) in Gy/GBq; NaN marks a patient without the organ, who then counts in nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Score = Callable[..., np.ndarray]
AGREEMENT_SD = 1.96  # Bland and Altman, Lancet 327, 1986


def mean_absolute_percentage_error(predicted: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the mean of |p - r| / r in %.

    >>> float(mean_absolute_percentage_error(np.array([1.1, 1.8]), np.array([1.0, 2.0])).round(6))
    10.0
    """
    return np.asarray(100.0 * np.nanmean(np.abs(predicted - reference) / reference, axis=-1))


def mean_absolute_error(predicted: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the mean of |p - r| in Gy/GBq."""
    return np.asarray(np.nanmean(np.abs(predicted - reference), axis=-1))


def root_mean_square_error(predicted: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the root of the mean of (p - r)^2 in Gy/GBq."""
    return np.asarray(np.sqrt(np.nanmean((predicted - reference) ** 2, axis=-1)))


def mean_error(predicted: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the mean of p - r in Gy/GBq: positive when doses are overestimated."""
    return np.asarray(np.nanmean(predicted - reference, axis=-1))


def explained_variance(predicted: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return r2 = 1 - sum (p - r)^2 / sum (r - mean r)^2; NaN when the reference does not vary."""
    reference = np.where(np.isnan(predicted), np.nan, reference)
    total = np.nansum((reference - np.nanmean(reference, axis=-1, keepdims=True)) ** 2, axis=-1)
    left = np.nansum((predicted - reference) ** 2, axis=-1)
    return np.asarray(1.0 - np.divide(left, total, out=np.full(np.shape(total), np.nan), where=total > 0))


def concordance(predicted: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return Lin's concordance correlation, 2 cov / (var p + var r + (mean p - mean r)^2) (Lin, Biometrics 1989).

    NaN when neither varies.

    >>> float(concordance(np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0])).round(6))
    0.571429
    """
    reference = np.where(np.isnan(predicted), np.nan, reference)
    mean_p, mean_r = np.nanmean(predicted, axis=-1), np.nanmean(reference, axis=-1)
    off_p, off_r = predicted - mean_p[..., None], reference - mean_r[..., None]
    apart = np.nanmean(off_p**2, axis=-1) + np.nanmean(off_r**2, axis=-1) + (mean_p - mean_r) ** 2
    both = 2.0 * np.nanmean(off_p * off_r, axis=-1)
    return np.asarray(np.divide(both, apart, out=np.full(np.shape(apart), np.nan), where=apart > 0))


def _limit_percent(predicted: np.ndarray, reference: np.ndarray, deviations: float) -> np.ndarray:
    """Return exp(m + deviations * s) - 1 in %, m and s (n - 1) of log(p / r) over patients."""
    logs = np.log(predicted / reference)
    n = np.isfinite(logs).sum(axis=-1)
    variance = np.nanmean((logs - np.nanmean(logs, axis=-1, keepdims=True)) ** 2, axis=-1)
    # One patient alone has no spread, so no limits.
    unbiased = np.divide(n, n - 1, out=np.full(np.shape(n), np.nan), where=n > 1)
    spread = deviations * np.sqrt(variance * unbiased) if deviations else 0.0
    return np.asarray(100.0 * np.expm1(np.nanmean(logs, axis=-1) + spread))


def geometric_bias(predicted: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return by how much the geometric mean of p / r is above one, in % (Bland and Altman, Lancet 1986, on logs).

    >>> float(geometric_bias(np.array([1.1, 4.4]), np.array([1.0, 4.0])).round(6))
    10.0
    """
    return _limit_percent(predicted, reference, 0.0)


def agreement_low(predicted: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the lower 95 % limit of agreement of p / r - 1 in %, geometric: bias less 1.96 SD of the logs."""
    return _limit_percent(predicted, reference, -AGREEMENT_SD)


def agreement_high(predicted: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the upper 95 % limit of agreement of p / r - 1 in %, geometric: bias plus 1.96 SD of the logs."""
    return _limit_percent(predicted, reference, AGREEMENT_SD)


def interval_coverage(low: np.ndarray, high: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the part (%) of references inside their interval; without any interval NaN."""
    inside = np.where(
        np.isnan(low) | np.isnan(high) | np.isnan(reference), np.nan, (low <= reference) & (reference <= high)
    )
    return np.asarray(100.0 * np.nanmean(inside, axis=-1))


def interval_log_width(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the mean width of the intervals as log(high / low): 0.7 means a factor of two."""
    return np.asarray(np.nanmean(np.log(high / low), axis=-1))


@dataclass(frozen=True)
class Metric:
    """A score with its unit."""

    unit: str
    score: Score


METRICS: dict[str, Metric] = {
    "mape": Metric("%", mean_absolute_percentage_error),
    "mae": Metric("Gy/GBq", mean_absolute_error),
    "rmse": Metric("Gy/GBq", root_mean_square_error),
    "bias": Metric("Gy/GBq", mean_error),
    "r2": Metric("1", explained_variance),
    "ccc": Metric("1", concordance),
    "bias_percent": Metric("%", geometric_bias),
    "agreement_low_percent": Metric("%", agreement_low),
    "agreement_high_percent": Metric("%", agreement_high),
}
COVERAGE, WIDTH = "coverage", "log_width"
