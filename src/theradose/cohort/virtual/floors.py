"""From a spread to the smallest possible error: what the best prediction is, and how far off it must be.

If log dose given everything observable is N(mu, s^2), the smallest mean absolute percentage error is erf(s / sqrt 2),
reached by exp(mu - s^2): not the mean, not the median (design of the cohort, section 9).
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import erf, erfinv

from theradose.cohort.virtual.body import log_sd
from theradose.cohort.virtual.difficulty import DIFFICULTY
from theradose.cohort.virtual.ligands import LIGANDS

Array = NDArray[np.float64]


def floor_mape(log_sd: ArrayLike) -> Array:
    """Return the smallest MAPE (a fraction) where log dose has standard deviation `log_sd`, any shape.

    >>> floor_mape([0.1, 0.2, 0.3, 0.5]).round(4)
    array([0.0797, 0.1585, 0.2358, 0.3829])
    """
    return np.asarray(erf(np.asarray(log_sd, float) / np.sqrt(2.0)))


def log_sd_of(mape: ArrayLike) -> Array:
    """Return the spread of log dose behind a smallest MAPE, the inverse of `floor_mape`.

    >>> float(log_sd_of(0.158).round(3))
    0.199
    """
    return np.asarray(np.sqrt(2.0) * erfinv(np.asarray(mape, float)))


def best_prediction(possible: Array) -> Array:
    """Return the p (n,) that minimises the mean of |1 - p / D| over possible values D, shape (k, n), all above zero.

    The median of the D with weights 1 / D.
    """
    ordered = np.sort(possible, axis=0)
    weights = np.cumsum(1.0 / ordered, axis=0)
    at = np.argmax(weights >= 0.5 * weights[-1], axis=0)
    return np.asarray(np.take_along_axis(ordered, at[None], axis=0)[0])


def expected_ape(prediction: Array, possible: Array) -> Array:
    """Return the mean of |1 - p / D| over possible values D (k, n), for predictions p (n,)."""
    return np.asarray(np.abs(1.0 - prediction / possible).mean(axis=0))


def budget(
    ligand: str, organ: str, *, half_life_h: float, difficulty: str, texture_known: float, pet_log_sd: float
) -> dict[str, float]:
    """Return the parts of the spread of log dose in closed form, and under `total` their root sum of squares.

    drift: of receptors between diagnostic and therapeutic injection; half_life: w sd(log T_b) sqrt(1 - known), with
    w = T_p / (T_b + T_p) and `texture_known` = coupling^2 R2, the part of its variance that texture tells; pet: of the
    measured uptake. The kidneys: 0.12, 0.80 x 0.188 and 0.07 give 0.205.
    """
    row = LIGANDS[ligand].organs[organ]
    share = half_life_h / (row.t_bio_h + half_life_h)
    parts = {
        "drift": max(row.drift_sd, DIFFICULTY[difficulty].least_drift_sd),
        "half_life": share * log_sd(row.t_bio_cv) * float(np.sqrt(1.0 - texture_known)),
        "pet": pet_log_sd,
    }
    return parts | {"total": float(np.sqrt(sum(part**2 for part in parts.values())))}
