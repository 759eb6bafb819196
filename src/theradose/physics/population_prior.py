"""A population of mono-exponential curves as prior knowledge: the posterior TIA of curves of 1..n points.

In a population x = (ln lambda, ln A) is bivariate normal; lambda is the biological or the effective constant, and the
amplitude may be left flat. A point is log-normal, y_i = ln A + ln f(t_i; lambda) + e_i, sd(e_i) = std_i / activity_i,
so for a given lambda the amplitude has a normal posterior in closed form, and one dimension is left to quadrature:

    p(lambda | y) ~ N(ln lambda) exp(-chi2(lambda) / 2) / sqrt(tau^2 + 1/S),   S = sum_i 1 / sd(e_i)^2

The posterior of ln TIA = ln A + ln int f is then a mixture of normals over the nodes, and p(y) its normalisation.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from theradose.errors import DataError, FitError, SettingsError
from theradose.physics.kinetic_fit import Rates
from theradose.physics.kinetic_models import Array, shape, shape_integral

NODES = 101
ROUNDS = 3  # each closes in on where the posterior is
REACH = 7.0  # half width of the first grid in sd of the prior
SUNK = 25.0  # nodes whose log density lies this far below the peak no longer matter
BISECTIONS = 45
CANDIDATES = 81


@dataclass(frozen=True)
class PopulationPrior:
    """Medians (1/h, MBq) and log-sd of constant and amplitude; `of` names the constant; no amplitude means flat."""

    lambda_per_h: float
    lambda_log_sd: float
    of: str = "effective"
    amplitude_mbq: float | None = None
    amplitude_log_sd: float = math.inf
    correlation: float = 0.0

    def __post_init__(self) -> None:
        if self.of not in {"effective", "biological"} or min(self.lambda_per_h, self.lambda_log_sd) <= 0:
            raise SettingsError(
                "a population needs a positive constant and spread, of the effective or the biological constant",
                got=f"{self.lambda_per_h:g} /h, log-sd {self.lambda_log_sd:g}, {self.of}",
            )

    def effective_per_h(self, lambda_phys_per_h: float) -> float:
        """Return the population's median effective constant in 1/h.

        >>> round(PopulationPrior(0.0100, 0.2, of="biological").effective_per_h(0.00434499), 8)
        0.01434499
        """
        return self.lambda_per_h + (lambda_phys_per_h if self.of == "biological" else 0.0)


@dataclass(frozen=True)
class Posterior:
    """What is known of N curves: nodes ln lambda (N, K), weights, mean and variance of ln A and the mean of ln TIA."""

    log_rate: Array
    weight: Array
    log_amplitude: Array
    log_tia: Array
    variance: Array
    log_evidence: Array

    def mean_mbq_h(self) -> Array:
        """Return the posterior mean of the TIA (N,) in MBq.h."""
        return np.asarray(np.sum(self.weight * np.exp(self.log_tia + self.variance / 2), axis=1))

    def std_mbq_h(self) -> Array:
        """Return the posterior standard deviation of the TIA (N,) in MBq.h."""
        square = np.sum(self.weight * np.exp(2 * self.log_tia + 2 * self.variance), axis=1)
        return np.asarray(np.sqrt(np.maximum(square - self.mean_mbq_h() ** 2, 0.0)))

    def probability_below(self, tia_mbq_h: Array) -> Array:
        """Return P(TIA < x) for x (N,) in MBq.h."""
        z = (np.log(tia_mbq_h)[:, None] - self.log_tia) / np.sqrt(self.variance)
        return np.asarray(np.sum(self.weight * ndtr(z), axis=1))

    def quantile_mbq_h(self, probability: float) -> Array:
        """Return the TIA (N,) in MBq.h that is not exceeded with a probability; 0.5 gives the median."""
        reach = 9.0 * np.sqrt(self.variance[:, 0])
        low, high = self.log_tia.min(axis=1) - reach, self.log_tia.max(axis=1) + reach
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            below = self.probability_below(np.exp(middle)) < probability
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return np.asarray(np.exp((low + high) / 2))

    def likeliest_within_mbq_h(self, relative: float = 0.10) -> tuple[Array, Array]:
        """Return the estimate (N,) most likely to lie within a relative error of the truth, and that probability.

        |d/TIA - 1| <= r means d/(1+r) <= TIA <= d/(1-r); one minus the mean probability is the Bayes share of failures.
        """
        low, high = self.quantile_mbq_h(0.02), self.quantile_mbq_h(0.98)
        best, at = np.full(low.shape, -1.0), low
        for step in np.linspace(0.0, 1.0, CANDIDATES):
            candidate = low * (high / low) ** step
            inside = self.probability_below(candidate / (1 - relative)) - self.probability_below(
                candidate / (1 + relative)
            )
            at, best = np.where(inside > best, candidate, at), np.maximum(inside, best)
        return at, best

    def least_percentage_error(self) -> tuple[Array, Array]:
        """Return the estimate (N,) in MBq.h with the smallest expected |d/TIA - 1|, and that error: 1 - 2 P(TIA < d).

        d is the median of the posterior weighted with 1/TIA, again a mixture of normals.
        """
        tilted = self.weight * np.exp(-(self.log_tia - self.log_tia.mean(axis=1, keepdims=True)) + self.variance / 2)
        weight = tilted / tilted.sum(axis=1, keepdims=True)
        estimate = replace(self, weight=weight, log_tia=self.log_tia - self.variance).quantile_mbq_h(0.5)
        return estimate, 1.0 - 2.0 * self.probability_below(estimate)


def logs(activity_mbq: ArrayLike, std_mbq: ArrayLike) -> tuple[Array, Array]:
    """Return ln activity and the precision 1/sd^2 of each (N, n); an infinite std means not measured.

    FitError not_positive; DataError for a curve without points or a std of zero.

    >>> logs([1.0, 1.0], [0.1, math.inf])
    (array([[0., 0.]]), array([[100.,   0.]]))
    """
    activity, std = np.atleast_2d(np.asarray(activity_mbq, float)), np.atleast_2d(np.asarray(std_mbq, float))
    measured = np.isfinite(std)
    if np.any((activity <= 0) & measured):
        raise FitError("a population prior needs positive activities", reason="not_positive", got=float(activity.min()))
    if np.any(std <= 0) or not measured.any(axis=1).all():
        raise DataError("every curve needs a point, and every point a standard uncertainty above zero")
    y = np.log(np.where(measured, activity, 1.0))
    return y, np.where(measured, (np.where(measured, activity, 1.0) / std) ** 2, 0.0)


def _density(
    z: Array, time: Array, y: Array, precision: Array, *, rates: Rates, prior: PopulationPrior
) -> tuple[Array, ...]:
    """Return log density by z = (ln lambda - mean) / sd, ln A and its variance, and ln TIA, at nodes (N, K)."""
    log_rate = math.log(prior.lambda_per_h) + prior.lambda_log_sd * z
    rate = np.exp(log_rate) + (rates.phys if prior.of == "biological" else 0.0)
    total = precision.sum(axis=1)[:, None]
    residual = [y[:, i, None] - np.log(shape(time[:, i, None], rate, rates.uptake)) for i in range(time.shape[1])]
    mean = sum(precision[:, i, None] * r for i, r in enumerate(residual)) / total
    chi2 = sum(precision[:, i, None] * (r - mean) ** 2 for i, r in enumerate(residual))
    log_area = np.log(shape_integral(rate, rates.uptake))
    if prior.amplitude_mbq is None:
        return -(z**2 + chi2 + np.log(total)) / 2, mean, 1.0 / total, log_area + mean
    expected = math.log(prior.amplitude_mbq) + prior.correlation * prior.amplitude_log_sd * z
    tau2 = prior.amplitude_log_sd**2 * (1.0 - prior.correlation**2)
    variance = 1.0 / (total + 1.0 / tau2)
    amplitude = (total * mean + expected / tau2) * variance
    spread = tau2 + 1.0 / total
    # ln of the product over points of N(e_i) less constants, S being inside `precision`.
    density = -(z**2 + chi2 + (mean - expected) ** 2 / spread + np.log(spread) + np.log(total)) / 2
    return density, amplitude, variance, log_area + amplitude


def posterior(
    time_h: ArrayLike, activity_mbq: ArrayLike, std_mbq: ArrayLike, prior: PopulationPrior, rates: Rates
) -> Posterior:
    """Return the posterior of N curves of n points: times (n,) or (N, n) in h, activities and std (N, n) in MBq.

    A std of infinity marks a point that was not measured. FitError not_positive; DataError for a curve without points.

    >>> known = PopulationPrior(math.log(2) / 48, 0.2)
    >>> found = posterior([72.0], [[10.0]], [[0.5]], known, Rates(0.00434499, math.inf))
    >>> found.mean_mbq_h().round(0), found.std_mbq_h().round(0)   # Madsen's method would give 1959
    (array([2004.]), array([122.]))
    """
    y, precision = logs(activity_mbq, std_mbq)
    time = np.broadcast_to(np.asarray(time_h, float), y.shape)
    edge = math.log(rates.phys / prior.lambda_per_h) / prior.lambda_log_sd if prior.of == "effective" else -math.inf
    low, high = np.full((len(y), 1), max(-REACH, edge)), np.full((len(y), 1), REACH)
    for last in (*[False] * (ROUNDS - 1), True):
        z = low + (high - low) * np.linspace(0.0, 1.0, NODES)
        density, amplitude, variance, log_tia = _density(z, time, y, precision, rates=rates, prior=prior)
        peak = density.max(axis=1, keepdims=True)
        if not last:
            alive, step = density > peak - SUNK, (high - low) / (NODES - 1)
            first, final = np.argmax(alive, axis=1)[:, None], NODES - 1 - np.argmax(alive[:, ::-1], axis=1)[:, None]
            low, high = low + step * np.maximum(first - 1, 0), low + step * np.minimum(final + 1, NODES - 1)
    weight = np.exp(density - peak)
    weight[:, [0, -1]] /= 2
    total = weight.sum(axis=1, keepdims=True)
    evidence = (peak + np.log(total * (high - low) / (NODES - 1)))[:, 0] + 0.5 * np.sum(
        np.log(precision, out=np.zeros_like(precision), where=precision > 0), axis=1
    )
    log_rate = math.log(prior.lambda_per_h) + prior.lambda_log_sd * z
    return Posterior(log_rate, weight / total, amplitude, log_tia, variance, evidence)
