"""How sure a score is: patients drawn anew with replacement, the same draws for every predictor and organ."""

import warnings
from collections.abc import Callable

import numpy as np

RESAMPLES = 1000  # enough for 95 % limits (Efron and Tibshirani 1993, section 13.3)
LIMITS = (2.5, 97.5)


def draws(n_patients: int, seed: int, resamples: int = RESAMPLES) -> np.ndarray:
    """Return the patients of each resample, (resamples, n_patients) whole numbers."""
    return np.random.default_rng(seed).integers(0, n_patients, (resamples, n_patients))


def quiet(score: Callable[..., np.ndarray], *arrays: np.ndarray) -> np.ndarray:
    """Return a score over the last axis, NaN without a warning where nobody has the organ."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.asarray(score(*arrays))


def resampled(score: Callable[..., np.ndarray], arrays: tuple[np.ndarray, ...], chosen: np.ndarray) -> np.ndarray:
    """Return a score in every resample; `arrays` are (..., n_patients), the result (..., resamples)."""
    return quiet(score, *(values[..., chosen] for values in arrays))


def limits(samples: np.ndarray) -> tuple[float, float]:
    """Return the 95 % percentile limits of resampled scores (resamples,); NaN when none can be computed."""
    finite = samples[np.isfinite(samples)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.percentile(finite, LIMITS)
    return float(low), float(high)
