"""Time-integrated activity from one scan: three published ways, from N activities A(t) at the same time t.

haenscheid         TIA = A(t) t 2/ln 2, free of any half-life: exact where t is T_eff or twice that, since 2^x ~ 2x,
                   with an error of -12 to +6 % for t between 0.75 and 2.5 T_eff (Haenscheid et al., J Nucl Med 59:75,
                   2018)
madsen             TIA = A(t) exp(k t) / k, k the population's mean constant (Madsen et al., Med Phys 45:2318, 2018)
population_prior   the median of the posterior, given the population's distribution (module `population_prior`)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from theradose.errors import FitError, SettingsError
from theradose.physics.kinetic_fit import Points, Rates
from theradose.physics.kinetic_models import Array, named_parameters, shape_integral
from theradose.physics.kinetic_tia import TAIL_FLAG, TiaFit, curve_points, known_rates
from theradose.physics.population_prior import PopulationPrior, posterior

# Haenscheid 2018: the times, in effective half-lives, within which the method is meant to be used.
VALID_FROM, VALID_TO = 0.75, 2.5


@dataclass(frozen=True)
class OneScan:
    """Activities of N curves at one time: h after administration, MBq (N,), standard uncertainty in MBq (N,)."""

    time_h: float
    activity_mbq: Array
    std_mbq: Array


def _around(scan: OneScan, factor_h: float, log_rate_sd: float, slope: float) -> tuple[Array, Array]:
    """Return TIA = factor A with the uncertainties of A and of the constant (d ln factor / d ln lambda = slope)."""
    tia = factor_h * scan.activity_mbq
    return tia, np.hypot(factor_h * scan.std_mbq, tia * slope * log_rate_sd)


def mean_constant_per_h(prior: PopulationPrior, lambda_phys_per_h: float) -> tuple[float, float]:
    """Return the population's mean effective constant in 1/h and its relative spread.

    >>> mean, spread = mean_constant_per_h(PopulationPrior(0.0144, 0.2), 0.00434499)
    >>> round(mean, 5), round(spread, 3)
    (0.01469, 0.202)
    """
    mean = prior.lambda_per_h * math.exp(prior.lambda_log_sd**2 / 2)
    spread = mean * math.sqrt(math.expm1(prior.lambda_log_sd**2))
    mean += lambda_phys_per_h if prior.of == "biological" else 0.0
    return mean, spread / mean


def haenscheid(scan: OneScan, prior: PopulationPrior, rates: Rates) -> tuple[Array, Array]:
    """Return TIA and its standard uncertainty (N,) in MBq.h; the population serves for the uncertainty alone.

    With x = t / T_eff the method gives 2x/2^x of the truth, so d ln / d ln lambda = 1 - x ln 2.

    >>> scan = OneScan(48.0, np.array([10.0]), np.array([0.5]))
    >>> haenscheid(scan, PopulationPrior(math.log(2) / 48, 0.2), Rates(0.00434499, math.inf))[0].round(2)
    array([1384.99])
    """
    x = scan.time_h * prior.effective_per_h(rates.phys) / math.log(2.0)
    sd = mean_constant_per_h(prior, rates.phys)[1]
    tia, std = _around(scan, 2.0 * scan.time_h / math.log(2.0), sd, 1.0 - x * math.log(2.0))
    off = 2.0 * x / 2.0**x - 1.0  # what the method is off for the median patient
    return tia, np.hypot(std, tia * off)


def madsen(scan: OneScan, prior: PopulationPrior, rates: Rates) -> tuple[Array, Array]:
    """Return TIA and its standard uncertainty (N,) in MBq.h, every patient having the population's mean constant.

    >>> scan = OneScan(72.0, np.array([10.0]), np.array([0.5]))
    >>> madsen(scan, PopulationPrior(math.log(2) / 48, 0.01), Rates(0.00434499, math.inf))[0].round(1)
    array([1958.7])
    """
    rate, sd = mean_constant_per_h(prior, rates.phys)
    return _around(scan, math.exp(rate * scan.time_h) / rate, sd, rate * scan.time_h - 1.0)


def population_prior(scan: OneScan, prior: PopulationPrior, rates: Rates) -> tuple[Array, Array]:
    """Return the posterior median of the TIA and the posterior's standard deviation (N,) in MBq.h.

    >>> scan = OneScan(72.0, np.array([10.0]), np.array([0.5]))
    >>> population_prior(scan, PopulationPrior(math.log(2) / 48, 0.2), Rates(0.00434499, math.inf))[0].round(0)
    array([1994.])
    """
    found = posterior([scan.time_h], scan.activity_mbq[:, None], scan.std_mbq[:, None], prior, rates)
    return found.quantile_mbq_h(0.5), found.std_mbq_h()


SINGLE_TIME_METHODS: dict[str, Callable[[OneScan, PopulationPrior, Rates], tuple[Array, Array]]] = {
    "haenscheid": haenscheid,
    "madsen": madsen,
    "population_prior": population_prior,
}


def _moments(name: str, points: Points, prior: PopulationPrior, rates: Rates) -> tuple[Array, Array, float]:
    """Return mean and covariance of (TIA, lambda_eff), and the fraction of the TIA behind the last scan."""
    last_h = float(points.time_h[-1])
    if name == "population_prior":
        found = posterior(points.time_h, points.activity_mbq[None], points.sigma_mbq[None], prior, rates)
        rate = np.exp(found.log_rate[0]) + (rates.phys if prior.of == "biological" else 0.0)
        tia, weight = np.exp(found.log_tia[0] + found.variance[0, 0] / 2), found.weight[0]
        mean, spread = float(weight @ rate), float(found.std_mbq_h()[0])
        cross = float(weight @ (tia * rate)) - float(weight @ tia) * mean
        variance = float(weight @ (rate - mean) ** 2)
        moments = np.array([float(found.quantile_mbq_h(0.5)[0]), mean])
    else:
        scan = OneScan(last_h, points.activity_mbq, points.sigma_mbq)
        found_tia, std = SINGLE_TIME_METHODS[name](scan, prior, rates)
        mean, relative = mean_constant_per_h(prior, rates.phys)
        rate, weight, spread, variance = np.array([mean]), np.ones(1), float(std[0]), (mean * relative) ** 2
        moments = np.array([float(found_tia[0]), mean])
        cross = moments[0] * (last_h - 1.0 / mean) * variance
    tail = float(weight @ (shape_integral(rate, rates.uptake, last_h) / shape_integral(rate, rates.uptake)))
    return moments, np.array([[spread**2, cross], [cross, variance]]), tail


def single_time_fit(
    name: str,
    time_h: ArrayLike,
    activity_mbq: ArrayLike,
    std_mbq: ArrayLike,
    prior: PopulationPrior,
    *,
    half_life_h: float,
    uptake_half_time_h: float | None = None,
    tail_flag: float = TAIL_FLAG,
) -> TiaFit:
    """Return the TIA of one scan (h, MBq, standard uncertainty MBq) by a method of the registry; a prior takes n scans.

    Its curve is the mono-exponential with the population's (or the posterior's) mean constant and this very TIA.
    SettingsError for another name, or a population that decays no faster than physics; FitError one_scan_only,
    uptake_not_modelled (only the prior knows an uptake), or not_positive.

    >>> prior = PopulationPrior(math.log(2) / 48, 0.2)
    >>> fit = single_time_fit("haenscheid", [24.0], [10.0], [0.5], prior, half_life_h=159.528)
    >>> round(fit.tia_mbq_h, 1), fit.flags   # at half of T_eff the method gives 0.71 of the truth
    (692.5, ('single_time_point', 'outside_validity_window', 'tail_over_40_percent'))
    """
    if name not in SINGLE_TIME_METHODS:
        known = f"one of {', '.join(SINGLE_TIME_METHODS)}"
        raise SettingsError("single-time-point method is unknown", got=name, expected=known, code="unknown_model")
    points, rates = curve_points(time_h, activity_mbq, std_mbq), known_rates(half_life_h, uptake_half_time_h)
    if prior.effective_per_h(rates.phys) <= rates.phys:
        raise SettingsError(
            "population half-life must be effective, below the physical one",
            got=f"{math.log(2.0) / prior.effective_per_h(rates.phys):g} h",
            expected=f"0 to {half_life_h:g} h",
            code="impossible_value",
        )
    if points.n > 1 and name != "population_prior":
        raise FitError("the method takes one scan", reason="one_scan_only", got=f"{points.n} scans")
    if math.isfinite(rates.uptake) and name != "population_prior":
        raise FitError("the method knows no uptake phase", reason="uptake_not_modelled", remedy="take population_prior")
    if points.activity_mbq.min() <= 0:
        raise FitError("activity is not positive", reason="not_positive", got=points.activity_mbq.tolist())
    (tia, rate), moments, tail = _moments(name, points, prior, rates)
    area = float(shape_integral(rate, rates.uptake))
    jacobian = np.array([[1.0 / area, tia / (area * rate) ** 2], [0.0, 1.0]])  # of (A, lambda) by (TIA, lambda)
    flags = ["single_time_point"] if points.n == 1 else []
    x = points.time_h[-1] * prior.effective_per_h(rates.phys) / math.log(2.0)
    flags += ["outside_validity_window"] if name == "haenscheid" and not VALID_FROM <= x <= VALID_TO else []
    return TiaFit(
        model=name,
        parameters=named_parameters(np.array([tia / area]), np.array([rate]), rates.uptake),
        covariance=jacobian @ moments @ jacobian.T,
        tia_mbq_h=float(tia),
        tia_std_mbq_h=math.sqrt(float(moments[0, 0])),
        t_eff_h=math.log(2.0) / float(rate),
        tail_fraction=tail,
        chi2=0.0,
        aicc=math.inf,
        flags=(*flags, "tail_over_40_percent") if tail > tail_flag else tuple(flags),
        last_h=float(points.time_h[-1]),
    )
