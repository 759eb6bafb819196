"""The planted dose: what the local engine makes of the planted activity, so that engine and truth mean the same."""

from theradose.cohort.virtual.latents import Value
from theradose.physics.engines import absorbed_fraction
from theradose.physics.nuclides import nuclide
from theradose.physics.units import local_dose_gy

MBQ_PER_GBQ = 1000.0


def planted_dose_gy(organ: str, tia_mbq_h: Value, mass_g: Value, radionuclide: str) -> Value:
    """Return the mean dose in Gy of an organ or one of its VOIs: electrons of all decays over the mass.

    Marrow keeps its absorbed fraction only. 1000 MBq.h of Lu-177 in 100 g of kidney give 0.8532 Gy.
    """
    gy_g_per_mbq_h = absorbed_fraction(organ) * local_dose_gy(1.0, nuclide(radionuclide).local_kev, 1.0)
    return gy_g_per_mbq_h * tia_mbq_h / mass_g
