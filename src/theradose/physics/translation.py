"""From the curve of one radionuclide to the TIAC of another on the same molecule: undo the decay, apply the other one.

For every term lambda_bio,k = lambda_eff,k - lambda_phys >= 0 belongs to the molecule, and so do the amplitudes at time
zero: A_k exp(-lambda_eff,k t) becomes A_k exp(-(lambda_bio,k + lambda_phys') t), the uptake constant likewise. The
shift is a constant, so the covariance of (A.., lambda..) stays as it is and goes through the new integral.

A TIAC alone cannot be translated: TIAC = sum_k f_k / (lambda_bio,k + lambda_phys) holds a fraction and a constant, and
only both give the TIAC of another radionuclide.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from theradose.errors import FitError
from theradose.physics.chains import chain_energy
from theradose.physics.decay import decay_constant_per_h
from theradose.physics.kinetic_fit import CurveFit
from theradose.physics.kinetic_models import NO_UPTAKE, Array, phases_of, shape_integral
from theradose.physics.kinetic_tia import TAIL_FLAG, TiaFit, integrated

# A constant written with six digits may lie this far below physical decay.
ROUNDING = 1e-6


def translated_rates(lambda_eff_per_h: Array, from_half_life_h: float, to_half_life_h: float) -> Array:
    """Return the effective constants (n,) in 1/h of the same biology with another radionuclide.

    FitError negative_lambda_bio when a term decays slower than the measured radionuclide.

    >>> (math.log(2) / translated_rates(np.array([0.014081]), 159.528, 64.1)).round(2)   # Lu-177 to Y-90, T_eff in h
    array([33.73])
    """
    phys = decay_constant_per_h(from_half_life_h)
    biological = np.asarray(lambda_eff_per_h, float) - phys
    if np.any(biological < -ROUNDING * phys):
        raise FitError(
            "a term decays slower than the measured radionuclide, so it has no biological constant",
            reason="negative_lambda_bio",
            got=f"lambda_eff {float(np.min(lambda_eff_per_h)):.6g} /h",
            expected=f"at least {phys:.6g} /h",
            remedy="check the radionuclide and that activities are not decay-corrected",
        )
    return np.maximum(biological, 0.0) + decay_constant_per_h(to_half_life_h)


def translate(fit: TiaFit, *, from_half_life_h: float, to_half_life_h: float, tail_flag: float = TAIL_FLAG) -> TiaFit:
    """Return the fit that the same molecule with another radionuclide would have had, per equal administered activity.

    Half-lives in h. The integral is analytic. An average over models keeps its relative uncertainty, having no single
    covariance. FitError negative_lambda_bio, or no_curve for a trapezoid.

    >>> one = CurveFit(np.array([50.0]), np.array([0.014081]), np.diag([1.0, 1e-7]), 1.0, 4, at_physical_limit=False)
    >>> lu177 = integrated("mono", one, uptake=NO_UPTAKE, last_h=72.0, n_parameters=2, tail_flag=0.4)
    >>> y90 = translate(lu177, from_half_life_h=159.528, to_half_life_h=64.1)
    >>> round(y90.tia_mbq_h / lu177.tia_mbq_h, 4), round(y90.t_eff_h, 2)
    (0.6852, 33.73)
    """
    amplitude, rate, uptake = phases_of(fit.parameters)
    known = [] if math.isinf(uptake) else [uptake]
    moved = translated_rates(np.append(rate, known), from_half_life_h, to_half_life_h)
    averaged = fit.covariance.size == 0
    covariance = np.zeros((2 * rate.size, 2 * rate.size)) if averaged else fit.covariance
    curve = CurveFit(amplitude, moved[: rate.size], covariance, fit.chi2, 0, at_physical_limit=False)
    result = integrated(
        fit.model,
        curve,
        uptake=float(moved[-1]) if known else NO_UPTAKE,
        last_h=fit.last_h,
        n_parameters=0,
        tail_flag=tail_flag,
    )
    kept = tuple(flag for flag in fit.flags if flag != "tail_over_40_percent")
    result = replace(result, flags=kept + result.flags, aicc=fit.aicc, weights=fit.weights, reason=fit.reason)
    if averaged:
        relative = fit.tia_std_mbq_h / fit.tia_mbq_h
        result = replace(result, covariance=fit.covariance, tia_std_mbq_h=relative * result.tia_mbq_h)
    return result


def tia_ratio(parameters: Mapping[str, float], from_half_life_h: float, to_half_life_h: float) -> float:
    """Return the TIA with another radionuclide over that of a fitted curve, per equal administered activity.

    `parameters` are those of the TIAC table, half-lives in h. FitError negative_lambda_bio, or no_curve for a method
    that has none.

    >>> round(tia_ratio({"a1_mbq": 50.0, "lambda1_per_h": 0.014081}, 159.528, 64.1), 4)
    0.6852
    """
    amplitude, rate, uptake = phases_of(parameters)
    known = [] if math.isinf(uptake) else [uptake]
    moved = translated_rates(np.append(rate, known), from_half_life_h, to_half_life_h)
    other = shape_integral(moved[: rate.size], float(moved[-1]) if known else NO_UPTAKE)
    return float(amplitude @ other) / float(amplitude @ shape_integral(rate, uptake))


def effective_half_life_h(t_bio_h: ArrayLike, half_life_h: float) -> Array:
    """Return T_eff = 1 / (1/T_bio + 1/T_phys) in h.

    >>> effective_half_life_h([40.0], 160.0)
    array([32.])
    """
    return np.asarray(1.0 / (1.0 / np.asarray(t_bio_h, float) + 1.0 / half_life_h))


def one_term_tiac_h(uptake_fraction: ArrayLike, t_bio_h: ArrayLike, half_life_h: float) -> Array:
    """Return TIAC = f / (ln 2/T_bio + ln 2/T_phys) in h: one term, present from the start.

    `uptake_fraction` (1) and `t_bio_h` belong to the molecule and hold for every radionuclide on it. An uptake with
    constant lambda_u takes the part lambda/lambda_u off a TIAC; that of the radionuclide measured is in f, so the TIAC
    of one that decays faster is too large: by 0.5 % for Y-90 after Lu-177 at an uptake half-time of 0.5 h, by a
    quarter for a half-life of 10 h at 2 h.

    >>> [round(float(one_term_tiac_h(0.05, 50.0, t)), 4) for t in (159.528, 64.1)]   # Lu-177 and Y-90
    [2.7461, 2.0262]
    """
    return np.asarray(uptake_fraction, float) * effective_half_life_h(t_bio_h, half_life_h) / math.log(2.0)


def dose_ratio(from_tiac_h: ArrayLike, to_tiac_h: ArrayLike, from_nuclide: str, to_nuclide: str) -> Array:
    """Return the dose per administered activity with another radionuclide over that with the first one.

    D_X / D = (TIAC_X E_X) / (TIAC E), with E the energy of electrons, alphas and recoils per decay, progeny with it
    (ICRP Publication 107): complete local absorption in one mass, as in MIRD with all absorbed fractions of charged
    particles 1. Ignored are photons (I-131 emits twice as much energy in them as in electrons, Lu-177 a quarter, Y-90
    none), cross-dose, and the range of electrons: those of Y-90 reach up to 11 mm, so that small organs and lesions
    lose a part of them. Alphas count as energy, without an RBE.

    >>> round(float(dose_ratio(2.7461, 2.0262, "Lu-177", "Y-90")), 2)
    4.65
    """
    energies_kev = (chain_energy(to_nuclide).local_kev, chain_energy(from_nuclide).local_kev)
    ratio = np.asarray(to_tiac_h, float) / np.asarray(from_tiac_h, float)
    return np.asarray(ratio * energies_kev[0] / energies_kev[1])
