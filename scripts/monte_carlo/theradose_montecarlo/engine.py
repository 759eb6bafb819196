"""The dose engine `monte_carlo`: every voxel's own density and medium, electrons and photons apart."""

import math

import numpy as np

from theradose_montecarlo.spectra import Lines, emissions
from theradose_montecarlo.transport import CUT_MEV, ELECTRON, PHOTON, Phantom, deposited_mev

# Media by density in g/mL: up to the first border air, then lung, soft tissue, bone (names of the cross sections).
BORDERS_G_PER_ML = (0.1, 0.6, 1.15)
MEDIA = ("AIR521ICRU", "LUNG521ICRU", "ICRUTISSUE521ICRU", "ICRPBONE521ICRU")
GY_PER_MEV_PER_G = 1.602176634e-10
DECAYS_PER_MBQ_H = 3.6e9
MM3_PER_ML = 1e3


def phantom_of(density_g_per_ml: np.ndarray, spacing_zyx_mm: tuple[float, float, float]) -> Phantom:
    """Return a phantom of voxels whose medium follows from their density."""
    edges = tuple(np.arange(n + 1) * step for n, step in zip(density_g_per_ml.shape, spacing_zyx_mm, strict=True))
    medium = np.digitize(density_g_per_ml, BORDERS_G_PER_ML).astype(np.int32) + 1
    return Phantom(edges, density_g_per_ml, MEDIA, medium)  # type: ignore[arg-type]


def places_mm(
    tia: np.ndarray, spacing_zyx_mm: tuple[float, float, float], n: int, generator: np.random.Generator
) -> np.ndarray:
    """Draw n places of decay, (n, 3): a voxel by its share of the TIA, stratified, and evenly within it."""
    cumulative = np.cumsum(tia.ravel()) / tia.sum()
    u = (np.arange(n) + generator.random(n)) / n
    voxel = generator.permutation(np.searchsorted(cumulative, u).clip(max=tia.size - 1))
    index = np.stack(np.unravel_index(voxel, tia.shape), axis=1)
    return (index + generator.random((n, 3))) * np.asarray(spacing_zyx_mm)


def energy_mev(
    tia: np.ndarray, phantom: Phantom, spacing_zyx_mm: tuple[float, float, float], nuclide: str, *,
    histories: int, generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Return the energy per decay left in each voxel (MeV) by electrons with alphas, and by photons."""
    emitted = emissions(nuclide)
    share = tia / tia.sum()
    result = []
    for kind, lines, local in (
        (ELECTRON, emitted.electrons, emitted.alpha_mev), (PHOTON, emitted.photons, 0.0),
    ):  # fmt: skip
        low, high = lines.split(CUT_MEV)
        energy = share * (low.total_mev + local)
        if high.energy_mev.size:
            energy = energy + _transported(kind, high, tia, phantom, spacing_zyx_mm, n=histories, generator=generator)
        result.append(energy)
    return result[0], result[1]


def _transported(
    kind: int, lines: Lines, tia: np.ndarray, phantom: Phantom, spacing: tuple[float, float, float],
    *, n: int, generator: np.random.Generator,
) -> np.ndarray:  # fmt: skip
    """Return the energy per decay of the lines above the cut."""
    places = places_mm(tia, spacing, n, generator)
    return deposited_mev(phantom, kind, lines.draw(n, generator), places, generator)[0] * lines.per_decay.sum()


def monte_carlo(
    tia_mbq_h: np.ndarray, density: np.ndarray | float, spacing_zyx_mm: tuple[float, float, float], nuclide,
    *, histories: int = 2_000_000, seed: int = 1,
) -> np.ndarray:  # fmt: skip
    """Return the dose per voxel in Gy, (z, y, x); the same arguments as every dose engine of theradose."""
    tia = np.maximum(np.asarray(tia_mbq_h, float), 0.0)
    if not tia.any():
        return np.zeros(tia.shape)
    solid = np.broadcast_to(np.asarray(density, float), tia.shape)
    generator = np.random.default_rng(seed)
    phantom = phantom_of(solid, spacing_zyx_mm)
    parts = energy_mev(tia, phantom, spacing_zyx_mm, nuclide.name, histories=histories, generator=generator)
    mass_g = solid * math.prod(spacing_zyx_mm) / MM3_PER_ML
    return (parts[0] + parts[1]) * (tia.sum() * DECAYS_PER_MBQ_H * GY_PER_MEV_PER_G) / mass_g
