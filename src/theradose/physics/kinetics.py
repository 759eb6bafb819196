"""From a time-activity curve to its time-integrated activity: choose, or average over, models, or say why not.

`tia_by` takes the name of any method; `fit_or_population` never refuses, but says that it took the population's
half-life. Averaging follows Burnham and Anderson (Model selection and multimodel inference, 2002): the TIA is
sum_m w_m TIA_m and its variance sum_m w_m (var_m + (TIA_m - TIA)^2), w_m the Akaike weights.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from theradose.errors import FitError, SettingsError, Where
from theradose.physics.kinetic_fit import CurveFit, Points, Rates, fit_curve
from theradose.physics.kinetic_models import KINETIC_MODELS, NO_UPTAKE, named_parameters, phases_of, shape
from theradose.physics.kinetic_tia import TAIL_FLAG, curve_points, integrated, known_rates, refuse_hopeless
from theradose.physics.kinetic_tia import TiaFit as TiaFit
from theradose.physics.selection import akaike_weights, criteria, judged, select
from theradose.physics.trapezoid import trapezoid_tia

AUTO, AVERAGE, TRAPEZOID = "auto", "average", "trapezoid"
METHODS = (AUTO, AVERAGE, TRAPEZOID, *KINETIC_MODELS)
POPULATION = "population"
RELATIVE_STEP = 1e-4


def fit_tac(
    time_h: ArrayLike,
    activity_mbq: ArrayLike,
    std_mbq: ArrayLike,
    *,
    half_life_h: float,
    models: Sequence[str] = tuple(KINETIC_MODELS),
    uptake_half_time_h: float | None = None,
    tail_flag: float = TAIL_FLAG,
    average: bool = False,
) -> TiaFit:
    """Fit a curve of n points (h, MBq, standard uncertainty MBq) with the best of `models`, or their average.

    Models with uptake are tried only where an uptake half-time is declared. FitError has the reason too_few_points,
    not_positive (fewer than two positive points), rising_activity (decay-corrected activity rises throughout, or every
    model wants lambda_bio <= 0), uptake_not_declared or uncertain_parameters.

    >>> t = np.array([4.0, 24.0, 72.0, 168.0])
    >>> a = 50.0 * np.exp(-math.log(2) / 32.0 * t)
    >>> round(fit_tac(t, a, 0.05 * a, half_life_h=159.528).tia_mbq_h, 3)   # 50 x 32 / ln 2
    2308.312
    """
    points = curve_points(time_h, activity_mbq, std_mbq)
    least = min(KINETIC_MODELS[name].n_parameters for name in models)
    if points.n < least:
        got, expected = f"{points.n} points", f"at least {least}"
        raise FitError(
            "too few points to fit a curve",
            reason="too_few_points",
            got=got,
            expected=expected,
            remedy="add a scan, take a simpler model, or declare a population's half-life",
        )
    rates = known_rates(half_life_h, uptake_half_time_h)
    refuse_hopeless(points, rates.phys)
    fits = _fits(points, models, rates)
    if average:
        return _averaged(fits, rates, float(points.time_h[-1]), tail_flag)
    name = select(fits)
    return _one(name, fits[name], rates, float(points.time_h[-1]), tail_flag)


def _one(name: str, fit: CurveFit, rates: Rates, last_h: float, tail_flag: float) -> TiaFit:
    """Integrate the fit of one model of the registry."""
    model = KINETIC_MODELS[name]
    uptake = rates.uptake if model.uptake else NO_UPTAKE
    return integrated(name, fit, uptake=uptake, last_h=last_h, n_parameters=model.n_parameters, tail_flag=tail_flag)


def _averaged(fits: Mapping[str, CurveFit], rates: Rates, last_h: float, tail_flag: float) -> TiaFit:
    """Return the Akaike-weighted mean of all acceptable fits; its curve is the weighted sum of their terms."""
    weights = akaike_weights(criteria(fits))
    ones = {name: _one(name, fits[name], rates, last_h, tail_flag) for name in weights}
    w = np.array(list(weights.values()))
    tia, std, t_eff = (
        np.array([getattr(o, q) for o in ones.values()]) for q in ("tia_mbq_h", "tia_std_mbq_h", "t_eff_h")
    )
    mean = float(w @ tia)
    tail_fraction = float(w @ (tia * [one.tail_fraction for one in ones.values()])) / mean
    amplitudes, constants = [], []
    for weight, one in zip(w, ones.values(), strict=True):
        amplitude, rate, uptake = phases_of(one.parameters)
        amplitudes.append(weight * amplitude)
        constants.append(rate)
        if math.isfinite(uptake):  # the rise of a phase is a term of its own, with the amplitude's negative
            amplitudes.append(np.array([-weight * amplitude.sum()]))
            constants.append(np.array([uptake]))
    best = min(ones.values(), key=lambda one: one.aicc)
    poor = tuple(flag for flag in best.flags if flag == "poor_fit")
    return TiaFit(
        model=AVERAGE,
        parameters=named_parameters(np.concatenate(amplitudes), np.concatenate(constants), NO_UPTAKE),
        covariance=np.zeros((0, 0)),
        tia_mbq_h=mean,
        tia_std_mbq_h=math.sqrt(float(w @ (std**2 + (tia - mean) ** 2))),
        t_eff_h=float(w @ t_eff),
        tail_fraction=tail_fraction,
        chi2=best.chi2,
        aicc=best.aicc,
        flags=(*poor, "tail_over_40_percent") if tail_fraction > tail_flag else poor,
        last_h=last_h,
        weights=weights,
    )


def _fits(points: Points, models: Sequence[str], rates: Rates) -> dict[str, CurveFit]:
    """Fit every model the points can judge; FitError when each of them wants to decay slower than physics."""
    possible = [name for name in models if math.isfinite(rates.uptake) or not KINETIC_MODELS[name].uptake]
    if not possible:
        raise FitError(
            "a model with uptake needs the uptake's half-time, which is never fitted",
            reason="uptake_not_declared",
            got=", ".join(models),
            remedy="declare the uptake half-time in h",
        )
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
    tail_flag: float = TAIL_FLAG,
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
    points = curve_points(time_h, activity_mbq, std_mbq)
    uptake = known_rates(half_life_h, uptake_half_time_h).uptake
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
    result = integrated(POPULATION, fit, uptake=uptake, last_h=last_h, n_parameters=1, tail_flag=tail_flag)
    added = ("population_half_life", "single_time_point") if points.n == 1 else ("population_half_life",)
    return replace(result, flags=result.flags + added)


def replacement(error: FitError, *points: ArrayLike, **known: Any) -> TiaFit:
    """Return the `population_fit` of a curve (h, MBq, MBq) whose fit was refused, with the refusal in it.

    Along a rise the smallest activities have the smallest uncertainties, and the shape is wrong for all of them; there
    every point weighs the same, with the largest of the uncertainties.
    """
    time_h, activity_mbq, std_mbq = points
    if error.reason == "rising_activity":
        std_mbq = np.full_like(np.asarray(std_mbq, float), np.max(std_mbq))
    return replace(
        population_fit(time_h, activity_mbq, std_mbq, **known), reason=error.reason, sentence=error.sentence()
    )


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
    tail_flag: float = TAIL_FLAG,
) -> TiaFit:
    """Fit a curve, or, where the fit is refused, take the population's half-life and keep reason and sentence."""
    points = (time_h, activity_mbq, std_mbq)
    known: dict[str, Any] = {
        "half_life_h": half_life_h, "uptake_half_time_h": uptake_half_time_h, "tail_flag": tail_flag
    }  # fmt: skip
    try:
        return fit_tac(*points, models=models, **known)
    except FitError as error:
        return replacement(error, *points, t_eff_h=t_eff_h, t_eff_cv=t_eff_cv, **known)


