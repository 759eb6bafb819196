"""Dose engines: from time-integrated activity per voxel to absorbed dose per voxel, and the self-dose of a VOI.

Every engine has the signature (tia_mbq_h, density_g_per_ml, spacing_zyx_mm, nuclide) -> dose_gy, with arrays (z, y, x);
density may be a number. A better engine is one function and one line in DOSE_ENGINES.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from theradose.errors import SettingsError, Where
from theradose.physics.nuclides import Nuclide
from theradose.physics.units import MM3_PER_ML, local_dose_gy

Array = NDArray[np.float64]
Spacing = tuple[float, float, float]

# Part of the energy of electrons born in active marrow that stays there; the rest goes into bone and inactive marrow.
# It is the self S of Lu-177 in the red marrow of the reference adult male, 1.15e-5 mGy/(MBq.s) at 1170 g, over that of
# complete local absorption, 2.03e-5: a value for Lu-177 electrons (mean 148 keV), used for all nuclides until absorbed
# fractions by energy (ICRP Publication 133, 2016) take its place.
MARROW_ABSORBED_FRACTION = 0.57
MARROW = "marrow"

LUNGS = "lungs"
LUNG_G_PER_ML = 0.26  # inflated lung, ICRU Report 44 (1989)


def absorbed_fraction(organ: str) -> float:
    """Return the part of locally emitted energy that an organ keeps: 0.57 for marrow, 1 for all others.

    >>> absorbed_fraction("kidneys")
    1.0
    """
    return MARROW_ABSORBED_FRACTION if organ == MARROW else 1.0


def density_g_per_ml(organ: str, soft_tissue: float) -> float:
    """Return the density of an organ in g/mL: lung, or the given value of soft tissue.

    >>> density_g_per_ml("lungs", 1.04)
    0.26
    """
    return LUNG_G_PER_ML if organ == LUNGS else soft_tissue


def require_no_progeny(nuclide: Nuclide) -> None:
    """Raise SettingsError for a nuclide whose dose comes largely from progeny, whose energies the table does not hold.

    Ac-225, Pb-212 and At-211 would get a quarter of their dose, or none; no number is better than that one.
    """
    if nuclide.progeny:
        raise SettingsError(
            f"the dose of {nuclide.name} needs its progeny, which the local engine does not know",
            where=Where(field="radionuclide"),
            got=", ".join(nuclide.progeny),
            expected="a radionuclide without radioactive progeny",
        )


def self_dose_gy(tia_mbq_h: float, mass_g: float, nuclide: Nuclide, organ: str) -> float:
    """Return the mean dose of a VOI in Gy from its own activity: D = TIA E_local phi / m.

    E_local is the energy of electrons, alphas and recoils per decay; photons are taken to leave. For Lu-177 in kidneys
    this is 0.7 % below the full self-dose. SettingsError for nuclides with radioactive progeny.

    >>> from theradose.physics.nuclides import nuclide
    >>> round(self_dose_gy(1000.0, 100.0, nuclide("Lu-177"), "kidneys"), 4)
    0.8532
    """
    require_no_progeny(nuclide)
    return absorbed_fraction(organ) * local_dose_gy(tia_mbq_h, nuclide.local_kev, mass_g)


def local(tia_mbq_h: Array, density: Array | float, spacing_zyx_mm: Spacing, nuclide: Nuclide) -> Array:
    """Deposit electrons, alphas and recoils in the voxel where they arise; photons leave the body.

    D = TIA_voxel E_local / (rho V). Good where the range of the electrons is small against a voxel and activity varies
    little (Lu-177: within 1 % in kidneys), wrong for Y-90 in small lesions (+41 % in 2 mL) and for I-131 (-24 % in the
    liver, photons). Absorbed fractions belong to VOIs, not to voxels, and are not applied.

    >>> from theradose.physics.nuclides import nuclide
    >>> local(np.ones((1, 1, 1)), 1.0, (10.0, 10.0, 10.0), nuclide("Lu-177")).round(5)   # 1 MBq.h in 1 g
    array([[[0.08532]]])
    """
    require_no_progeny(nuclide)
    voxel_ml = math.prod(spacing_zyx_mm) / MM3_PER_ML
    return local_dose_gy(np.asarray(tia_mbq_h, float), nuclide.local_kev, np.asarray(density, float) * voxel_ml)


DoseEngine = Callable[[Array, Array | float, Spacing, Nuclide], Array]
DOSE_ENGINES: dict[str, DoseEngine] = {"local": local}


def dose_engine(name: str) -> DoseEngine:
    """Return a dose engine by name; SettingsError lists the known ones."""
    if name not in DOSE_ENGINES:
        raise SettingsError(
            "dose engine is unknown",
            where=Where(field="dose.engine"),
            got=name,
            expected=f"one of {sorted(DOSE_ENGINES)}",
        )
    return DOSE_ENGINES[name]
