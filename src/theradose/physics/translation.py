"""From the curve of one radionuclide to the TIAC of another on the same molecule: undo the decay, apply the other one.

For every term lambda_bio,k = lambda_eff,k - lambda_phys >= 0 belongs to the molecule, and so do the amplitudes at time
zero: A_k exp(-lambda_eff,k t) becomes A_k exp(-(lambda_bio,k + lambda_phys') t), the uptake constant likewise. The
shift is a constant, so the covariance of (A.., lambda..) stays as it is and goes through the new integral.
"""

import math
from dataclasses import replace

import numpy as np

from theradose.errors import FitError
from theradose.physics.decay import decay_constant_per_h
from theradose.physics.kinetic_fit import CurveFit
from theradose.physics.kinetic_models import NO_UPTAKE, Array, phases_of
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
