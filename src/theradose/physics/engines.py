"""Dose engines: from time-integrated activity per voxel to absorbed dose per voxel, and the self S of a VOI.

An engine is a line in DOSE_ENGINES. Others are found as plug-ins of the entry-point group `theradose.dose_engines`:
Monte Carlo is one (scripts/monte_carlo), since its transport code is GPL and no part of this package.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theradose.errors import SettingsError, Where
from theradose.physics.chains import chain_energy
from theradose.physics.convolve import convolve_symmetric
from theradose.physics.kernels import sphere_parts_mev
from theradose.physics.nuclides import Nuclide
from theradose.physics.units import MM3_PER_ML, gy_g_per_mbq_h, kev_from_mev, local_dose_gy
from theradose.physics.voxel_s import Spacing, octants_mev

Array = NDArray[np.float64]

# Part of the energy of electrons born in active marrow that stays there; the rest goes into bone and inactive marrow.
# It is the self S of Lu-177 in the red marrow of the reference adult male, 1.15e-5 mGy/(MBq.s) at 1170 g, over that of
# complete local absorption, 2.03e-5: a value for Lu-177 electrons (mean 148 keV), used for all nuclides until absorbed
# fractions by energy (ICRP Publication 133, 2016) take its place.
MARROW_ABSORBED_FRACTION = 0.57
MARROW = "marrow"

LUNGS = "lungs"
LUNG_G_PER_ML = 0.26  # inflated lung, ICRU Report 44 (1989)
SOFT_TISSUE_G_PER_ML = 1.04  # kidney, spleen, muscle: 1.05; liver 1.06; adipose 0.95 (ICRU Report 44, 1989)

# Below this density a voxel holds mostly gas: its dose is that of a cavity in tissue, not energy over nearly no mass.
GAS_G_PER_ML = 0.1

PLUGINS = "theradose.dose_engines"


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


def _mass(density_g_per_ml: Array | float, spacing_zyx_mm: Spacing) -> Array:
    """Return the mass of each voxel in g; gas counts as soft tissue."""
    density = np.asarray(density_g_per_ml, float)
    solid = np.where(density < GAS_G_PER_ML, SOFT_TISSUE_G_PER_ML, density)
    return np.asarray(solid * (math.prod(spacing_zyx_mm) / MM3_PER_ML))


def local(tia_mbq_h: Array, density: Array | float, spacing_zyx_mm: Spacing, nuclide: Nuclide) -> Array:
    """Deposit electrons, alphas and recoils in the voxel where they arise; photons leave the body.

    D = TIA_voxel E_local / (rho V), progeny in place. Good where the range of the electrons is small against a voxel
    and activity varies little (Lu-177: within 1 % in kidneys), wrong for Y-90 in small lesions (+41 % in 2 mL) and for
    I-131 (-24 % in the liver, photons). Absorbed fractions belong to VOIs, not to voxels, and are not applied.

    >>> from theradose.physics.nuclides import nuclide
    >>> local(np.ones((1, 1, 1)), 1.0, (10.0, 10.0, 10.0), nuclide("Lu-177")).round(5)   # 1 MBq.h in 1 g
    array([[[0.08532]]])
    """
    energy_kev = chain_energy(nuclide.name).local_kev
    return local_dose_gy(np.asarray(tia_mbq_h, float), energy_kev, _mass(density, spacing_zyx_mm))


def kernel(tia_mbq_h: Array, density: Array | float, spacing_zyx_mm: Spacing, nuclide: Nuclide) -> Array:
    """Convolve with voxel S values of full range and scale by density.

    Electrons: what they leave in a voxel, by the kernel of soft tissue (1.04 g/mL), over the voxel's own mass, D =
    (TIA * K_e) / (rho V). Photons: their dose in soft tissue, unscaled, since the energy they leave grows with the
    mass that is there. Within 1 % of Monte Carlo in soft tissue, 4 % in bone that holds activity, 12 % in cool bone;
    not valid in lung, where electrons travel four times as far (docs/dosimetry.md). The body's surface is not seen:
    scatter comes as if tissue had no end.

    >>> from theradose.physics.nuclides import nuclide
    >>> round(float(kernel(np.ones((1, 1, 1)), 1.04, (10.0, 10.0, 10.0), nuclide("Lu-177"))[0, 0, 0]) * 1.04, 4)
    0.0827
    """
    tia = np.asarray(tia_mbq_h, float)
    electron, photon = octants_mev(nuclide.name, spacing_zyx_mm, SOFT_TISSUE_G_PER_ML, tia.shape)
    by_electrons = kev_from_mev(convolve_symmetric(tia, electron)) / _mass(density, spacing_zyx_mm)
    by_photons = kev_from_mev(convolve_symmetric(tia, photon)) / _mass(SOFT_TISSUE_G_PER_ML, spacing_zyx_mm)
    # The transforms leave rounding errors where nothing is: no dose is negative.
    return np.asarray(np.maximum(gy_g_per_mbq_h(by_electrons + by_photons), 0.0))


def local_self_s(mass_g: ArrayLike, _density_g_per_ml: float, nuclide: Nuclide, organ: str) -> Array:
    """Return the self S in Gy/(MBq.h) when electrons, alphas and recoils stay and photons leave; mass in g, any shape.

    >>> from theradose.physics.nuclides import nuclide
    >>> round(float(local_self_s(100.0, 1.04, nuclide("Lu-177"), "kidneys")) * 1000, 4)
    0.8532
    """
    kept = absorbed_fraction(organ) * gy_g_per_mbq_h(chain_energy(nuclide.name).local_kev)
    return np.asarray(kept / np.asarray(mass_g, float))


# Masses between which the sphere model is tabulated for interpolation, g; one point every 2.5 %.
SPHERE_GRID_G = np.geomspace(1e-3, 1e5, 747)


def sphere_self_s(mass_g: ArrayLike, density: float, nuclide: Nuclide, organ: str) -> Array:
    """Return the self S in Gy/(MBq.h) of a sphere of the VOI's mass (g, any shape), interpolated in log-log.

    Electrons that leave and photons that stay are counted. Marrow is no sphere: it keeps its cited absorbed fraction.

    >>> from theradose.physics.nuclides import nuclide
    >>> round(float(sphere_self_s(100.0, 1.04, nuclide("Lu-177"), "kidneys")) * 1000, 2)
    0.86
    """
    if organ == MARROW:
        return local_self_s(mass_g, density, nuclide, organ)
    electron, photon = sphere_parts_mev(nuclide.name, SPHERE_GRID_G, density)
    table = np.log(gy_g_per_mbq_h(kev_from_mev(electron + photon)) / SPHERE_GRID_G)
    return np.asarray(np.exp(np.interp(np.log(np.asarray(mass_g, float)), np.log(SPHERE_GRID_G), table)))


@dataclass(frozen=True)
class DoseEngine:
    """Two functions that belong together, and whether a VOI's photons reach others.

    `dose_gy`: (tia_mbq_h, density_g_per_ml, spacing_zyx_mm, nuclide) -> Gy, arrays (z, y, x), density may be a number.
    `self_s_gy_per_mbq_h`: (mass_g, density_g_per_ml, nuclide, organ) -> Gy/(MBq.h), in the shape of the mass.
    """

    dose_gy: Callable[[Array, Array | float, Spacing, Nuclide], Array]
    self_s_gy_per_mbq_h: Callable[[ArrayLike, float, Nuclide, str], Array] = sphere_self_s
    crossfire: bool = True


DOSE_ENGINES: dict[str, DoseEngine] = {
    "local": DoseEngine(local, local_self_s, crossfire=False),
    "kernel": DoseEngine(kernel),
}


def dose_engine(name: str) -> DoseEngine:
    """Return a dose engine by name, plug-ins included; SettingsError lists the known ones."""
    if name in DOSE_ENGINES:
        return DOSE_ENGINES[name]
    plugins = {plugin.name: plugin for plugin in entry_points(group=PLUGINS)}
    if name not in plugins:
        raise SettingsError(
            "dose engine is unknown",
            where=Where(field="dose.engine"),
            got=name,
            expected=f"one of {sorted({*DOSE_ENGINES, *plugins})}",
            remedy="monte_carlo is a plug-in: make monte-carlo" if name == "monte_carlo" else None,
        )
    return DoseEngine(plugins[name].load())
