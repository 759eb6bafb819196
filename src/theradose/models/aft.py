"""The log-normal accelerated failure time model with right censoring: ln T = b0 + b x + s e, e standard normal.

Fitted in t = 1/s and g = (b0, b)/s (Olsen, Econometrica 1978;46:1211-1215), where the log-likelihood of ln T,

    sum_observed [ln t - u^2 / 2] + sum_censored ln Phi(-u) - n_observed ln(2 pi) / 2,   u = t y - g x,

is concave and Newton's method finds its one maximum. A penalty alpha |b|^2 / (2 s^2) is ridge regression's.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr

from theradose.errors import DataError

Array = NDArray[np.float64]
LOG_ROOT_2PI = 0.5 * float(np.log(2.0 * np.pi))
# Own choice: one more residual of this size keeps the spread above zero where all are the same.
LEAST_LOG_SD = 0.01
STEPS, HALVINGS, CLOSE = 200, 60, 1e-12


@dataclass(frozen=True)
class Aft:
    """A fitted model: ln(median) = intercept + x slope, and the spread of ln T around it."""

    intercept: float
    slope: Array
    log_sd: float


def hazard(u: Array) -> Array:
    """Return phi(u) / Phi(-u), the hazard of the standard normal, for u of any size."""
    return np.asarray(np.exp(-0.5 * u**2 - LOG_ROOT_2PI - log_ndtr(-u)))


def _loss(point: Array, design: Array, y: Array, observed: NDArray[np.bool_], penalty: Array) -> float:
    """Return minus the penalised log-likelihood at (g, t) without its constant."""
    u = point[-1] * y - design @ point[:-1]
    terms = np.where(observed, 0.5 * u**2 - np.log(point[-1]), -log_ndtr(-u))
    return float(terms.sum() + 0.5 * (penalty * point**2).sum())


def _maximum(design: Array, y: Array, observed: NDArray[np.bool_], penalty: Array) -> Array:
    """Return (g, t) (k + 1,) of the highest likelihood by Newton steps, each halved until it gains."""
    if not observed.any():
        raise DataError("nobody has an observed latency to learn from", got=f"{len(y)} patients", code="THR-422")
    penalty = np.append(penalty, LEAST_LOG_SD**2)
    inner = np.column_stack([-design, y])
    point = np.append(np.zeros(design.shape[1]), 1.0 / max(float(np.sqrt(np.mean(y**2))), LEAST_LOG_SD))
    value = _loss(point, design, y, observed, penalty)
    for _ in range(STEPS):
        u = inner @ point
        tail = np.where(observed, 0.0, hazard(u))
        slope = inner.T @ np.where(observed, u, tail) + penalty * point
        slope[-1] -= observed.sum() / point[-1]
        bend = inner.T @ (np.where(observed, 1.0, tail * (tail - u))[:, None] * inner) + np.diag(penalty)
        bend[-1, -1] += observed.sum() / point[-1] ** 2
        step = -np.linalg.solve(bend, slope)
        if -float(slope @ step) < CLOSE * len(y):
            break
        point, value = _shortened(point, step, value, (design, y, observed, penalty))
    return point


def _shortened(
    point: Array, step: Array, value: float, problem: tuple[Array, Array, NDArray[np.bool_], Array]
) -> tuple[Array, float]:
    """Return the first of point + step, + step / 2, ... that keeps t above zero and lowers the loss, and its loss."""
    for halving in range(HALVINGS):
        new = point + step * 0.5**halving
        if new[-1] > 0:
            found = _loss(new, *problem)
            if found <= value:
                return new, found
    return point, value


def fit_aft(x: Array, log_months: Array, observed: Array, alpha: float = 0.0) -> Aft:
    """Return the model of highest likelihood; x (n, k), `log_months` and `observed` (n,), penalty alpha on slopes.

    Columns of x should be standardised. `observed` is false where time is only known to be longer. DataError when
    nobody is observed.
    """
    y, seen = np.asarray(log_months, float), np.asarray(observed, bool)
    middle = float(y.mean())
    design = np.column_stack([np.ones(len(y)), np.asarray(x, float)])
    point = _maximum(design, y - middle, seen, np.append(0.0, np.full(design.shape[1] - 1, alpha)))
    b = point[:-1] / point[-1]
    return Aft(middle + float(b[0]), b[1:], float(1.0 / point[-1]))


def spread(residual: Array, observed: Array) -> float:
    """Return the log spread of highest likelihood of residuals ln T - prediction (n,), those not observed censored.

    Without censoring it is the root of their mean square. DataError when nobody is observed.
    """
    r = np.asarray(residual, float)
    return float(1.0 / _maximum(np.zeros((len(r), 0)), r, np.asarray(observed, bool), np.zeros(0))[-1])


def negative_log_likelihood(residual: Array, observed: Array, log_sd: float) -> float:
    """Return the mean of -ln f(ln T) over observed and -ln P(ln T > censoring) over censored residuals (n,)."""
    z = np.asarray(residual, float) / log_sd
    terms = np.where(np.asarray(observed, bool), 0.5 * z**2 + np.log(log_sd) + LOG_ROOT_2PI, -log_ndtr(-z))
    return float(terms.mean())


def survival(log_median: Array, log_sd: Array, months: float) -> Array:
    """Return P(T > months), (n,), of latencies with the log medians and log spreads (n,)."""
    if months <= 0:
        return np.ones(np.shape(log_median))
    return np.asarray(ndtr((np.asarray(log_median, float) - np.log(months)) / log_sd))
