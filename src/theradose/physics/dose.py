"""Doses of VOIs and organs, and the map of time-integrated activity that a dose engine turns into a dose map."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from theradose.physics.chains import RBE_ALPHA, chain_energy
from theradose.physics.engines import DoseEngine, absorbed_fraction
from theradose.physics.nuclides import Nuclide
from theradose.physics.units import local_dose_gy

Array = NDArray[np.float64]
Labels = NDArray[np.integer]

# Gy/GBq of Lu-177 ligands beyond which a number is more likely a fault than a patient (design of the physics, trap
# "Gy per cycle against Gy per GBq"; published means are 0.4 to 0.6 for kidneys and about 0.03 for marrow).
IMPLAUSIBLE_GY_PER_GBQ = {"kidneys": 1.5, "marrow": 0.5}


@dataclass(frozen=True)
class VoiDose:
    """Mass, time-integrated activity (MBq.h) and mean dose (Gy) of a VOI or organ, with and without recovery.

    `dose_cross_gy` is the part of the dose that comes from outside each VOI; `dose_rbe_gy` counts alphas five times
    (MIRD Pamphlet No. 22) and is the dose itself for a radionuclide without alphas.
    """

    organ: str
    volume_ml: float
    mass_g: float
    tia_mbq_h: float
    tia_uncorrected_mbq_h: float
    dose_gy: float
    dose_std_gy: float
    dose_uncorrected_gy: float
    dose_cross_gy: float = 0.0
    dose_rbe_gy: float = 0.0


def _rbe_extra_gy(tia_mbq_h: float, mass_g: float, nuclide: Nuclide, organ: str) -> float:
    """Return what RBE weighting adds to a self-dose in Gy: (RBE - 1) times the dose by alphas and recoils."""
    source = chain_energy(nuclide.name)
    alphas_gy = local_dose_gy(tia_mbq_h, source.alpha_kev + source.recoil_kev, mass_g)
    return absorbed_fraction(organ) * (RBE_ALPHA - 1.0) * alphas_gy


def voi_dose(
    organ: str,
    *,
    volume_ml: float,
    density_g_per_ml: float,
    tia_mbq_h: float,
    tia_std_mbq_h: float,
    tia_uncorrected_mbq_h: float,
    nuclide: Nuclide,
    engine: DoseEngine,
    cross_gy: float = 0.0,
    cross_uncorrected_gy: float = 0.0,
) -> VoiDose:
    """Return the dose of a VOI, D = S_self(m) TIA + cross-dose, with the uncertainty of the TIA alone.

    What else is uncertain stands in the budget (`uncertainty`).
    """
    mass_g = volume_ml * density_g_per_ml
    per_tia = float(engine.self_s_gy_per_mbq_h(mass_g, density_g_per_ml, nuclide, organ))
    return VoiDose(
        organ=organ,
        volume_ml=volume_ml,
        mass_g=mass_g,
        tia_mbq_h=tia_mbq_h,
        tia_uncorrected_mbq_h=tia_uncorrected_mbq_h,
        dose_gy=per_tia * tia_mbq_h + cross_gy,
        dose_std_gy=per_tia * tia_std_mbq_h,
        dose_uncorrected_gy=per_tia * tia_uncorrected_mbq_h + cross_uncorrected_gy,
        dose_cross_gy=cross_gy,
        dose_rbe_gy=per_tia * tia_mbq_h + cross_gy + _rbe_extra_gy(tia_mbq_h, mass_g, nuclide, organ),
    )


def organ_dose(parts: Sequence[VoiDose]) -> VoiDose:
    """Return the dose of an organ made of VOIs: energies and masses are summed, D = sum D_i m_i / sum m_i.

    Uncertainties of the parts are taken as independent, so those of the energies add in quadrature.
    """
    mass = sum(part.mass_g for part in parts)
    return VoiDose(
        organ=parts[0].organ,
        volume_ml=sum(part.volume_ml for part in parts),
        mass_g=mass,
        tia_mbq_h=sum(part.tia_mbq_h for part in parts),
        tia_uncorrected_mbq_h=sum(part.tia_uncorrected_mbq_h for part in parts),
        dose_gy=sum(part.dose_gy * part.mass_g for part in parts) / mass,
        dose_std_gy=math.hypot(*(part.dose_std_gy * part.mass_g for part in parts)) / mass,
        dose_uncorrected_gy=sum(part.dose_uncorrected_gy * part.mass_g for part in parts) / mass,
        dose_cross_gy=sum(part.dose_cross_gy * part.mass_g for part in parts) / mass,
        dose_rbe_gy=sum(part.dose_rbe_gy * part.mass_g for part in parts) / mass,
    )


def is_implausible(organ: str, dose_gy_per_gbq: float) -> bool:
    """Tell whether a dose per administered activity (Gy/GBq) is above what is seen in patients.

    >>> is_implausible("kidneys", 3.7), is_implausible("kidneys", 0.5)
    (True, False)
    """
    return dose_gy_per_gbq > IMPLAUSIBLE_GY_PER_GBQ.get(organ, math.inf)


def time_weights_h(time_h: Sequence[float]) -> Array:
    """Return trapezoid weights in h of time points, the first activity held back to time zero, no tail.

    >>> time_weights_h([4.0, 24.0, 72.0])
    array([14., 34., 24.])
    """
    time = np.asarray(time_h, float)
    if time.size == 1:
        return np.array([max(float(time[0]), 1.0)])
    half = np.diff(time) / 2.0
    weights = np.concatenate([half, [0.0]]) + np.concatenate([[0.0], half])
    weights[0] += time[0]
    return np.asarray(weights, float)


def voxel_tia_mbq_h(
    activity_mbq: Sequence[Array], time_h: Sequence[float], labels: Labels, region_tia_mbq_h: Mapping[int, float]
) -> Array:
    """Return the TIA of every voxel in MBq.h, (z, y, x), so that each region's voxels sum to its own TIA.

    Within a region TIA follows the time-weighted activity of the voxels (negative ones count as zero); what the region
    holds in all is what its curve integrates to. `activity_mbq` is one image per time point in MBq per voxel, as they
    show it; `region_tia_mbq_h` maps label to the TIA without recovery correction. Labels without a TIA stay zero.
    """
    weights = time_weights_h(time_h)
    pattern = np.clip(np.tensordot(weights, np.stack(activity_mbq), axes=1), 0.0, None)
    factor = np.zeros(int(labels.max()) + 1)
    offset = np.zeros_like(factor)
    sums = np.bincount(labels.ravel(), pattern.ravel(), minlength=factor.size)
    counts = np.bincount(labels.ravel(), minlength=factor.size)
    for label, tia in region_tia_mbq_h.items():
        if sums[label] > 0:
            factor[label] = tia / sums[label]
        elif counts[label]:
            offset[label] = tia / counts[label]
    return np.asarray(pattern * factor[labels] + offset[labels], float)


def unlabelled_tia_mbq_h(activity_mbq: Sequence[Array], time_h: Sequence[float], nuclide: Nuclide) -> Array:
    """Return the TIA in MBq.h of voxels that belong to no region: trapezoids, then physical decay alone.

    TIA = sum_k w_k A_k + A_last / lambda_phys. This is an upper bound after the last scan; no VOI's dose uses it.
    """
    weights = time_weights_h(time_h)
    seen = np.tensordot(weights, np.stack(activity_mbq), axes=1)
    return np.asarray(np.clip(seen + activity_mbq[-1] / nuclide.lambda_per_h, 0.0, None), float)
