"""Scores of predicted probabilities against events: plain functions over the last axis, so that resampling is one call.

Arrays are (..., n). The reference is 1 or 0, what happened, or any number between: the chance that it happens. Then a
score is that expected over events drawn with these chances; AUC, sensitivity and precision are ratios of expectations.
NaN marks a patient without the outcome, who counts in nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, xlogy

Score = Callable[..., np.ndarray]

BINS = 10  # of the calibration error, as usual (Naeini et al., AAAI 2015)
CLOSEST = 1e-12  # a probability of 0 or 1 counts as this far from it
STEPS, FLAT = 40, 1e-9  # most of Newton's steps, and when there are enough


def _kept(probability: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return probability and reference, 0 where one is missing, and 1.0 where both are there."""
    there = np.isfinite(probability) & np.isfinite(reference)
    return np.where(there, probability, 0.0), np.where(there, reference, 0.0), 1.0 * there


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """Return top / bottom, NaN where nothing is below."""
    return np.asarray(np.divide(top, bottom, out=np.full(np.shape(bottom), np.nan), where=bottom > 0))


def _ties(ordered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first and last place of the run of equal values that each of ascending values (..., n) stands in."""
    n = ordered.shape[-1]
    place = np.broadcast_to(np.arange(n), ordered.shape)
    new = np.ones(ordered.shape, bool)
    new[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    first = np.maximum.accumulate(np.where(new, place, 0), axis=-1)
    ends = np.ones(ordered.shape, bool)
    ends[..., :-1] = new[..., 1:]
    last = np.minimum.accumulate(np.where(ends, place, n - 1)[..., ::-1], axis=-1)[..., ::-1]
    return first, last


def auc(probability: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the chance that of two patients the one with the event has the higher probability, ties at half.

    sum_i y_i (sum_{s_j < s_i} (1 - y_j) + 1/2 sum_{s_j = s_i} (1 - y_j)) / (sum y  sum (1 - y)), the statistic of Mann
    and Whitney; NaN when all or none have the event.

    >>> float(auc(np.array([0.1, 0.4, 0.4, 0.8]), np.array([0.0, 0.0, 1.0, 1.0])))
    0.875
    """
    p, y, there = _kept(probability, reference)
    order = np.argsort(np.where(there > 0, p, np.inf), axis=-1, kind="stable")
    p, y, there = (np.take_along_axis(values, order, -1) for values in (np.where(there > 0, p, np.inf), y, there))
    without = there - y
    first, last = _ties(p)
    total = np.cumsum(without, axis=-1)
    below = np.take_along_axis(total - without, first, -1)
    upto = np.take_along_axis(total, last, -1)
    return _ratio((y * 0.5 * (below + upto)).sum(axis=-1), y.sum(axis=-1) * without.sum(axis=-1))


def brier(probability: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the mean of (p - outcome)^2 (Brier, Mon Weather Rev 1950;78:1-3), 0.25 for even odds on anyone.

    >>> float(brier(np.array([0.5, 1.0]), np.array([1.0, 1.0])))
    0.125
    """
    p, y, there = _kept(probability, reference)
    return _ratio((there * (y * (1.0 - p) ** 2 + (1.0 - y) * p**2)).sum(axis=-1), there.sum(axis=-1))


def log_loss(probability: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the mean of -y ln p - (1 - y) ln(1 - p), probabilities at least 1e-12 from 0 and 1.

    >>> float(log_loss(np.array([0.5, 0.25]), np.array([1.0, 0.0])).round(4))
    0.4904
    """
    p, y, there = _kept(probability, reference)
    p = np.clip(p, CLOSEST, 1.0 - CLOSEST)
    return _ratio(-(there * (xlogy(y, p) + xlogy(1.0 - y, 1.0 - p))).sum(axis=-1), there.sum(axis=-1))


def _newton(odds: np.ndarray, y: np.ndarray, there: np.ndarray, a: np.ndarray, b: np.ndarray, *, free: bool) -> None:
    """Bring a and b (m,) of m lines to the summit of the likelihood in place, NaN where none is found; b when `free`.

    A step is at most one long; where there is no summit the search is still on its way after the last step. Lines that
    have arrived are left alone.
    """
    on = np.arange(len(a))
    for _ in range(STEPS):
        x, own = odds[on], there[on]
        p = expit(a[on, None] + b[on, None] * x)
        left, weight = own * (y[on] - p), own * p * (1.0 - p)
        g0, h00 = left.sum(axis=1), weight.sum(axis=1)
        da, db = _ratio(g0, h00), np.zeros(len(on))
        if free:
            g1, h01, h11 = (left * x).sum(axis=1), (weight * x).sum(axis=1), (weight * x**2).sum(axis=1)
            det = h00 * h11 - h01**2
            da, db = _ratio(h11 * g0 - h01 * g1, det), _ratio(h00 * g1 - h01 * g0, det)
        longest = np.maximum(np.maximum(np.abs(da), np.abs(db)), 1.0)
        a[on], b[on] = a[on] + da / longest, b[on] + db / longest
        on = on[np.abs(da) + np.abs(db) > FLAT]
        if not len(on):
            return
    a[on], b[on] = np.nan, np.nan


def _line(odds: np.ndarray, y: np.ndarray, there: np.ndarray, slope: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Return a and b of logit P = a + b odds by maximum likelihood over the last axis, b given or sought, or NaN."""
    shape, n = odds.shape[:-1], odds.shape[-1]
    odds, y, there = (values.reshape(-1, n) for values in (odds, y, there))
    spread = np.ones(len(odds))
    if slope is None:  # steps are measured in standard deviations of the odds
        count = np.maximum(there.sum(axis=1, keepdims=True), 1.0)
        odds = there * (odds - (there * odds).sum(axis=1, keepdims=True) / count)
        spread = np.sqrt((odds**2).sum(axis=1) / count[:, 0])
        odds = _ratio(odds, np.broadcast_to(spread[:, None], odds.shape))
    a, b = np.zeros(len(odds)), np.full(len(odds), 0.0 if slope is None else slope)
    _newton(odds, y, there, a, b, free=slope is None)
    return a.reshape(shape), (b / spread).reshape(shape)


def _odds(probability: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return predicted log-odds, reference and 1.0 where both are there."""
    p, y, there = _kept(probability, reference)
    return np.where(there > 0, logit(np.clip(p, CLOSEST, 1.0 - CLOSEST)), 0.0), y, there


def calibration_intercept(probability: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return a of logit P(event) = a + logit p: 0 is right, above 0 events are underestimated (Cox 1958).

    NaN when all or none have the event.
    """
    return _line(*_odds(probability, reference), slope=1.0)[0]


def calibration_slope(probability: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return b of logit P(event) = a + b logit p: 1 is right, below 1 predictions are too extreme (Cox 1958).

    Cox, Biometrika 1958;45:562-565. NaN when predictions do not differ, or a cut separates those with the event.
    """
    return _line(*_odds(probability, reference), slope=None)[1]


def expected_calibration_error(probability: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the mean over patients of |mean p - mean y| of their bin, ten bins of equal count in the order of p.

    Equal probabilities are in one bin, that of the first of them; a bin of few patients is off by chance.

    >>> float(expected_calibration_error(np.array([0.5, 0.5, 0.5, 0.5]), np.array([1.0, 0.0, 0.0, 0.0])))
    0.25
    """
    p, y, there = _kept(probability, reference)
    order = np.argsort(np.where(there > 0, p, np.inf), axis=-1, kind="stable")
    p, y, there = (np.take_along_axis(values, order, -1) for values in (np.where(there > 0, p, np.inf), y, there))
    n = there.sum(axis=-1, keepdims=True)
    bins = (_ties(p)[0] * BINS // np.maximum(n, 1.0)).astype(int)
    apart = np.where(there > 0, p - y, 0.0)
    total = sum(np.abs((apart * (bins == k)).sum(axis=-1)) for k in range(BINS))
    return _ratio(np.asarray(total), n[..., 0])


def sensitivity(positive: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the part of patients with the event who are called positive (1 or 0); NaN when nobody has it."""
    called, y, _ = _kept(positive, reference)
    return _ratio((called * y).sum(axis=-1), y.sum(axis=-1))


def specificity(positive: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the part of patients without the event who are not called positive; NaN when everyone has it."""
    called, y, there = _kept(positive, reference)
    return _ratio(((1.0 - called) * (there - y)).sum(axis=-1), (there - y).sum(axis=-1))


def precision(positive: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the part of those called positive who have the event; NaN when nobody is called positive."""
    called, y, _ = _kept(positive, reference)
    return _ratio((called * y).sum(axis=-1), called.sum(axis=-1))


def accuracy(positive: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the part of patients called rightly."""
    called, y, there = _kept(positive, reference)
    return _ratio((called * y + (1.0 - called) * (there - y)).sum(axis=-1), there.sum(axis=-1))


@dataclass(frozen=True)
class Metric:
    """A score, and whether it takes the call at a threshold (1, 0) in the place of the probability."""

    score: Score
    of_call: bool = False


METRICS: dict[str, Metric] = {
    "log_loss": Metric(log_loss),
    "auc": Metric(auc),
    "brier": Metric(brier),
    "calibration_intercept": Metric(calibration_intercept),
    "calibration_slope": Metric(calibration_slope),
    "calibration_error": Metric(expected_calibration_error),
    "sensitivity": Metric(sensitivity, True),
    "specificity": Metric(specificity, True),
    "precision": Metric(precision, True),
    "accuracy": Metric(accuracy, True),
}
