"""Voxel S values for any spacing: exact geometry near the source voxel, the smooth density of energy far from it.

A decay somewhere in the source voxel leaves energy at distance r in a direction u. Averaged over the source voxel, the
chance that this place lies in the voxel at offset i is prod_a tri(r u_a / L_a - i_a), tri(x) = max(0, 1 - |x|): so

    E(i) = sum_r F(r) < prod_a tri(r u_a / L_a - i_a) >_u

which is the same as sharing each point r u linearly over the eight lattice points around it. Far out, where the shells
are wide against a voxel, E(i) = V mean f over the spread of source and target, f the energy per volume. Both are joined
by weights that change smoothly with r, so no energy is lost or counted twice.
"""

import itertools
import math
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from theradose.errors import SettingsError, Where
from theradose.physics.kernels import Kernel, point_kernel
from theradose.physics.units import MM3_PER_ML, gy_g_per_mbq_h, kev_from_mev

Array = NDArray[np.float64]
Spacing = tuple[float, float, float]
Shape = tuple[int, int, int]

DIRECTIONS = 4000
# In units of the longest voxel edge: exact geometry up to the first, a smooth change, the far form from the second.
NEAR_EDGES, FAR_EDGES = 3.0, 5.0
# Beyond this many edges a voxel is a point: the second derivative adds less than 1e-4.
POINT_EDGES = 20.0
ROUNDED = 32  # octants are made in multiples of this many voxels

# Edges, times density in g/mL, for which the table is fine enough: it was made in voxels of 0.1 mm, up to 0.5 mm where
# electrons travel farther. Y-90's own voxel is 1 % low at 1 mm (0.37 of its mean distance) and 9 % at 0.5 mm. The upper
# limits only catch other units.
FINEST_MM, FINEST_OF_MEAN, COARSEST_MM, LONGEST_RATIO = 0.2, 0.37, 100.0, 20.0


def finest_edge_mm(name: str) -> float:
    """Return the least voxel edge in mm, in water, for which the kernel of a radionuclide holds.

    >>> finest_edge_mm("Lu-177")
    0.2
    """
    kernel = point_kernel(name)
    mean = float(kernel.middle_mm @ kernel.electron_mev) / float(kernel.electron_mev.sum())
    return max(FINEST_MM, FINEST_OF_MEAN * mean)


def require_voxel(name: str, spacing_zyx_mm: Spacing, density_g_per_ml: float) -> None:
    """Raise SettingsError for voxels (mm) of a medium (g/mL) that are too fine, too coarse or too long for a kernel.

    >>> require_voxel("Y-90", (2.0, 2.0, 2.0), 1.04)
    """
    seen, finest = [step * density_g_per_ml for step in spacing_zyx_mm], finest_edge_mm(name)
    if finest <= min(seen) and max(seen) <= COARSEST_MM and max(seen) <= LONGEST_RATIO * min(seen):
        return
    size = " x ".join(f"{step:g}" for step in spacing_zyx_mm)
    raise SettingsError(
        f"the kernel of {name} does not hold for such voxels",
        where=Where(field="spacing_mm, density"),
        got=f"{size} mm at {density_g_per_ml:g} g/mL",
        expected=f"edge times density {finest:.2g} to {COARSEST_MM:g} mm.g/mL, edges within a factor {LONGEST_RATIO:g}",
        remedy="edges are in mm, densities in g/mL",
        code="voxel_out_of_range",
    )


@cache
def directions(n: int = DIRECTIONS) -> Array:
    """Return n evenly spread unit vectors, (n, 3), on a Fibonacci sphere.

    >>> directions(4000).mean(axis=0).round(3) + 0.0
    array([0., 0., 0.])
    """
    i = np.arange(n) + 0.5
    z, phi = 1.0 - 2.0 * i / n, math.pi * (1.0 + math.sqrt(5.0)) * i
    s = np.sqrt(1.0 - z**2)
    return np.stack([z, s * np.sin(phi), s * np.cos(phi)], axis=1)


