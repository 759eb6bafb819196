"""Organ-level dose: self-dose by S values of the patient's masses, cross-dose by the kernel on the patient's masks.

D_t = S_self(m_t) TIA_t + cross_t. The cross-dose has no reference phantom behind it: cross_t is the mean over t of the
dose that uniform activity in every VOI and in the remainder gives, less what t gives itself, both by the voxel engine
on the patient's label map. Labels exclude each other, so a lesion in the liver is not counted in the liver.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from theradose.physics.engines import DoseEngine
from theradose.physics.kernels import sphere_parts_mev
from theradose.physics.nuclides import Nuclide
from theradose.physics.units import gy_g_per_mbq_h, kev_from_mev
from theradose.physics.voxel_s import Spacing

Array = NDArray[np.float64]
Labels = NDArray[np.integer]


@dataclass(frozen=True)
class ReferenceOrgan:
    """An organ of the reference adult male: mass in g and the masses of its separate pieces in g."""

    mass_g: float
    pieces_g: tuple[float, ...]


# ICRP Publication 89 (2002), adult male; salivary glands: parotid 25, submandibular 12.5, sublingual 5 a side.
REFERENCE_ADULT: dict[str, ReferenceOrgan] = {
    "kidneys": ReferenceOrgan(310.0, (155.0, 155.0)),
    "liver": ReferenceOrgan(1800.0, (1800.0,)),
    "spleen": ReferenceOrgan(150.0, (150.0,)),
    "salivary": ReferenceOrgan(85.0, (25.0, 25.0, 12.5, 12.5, 5.0, 5.0)),
}


def pieces_self_s(pieces_g: Sequence[float], density_g_per_ml: float, nuclide: Nuclide) -> tuple[float, float]:
    """Return the self S in Gy/(MBq.h) of an organ of separate spheres (g), by electrons with alphas, and by photons.

    Activity is shared by mass; photons from one piece to another are left out.

    >>> from theradose.physics.nuclides import nuclide
    >>> electron, photon = pieces_self_s((155.0, 155.0), 1.04, nuclide("Lu-177"))
    >>> round(photon / electron, 2)
    0.02
    """
    total = math.fsum(pieces_g)
    parts = sphere_parts_mev(nuclide.name, np.asarray(pieces_g), density_g_per_ml)
    electron, photon = (gy_g_per_mbq_h(kev_from_mev(float(part @ pieces_g) / total)) / total for part in parts)
    return electron, photon


def scaled_self_s(electron_s: float, photon_s: float, reference_g: float, mass_g: float) -> float:
    """Return a reference organ's self S, in its own unit, scaled to the patient's mass (g).

    S = S_e m_ref/m + S_ph (m_ref/m)^(2/3): electrons stay, of photons a part that grows with the organ's width stays
    (Snyder et al., MIRD Pamphlet No. 11, 1975; Stabin, Fundamentals of Nuclear Medicine Dosimetry, 2008).

    >>> scaled_self_s(1.0, 1.0, 800.0, 100.0)
    12.0
    """
    ratio = reference_g / mass_g
    return float(electron_s * ratio + photon_s * ratio ** (2.0 / 3.0))


def uniform_tia_mbq_h(labels: Labels, tia_mbq_h: Mapping[int, float]) -> Array:
    """Return the TIA per voxel (z, y, x) in MBq.h when every label's own is spread evenly in it.

    >>> uniform_tia_mbq_h(np.array([[[1, 1, 2]]]), {1: 4.0, 2: 3.0})
    array([[[2., 2., 3.]]])
    """
    counts = np.bincount(labels.ravel())
    table = np.zeros(counts.size)
    for label, tia in tia_mbq_h.items():
        table[label] = tia / counts[label]
    return np.asarray(table[labels])


def own_mean_gy_per_mbq_h(
    labels: Labels, density_g_per_ml: Array, spacing_zyx_mm: Spacing, nuclide: Nuclide, engine: DoseEngine
) -> dict[int, float]:
    """Return label -> mean dose in it by the voxel engine when it alone holds 1 MBq.h evenly, Gy/(MBq.h)."""
    found = {}
    for label, box in enumerate(ndimage.find_objects(labels), 1):
        if box is not None:
            mask = labels[box] == label
            dose = engine.dose_gy(mask / mask.sum(), density_g_per_ml[box], spacing_zyx_mm, nuclide)
            found[label] = float(dose[mask].mean())
    return found


def share_of_surroundings(labels: Labels, label: int, others: Sequence[int]) -> float:
    """Return which part of the voxels that touch a label, by face, edge or corner, belongs to some other labels.

    >>> share_of_surroundings(np.array([[[2, 1, 2, 2, 3]]]), 1, [2])
    1.0
    """
    box = ndimage.find_objects((labels == label).astype(np.int8))[0]
    wide = labels[tuple(slice(max(0, part.start - 1), part.stop + 1) for part in box)]
    around = ndimage.binary_dilation(wide == label, np.ones((3, 3, 3), bool)) & (wide != label)
    return float(np.isin(wide[around], others).mean()) if around.any() else 0.0


def cross_doses_gy(
    labels: Labels,
    tia_mbq_h: Sequence[Mapping[int, float]],
    *,
    density_g_per_ml: Array,
    spacing_zyx_mm: Spacing,
    nuclide: Nuclide,
    engine: DoseEngine,
    unlabelled_tia_mbq_h: Array | float = 0.0,
) -> list[dict[int, float]]:
    """Return, for each set of TIAs (label -> MBq.h), label -> mean dose in Gy from everything outside the label.

    `unlabelled_tia_mbq_h` (z, y, x) is what voxels without a label hold, zero elsewhere. Zero throughout for an engine
    without crossfire. Rounding can leave a trace below zero, which counts as zero.
    """
    if not engine.crossfire:
        return [dict.fromkeys(given, 0.0) for given in tia_mbq_h]
    own = own_mean_gy_per_mbq_h(labels, density_g_per_ml, spacing_zyx_mm, nuclide, engine)
    result = []
    for given in tia_mbq_h:
        spread = uniform_tia_mbq_h(labels, given) + unlabelled_tia_mbq_h
        dose = engine.dose_gy(spread, density_g_per_ml, spacing_zyx_mm, nuclide)
        means = ndimage.mean(dose, labels, list(given))
        pairs = zip(given.items(), np.atleast_1d(means), strict=True)
        result.append({label: max(float(mean) - own[label] * tia, 0.0) for (label, tia), mean in pairs})
    return result
