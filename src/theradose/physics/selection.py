"""Which model of a time-activity curve is kept: corrected Akaike criterion and the rule of acceptance.

AICc (Hurvich and Tsai, Biometrika 76:297, 1989) with known uncertainties; acceptance as in Kletting et al., Med Phys
40:042504 (2013), and the EANM guidance on uncertainty (Gear et al., Eur J Nucl Med Mol Imaging 45:2456, 2018).
"""

import math
from collections.abc import Mapping, Sequence

from scipy.special import chdtrc

from theradose.errors import FitError
from theradose.physics.kinetic_fit import CurveFit
from theradose.physics.kinetic_models import KINETIC_MODELS

LARGEST_CV = 0.5
LARGEST_CORRELATION = 0.8
# Misfit beyond this is not noise: twice the declared uncertainties, or once in a thousand curves.
LARGEST_CHI2_PER_FREEDOM = 4.0
LEAST_PROBABILITY = 1e-3
TIE = 1e-6


def aicc(chi2: float, n_points: int, n_parameters: int) -> float:
    """Return chi^2 + 2k + 2k(k+1)/(n-k-1), and infinity when n-k-1 <= 0: the points cannot judge such a model.

    >>> aicc(1.0, 4, 2)
    17.0
    >>> aicc(0.0, 3, 2)
    inf
    """
    spare = n_points - n_parameters - 1
    if spare <= 0:
        return math.inf
    return chi2 + 2.0 * n_parameters + 2.0 * n_parameters * (n_parameters + 1) / spare


def is_poor(chi2: float, n_points: int, n_parameters: int) -> bool:
    """Tell whether chi^2 over n-k degrees of freedom exceeds 4, or has a probability below 0.001 by chance.

    Without a degree of freedom nothing can be told, and nothing is poor.

    >>> is_poor(8.1, 4, 2), is_poor(7.9, 4, 2), is_poor(40.0, 2, 2)
    (True, False, False)
    """
    spare = n_points - n_parameters
    return spare > 0 and bool(chi2 > LARGEST_CHI2_PER_FREEDOM * spare or chdtrc(spare, chi2) < LEAST_PROBABILITY)


def is_accepted(fit: CurveFit) -> bool:
    """Tell whether every parameter is known to better than 50 % and no phase follows another one."""
    return bool((fit.coefficients_of_variation < LARGEST_CV).all()) and fit.largest_correlation < LARGEST_CORRELATION


def _fault(fit: CurveFit) -> str:
    """Say which part of the rule of acceptance a fit fails, with its value."""
    cv, correlation = float(fit.coefficients_of_variation.max()), fit.largest_correlation
    faults = [f"CV {100 * cv:.0f} %"] if not cv < LARGEST_CV else []
    return " and ".join(faults + ([f"correlation {correlation:.3f}"] if not correlation < LARGEST_CORRELATION else []))


def judged(models: Sequence[str], n_points: int) -> list[str]:
    """Return the models that n points can judge (finite AICc); when there are none, those with the fewest parameters.

    A model with infinite AICc is never kept beside one with a finite value, so it need not be fitted.

    >>> judged(["mono", "mono_uptake", "bi"], 4), judged(["mono", "bi"], 3)
    (['mono', 'mono_uptake'], ['mono'])
    """
    k = {name: KINETIC_MODELS[name].n_parameters for name in models}
    finite = [name for name in models if math.isfinite(aicc(0.0, n_points, k[name]))]
    return finite or [name for name in models if k[name] == min(k.values()) <= n_points]


def criteria(fits: Mapping[str, CurveFit]) -> dict[str, float]:
    """Return the criterion of every acceptable fit among those that `judged` allowed; FitError when there is none.

    It is AICc; where that is infinite for all (three points, two parameters), chi^2, the numbers of parameters being
    equal then.
    """
    accepted = [name for name, fit in fits.items() if is_accepted(fit)]
    if not accepted:
        raise FitError(
            "no fit is well determined",
            reason="uncertain_parameters",
            got=", ".join(f"{name} {_fault(fit)}" for name, fit in fits.items()),
            expected=f"CV below {100 * LARGEST_CV:.0f} % and correlation below {LARGEST_CORRELATION}",
        )
    score = {name: aicc(fits[name].chi2, fits[name].n_points, KINETIC_MODELS[name].n_parameters) for name in accepted}
    return {name: fits[name].chi2 if math.isinf(score[name]) else score[name] for name in accepted}


def select(fits: Mapping[str, CurveFit]) -> str:
    """Return the name of the acceptable model with the smallest criterion; ties go to the model that stands first."""
    rank = criteria(fits)
    least = min(rank.values())
    return next(name for name in rank if rank[name] <= least + TIE)


def akaike_weights(criterion: Mapping[str, float]) -> dict[str, float]:
    """Return exp(-d/2) of the distances d from the smallest criterion, scaled to one (Burnham and Anderson, 2002).

    >>> {name: round(w, 3) for name, w in akaike_weights({"mono": 10.0, "bi": 12.0}).items()}
    {'mono': 0.731, 'bi': 0.269}
    """
    least = min(criterion.values())
    raw = {name: math.exp(-0.5 * (value - least)) for name, value in criterion.items()}
    return {name: value / sum(raw.values()) for name, value in raw.items()}
