"""A time-activity curve and its integral: what every method takes in, and what every method gives back.

TIA = sum_i A_i (1/lambda_i - 1/lambda_u), analytic; its variance is g^T C g with g the gradient by (A.., lambda..).
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from theradose.errors import DataError, FitError, SettingsError
from theradose.physics.decay import decay_constant_per_h
from theradose.physics.kinetic_fit import CurveFit, Points, Rates
from theradose.physics.kinetic_models import (
    NO_UPTAKE,
    Array,
    curve_mbq,
    named_parameters,
    shape_integral,
    shape_integral_slope,
    uptake_constant_per_h,
)
from theradose.physics.selection import aicc, is_poor

# A point without uncertainty would have infinite weight; none is trusted beyond a millionth of the largest.
LEAST_RELATIVE_SIGMA = 1e-6
POINTS_OF_A_DECAY = 2
LATEST_H = 2000.0  # 83 days: no patient is scanned later, and 33 minutes in seconds are more
TAIL_FLAG = 0.40  # a TIA of which more than this lies after the last scan is flagged


@dataclass(frozen=True)
class TiaFit:
    """A fitted curve and its integral; `covariance` in the order (A.., lambda..); `reason` names what was refused.

    An average over models has `weights` by model, a curve of many terms and no one covariance (it is empty).
    """

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
    last_h: float = math.nan
    weights: dict[str, float] = field(default_factory=dict)

    def activity_mbq(self, time_h: ArrayLike) -> Array:
        """Return the fitted activity in MBq at times (h)."""
        return curve_mbq(self.parameters, time_h)


def curve_points(time_h: ArrayLike, activity_mbq: ArrayLike, std_mbq: ArrayLike) -> Points:
    """Return the points of a curve (h, MBq, MBq; n each) sorted by time; DataError when they make no curve.

    Its code is unequal_lengths, not_finite, negative_time, negative_uncertainty, implausible_time or equal_times.

    >>> curve_points([72.0, 24.0], [10.0, 30.0], [1.0, 2.0]).activity_mbq
    array([30., 10.])
    """
    time, activity, std = (np.atleast_1d(np.asarray(a, float)) for a in (time_h, activity_mbq, std_mbq))
    if not (time.shape == activity.shape == std.shape and time.ndim == 1 and time.size):
        got = f"{time.size} times, {activity.size} activities and {std.size} uncertainties"
        raise DataError("a curve needs as many times as activities and uncertainties", got=got, code="unequal_lengths")
    if not np.isfinite(np.stack([time, activity, std])).all():
        raise DataError("a curve holds a value that is no finite number", code="not_finite")
    if time.min() < 0:
        raise DataError("a time lies before the administration", got=f"{time.min():g} h", code="negative_time")
    if std.min() < 0:
        raise DataError("an uncertainty is negative", got=f"{std.min():g} MBq", code="negative_uncertainty")
    if time.max() > LATEST_H:
        got, expected = f"{time.max():g} h", f"at most {LATEST_H:g} h"
        raise DataError(
            "a time is implausible", got=got, expected=expected, remedy="are these seconds?", code="implausible_time"
        )
    order = np.argsort(time, kind="stable")
    time, activity, std = time[order], activity[order], std[order]
    if np.any(np.diff(time) <= 0):
        raise DataError("two points of a curve have the same time", got=f"{time.tolist()} h", code="equal_times")
    least = LEAST_RELATIVE_SIGMA * float(np.abs(activity).max())
    return Points(time, activity, np.maximum(std, least if least > 0 else 1.0))


def known_rates(half_life_h: float, uptake_half_time_h: float | None) -> Rates:
    """Return the known constants; the uptake is infinitely fast when no uptake half-time (h) is declared.

    SettingsError for an uptake half-time that is not a positive number.

    >>> known_rates(math.log(2) / 0.004, None)
    Rates(phys=0.004, uptake=inf)
    """
    phys = decay_constant_per_h(half_life_h)
    if uptake_half_time_h is not None and not 0 < uptake_half_time_h < math.inf:
        got = f"{uptake_half_time_h:g} h"
        raise SettingsError("uptake half-time must be positive", got=got, expected="> 0 h", code="impossible_value")
    return Rates(phys, NO_UPTAKE if uptake_half_time_h is None else uptake_constant_per_h(phys, uptake_half_time_h))


def integrated(
    name: str, fit: CurveFit, *, uptake: float, last_h: float, n_parameters: int, tail_flag: float
) -> TiaFit:
    """Return a fitted curve with its integral in MBq.h, the covariance propagated, flags on misfit and tail.

    >>> one = CurveFit(np.array([50.0]), np.array([0.02]), np.diag([1.0, 1e-6]), 1.0, 4, at_physical_limit=False)
    >>> found = integrated("mono", one, uptake=NO_UPTAKE, last_h=72.0, n_parameters=2, tail_flag=0.4)
    >>> found.tia_mbq_h, round(found.tia_std_mbq_h, 1), round(found.tail_fraction, 3)
    (2500.0, 134.6, 0.237)
    """
    area = shape_integral(fit.lambda_per_h, uptake)
    tia = float(fit.amplitude_mbq @ area)
    gradient = np.concatenate([area, fit.amplitude_mbq * shape_integral_slope(fit.lambda_per_h)])
    tail = float(fit.amplitude_mbq @ shape_integral(fit.lambda_per_h, uptake, last_h))
    tail_fraction = tail / tia if tia > 0 else 0.0
    poor = ("poor_fit",) if is_poor(fit.chi2, fit.n_points, n_parameters) else ()
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
        flags=(*poor, "tail_over_40_percent") if tail_fraction > tail_flag else poor,
        last_h=last_h,
    )


def refuse_hopeless(points: Points, lambda_phys: float) -> None:
    """Raise FitError when points hold too little activity, or rise throughout once decay-corrected (1/h).

    >>> refuse_hopeless(curve_points([24.0, 96.0], [10.0, 7.0], [1.0, 1.0]), 0.00434499)   # a fall: nothing is said
    """
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
