"""Dose point kernels: the energy a decay leaves in spherical shells around it, by Monte Carlo in water, and spheres.

The table (data/kernels.csv, made by scripts/monte_carlo/make_kernels.py) holds per radionuclide, short-lived progeny
included, the energy that electrons and photons leave per shell in water of 1 g/mL. In a medium of density rho (g/mL)
radii shrink by 1/rho: soft tissue and water differ by density far more than by composition.
"""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theradose.errors import SettingsError, Where
from theradose.physics.chains import chain_energy
from theradose.physics.units import gy_g_per_mbq_h, kev_from_mev, sphere_radius_mm

Array = NDArray[np.float64]
TABLE = Path(__file__).parent / "data" / "kernels.csv"

# The longest range of a beta particle of the table, Y-90's 2.28 MeV, is 11.3 mm in water (CSDA, NIST ESTAR). What the
# electron column holds farther out is bremsstrahlung and travels like any photon.
ELECTRON_REACH_MM = 12.0


@dataclass(frozen=True)
class Kernel:
    """A point kernel in water of 1 g/mL: outer radii of shells in mm (n,), MeV per decay left in each shell (n,).

    `electron_mev` is zero beyond the range of electrons; `photon_mev` includes their bremsstrahlung; alphas and recoils
    (`alpha_mev`) stay where the decay is.
    """

    name: str
    outer_mm: Array
    electron_mev: Array
    photon_mev: Array
    alpha_mev: float

    @property
    def middle_mm(self) -> Array:
        """The middle radius of every shell in mm, (n,)."""
        return np.asarray(self.outer_mm - np.diff(self.outer_mm, prepend=0.0) / 2.0)


@cache
def _table() -> dict[str, Array]:
    """Return the columns of the table by name."""
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    rows = list(csv.reader(lines))
    values = np.array(rows[1:], float)
    return {name: values[:, i] for i, name in enumerate(rows[0])}


def kernel_names() -> list[str]:
    """Return the radionuclides that have a point kernel."""
    return sorted({name.split()[0] for name in _table()} - {"outer_mm"})


@cache
def point_kernel(name: str) -> Kernel:
    """Return the point kernel of a radionuclide; SettingsError lists the known ones.

    >>> kernel = point_kernel("Lu-177")
    >>> round(float(kernel.electron_mev.sum()), 3)   # MeV per decay: ICRP-107 emits 0.1479
    0.148
    """
    table = _table()
    if f"{name} electron" not in table:
        raise SettingsError(
            "radionuclide has no dose point kernel",
            where=Where(field="radionuclide"),
            got=name,
            expected=f"one of {', '.join(kernel_names())}",
            remedy="add it to scripts/monte_carlo/make_kernels.py and run that, or take the engine local",
        )
    outer, electron, photon = table["outer_mm"], table[f"{name} electron"], table[f"{name} photon"]
    far = outer > ELECTRON_REACH_MM
    emitted = chain_energy(name)
    alpha_mev = (emitted.alpha_kev + emitted.recoil_kev) / kev_from_mev(1.0)
    return Kernel(name, outer, np.where(far, 0.0, electron), photon + np.where(far, electron, 0.0), alpha_mev)


def absorbed_in_sphere(middle_mm: Array, energy_mev: Array, radius_mm: ArrayLike) -> Array:
    """Return the energy (MeV per decay) that a uniform sphere keeps of decays in it; radius in mm, any shape.

    E(R) = sum_r F(r) (1 - 3r/4R + r^3/16R^3), r < 2R: the chance that a point at distance r from a random point of the
    sphere lies in it (Kellerer, Radiat Res 47:359, 1971).

    >>> absorbed_in_sphere(np.array([1.0]), np.array([1.0]), 2.0)   # 1 - 3/8 + 1/128
    array(0.6328125)
    """
    ratio = np.minimum(middle_mm / np.asarray(radius_mm, float)[..., None], 2.0)
    return np.asarray((1.0 - 0.75 * ratio + ratio**3 / 16.0) @ energy_mev)


def sphere_parts_mev(name: str, mass_g: ArrayLike, density_g_per_ml: float) -> tuple[Array, Array]:
    """Return what a sphere keeps per decay in MeV: of electrons and alphas, and of photons; mass in g, any shape.

    >>> electron, photon = sphere_parts_mev("Lu-177", 100.0, 1.04)
    >>> round(float(electron), 3), round(float(photon), 4)
    (0.147, 0.0029)
    """
    kernel = point_kernel(name)
    # Seen in water of 1 g/mL, a sphere of density rho is rho times as wide.
    radius_mm = sphere_radius_mm(mass_g, density_g_per_ml) * density_g_per_ml
    electron = absorbed_in_sphere(kernel.middle_mm, kernel.electron_mev, radius_mm)
    photon = absorbed_in_sphere(kernel.middle_mm, kernel.photon_mev, radius_mm)
    return electron + kernel.alpha_mev, photon


def sphere_s_gy_per_mbq_h(name: str, mass_g: float, density_g_per_ml: float) -> float:
    """Return the self S of a uniform sphere in Gy/(MBq.h): energy kept per decay over the mass (g), density in g/mL.

    Lu-177, 10 g: printed 2.37e-3 mGy/(MBq.s), accepted within 0.5 %.

    >>> from theradose.physics.units import mgy_per_mbq_s_from_gy_per_mbq_h
    >>> f'{mgy_per_mbq_s_from_gy_per_mbq_h(sphere_s_gy_per_mbq_h("Lu-177", 10.0, 1.04)):.3g}'
    '0.00236'
    """
    if not mass_g > 0:
        raise SettingsError("a sphere needs a mass", where=Where(field="mass_g"), got=f"{mass_g:g} g", expected="> 0 g")
    electron, photon = sphere_parts_mev(name, mass_g, density_g_per_ml)
    return float(gy_g_per_mbq_h(kev_from_mev(float(electron + photon))) / mass_g)
