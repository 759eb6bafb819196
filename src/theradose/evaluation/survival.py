"""How good predicted latencies are when some are censored: error of the log, order of patients, squared error in time.

Every score takes `weights` (..., n): how often each patient counts. A resample with replacement is such a row of whole
numbers, so one call scores all of them; a score is NaN where nothing can be compared.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def weights_of(draws: NDArray[np.int_]) -> Array:
    """Return how often each of n patients was drawn, (resamples, n), from the drawn patients (resamples, n)."""
    resamples, n = draws.shape
    places = draws + n * np.arange(resamples)[:, None]
    return np.bincount(places.ravel(), minlength=resamples * n).reshape(resamples, n).astype(float)


def _ratio(above: Array, below: Array) -> Array:
    """Return above / below, NaN where there is nothing below."""
    found = np.full(np.shape(below), np.nan)
    return np.divide(above, below, out=found, where=np.asarray(below) > 0)


def rmse_log(log_predicted: ArrayLike, log_reference: ArrayLike, known: ArrayLike, weights: ArrayLike) -> Array:
    """Return the root mean square of log_predicted - log_reference over the patients that are `known`, (...).

    RMSE^2 = sum_i w_i known_i (mu_i - y_i)^2 / sum_i w_i known_i; on observed latencies the source paper's score.
    """
    use = np.asarray(weights, float) * np.asarray(known, bool)
    error = np.where(known, np.asarray(log_predicted, float) - np.asarray(log_reference, float), 0.0)
    return np.asarray(np.sqrt(_ratio(use @ error**2, use.sum(axis=-1))))


def c_index(predicted: ArrayLike, months: ArrayLike, observed: ArrayLike, weights: ArrayLike) -> Array:
    """Return Harrell's C (JAMA 1982;247:2543-2546): the part of comparable pairs in the predicted order, ties a half.

    A pair i, j is comparable when i is observed and j stays free of it for longer: t_i < t_j, or t_i = t_j with j
    censored. C = sum w_i w_j [1(p_i < p_j) + 1(p_i = p_j) / 2] / sum w_i w_j over these. A later `predicted` (n,) means
    longer; `months` and `observed` (n,).
    """
    p, t, seen = np.asarray(predicted, float), np.asarray(months, float), np.asarray(observed, bool)
    later = (t[:, None] < t) | ((t[:, None] == t) & ~seen)
    pairs = (seen[:, None] & later).astype(float)
    agree = pairs * ((p[:, None] < p) + 0.5 * (p[:, None] == p))
    w = np.asarray(weights, float)
    return _ratio(((w @ agree) * w).sum(axis=-1), ((w @ pairs) * w).sum(axis=-1))


@dataclass(frozen=True)
class KaplanMeier:
    """A survival curve: `after` (k,) from each of the rising `months` (k,) on, 1 before the first."""

    months: Array
    after: Array

    def at(self, months: ArrayLike) -> Array:
        """Return S(t), changes at t itself included."""
        return self._value(np.searchsorted(self.months, months, side="right"))

    def before(self, months: ArrayLike) -> Array:
        """Return S(t-), what was left just before t."""
        return self._value(np.searchsorted(self.months, months, side="left"))

    def _value(self, passed: NDArray[np.int_] | np.int_) -> Array:
        return np.asarray(np.append(1.0, self.after)[passed])


def censoring(months: ArrayLike, observed: ArrayLike) -> KaplanMeier:
    """Return G(t), the chance not to be censored until t, by Kaplan-Meier; an event at the same time comes first.

    G(t) = prod_{t_k <= t} (1 - c_k / (n_k - d_k)) over times of censoring, c_k censored, d_k observed, n_k at risk.
    """
    t, seen = np.asarray(months, float), np.asarray(observed, bool)
    steps = np.unique(t[~seen])
    at_risk = ((t[:, None] > steps) | ((t[:, None] == steps) & ~seen[:, None])).sum(axis=0)
    lost = (~seen[:, None] & (t[:, None] == steps)).sum(axis=0)
    return KaplanMeier(steps, np.cumprod(1.0 - lost / np.maximum(at_risk, 1)))


def brier(
    free: ArrayLike, months: ArrayLike, observed: ArrayLike, weights: ArrayLike, *, at_months: float, left: KaplanMeier
) -> Array:
    """Return the squared error of predicted chances to be free of it at a time, weighted for censoring, (...).

    Graf et al., Stat Med 1999;18:2529-2545, with S_i = `free` (n,) at t = `at_months` and G = `left` (censoring):

        BS(t) = sum_i w_i [S_i^2 1(t_i <= t, observed) / G(t_i-) + (1 - S_i)^2 1(t_i > t) / G(t)] / sum_i w_i

    NaN when G has fallen to zero before t: then nobody was followed that long.
    """
    s, t, seen = np.asarray(free, float), np.asarray(months, float), np.asarray(observed, bool)
    w = np.asarray(weights, float)
    until = float(left.at(at_months))
    if until <= 0:
        return np.full(w.shape[:-1], np.nan)
    happened = (t <= at_months) & seen
    kept = np.where(happened, left.before(np.where(happened, t, 0.0)), 1.0)
    error = np.where(happened, s**2 / kept, 0.0) + np.where(t > at_months, (1.0 - s) ** 2 / until, 0.0)
    return _ratio(w @ error, w.sum(axis=-1))


def integrated_brier(
    free: Array, months: ArrayLike, observed: ArrayLike, weights: ArrayLike, *, grid_months: Array, left: KaplanMeier
) -> Array:
    """Return the mean of BS(t) over time, by trapezoids on `grid_months` (k,) with `free` (k, n) on it, (...)."""
    scores = np.stack(
        [
            brier(own, months, observed, weights, at_months=float(t), left=left)
            for own, t in zip(free, grid_months, strict=True)
        ]
    )
    return np.asarray(np.trapezoid(scores, grid_months, axis=0) / (grid_months[-1] - grid_months[0]))
