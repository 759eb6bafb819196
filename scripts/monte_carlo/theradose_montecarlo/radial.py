"""Energy around a point source in water by shell: fine voxels near the source, growing outwards, read out by radius."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter1d

from theradose_montecarlo.spectra import Emissions, Lines
from theradose_montecarlo.transport import CUT_MEV, ELECTRON, PHOTON, Phantom, deposited_mev

FAR_MM = 1000.0
# Shells: 0.025 mm wide to 1 mm, then 3 % wider each, to a metre.
NEAR_MM, STEP_MM, GROWTH = 1.0, 0.025, 1.03
NEAR_CELLS, REPEATS = 40, 3  # voxels from the source in which the spread in a voxel is unfolded, and how often
# Mass attenuation of water, cm2/g at MeV (NIST, Hubbell and Seltzer, NISTIR 5632, 1995): photons below the cut.
LOW_MEV = np.array([1.0e-3, 1.5e-3, 2e-3, 3e-3, 4e-3, 5e-3, 6e-3, 8e-3, 1e-2])
LOW_MU = np.array([4078.0, 1376.0, 617.3, 192.9, 82.78, 42.58, 24.64, 10.37, 5.329])


def shells_mm() -> np.ndarray:
    """Return the outer radii of the shells in mm."""
    near = np.arange(1, round(NEAR_MM / STEP_MM) + 1) * STEP_MM
    count = int(np.ceil(np.log(FAR_MM / NEAR_MM) / np.log(GROWTH)))
    return np.round(np.concatenate([near, NEAR_MM * (FAR_MM / NEAR_MM) ** (np.arange(1, count + 1) / count)]), 4)


def edges_mm(first_mm: float, uniform_mm: float, growth: float, growth_far: float) -> np.ndarray:
    """Return edges symmetric about a voxel centred on zero: uniform, then growing, faster beyond 20 mm."""
    half = [first_mm / 2]
    while half[-1] < FAR_MM:
        rate = growth if half[-1] < 20.0 else growth_far
        half.append(half[-1] + first_mm + max(0.0, half[-1] - uniform_mm) * rate)
    return np.concatenate([-np.array(half[::-1]), half])


def folded(energy: np.ndarray) -> np.ndarray:
    """Return the energy of one octant: mirror images about the middle voxel are added up."""
    half = energy.shape[0] // 2
    for axis in range(3):
        upper = np.take(energy, range(half, energy.shape[axis]), axis)
        lower = np.flip(np.take(energy, range(half), axis), axis)
        index = [slice(None)] * 3
        index[axis] = slice(1, None)
        upper[tuple(index)] += lower
        energy = upper
    return energy


def _shared(
    octant: np.ndarray, low: np.ndarray, width: np.ndarray, outer_mm: np.ndarray, *, sub: int, per_volume: np.ndarray
) -> np.ndarray:
    """Share the energy of voxels over shells in proportion to a density by shell, at sub^3 points of each voxel."""
    i, j, k = np.nonzero(octant)
    offsets = [(a, b, c) for a in range(sub) for b in range(sub) for c in range(sub)]

    def shell(a: int, b: int, c: int) -> np.ndarray:
        place = [low[n] + width[n] * (s + 0.5) / sub for n, s in ((i, a), (j, b), (k, c))]
        return np.searchsorted(outer_mm, np.sqrt(sum(p**2 for p in place)), side="left")

    density = np.append(per_volume, per_volume[-1])
    whole = sum(density[shell(*offset)] for offset in offsets)
    scaled, total = octant[i, j, k] / whole, np.zeros(outer_mm.size + 1)
    for offset in offsets:
        index = shell(*offset)
        total += np.bincount(index, scaled * density[index], total.size)
    return total


def by_shell(energy: np.ndarray, edges: np.ndarray, outer_mm: np.ndarray) -> np.ndarray:
    """Share the energy of every voxel over shells.

    An even spread in a voxel would push energy outwards. Near the source the spread within a voxel follows 1/r^2 times
    the energy per width of shell, smoothed over two voxels and found by repetition; far out an even spread is as good.
    """
    octant, positive = folded(energy), edges[energy.shape[0] // 2 :]
    low, width = positive[:-1], np.diff(positive)
    inner = octant.copy()
    inner[NEAR_CELLS:], inner[:, NEAR_CELLS:], inner[:, :, NEAR_CELLS:] = 0.0, 0.0, 0.0
    thick = np.diff(outer_mm, prepend=0.0)
    falling, window = thick / np.diff(outer_mm**3, prepend=0.0), max(3, round(2 * width[0] / STEP_MM))
    far = _shared(octant - inner, low, width, outer_mm, sub=3, per_volume=np.ones(outer_mm.size))
    near, slope = np.zeros(outer_mm.size + 1), np.ones(outer_mm.size)
    for _ in range(REPEATS):
        near = _shared(inner, low, width, outer_mm, sub=8, per_volume=falling * slope)
        slope = np.maximum(uniform_filter1d((near + far)[:-1] / thick, window, mode="nearest"), 1e-12)
    return (near + far)[:-1]


def low_photons(lines: Lines, outer_mm: np.ndarray) -> np.ndarray:
    """Return where photons below the cut are absorbed, by exponential attenuation: they do not scatter far."""
    energy = np.clip(lines.energy_mev, LOW_MEV[0], LOW_MEV[-1])
    mu_per_mm = np.exp(np.interp(np.log(energy), np.log(LOW_MEV), np.log(LOW_MU))) / 10.0
    inner = np.concatenate([[0.0], outer_mm[:-1]])
    part = np.exp(-mu_per_mm[:, None] * inner) - np.exp(-mu_per_mm[:, None] * outer_mm)
    return (lines.energy_mev * lines.per_decay) @ part


def electron_cell_mm(lines: Lines) -> float:
    """Return the width of the voxels near the source: 0.1 mm, up to 0.5 mm where electrons travel farther.

    The range grows about as E^1.5; the energy is the mean one, weighted by energy. Not finer: every boundary ends a
    step of the transport and straightens it a little. The mean distance of Lu-177's electrons is 0.256 mm in voxels of
    0.025 mm, 0.254 at 0.05, 0.253 at 0.1, 0.252 at 0.3, 0.249 at 1 and 0.247 at 4.8 mm; a voxel of 4.8 mm keeps of
    Y-90's 0.565 mGy/(MBq.s) when cut into voxels of 0.24 mm, 0.567 at 0.6 mm, 0.573 when whole.
    """
    mean_mev = float(lines.energy_mev**2 @ lines.per_decay) / lines.total_mev
    return 0.1 * float(np.clip((mean_mev / 0.25) ** 1.5, 1.0, 5.0))


@dataclass(frozen=True)
class Radial:
    """Energy per decay left in each shell, MeV, by electrons (their bremsstrahlung too) and by photons."""

    electron_mev: np.ndarray
    photon_mev: np.ndarray


def _transported(
    kind: int, lines: Lines, edges: np.ndarray, outer_mm: np.ndarray, *, n: int, generator: np.random.Generator
) -> np.ndarray:
    """Return the energy per decay by shell of the lines above the cut."""
    if not lines.energy_mev.size:
        return np.zeros(outer_mm.size)
    phantom = Phantom((edges,) * 3, np.ones((edges.size - 1,) * 3))
    energy, _ = deposited_mev(phantom, kind, lines.draw(n, generator), np.zeros((n, 3)), generator)
    return by_shell(energy, edges, outer_mm) * lines.per_decay.sum()


def point_source(emitted: Emissions, n_electrons: int, n_photons: int, generator: np.random.Generator) -> Radial:
    """Transport a nuclide's emissions from a point in water of 1 g/mL."""
    outer_mm = shells_mm()
    local, electrons = emitted.electrons.split(CUT_MEV)
    low, photons = emitted.photons.split(CUT_MEV)
    cell = electron_cell_mm(electrons)
    fine, coarse = edges_mm(cell, 20 * cell, 0.05, 0.12), edges_mm(0.25, 4.0, 0.06, 0.08)
    electron = _transported(ELECTRON, electrons, fine, outer_mm, n=n_electrons, generator=generator)
    electron[0] += local.total_mev
    photon = _transported(PHOTON, photons, coarse, outer_mm, n=n_photons, generator=generator)
    photon += low_photons(low, outer_mm)
    return Radial(electron, photon)