def near_weight(r_mm: Array, edge_mm: float) -> Array:
    """Return the part of a shell that is treated exactly: 1 up to 3 edges, 0 from 5 edges, smooth between.

    >>> near_weight(np.array([0.0, 20.0, 50.0]), 5.0)
    array([1. , 0.5, 0. ])
    """
    x = np.clip((r_mm / edge_mm - NEAR_EDGES) / (FAR_EDGES - NEAR_EDGES), 0.0, 1.0)
    return np.asarray(1.0 - x * x * (3.0 - 2.0 * x))


def _near(r_mm: Array, energy_mev: Array, spacing_zyx_mm: Spacing) -> Array:
    """Share the energy of shells linearly over lattice points; one octant, each cell that of a single signed offset."""
    edge = max(spacing_zyx_mm)
    shape = tuple(int(FAR_EDGES * edge / step) + 3 for step in spacing_zyx_mm)
    total, unit = np.zeros(math.prod(shape)), np.abs(directions()) / np.asarray(spacing_zyx_mm)
    for r, energy in zip(r_mm, energy_mev, strict=True):
        place = r * unit
        base = place.astype(int)
        part = place - base
        for corner in itertools.product((0, 1), repeat=3):
            weight = np.prod(np.where(corner, part, 1.0 - part), axis=1)
            index = np.ravel_multi_index(tuple((base + corner).T), shape)
            total += np.bincount(index, weight * (energy / DIRECTIONS), total.size)
    octant = total.reshape(shape)
    for axis in range(3):  # an offset and its mirror image share what fell on both
        index = [slice(None)] * 3
        index[axis] = slice(1, None)
        octant[tuple(index)] /= 2.0
    return octant


def _density_per_mm3(kernel_r_mm: Array, width_mm: Array, energy_mev: Array, r_mm: Array) -> Array:
    """Return the energy per volume at radii r, MeV/mm3, log-linear between the shells."""
    per_volume = np.maximum(energy_mev, 1e-300) / (4.0 * math.pi * kernel_r_mm**2 * width_mm)
    return np.asarray(np.exp(np.interp(np.log(r_mm), np.log(kernel_r_mm), np.log(per_volume), right=-700.0)))


def _far(r_mm: Array, width_mm: Array, energy_mev: Array, spacing_zyx_mm: Spacing, shape: Shape) -> Array:
    """Return V mean f over an octant of offsets, shells weighted by what is not treated exactly."""
    edge = max(spacing_zyx_mm)

    def density(squared: Array) -> Array:
        r = np.sqrt(squared)
        f = _density_per_mm3(r_mm, width_mm, energy_mev, np.maximum(r, 1e-6))
        return np.asarray(f * (1.0 - near_weight(r, edge)))

    axes = [np.arange(n) * step for n, step in zip(shape, spacing_zyx_mm, strict=True)]
    squared = sum(np.ix_(*(axis**2 for axis in axes)))
    octant = density(np.asarray(squared))
    close = [min(n, int(POINT_EDGES * edge / step) + 1) for n, step in zip(shape, spacing_zyx_mm, strict=True)]
    mean = np.zeros(close)
    # Offset between a random point of either voxel has variance L^2/6 an axis: two points at +-L/sqrt 6 match it.
    for signs in itertools.product((-1.0, 1.0), repeat=3):
        moved = [
            (axis[:n] + sign * step / math.sqrt(6.0)) ** 2
            for axis, n, sign, step in zip(axes, close, signs, spacing_zyx_mm, strict=True)
        ]
        mean += density(np.asarray(sum(np.ix_(*moved)))) / 8.0
    octant[tuple(slice(n) for n in close)] = mean
    return np.asarray(octant * math.prod(spacing_zyx_mm))


