"""Learning a population of mono-exponential curves from a cohort: a non-linear mixed-effects model.

The population that makes all curves likeliest maximises the product of their p(y), each an integral by quadrature
(`population_prior`). The EM algorithm (Dempster, Laird and Rubin, J R Stat Soc B 39:1, 1977) does it without
derivatives, and its steps are exact here: mean and covariance of (ln lambda, ln A) become their posterior moments,
averaged over the curves.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from theradose.errors import FitError
from theradose.physics.kinetic_fit import Rates
from theradose.physics.kinetic_models import Array
from theradose.physics.population_prior import PopulationPrior, Posterior, logs, posterior

LEAST_CURVES = 5
LEAST_VARIANCE = 1e-8
EM_STEPS, EM_TOLERANCE = 500, 1e-7


def _moments(found: Posterior) -> tuple[Array, Array]:
    """Return the mean over curves of E[x] and E[x x^T], x = (ln lambda, ln A)."""
    w, r, a = found.weight, found.log_rate, found.log_amplitude
    first = np.array([np.mean(np.sum(w * q, axis=1)) for q in (r, a)])
    cross = float(np.mean(np.sum(w * r * a, axis=1)))
    squares = [np.mean(np.sum(w * r**2, axis=1)), np.mean(np.sum(w * (a**2 + found.variance), axis=1))]
    return first, np.array([[squares[0], cross], [cross, squares[1]]])


def _first_guess(time: Array, y: Array, precision: Array, *, rates: Rates, of: str) -> PopulationPrior:
    """Return a rough population from straight lines through the logarithms of each curve."""
    total = precision.sum(axis=1, keepdims=True)
    centred = time - np.sum(precision * time, axis=1, keepdims=True) / total
    moment = np.sum(precision * centred**2, axis=1)
    usable = (np.count_nonzero(precision, axis=1) > 1) & (moment > 0)
    if len(y) < LEAST_CURVES or np.count_nonzero(usable) < LEAST_CURVES:
        raise FitError(
            "too few curves to learn a population from",
            reason="too_few_curves",
            got=f"{np.count_nonzero(usable)} curves with two points or more",
            expected=f"at least {LEAST_CURVES}",
        )
    slope = -np.sum(precision * centred * y, axis=1)[usable] / moment[usable]
    rate = max(float(np.median(slope)) - (rates.phys if of == "biological" else 0.0), 0.2 * rates.phys)
    rate = max(rate, 1.01 * rates.phys) if of == "effective" else rate
    log_a = np.sum(precision * (y + slope.mean() * time), axis=1) / total[:, 0]
    return PopulationPrior(rate, 0.3, of, float(np.exp(np.median(log_a))), max(float(log_a.std()), 0.2))


def learn_population(
    time_h: ArrayLike, activity_mbq: ArrayLike, std_mbq: ArrayLike, rates: Rates, *, of: str = "effective"
) -> PopulationPrior:
    """Return the population that makes a cohort of N curves likeliest; arguments as in `posterior`.

    Some curves may have one point. FitError too_few_curves below five curves of two points; not_positive.

    >>> rng = np.random.default_rng(1)
    >>> rate = np.exp(math.log(0.0144) + 0.2 * rng.standard_normal(400))
    >>> a = 50 * np.exp(-rate[:, None] * [24.0, 72.0, 168.0]) * np.exp(0.05 * rng.standard_normal((400, 3)))
    >>> found = learn_population([24.0, 72.0, 168.0], a, 0.05 * a, Rates(0.00434499, math.inf))
    >>> round(found.lambda_per_h, 3), round(found.lambda_log_sd, 1), round(found.amplitude_mbq)
    (0.014, 0.2, 50)
    """
    y, precision = logs(activity_mbq, std_mbq)
    time = np.broadcast_to(np.asarray(time_h, float), y.shape)
    prior, before = _first_guess(time, y, precision, rates=rates, of=of), -math.inf
    for _ in range(EM_STEPS):
        found = posterior(time, activity_mbq, std_mbq, prior, rates)
        first, second = _moments(found)
        covariance = second - np.outer(first, first)
        sd = np.sqrt(np.maximum(np.diag(covariance), LEAST_VARIANCE))
        correlation = float(np.clip(covariance[0, 1] / (sd[0] * sd[1]), -0.999, 0.999))
        rate, amplitude = np.exp(first)
        prior = PopulationPrior(float(rate), float(sd[0]), of, float(amplitude), float(sd[1]), correlation)
        evidence = float(found.log_evidence.sum())
        if evidence - before < EM_TOLERANCE * len(y):
            break
        before = evidence
    return prior
