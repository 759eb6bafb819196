"""From a time-activity curve to its time-integrated activity: choose and fit a model, or say why that is refused.

TIA = sum_i A_i (1/lambda_i - 1/lambda_u), analytic; its variance is g^T C g with g the gradient by (A.., lambda..).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from theradose.errors import DataError, FitError, SettingsError, Where
from theradose.physics.decay import decay_constant_per_h
from theradose.physics.kinetic_fit import CurveFit, Points, Rates, fit_curve
from theradose.physics.kinetic_models import (
    KINETIC_MODELS,
    NO_UPTAKE,
    Array,
    curve_mbq,
    named_parameters,
    shape,
    shape_integral,
    shape_integral_slope,
    uptake_constant_per_h,
)
from theradose.physics.selection import aicc, judged, select

POPULATION = "population"
# A point without uncertainty would have infinite weight; none is trusted beyond a millionth of the largest.
LEAST_RELATIVE_SIGMA = 1e-6
RELATIVE_STEP = 1e-4
POINTS_OF_A_DECAY = 2


@dataclass(frozen=True)
class TiaFit:
    """A fitted curve and its integral; `covariance` in the order (A.., lambda..); `reason` names what was refused."""

    model: str
    parameters: dict[str, float]
    covariance: Array
    tia_mbq_h: float
    tia_std_mbq_h: float
    t_eff_h: float
    tail_fraction: float
    chi2: float
    aicc: float
    flags: tuple[str, ...] = ()
    reason: str = ""
    sentence: str = field(default="", compare=False)

    def activity_mbq(self, time_h: ArrayLike) -> Array:
        """Return the fitted activity in MBq at times (h)."""
        return curve_mbq(self.parameters, time_h)


def _points(time_h: ArrayLike, activity_mbq: ArrayLike, std_mbq: ArrayLike) -> Points:
    """Return the points of a curve sorted by time; DataError when they make no curve."""
    time, activity, std = (np.atleast_1d(np.asarray(a, float)) for a in (time_h, activity_mbq, std_mbq))
    if not (time.shape == activity.shape == std.shape and time.ndim == 1 and time.size):
        raise DataError("a curve needs as many times as activities and uncertainties", got=(time.shape, activity.shape))
    if not np.isfinite(np.stack([time, activity, std])).all() or time.min() < 0 or std.min() < 0:
        raise DataError("a curve holds a value that is no number, or a negative time or uncertainty")
    order = np.argsort(time, kind="stable")
    time, activity, std = time[order], activity[order], std[order]
    if np.any(np.diff(time) <= 0):
        raise DataError("two points of a curve have the same time", got=time.tolist(), expected="each time once")
    least = LEAST_RELATIVE_SIGMA * float(np.abs(activity).max())
    return Points(time, activity, np.maximum(std, least if least > 0 else 1.0))


def _rates(half_life_h: float, uptake_half_time_h: float | None) -> Rates:
    """Return the known constants; the uptake is infinitely fast when no uptake half-time is declared."""
    phys = decay_constant_per_h(half_life_h)
    return Rates(phys, NO_UPTAKE if uptake_half_time_h is None else uptake_constant_per_h(phys, uptake_half_time_h))


def _result(name: str, fit: CurveFit, *, uptake: float, last_h: float, n_parameters: int, tail_flag: float) -> TiaFit:
    """Integrate a fitted curve and propagate its covariance."""
    area = shape_integral(fit.lambda_per_h, uptake)
    tia = float(fit.amplitude_mbq @ area)
    gradient = np.concatenate([area, fit.amplitude_mbq * shape_integral_slope(fit.lambda_per_h)])
    tail = float(fit.amplitude_mbq @ shape_integral(fit.lambda_per_h, uptake, last_h))
    tail_fraction = tail / tia if tia > 0 else 0.0
    return TiaFit(
        model=name,
        parameters=named_parameters(fit.amplitude_mbq, fit.lambda_per_h, uptake),
        covariance=fit.covariance,
        tia_mbq_h=tia,
        tia_std_mbq_h=math.sqrt(max(float(gradient @ fit.covariance @ gradient), 0.0)),
        t_eff_h=math.log(2.0) / float(fit.lambda_per_h.min()),
        tail_fraction=tail_fraction,
        chi2=fit.chi2,
        aicc=aicc(fit.chi2, fit.n_points, n_parameters),
        flags=("tail_over_40_percent",) if tail_fraction > tail_flag else (),
    )


def _refuse(points: Points, lambda_phys: float) -> None:
    """Raise FitError when points hold too little activity, or rise throughout once decay-corrected."""
    if np.count_nonzero(points.activity_mbq > 0) < POINTS_OF_A_DECAY:
        raise FitError(
            "activity is not positive", reason="not_positive", got=points.activity_mbq.tolist(), expected="> 0 MBq"
        )
    corrected = points.activity_mbq * np.exp(lambda_phys * points.time_h)
    if np.all(np.diff(corrected) > 0):
        raise FitError(
            "decay-corrected activity rises over all points, so no washout can be fitted",
            reason="rising_activity",
            got=" -> ".join(f"{a:.4g}" for a in corrected) + " MBq",
            expected="a fall between at least two scans",
            remedy="add a later scan, or accept the population's half-life",
        )


def fit_tac(
    time_h: ArrayLike,
    activity_mbq: ArrayLike,
    std_mbq: ArrayLike,
    *,
    half_life_h: float,
    models: Sequence[str] = tuple(KINETIC_MODELS),
    uptake_half_time_h: float | None = None,
    tail_flag: float = 0.40,
) -> TiaFit:
    """Fit a curve of n points (h, MBq, standard uncertainty MBq) with the best of `models` and integrate it.

    Models with uptake are tried only where an uptake half-time is declared. FitError has the reason too_few_points,
    not_positive (fewer than two positive points), rising_activity (decay-corrected activity rises throughout, or every
    model wants lambda_bio <= 0) or uncertain_parameters.

    >>> t = np.array([4.0, 24.0, 72.0, 168.0])
    >>> a = 50.0 * np.exp(-math.log(2) / 32.0 * t)
    >>> round(fit_tac(t, a, 0.05 * a, half_life_h=159.528).tia_mbq_h, 3)   # 50 x 32 / ln 2
    2308.312
    """
    points = _points(time_h, activity_mbq, std_mbq)
    if points.n < min(KINETIC_MODELS[name].n_parameters for name in models):
        raise FitError("too few points to fit a curve", reason="too_few_points", got=points.n, expected="at least 2")
    rates = _rates(half_life_h, uptake_half_time_h)
    _refuse(points, rates.phys)
    fits = _fits(points, models, rates)
    name = select(fits)
    model = KINETIC_MODELS[name]
    return _result(
        name,
        fits[name],
        uptake=rates.uptake if model.uptake else NO_UPTAKE,
        last_h=float(points.time_h[-1]),
        n_parameters=model.n_parameters,
        tail_flag=tail_flag,
    )


def _fits(points: Points, models: Sequence[str], rates: Rates) -> dict[str, CurveFit]:
    """Fit every model the points can judge; FitError when each of them wants to decay slower than physics."""
    possible = [name for name in models if math.isfinite(rates.uptake) or not KINETIC_MODELS[name].uptake]
    fits: dict[str, CurveFit] = {}
    for name in judged(possible, points.n):
        model = KINETIC_MODELS[name]
        try:
            fits[name] = fit_curve(points, model, rates if model.uptake else Rates(rates.phys, NO_UPTAKE))
        except FitError as error:
            if error.reason != "not_positive":
                raise
    if not fits:
        raise FitError(
            "no model fits the points with a positive curve", reason="not_positive", got=points.activity_mbq.tolist()
        )
    free = {name: fit for name, fit in fits.items() if not fit.at_physical_limit}
    if not free:
        raise FitError(
            "activity falls no faster than physical decay, so no washout can be fitted",
            reason="rising_activity",
            got="lambda_bio <= 0 in every model",
            expected="lambda_bio > 0",
            remedy="add a later scan, or accept the population's half-life",
        )
    return free


def _amplitude(points: Points, rate: float, uptake: float) -> tuple[float, float, float]:
    """Return the weighted amplitude of a known shape, its standard uncertainty, and chi^2."""
    f = shape(points.time_h, rate, uptake)
    information = float(np.sum((f / points.sigma_mbq) ** 2))
    amplitude = float(np.sum(f * points.activity_mbq / points.sigma_mbq**2)) / information
    chi2 = float(np.sum(((points.activity_mbq - amplitude * f) / points.sigma_mbq) ** 2))
    return amplitude, information**-0.5, chi2


def population_fit(
    time_h: ArrayLike,
    activity_mbq: ArrayLike,
    std_mbq: ArrayLike,
    *,
    half_life_h: float,
    t_eff_h: float,
    t_eff_cv: float,
    uptake_half_time_h: float | None = None,
    tail_flag: float = 0.40,
) -> TiaFit:
    """Scale a curve of declared effective half-life (h, relative sd `t_eff_cv`) through the points.

    A = sum(f y / s^2) / sum(f^2 / s^2); var A is raised by chi^2/(n-1) where the points disagree with the shape by
    more than their uncertainties. The uncertainty of the half-life moves A and the area together and is propagated with
    that covariance. An amplitude below zero becomes zero. SettingsError when the half-life exceeds the physical one.

    >>> fit = population_fit([24.0], [30.0], [1.5], half_life_h=159.528, t_eff_h=32.0, t_eff_cv=0.25)
    >>> round(fit.tia_mbq_h, 1), fit.flags
    (2329.3, ('tail_over_40_percent', 'population_half_life', 'single_time_point'))
    """
    if not 0 < t_eff_h < half_life_h:
        raise SettingsError(
            "population half-life must be effective, below the physical one",
            where=Where(field="kinetics.population_t_eff_h"),
            got=f"{t_eff_h:g} h",
            expected=f"0 to {half_life_h:g} h",
        )
    points, uptake = _points(time_h, activity_mbq, std_mbq), _rates(half_life_h, uptake_half_time_h).uptake
    rate = math.log(2.0) / t_eff_h
    amplitude, amplitude_std, chi2 = _amplitude(points, rate, uptake)
    step = RELATIVE_STEP * rate
    above, below = (_amplitude(points, rate + s, uptake)[0] for s in (step, -step))
    slope = (above - below) / (2.0 * step)
    disagreement = max(1.0, chi2 / (points.n - 1)) if points.n > 1 else 1.0
    rate_variance = (rate * t_eff_cv) ** 2
    variance = amplitude_std**2 * disagreement + slope**2 * rate_variance
    covariance = np.array([[variance, slope * rate_variance], [slope * rate_variance, rate_variance]])
    fit = CurveFit(
        np.array([max(amplitude, 0.0)]),
        np.array([rate]),
        covariance,
        chi2=chi2,
        n_points=points.n,
        at_physical_limit=False,
    )
    last_h = float(points.time_h[-1])
    result = _result(POPULATION, fit, uptake=uptake, last_h=last_h, n_parameters=1, tail_flag=tail_flag)
    added = ("population_half_life", "single_time_point") if points.n == 1 else ("population_half_life",)
    return replace(result, flags=result.flags + added)


def fit_or_population(
    time_h: ArrayLike,
    activity_mbq: ArrayLike,
    std_mbq: ArrayLike,
    *,
    half_life_h: float,
    t_eff_h: float,
    t_eff_cv: float,
    models: Sequence[str] = tuple(KINETIC_MODELS),
    uptake_half_time_h: float | None = None,
    tail_flag: float = 0.40,
) -> TiaFit:
    """Fit a curve, or, where the fit is refused, take the population's half-life and keep reason and sentence."""
    try:
        return fit_tac(
            time_h,
            activity_mbq,
            std_mbq,
            half_life_h=half_life_h,
            models=models,
            uptake_half_time_h=uptake_half_time_h,
            tail_flag=tail_flag,
        )
    except FitError as error:
        fallback = population_fit(
            time_h,
            activity_mbq,
            std_mbq,
            half_life_h=half_life_h,
            t_eff_h=t_eff_h,
            t_eff_cv=t_eff_cv,
            uptake_half_time_h=uptake_half_time_h,
            tail_flag=tail_flag,
        )
        return replace(fallback, reason=error.reason, sentence=error.sentence())
