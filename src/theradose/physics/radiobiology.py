"""The linear-quadratic model at the falling dose rates of radionuclide therapy: G, BED, EQD2.

Sublethal damage that is repaired during the irradiation does not count towards the quadratic term. The Lea-Catcheside
factor G (1942) says how much of it is left: 1 for an instant, towards 0 for a dose that comes slower than repair.
BED = D + G D^2 / (alpha/beta); Dale, Br J Radiol 1985;58:515-528, MIRD Pamphlet No. 20, J Nucl Med 2008;49:1884-1899.
Cycles weeks apart do not see each other's damage: their BED add, and never the BED of a pooled curve.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theradose.errors import DataError, Where
from theradose.physics.decay import decay_constant_per_h

Array = NDArray[np.float64]
RANGE = (1e-9, 1e9)  # own choice: far beyond what Gy, h, mL or GBq can be, and no square of it overflows
NODES, WEIGHTS = np.polynomial.legendre.leggauss(8)  # exact for a straight dose rate against slow repair


def require(ok: bool, field: str, got: object, expected: str) -> None:
    """Raise DataError when a number cannot be; the message names field, value and what was expected."""
    if not ok:
        where = Where(field=field)
        raise DataError("the value cannot be", where=where, got=got, expected=expected, code="impossible_value")


def require_plain(value: float, field: str, *, zero: bool = False) -> None:
    """Raise DataError for a number that no dose, half-life or limit can be: not finite, negative, out of all range."""
    least, most = RANGE
    expected = f"{least:g} to {most:g}" + (", or 0" if zero else "")
    require(least <= value <= most or (zero and value == 0), field, value, expected)


def g_factor(rate_gy_per_h: ArrayLike, lambda_per_h: ArrayLike, t_repair_h: float) -> float:
    """Return Lea-Catcheside's G of a dose rate that is a sum of exponentials, R(t) = sum_i a_i exp(-l_i t).

    G = (2/D^2) int_0^inf R(t) int_0^t R(s) exp(-mu (t-s)) ds dt = (2/D^2) sum_ij a_i a_j / ((mu + l_i)(l_i + l_j)),
    D = sum_i a_i / l_i and mu = ln 2 / t_repair. An uptake phase is a term with a negative amplitude.
    `rate_gy_per_h` (n,) in any unit, since only its shape counts; `lambda_per_h` (n,) effective decay constants in 1/h.
    DataError when a constant or the dose is not positive.

    >>> from math import log
    >>> round(g_factor([1.0], [log(2) / 50.0], 2.8), 6)   # T_eff 50 h: T_repair / (T_repair + T_eff)
    0.05303
    >>> round(g_factor([1.0, -1.0], [log(2) / 50.0, log(2) / 10.0], 2.8), 6)   # the same with an uptake of 10 h
    0.046125
    """
    a, decay = np.atleast_1d(np.asarray(rate_gy_per_h, float)), np.atleast_1d(np.asarray(lambda_per_h, float))
    require(bool((decay > 0).all()), "effective decay constant", decay, "above zero, 1/h")
    require(t_repair_h > 0, "t_repair_h", t_repair_h, "above zero, h")
    dose = float(np.sum(a / decay))
    require(dose > 0, "dose of the curve", dose, "above zero")
    mu = decay_constant_per_h(t_repair_h)
    pairs = np.outer(a, a) / ((mu + decay)[:, None] * (decay[:, None] + decay[None, :]))
    return float(2.0 * pairs.sum() / dose**2)


def g_factor_single(t_eff_h: float, t_repair_h: float, uptake_half_time_h: float = 0.0) -> float:
    """Return G of one effective half-life, after an uptake of the given half-time in h (0: at once).

    Without uptake G = t_repair / (t_repair + t_eff). The uptake half-time is that of the rising exponential, physical
    decay included, and must lie below `t_eff_h`. DataError when a number cannot be.

    >>> round(g_factor_single(50.0, 2.8), 6)
    0.05303
    """
    require(t_eff_h > 0, "t_eff_h", t_eff_h, "above zero, h")
    require(0 <= uptake_half_time_h < t_eff_h, "uptake_half_time_h", uptake_half_time_h, "from zero to below t_eff_h")
    half_lives = np.array([t_eff_h, uptake_half_time_h][: 2 if uptake_half_time_h else 1])
    return g_factor([1.0, -1.0][: half_lives.size], np.log(2.0) / half_lives, t_repair_h)


def g_factor_of_curve(time_h: ArrayLike, rate_gy_per_h: ArrayLike, t_repair_h: float, tail_half_life_h: float) -> float:
    """Return G of any dose-rate curve: straight lines between the points, one exponential after the last.

    The unrepaired damage J(t) = int_0^t R exp(-mu (t-s)) ds obeys J' = R - mu J and is followed exactly from point to
    point; the integral of R J over each piece is a Gauss-Legendre sum (8 nodes), that of the tail is in closed form.
    `time_h` (n,) rising, in h, `rate_gy_per_h` (n,) not negative, before the first point nothing. DataError otherwise.

    >>> t = np.linspace(0.0, 300.0, 3001)
    >>> round(g_factor_of_curve(t, 2.0 ** (-t / 50.0), 2.8, 50.0), 5)
    0.05303
    """
    t, rate = np.asarray(time_h, float), np.asarray(rate_gy_per_h, float)
    require(t.size == rate.size > 0 and bool((np.diff(t) > 0).all()), "time_h", t.size, "as many rates, times rising")
    require(bool((rate >= 0).all() and rate.any()), "rate_gy_per_h", rate, "not negative, not all zero")
    require(t_repair_h > 0 and tail_half_life_h > 0, "half-life", (t_repair_h, tail_half_life_h), "above zero, h")
    mu, tail = decay_constant_per_h(t_repair_h), decay_constant_per_h(tail_half_life_h)
    slope, width = np.diff(rate) / np.diff(t), np.diff(t)
    damage, product = 0.0, 0.0
    for r0, k, h in zip(rate, slope, width, strict=False):
        x = np.append(0.5 * h * (NODES + 1.0), h)
        fading = np.exp(-mu * x)
        unrepaired = damage * fading + (r0 / mu - k / mu**2) * (1.0 - fading) + k * x / mu
        product += 0.5 * h * float(WEIGHTS @ ((r0 + k * x) * unrepaired)[:-1])
        damage = float(unrepaired[-1])
    last = float(rate[-1])
    dose = float(np.trapezoid(rate, t)) + last / tail
    product += last * damage / (tail + mu) + last**2 / (2.0 * tail * (tail + mu))
    return float(2.0 * product / dose**2)


def bed_gy(dose_gy: ArrayLike, g: ArrayLike, alpha_beta_gy: float) -> Array:
    """Return the biologically effective dose in Gy of one cycle: BED = D (1 + G D / (alpha/beta)).

    `dose_gy` may be a map, so that the BED is voxel-wise; `g` (1), `alpha_beta_gy` in Gy. The BED of a mean dose lies
    below the mean of the voxels' BED. DataError for a negative dose, G outside 0 to 1 or alpha/beta not above zero.

    >>> float(bed_gy(5.75, 0.053030, 2.6).round(3))
    6.424
    """
    dose, factor = np.asarray(dose_gy, float), np.asarray(g, float)
    require(bool((dose >= 0).all()), "dose_gy", dose.min(initial=0.0), "not negative, Gy")
    require(bool(((factor >= 0) & (factor <= 1)).all()), "G", factor, "0 to 1")
    require(alpha_beta_gy > 0, "alpha_beta_gy", alpha_beta_gy, "above zero, Gy")
    return np.asarray(dose * (1.0 + factor * dose / alpha_beta_gy))


def bed_over_cycles_gy(dose_gy: ArrayLike, g: ArrayLike, alpha_beta_gy: float) -> Array:
    """Return the BED in Gy of several cycles, the sum over the first axis of each cycle's own BED.

    `dose_gy` (cycles, ...): numbers or maps on one grid; `g` a number or (cycles,). Errors as `bed_gy`.

    >>> float(bed_over_cycles_gy([5.75] * 4, 0.053030, 2.6).round(2))   # pooled into one cycle it would be 33.8
    25.7
    """
    dose = np.asarray(dose_gy, float)
    factor = np.broadcast_to(np.asarray(g, float), dose.shape[:1]).reshape(-1, *[1] * (dose.ndim - 1))
    return np.asarray(bed_gy(dose, factor, alpha_beta_gy).sum(axis=0))


def eqd2_gy(bed: ArrayLike, alpha_beta_gy: float) -> Array:
    """Return the dose in Gy that gives the same BED in fractions of 2 Gy: EQD2 = BED / (1 + 2 / (alpha/beta)).

    `bed` in Gy, any shape; `alpha_beta_gy` in Gy, above zero (DataError). Fowler, Br J Radiol 1989;62:679-694.

    >>> float(eqd2_gy(25.70, 2.6).round(2))
    14.53
    """
    require(alpha_beta_gy > 0, "alpha_beta_gy", alpha_beta_gy, "above zero, Gy")
    return np.asarray(np.asarray(bed, float) / (1.0 + 2.0 / alpha_beta_gy))


def dose_at_bed_gy(bed: float, g: float, alpha_beta_gy: float) -> float:
    """Return the dose in Gy of one cycle whose BED is `bed` (Gy): the positive root of D + G D^2 / (alpha/beta) = BED.

    D = 2 BED / (1 + sqrt(1 + 4 G BED / (alpha/beta))), the form that stays exact for G = 0. DataError as `bed_gy`.

    >>> round(dose_at_bed_gy(6.424, 0.053030, 2.6), 2)
    5.75
    """
    require(bed >= 0, "bed_gy", bed, "not negative, Gy")
    require(0 <= g <= 1 and alpha_beta_gy > 0, "G, alpha_beta_gy", (g, alpha_beta_gy), "0 to 1, above zero")
    return float(2.0 * bed / (1.0 + np.sqrt(1.0 + 4.0 * g * bed / alpha_beta_gy)))
