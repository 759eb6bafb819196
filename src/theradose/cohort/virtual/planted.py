"""The planted dose: what the kernel engine makes of the planted activity, so that engine and truth mean the same."""

from theradose.cohort.virtual.latents import Value
from theradose.cohort.virtual.organs import SOFT_TISSUE_G_PER_ML
from theradose.physics.engines import dose_engine
from theradose.physics.nuclides import nuclide

MBQ_PER_GBQ = 1000.0
ENGINE = "kernel"


def planted_self_dose_gy(organ: str, tia_mbq_h: Value, mass_g: Value, radionuclide: str) -> Value:
    """Return the mean dose in Gy that an organ or one of its VOIs gives itself: S of its mass times TIA.

    Marrow keeps its absorbed fraction only. What other organs add takes an anatomy: see `truth`.
    """
    s = dose_engine(ENGINE).self_s_gy_per_mbq_h(mass_g, SOFT_TISSUE_G_PER_ML, nuclide(radionuclide), organ)
    return s * tia_mbq_h
