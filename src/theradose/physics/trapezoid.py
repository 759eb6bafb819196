"""Time-integrated activity without a model: straight lines between the scans, and a declared tail behind the last one.

TIA = a_1 t_1 + sum_i (t_{i+1} - t_i) (a_i + a_{i+1}) / 2 + a_n / lambda_tail.  Before the first scan the activity is
taken as that of the first scan (the organ fills within an hour). The tail is declared, because it decides: `effective`
decays as the last two scans do, never slower than the radionuclide; `physical` assumes no more washout and
overestimates (half of a kidney's TIA after a last scan at 96 h). Straight lines lie above a convex curve: with scans at
4, 24, 72 and 168 h a kidney (T 32 h) comes out 10 % high.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from theradose.errors import FitError, SettingsError
from theradose.physics.decay import decay_constant_per_h
from theradose.physics.kinetic_fit import Points
from theradose.physics.kinetic_models import Array
from theradose.physics.kinetic_tia import TAIL_FLAG, TiaFit, curve_points, refuse_hopeless

TAILS = ("effective", "physical")


def _tail(points: Points, lambda_phys: float, tail: str) -> tuple[float, Array, tuple[str, ...]]:
    """Return the constant of the tail in 1/h, its gradient by the activities (n,), and what must be flagged."""
    slope = np.zeros(points.n)
    if tail == "physical":
        return lambda_phys, slope, ("physical_tail",)
    before, last = points.activity_mbq[-2:]
    if min(before, last) <= 0:
        raise FitError(
            "an effective tail needs two positive last scans", reason="not_positive", got=f"{before:g} and {last:g} MBq"
        )
    gap_h = float(points.time_h[-1] - points.time_h[-2])
    rate = math.log(before / last) / gap_h
    if rate <= lambda_phys:
        return lambda_phys, slope, ("physical_tail",)
    slope[-2:] = 1.0 / (before * gap_h), -1.0 / (last * gap_h)
    return rate, slope, ()


def trapezoid_tia(
    time_h: ArrayLike,
    activity_mbq: ArrayLike,
    std_mbq: ArrayLike,
    *,
    half_life_h: float,
    tail: str = "effective",
    tail_flag: float = TAIL_FLAG,
) -> TiaFit:
    """Return the TIA in MBq.h of n >= 2 points (h, MBq, standard uncertainty MBq) by trapezoids and a declared tail.

    Parameters and covariance are those of the tail (last_mbq, lambda_tail_per_h); the uncertainty of the TIA is that of
    all points through area and tail together. SettingsError for an unknown tail; FitError too_few_points,
    not_positive or rising_activity.

    >>> fit = trapezoid_tia([10.0, 30.0], [40.0, 20.0], [2.0, 1.0], half_life_h=159.528)
    >>> round(fit.tia_mbq_h, 2), round(fit.t_eff_h, 9)   # 40 x 10 + 30 x 20 + 20 x 20 / ln 2
    (1577.08, 20.0)
    """
    if tail not in TAILS:
        known = f"one of {', '.join(TAILS)}"
        raise SettingsError("tail of the trapezoid is unknown", got=tail, expected=known, code="unknown_tail")
    points = curve_points(time_h, activity_mbq, std_mbq)
    if points.n < 2:
        raise FitError("too few points for a trapezoid", reason="too_few_points", got=points.n, expected="at least 2")
    lambda_phys = decay_constant_per_h(half_life_h)
    refuse_hopeless(points, lambda_phys)
    rate, slope, flags = _tail(points, lambda_phys, tail)
    t, a = points.time_h, points.activity_mbq
    last = np.zeros(points.n)
    last[-1] = 1.0
    gap_h = np.diff(t)
    area = np.concatenate([[t[0]], np.zeros(points.n - 1)]) + np.append(gap_h, 0.0) / 2 + np.append(0.0, gap_h) / 2
    gradient = area + last / rate - a[-1] / rate**2 * slope
    tia, behind = float(area @ a + a[-1] / rate), float(a[-1] / rate)
    jacobian = np.stack([last, slope]) * points.sigma_mbq
    long = ("tail_over_40_percent",) if behind > tail_flag * tia else ()
    return TiaFit(
        model="trapezoid",
        parameters={"last_mbq": float(a[-1]), "lambda_tail_per_h": rate},
        covariance=jacobian @ jacobian.T,
        tia_mbq_h=tia,
        tia_std_mbq_h=float(np.linalg.norm(gradient * points.sigma_mbq)),
        t_eff_h=math.log(2.0) / rate,
        tail_fraction=behind / tia,
        chi2=0.0,
        aicc=math.inf,
        flags=long + flags,
        last_h=float(t[-1]),
    )