def tia_by(
    method: str,
    time_h: ArrayLike,
    activity_mbq: ArrayLike,
    std_mbq: ArrayLike,
    *,
    half_life_h: float,
    uptake_half_time_h: float | None = None,
    tail: str = "effective",
    tail_flag: float = TAIL_FLAG,
) -> TiaFit:
    """Return the TIA by one of METHODS: `auto` (best model), `average`, a model's name, or `trapezoid` with its tail.

    SettingsError for another name; FitError as in `fit_tac` and `trapezoid_tia`.

    >>> tia_by("auto", [4.0, 24.0, 72.0], [46.0, 30.0, 10.5], [2.0, 1.5, 0.5], half_life_h=159.528).model
    'mono'
    """
    points = (time_h, activity_mbq, std_mbq)
    if method == TRAPEZOID:
        return trapezoid_tia(*points, half_life_h=half_life_h, tail=tail, tail_flag=tail_flag)
    if method not in METHODS:
        known = f"one of {', '.join(METHODS)}"
        raise SettingsError("kinetic model is unknown", got=method, expected=known, code="unknown_model")
    return fit_tac(
        *points,
        half_life_h=half_life_h,
        models=tuple(KINETIC_MODELS) if method in {AUTO, AVERAGE} else (method,),
        uptake_half_time_h=uptake_half_time_h,
        tail_flag=tail_flag,
        average=method == AVERAGE,
    )