def _octant(kernel: Kernel, energy_mev: Array, spacing_zyx_mm: Spacing, density_g_per_ml: float, shape: Shape) -> Array:
    """Return the energy per decay (MeV) in voxels at offsets (0.., 0.., 0..) from the source voxel."""
    spacing = tuple(step * density_g_per_ml for step in spacing_zyx_mm)
    r, width = kernel.middle_mm, np.diff(kernel.outer_mm, prepend=0.0)
    near = near_weight(r, max(spacing))
    used = (near > 0) & (energy_mev > 0)
    inner = _near(r[used], (near * energy_mev)[used], spacing)  # type: ignore[arg-type]
    octant = _far(r, width, energy_mev, spacing, shape) if energy_mev[near < 1].any() else np.zeros(shape)  # type: ignore[arg-type]
    cut = tuple(slice(min(a, b)) for a, b in zip(shape, inner.shape, strict=True))
    octant[cut] += inner[cut]
    return octant


def octants_mev(name: str, spacing_zyx_mm: Spacing, density_g_per_ml: float, shape: Shape) -> tuple[Array, Array]:
    """Return the energy per decay (MeV) by electrons and alphas, and by photons, in one octant of offsets (z, y, x).

    Density in g/mL; the electrons' octant is no larger than their range. Arrays are shared between callers: read only.

    >>> electron, photon = octants_mev("Lu-177", (4.8, 4.8, 4.8), 1.04, (3, 3, 3))
    >>> round(float(electron[0, 0, 0]), 3)   # of 0.148 MeV
    0.137
    """
    require_voxel(name, spacing_zyx_mm, density_g_per_ml)
    z, y, x = shape
    rounded = (-(-z // ROUNDED) * ROUNDED, -(-y // ROUNDED) * ROUNDED, -(-x // ROUNDED) * ROUNDED)
    electron, photon = _octants(name, spacing_zyx_mm, density_g_per_ml, rounded)
    return electron[:z, :y, :x], photon[:z, :y, :x]


@lru_cache(maxsize=16)
def _octants(name: str, spacing_zyx_mm: Spacing, density_g_per_ml: float, shape: Shape) -> tuple[Array, Array]:
    """Make the octants for a rounded shape, so that images and boxes of many sizes share a few."""
    kernel = point_kernel(name)
    reach = float(kernel.outer_mm[kernel.electron_mev > 0].max(initial=0.0)) / density_g_per_ml
    z, y, x = (min(n, int(reach / step) + 2) for n, step in zip(shape, spacing_zyx_mm, strict=True))
    electron = _octant(kernel, kernel.electron_mev, spacing_zyx_mm, density_g_per_ml, (z, y, x))
    electron[0, 0, 0] += kernel.alpha_mev
    photon = _octant(kernel, kernel.photon_mev, spacing_zyx_mm, density_g_per_ml, shape)
    electron.flags.writeable = photon.flags.writeable = False
    return electron, photon


def voxel_s_gy_per_mbq_h(name: str, spacing_zyx_mm: Spacing, density_g_per_ml: float, shape: Shape) -> Array:
    """Return voxel S values in Gy/(MBq.h) for one octant of offsets, (z, y, x), voxels of equal density (g/mL).

    >>> from theradose.physics.units import mgy_per_mbq_s_from_gy_per_mbq_h
    >>> s = mgy_per_mbq_s_from_gy_per_mbq_h(voxel_s_gy_per_mbq_h("Y-90", (4.8, 4.8, 4.8), 1.04, (2, 2, 2)))
    >>> f"{s[0, 0, 0]:.2g}"   # published values agree with 0.569 to 1 %
    '0.57'
    """
    electron, photon = octants_mev(name, spacing_zyx_mm, density_g_per_ml, shape)
    total = photon.copy()
    total[tuple(slice(n) for n in electron.shape)] += electron
    voxel_g = math.prod(spacing_zyx_mm) / MM3_PER_ML * density_g_per_ml
    return np.asarray(gy_g_per_mbq_h(kev_from_mev(total)) / voxel_g)
