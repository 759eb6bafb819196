"""The best scores that any model can reach on the planted outcomes, computed from the true probabilities.

AUC: a patient with the event is drawn with weight p_i and one without with weight 1 - p_j, so over independent labels

    AUC = sum_i p_i (sum_{s_j < s_i} (1 - p_j) + 1/2 sum_{s_j = s_i} (1 - p_j)) / (sum p  sum (1 - p))

for any score s; s = p gives the Bayes AUC. Expected Brier score of the truth: mean p (1 - p). The C-index under
censoring is the same sum at every time t, with densities f_i(t) for p and survivals S_j(t) for 1 - p. AUC and C-index
are ratios of expectations over labels: the mean of the score over labels differs in the order of 1 / events.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from theradose.cohort.virtual.covariates import EGFR_ERROR
from theradose.cohort.virtual.outcomes import (
    EGFR_AT_MONTHS,
    EGFR_LEFT_AT_LATENCY,
    EGFR_LEFT_BY_TOXICITY,
    FOLLOW_UP_MONTHS,
    LATENCY_LOG_SD,
    LEAVING_PART,
    NODES,
    WEIGHTS,
)
from theradose.physics.radiobiology import require

Array = NDArray[np.float64]
LATENCY_FLOOR = LATENCY_LOG_SD
"""RMSE of log latency of the true median over everyone, were nobody censored."""

TIME_STEPS = 144  # midpoints of quarter months; twice as many change the C-index by less than 1e-5


def _above(upper: Array, lower: Array, rank: NDArray[np.intp]) -> float:
    """Return sum_i upper_i (sum of lower_j over lower ranks + half of that over the same rank), all (n,)."""
    at_rank = np.bincount(rank, lower)
    return float(upper @ (np.cumsum(at_rank) - 0.5 * at_rank)[rank])


def expected_auc(probability: ArrayLike, score: ArrayLike) -> float:
    """Return the AUC of `score` (n,) expected over labels drawn with `probability` (n,), ties at half.

    DataError when no probability lies between 0 and 1, since then there are no two classes to tell apart.
    """
    p = np.asarray(probability, float)
    require(bool(0 < p.sum() < p.size), "probability", p.sum(), f"a sum between 0 and {p.size}")
    rank = np.unique(np.asarray(score, float), return_inverse=True)[1]
    return _above(p, 1.0 - p, rank) / float(p.sum() * (1.0 - p).sum())


def bayes_auc(probability: ArrayLike) -> float:
    """Return the AUC of the true probabilities (n,), the highest any score can expect. Errors: expected_auc."""
    return expected_auc(probability, probability)


def brier_floor(probability: ArrayLike) -> float:
    """Return mean p (1 - p), the Brier score expected of the true probabilities (n,)."""
    p = np.asarray(probability, float)
    return float(np.mean(p * (1.0 - p)))


def expected_log_latency(log_median: ArrayLike) -> Array:
    """Return E[ln T | x, T observed] in ln(months): the best prediction on uncensored cases; `log_median` (n,).

    ln T ~ N(mu, s), T < 36 months, and no leaving before T, 1 - q T / 36 for leaving times uniform in (0, 36) with
    part q. With b = (ln 36 - mu) / s and k = (q / 36) exp(mu + s^2 / 2) the truncated normal gives

        mu + s [-phi(b) - k (s Phi(b - s) - phi(b - s))] / [Phi(b) - k Phi(b - s)].
    """
    mu, s = np.asarray(log_median, float), LATENCY_LOG_SD
    b = (np.log(FOLLOW_UP_MONTHS) - mu) / s
    k = LEAVING_PART / FOLLOW_UP_MONTHS * np.exp(mu + 0.5 * s**2)
    at, shifted = (np.exp(-0.5 * x**2) / np.sqrt(2.0 * np.pi) for x in (b, b - s))
    mean = -at - k * (s * ndtr(b - s) - shifted)
    return np.asarray(mu + s * mean / (ndtr(b) - k * ndtr(b - s)))


def literal_latency_floor(log_median: ArrayLike, time_months: ArrayLike, observed: ArrayLike) -> float:
    """Return the RMSE of log latency of the best prediction on the uncensored cases alone; all arguments (n,).

    DataError when nobody is uncensored.
    """
    seen = np.asarray(observed, bool)
    require(bool(seen.any()), "observed", int(seen.sum()), "at least one uncensored case")
    error = np.log(np.asarray(time_months, float)[seen]) - expected_log_latency(np.asarray(log_median, float)[seen])
    return float(np.sqrt(np.mean(error**2)))


def bayes_c_index(log_median: ArrayLike) -> float:
    """Return Harrell's C-index of the true medians (n,) under the planted censoring, ties at half.

    A pair counts when the earlier event is seen: weight f_i(t) S_j(t) (1 - q t / 36)^2, t from 0 to 36 months.
    """
    mu = np.asarray(log_median, float)
    rank = np.unique(-mu, return_inverse=True)[1]  # the earlier event should rank higher
    concordant, pairs = 0.0, 0.0
    for t in (np.arange(TIME_STEPS) + 0.5) / TIME_STEPS * FOLLOW_UP_MONTHS:
        z = (np.log(t) - mu) / LATENCY_LOG_SD
        both_stay = (1.0 - LEAVING_PART * t / FOLLOW_UP_MONTHS) ** 2
        event, later = both_stay / t * np.exp(-0.5 * z**2), ndtr(-z)
        concordant += _above(event, later, rank)
        pairs += float(event.sum() * later.sum())
    return concordant / pairs


def measured_egfr_12m(egfr_ml_min: ArrayLike, log_latency: ArrayLike, toxicity: ArrayLike) -> tuple[Array, Array]:
    """Return mean and spread, each (n,) in mL/min, of the eGFR measured after 12 months, all that is planted known.

    The true eGFR before therapy (n,), the mean log latency (n,) and the chance of kidney toxicity (n,). Latency, by
    Gauss-Hermite nodes, toxicity and the error of measuring are drawn apart: moments of a product are products.
    """
    p, weights = np.asarray(toxicity, float), WEIGHTS / WEIGHTS.sum()
    months = np.exp(np.asarray(log_latency, float)[:, None] + LATENCY_LOG_SD * NODES)

    def moment(power: float) -> Array:
        slow = EGFR_LEFT_AT_LATENCY ** (power * EGFR_AT_MONTHS / months) @ weights
        return np.asarray(slow * (1.0 - p + p * EGFR_LEFT_BY_TOXICITY**power))

    before, mean = np.asarray(egfr_ml_min, float), moment(1.0)
    return before * mean, before * np.sqrt(moment(2.0) * (1.0 + EGFR_ERROR**2) - mean**2)
