"""Probability of a complication in a normal organ (NTCP): probit, logistic, and that of the virtual kidneys.

The curves are general; their parameters are not. Those fitted to external-beam radiotherapy do not transfer to
radionuclide therapy: MIRD Pamphlet No. 20, J Nucl Med 2008;49:1884-1899. `limits.csv` marks them `external_beam`.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from theradose.physics.dvh import generalised_eud
from theradose.physics.limits import EXTERNAL_BEAM_WARNING, constant, has_constant
from theradose.physics.radiobiology import eqd2_gy, require

Array = NDArray[np.float64]


def probit_ntcp(dose_gy: ArrayLike, td50_gy: float, m: float) -> Array:
    """Return Lyman's NTCP = Phi((D / TD50 - 1) / m) for uniform doses, BED or EUD in Gy, any shape.

    `td50_gy` in Gy of the same kind, `m` the slope (1). Lyman, Radiat Res 1985;104:S13-S19. DataError when either is
    not positive.

    >>> probit_ntcp([28.0, 23.0], 28.0, 0.10).round(3)   # kidneys of Burman 1991: TD5/5 is 23 Gy
    array([0.5  , 0.037])
    """
    require(td50_gy > 0 and m > 0, "td50_gy, m", (td50_gy, m), "above zero")
    return np.asarray(ndtr((np.asarray(dose_gy, float) / td50_gy - 1.0) / m))


def lkb_ntcp(dose_gy: ArrayLike, td50_gy: float, m: float, n: float) -> float:
    """Return the NTCP of Lyman, Kutcher and Burman for the voxels of an organ: probit of the EUD with exponent 1/n.

    `dose_gy` (voxels,) in Gy; n = 1 is the mean dose, n towards 0 the maximum. Kutcher and Burman, Int J Radiat Oncol
    Biol Phys 1989;16:1623-1630. DataError when a parameter is not positive.

    >>> round(lkb_ntcp([0.0, 40.0], 28.0, 0.10, 0.70), 3)   # half of the organ spared
    0.114
    """
    require(n > 0, "n", n, "above zero")
    return float(probit_ntcp(generalised_eud(dose_gy, 1.0 / n), td50_gy, m))


def logistic_ntcp(dose_gy: ArrayLike, td50_gy: float, gamma50: float) -> Array:
    """Return the log-logistic NTCP = 1 / (1 + (TD50 / D)^(4 gamma50)) for doses in Gy, any shape.

    `gamma50` is the rise of the probability for a relative rise of the dose, at TD50. Niemierko, Med Phys 1999;26:1100.
    DataError for a negative dose or a parameter that is not positive.

    >>> logistic_ntcp([0.0, 22.0, 44.0], 44.0, 1.33).round(3)
    array([0.   , 0.024, 0.5  ])
    """
    dose = np.asarray(dose_gy, float)
    require(td50_gy > 0 and gamma50 > 0, "td50_gy, gamma50", (td50_gy, gamma50), "above zero")
    require(bool((dose >= 0).all()), "dose_gy", dose, "not negative, Gy")
    power = (dose / td50_gy) ** (4.0 * gamma50)
    return np.asarray(power / (1.0 + power))


def renal_ntcp(bed_gy: ArrayLike, risk: ArrayLike = 0.0) -> Array:
    """Return the planted probability that a virtual patient loses renal function, from the kidneys' BED in Gy.

    NTCP = b + (1 - b) Phi((BED / (TD50 (1 - risk)) - 1) / m): background b, and risk factors that lower TD50 (their
    parts in `limits.csv`, case `virtual`, add up). Invented for the virtual cohort, fitted to no patients. `risk` (1)
    broadcasts with `bed_gy`; DataError outside 0 to 1.

    >>> renal_ntcp([0.0, 44.0, 39.6], [0.0, 0.0, 0.10]).round(3)
    array([0.03 , 0.515, 0.515])
    """
    factor = np.asarray(risk, float)
    require(bool(((factor >= 0) & (factor < 1)).all()), "risk", factor, "from 0 to below 1")
    td50, m, background = (constant("kidneys", f"ntcp_{x}", "virtual").value for x in ("td50_gy", "m", "background"))
    curve = probit_ntcp(np.asarray(bed_gy, float) / (1.0 - factor), td50, m)
    return np.asarray(background + (1.0 - background) * curve)


def external_beam_ntcp(organ: str, bed_gy: float, alpha_beta_gy: float) -> tuple[float, str]:
    """Return the NTCP of an organ by external-beam parameters at the EQD2 of its BED, with the warning it needs.

    NaN and an empty text when `limits.csv` has no such parameters, or the BED or alpha/beta (Gy) is not known.

    >>> round(external_beam_ntcp("kidneys", 40.0, 2.6)[0], 3), external_beam_ntcp("spleen", 40.0, 2.6)
    (0.027, (nan, ''))
    """
    if not has_constant(organ, "ntcp_td50_gy", "external_beam") or not np.isfinite([bed_gy, alpha_beta_gy]).all():
        return float("nan"), ""
    td50, m = (constant(organ, name, "external_beam") for name in ("ntcp_td50_gy", "ntcp_m"))
    value = float(probit_ntcp(eqd2_gy(bed_gy, alpha_beta_gy), td50.value, m.value))
    return value, f"{EXTERNAL_BEAM_WARNING}; {td50.validity}; {td50.source}"
