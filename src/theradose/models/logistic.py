"""Logistic regression with an offset and a ridge, by Newton's method; it stays finite with one class alone."""

import numpy as np
from scipy.special import expit, logit

STEPS, HALVINGS, FLAT = 100, 30, 1e-9


def rate_of(observed: np.ndarray) -> float:
    """Return the part with the event, (events + 1/2) / (n + 1): never 0 or 1 (Jeffreys' prior).

    >>> rate_of(np.array([0.0, 0.0, 0.0])), rate_of(np.array([1.0, 0.0, 0.0, 0.0]))
    (0.125, 0.3)
    """
    return float((observed.sum() + 0.5) / (len(observed) + 1.0))


def log_loss(observed: np.ndarray, log_odds: np.ndarray) -> float:
    """Return the mean of -y ln p - (1 - y) ln(1 - p), p = 1 / (1 + exp(-log_odds)), both (n,), exact for any odds."""
    return float(np.mean(np.logaddexp(0.0, log_odds) - observed * log_odds))


def fit_logistic(
    x: np.ndarray, observed: np.ndarray, alpha: float, offset: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """Return intercept and slope (k,) that minimise -log likelihood + alpha/2 |slope|^2 at odds offset + a + b x.

    `x` (n, k) standardised, `observed` (n,) 0 or 1, `offset` (n,) log-odds that are not learned. Half a patient with
    and half a patient without the event are added at the mean of everything: without columns the odds are those of
    `rate_of`, and nothing is infinite.
    """
    if x.shape[1] > len(x):  # the ridge keeps the slope in the span of the rows: turned into it, the fit is smaller
        turn = np.linalg.svd(x, full_matrices=False)[2]
        intercept, turned = fit_logistic(x @ turn.T, observed, alpha, offset)
        return intercept, turned @ turn
    given = np.zeros(len(x)) if offset is None else offset
    design = np.column_stack([np.ones(len(x) + 1), np.vstack([x, np.zeros((1, x.shape[1]))])])
    y, base = np.append(observed, 0.5), np.append(given, given.mean())
    ridge = np.append(0.0, np.full(x.shape[1], alpha))
    beta = np.zeros(design.shape[1])
    beta[0] = logit(rate_of(observed)) - given.mean()

    def loss(own: np.ndarray) -> float:
        odds = base + design @ own
        return float(np.sum(np.logaddexp(0.0, odds) - y * odds) + 0.5 * ridge @ own**2)

    now = loss(beta)
    for _ in range(STEPS):
        p = expit(base + design @ beta)
        slope = design.T @ (p - y) + ridge * beta
        if np.abs(slope).max() < FLAT:
            break
        step = np.linalg.solve(design.T * (p * (1.0 - p)) @ design + np.diag(ridge), slope)
        for part in 0.5 ** np.arange(HALVINGS):
            if (there := loss(beta - part * step)) < now:
                beta, now = beta - part * step, there
                break
        else:
            break
    return float(beta[0]), beta[1:]
