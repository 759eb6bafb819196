"""Which model of a time-activity curve is kept: corrected Akaike criterion and the rule of acceptance.

AICc (Hurvich and Tsai, Biometrika 76:297, 1989) with known uncertainties; acceptance as in Kletting et al., Med Phys
40:042504 (2013), and the EANM guidance on uncertainty (Gear et al., Eur J Nucl Med Mol Imaging 45:2456, 2018).
"""

import math
from collections.abc import Mapping

from theradose.errors import FitError
from theradose.physics.kinetic_fit import CurveFit
from theradose.physics.kinetic_models import KINETIC_MODELS

LARGEST_CV = 0.5
LARGEST_CORRELATION = 0.8
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


def is_accepted(fit: CurveFit) -> bool:
    """Tell whether every parameter is known to better than 50 % and, with several phases, none follows another.

    The correlation rule is not asked of one phase: its amplitude at time zero and its constant are always correlated
    when the first scan is hours after the administration, and the area is well known all the same.
    """
    if not (fit.coefficients_of_variation < LARGEST_CV).all():
        return False
    return fit.lambda_per_h.size == 1 or fit.largest_correlation < LARGEST_CORRELATION


def select(fits: Mapping[str, CurveFit]) -> str:
    """Return the name of the model to keep; FitError when none is acceptable.

    A model with infinite AICc is never kept beside one with a finite value. When the points are too few for every
    model (three points, two parameters), the fewest parameters win, then the smaller chi^2. Ties go to the model that
    stands first.
    """
    k = {name: KINETIC_MODELS[name].n_parameters for name in fits}
    score = {name: aicc(fit.chi2, fit.n_points, k[name]) for name, fit in fits.items()}
    finite = [name for name in fits if math.isfinite(score[name])]
    fewest = min(k.values())
    candidates = finite or [name for name in fits if k[name] == fewest]
    accepted = [name for name in candidates if is_accepted(fits[name])]
    if not accepted:
        raise FitError(
            "no fit is well determined",
            reason="uncertain_parameters",
            got=", ".join(f"{n} CV {100 * fits[n].coefficients_of_variation.max():.0f} %" for n in candidates),
            expected=f"CV below {100 * LARGEST_CV:.0f} % and correlation below {LARGEST_CORRELATION}",
        )
    rank = {name: score[name] if finite else fits[name].chi2 for name in accepted}
    least = min(rank.values())
    return next(name for name in accepted if rank[name] <= least + TIE)
