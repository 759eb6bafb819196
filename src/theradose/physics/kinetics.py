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
from theradose.physics.kinetic_fit import CurveFit, fit_curve
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
from theradose.physics.selection import aicc, select

POPULATION = "population"
# A point without uncertainty would have infinite weight; none is trusted beyond a millionth of the largest.
LEAST_RELATIVE_SIGMA = 1e-6
STEP_OF_T_EFF = 1e-4


@dataclass(frozen=True)
class TiaFit:
    """A fitted curve and its integral; `covariance` follows the order (A.., lambda..), `reason` says what was refused."""

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


def _curve(time_h: ArrayLike, activity_mbq: ArrayLike, std_mbq: ArrayLike) -> tuple[Array, Array, Array]:
    """Return time, activity and uncertainty as sorted arrays; DataError when they make no curve."""
    time, activity, std = (np.atleast_1d(np.asarray(a, float)) for a in (time_h, activity_mbq, std_mbq))
    if not (time.shape == activity.shape == std.shape and time.ndim == 1 and time.size):
        raise DataError("a curve needs as many times as activities and uncertainties", got=(time.shape, activity.shape))
    if not np.isfinite(np.stack([time, activity, std])).all() or time.min() < 0 or std.min() < 0:
        raise DataError("a curve holds a value that is no number, or a negative time or uncertainty")
    order = np.argsort(time, kind="stable")
    time, activity, std = time[order], activity[order], std[order]
    if np.any(np.diff(time) <= 0):
        raise DataError("two points of a curve have the same time", got=time.tolist(), expected="each time once")
    return time, activity, np.maximum(std, LEAST_RELATIVE_SIGMA * np.abs(activity).max())


def _uptake(lambda_phys: float, uptake_half_time_h: float | None) -> float:
    """Return the uptake constant in 1/h, infinite when no uptake half-time is declared."""
    return NO_UPTAKE if uptake_half_time_h is None else uptake_constant_per_h(lambda_phys, uptake_half_time_h)


def _result(name: str, fit: CurveFit, uptake: float, last_h: float, score: float, tail_flag: float) -> TiaFit:
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
        aicc=score,
        flags=("tail_over_40_percent",) if tail_fraction > tail_flag else (),
    )


def _refuse_rising(time: Array, activity: Array, lambda_phys: float) -> None:
    """Raise FitError when the activity, decay-corrected to the administration, rises from each point to the next."""
    corrected = activity * np.exp(lambda_phys * time)
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
    time, activity, sigma = _curve(time_h, activity_mbq, std_mbq)
    if time.size < min(KINETIC_MODELS[name].n_parameters for name in models):
        raise FitError("too few points to fit a curve", reason="too_few_points", got=time.size, expected="at least 2")
    if np.count_nonzero(activity > 0) < 2:  # noqa: PLR2004 - a constant of decay needs two points
        raise FitError("activity is not positive", reason="not_positive", got=activity.tolist(), expected="> 0 MBq")
    lambda_phys = decay_constant_per_h(half_life_h)
    _refuse_rising(time, activity, lambda_phys)
    fits = _fits(time, activity, sigma, models, lambda_phys, uptake_half_time_h)
    name = select(fits)
    uptake = _uptake(lambda_phys, uptake_half_time_h) if KINETIC_MODELS[name].uptake else NO_UPTAKE
    score = aicc(fits[name].chi2, time.size, KINETIC_MODELS[name].n_parameters)
    return _result(name, fits[name], uptake, float(time[-1]), score, tail_flag)


def _fits(
    time: Array,
    activity: Array,
    sigma: Array,
    models: Sequence[str],
    lambda_phys: float,
    uptake_half_time_h: float | None,
) -> dict[str, CurveFit]:
    """Fit every model the points allow; FitError when each of them wants to decay slower than physics."""
    fits: dict[str, CurveFit] = {}
    for name in models:
        model = KINETIC_MODELS[name]
        if time.size < model.n_parameters or (model.uptake and uptake_half_time_h is None):
            continue
        uptake = _uptake(lambda_phys, uptake_half_time_h) if model.uptake else NO_UPTAKE
        try:
            fits[name] = fit_curve(
                time, activity, sigma, model=model, lambda_phys_per_h=lambda_phys, lambda_uptake_per_h=uptake
            )
        except FitError as error:
            if error.reason != "not_positive":
                raise
    if not fits:
        raise FitError("no model fits the points with a positive curve", reason="not_positive", got=activity.tolist())
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


def _amplitude(time: Array, activity: Array, sigma: Array, rate: float, uptake: float) -> tuple[float, float, float]:
    """Return the weighted amplitude of a known shape, its standard uncertainty, and chi^2."""
    f = shape(time, rate, uptake)
    information = float(np.sum((f / sigma) ** 2))
    amplitude = float(np.sum(f * activity / sigma**2)) / information
    chi2 = float(np.sum(((activity - amplitude * f) / sigma) ** 2))
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
    time, activity, sigma = _curve(time_h, activity_mbq, np.where(np.asarray(std_mbq) > 0, std_mbq, 1e-12))
    uptake = _uptake(decay_constant_per_h(half_life_h), uptake_half_time_h)
    rate = math.log(2.0) / t_eff_h
    amplitude, amplitude_std, chi2 = _amplitude(time, activity, sigma, rate, uptake)
    step = STEP_OF_T_EFF * rate
    beyond, before = (_amplitude(time, activity, sigma, rate + s, uptake)[0] for s in (step, -step))
    slope = (beyond - before) / (2.0 * step)
    disagreement = max(1.0, chi2 / (time.size - 1)) if time.size > 1 else 1.0
    rate_variance = (rate * t_eff_cv) ** 2
    variance = amplitude_std**2 * disagreement + slope**2 * rate_variance
    covariance = np.array([[variance, slope * rate_variance], [slope * rate_variance, rate_variance]])
    fit = CurveFit(
        np.array([max(amplitude, 0.0)]), np.array([rate]), covariance, chi2, int(time.size), at_physical_limit=False
    )
    result = _result(POPULATION, fit, uptake, float(time[-1]), aicc(chi2, time.size, 1), tail_flag)
    added = ("population_half_life", "single_time_point") if time.size == 1 else ("population_half_life",)
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
    same = {"half_life_h": half_life_h, "uptake_half_time_h": uptake_half_time_h, "tail_flag": tail_flag}
    try:
        return fit_tac(time_h, activity_mbq, std_mbq, models=models, **same)  # type: ignore[arg-type]
    except FitError as error:
        fallback = population_fit(
            time_h, activity_mbq, std_mbq, t_eff_h=t_eff_h, t_eff_cv=t_eff_cv, **same  # type: ignore[arg-type]
        )
        return replace(fallback, reason=error.reason, sentence=error.sentence())
