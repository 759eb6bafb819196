"""Mono-exponential fits of every voxel at once: the least squares of `kinetic_fit` without a loop over voxels.

For a constant lambda the best amplitude is A = Q0/P0, with moments P_k = sum w f^2 t^k, Q_k = sum w f y t^k,
f = exp(-l t), w = 1/sigma^2. Then chi^2 has its minimum in lambda where h = Q1 P0 - Q0 P1 = 0, and

    dh/dlambda = 2 Q0 P2 - Q1 P1 - Q2 P0.

The search starts at the best node of a grid over lambda_bio (all voxels share the times, so a product of matrices gives
every node) and goes on by Newton steps, bisecting whenever one leaves the bracket. Voxels go in blocks that fit in
cache.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theradose.errors import DataError, FitError
from theradose.physics.decay import decay_constant_per_h
from theradose.physics.kinetic_fit import GRID_POINTS, HIGHEST_BIO_PER_H, LOWEST_BIO_OF_PHYS
from theradose.physics.kinetic_models import Array
from theradose.physics.kinetic_tia import LEAST_RELATIVE_SIGMA, POINTS_OF_A_DECAY
from theradose.physics.selection import LARGEST_CV

# What became of a voxel, by the numbers of the status map; from `not_positive` on `fit_tac` would refuse it too.
VOXEL_STATUS = ("outside", "fitted", "not_positive", "rising_activity", "uncertain_parameters")
OUTSIDE, FITTED, NOT_POSITIVE, RISING, UNCERTAIN = range(len(VOXEL_STATUS))
BLOCK = 16384
MAX_STEPS = 60
CONVERGED = 1e-11


@dataclass(frozen=True)
class VoxelFit:
    """Maps (z, y, x): TIA and its standard uncertainty (activity unit times h), lambda_eff in 1/h, status number.

    A refused voxel has the TIA of the declared population half-life and its lambda, or nan where none is declared.
    """

    tia: NDArray[np.float32]
    tia_std: NDArray[np.float32]
    lambda_per_h: NDArray[np.float32]
    status: NDArray[np.uint8]


def _moments(time: Array, rate: Array, y: Array, w: Array) -> tuple[Array, ...]:
    """Return P0, P1, P2, Q0, Q1, Q2 (voxels,) at each voxel's constant."""
    f = np.exp(-time[:, None] * rate)
    wf = w * f
    p, q = wf * f, wf * y
    t2 = time**2
    return p.sum(axis=0), time @ p, t2 @ p, q.sum(axis=0), time @ q, t2 @ q


def _bracket(time: Array, grid: Array, y: Array, w: Array) -> tuple[Array, Array, Array]:
    """Return the best node of the grid for each voxel and its two neighbours, in 1/h."""
    f = np.exp(-np.outer(grid, time))
    p, q = (f**2) @ w, f @ (w * y)
    # chi^2 = sum w y^2 - Q0^2/P0 wherever the amplitude is positive.
    best = np.argmax(np.where(q > 0, q, 0.0) ** 2 / p, axis=0)
    last = grid.size - 1
    return grid[np.maximum(best - 1, 0)], grid[best], grid[np.minimum(best + 1, last)]


def _solve(time: Array, grid: Array, y: Array, w: Array) -> Array:
    """Return the constant (voxels,) in 1/h with the smallest chi^2 between the ends of the grid."""
    low, rate, high = _bracket(time, grid, y, w)
    found, open_ = rate.copy(), np.arange(rate.size)
    for _ in range(MAX_STEPS):
        p0, p1, p2, q0, q1, q2 = _moments(time, rate, y, w)
        h = q1 * p0 - q0 * p1
        slope = 2.0 * q0 * p2 - q1 * p1 - q2 * p0
        low, high = np.where(h < 0, rate, low), np.where(h < 0, high, rate)
        with np.errstate(divide="ignore", invalid="ignore"):
            new = rate - h / slope
        inside = (new > low) & (new < high)  # false also for a step that is no number
        new = np.where(inside, new, 0.5 * (low + high))
        done = np.abs(new - rate) <= CONVERGED * rate
        found[open_] = new
        if done.all():
            break
        go = ~done
        open_, rate, low, high, y, w = open_[go], new[go], low[go], high[go], y[:, go], w[:, go]
    return found


def _declared(time: Array, rate: float, y: Array, w: Array) -> tuple[Array, Array]:
    """Return TIA and its uncertainty from the points when the constant is declared; nothing below zero."""
    f = np.exp(-time * rate)
    information = (f**2) @ w
    return np.maximum(f @ (w * y) / information, 0.0) / rate, information**-0.5 / rate


def _fit_block(time: Array, grid: Array, y: Array, sigma: Array, population_per_h: float) -> tuple[Array, ...]:
    """Return TIA, uncertainty, constant and status of a block of voxels (n, voxels); the grid starts at the limit."""
    size = np.abs(y).max(axis=0)
    size = np.where(size > 0, size, 1.0)
    y = y / size
    w = 1.0 / np.maximum(sigma / size, LEAST_RELATIVE_SIGMA) ** 2
    rate = _solve(time, grid, y, w)
    p0, p1, p2, q0, *_ = _moments(time, rate, y, w)
    amplitude = q0 / p0
    with np.errstate(divide="ignore", invalid="ignore"):
        determinant = amplitude**2 * (p0 * p2 - p1**2)
        cv = np.sqrt(np.maximum(p2 / determinant, p0 / (determinant * rate**2)))
        # g^T C g with C the inverse of [[P0, -A P1], [-A P1, A^2 P2]] and g = (1/l, -A/l^2).
        std = amplitude / rate * np.sqrt((p2 - 2.0 * p1 / rate + p0 / rate**2) / determinant)
    lambda_phys = grid[0] / (1.0 + LOWEST_BIO_OF_PHYS)
    corrected = y * np.exp(lambda_phys * time)[:, None]
    rising = (np.diff(corrected, axis=0) > 0).all(axis=0) | (rate <= grid[0] * (1.0 + CONVERGED))
    few = (np.count_nonzero(y > 0, axis=0) < POINTS_OF_A_DECAY) | ~(amplitude > 0)
    status = np.select([few, rising, ~(cv < LARGEST_CV)], [NOT_POSITIVE, RISING, UNCERTAIN], FITTED)
    fitted = status == FITTED
    tia, declared_std = _declared(time, population_per_h, y, w)
    tia = np.where(fitted, amplitude / rate, tia) * size
    std = np.where(fitted, std, declared_std) * size
    return tia, std, np.where(fitted, rate, population_per_h), status


def fit_voxels(
    time_h: ArrayLike,
    activity: ArrayLike,
    std: ArrayLike,
    *,
    half_life_h: float,
    mask: NDArray[np.bool_] | None = None,
    population_t_eff_h: float | None = None,
) -> VoxelFit:
    """Fit a mono-exponential to every voxel of n >= 2 images (n, z, y, x) in any one unit of activity, times (n,) in h.

    `std` is the standard uncertainty in that unit and broadcasts with the images. Outside the mask all maps are zero. A
    voxel that `fit_tac` would refuse keeps its status, and takes the population's effective half-life where one is
    declared. DataError for shapes or numbers that make no curves; FitError too_few_points.

    >>> t = np.array([4.0, 24.0, 72.0, 168.0])
    >>> image = 50.0 * np.exp(-math.log(2) / 32.0 * t).reshape(4, 1, 1, 1)
    >>> fit_voxels(t, image, 0.05 * image, half_life_h=159.528).tia.round(2)   # 50 x 32 / ln 2
    array([[[2308.31]]], dtype=float32)
    """
    time, images = np.asarray(time_h, float), np.asarray(activity)
    if time.ndim != 1 or images.shape[0] != time.size or np.unique(time).size != time.size or time.min() < 0:
        raise DataError("images need one time each, all different", got=(time.tolist(), images.shape))
    if time.size < POINTS_OF_A_DECAY:
        raise FitError("too few images to fit voxels", reason="too_few_points", got=time.size, expected="at least 2")
    order = np.argsort(time)
    time, shape = time[order], images.shape[1:]
    sigma = np.broadcast_to(np.asarray(std), images.shape)
    inside = np.ones(shape, bool) if mask is None else mask
    if inside.shape != shape:
        raise DataError("mask lies on another grid than the images", got=inside.shape, expected=shape)
    lambda_phys = decay_constant_per_h(half_life_h)
    # The search of `kinetic_fit`, lambda_eff >= lambda_phys included.
    grid = lambda_phys + np.geomspace(LOWEST_BIO_OF_PHYS * lambda_phys, HIGHEST_BIO_PER_H, GRID_POINTS)
    population = math.nan if population_t_eff_h is None else math.log(2.0) / population_t_eff_h
    maps = [np.zeros(inside.size, np.float32) for _ in range(3)]
    status = np.zeros(inside.size, np.uint8)
    voxels = np.flatnonzero(inside)
    for start in range(0, voxels.size, BLOCK):
        block = voxels[start : start + BLOCK]
        # No copy of whole images, however they lie in memory.
        at: tuple[Any, ...] = (slice(None), *np.unravel_index(block, shape))
        y, s = images[at][order].astype(float), sigma[at][order].astype(float)
        if not (np.isfinite(y).all() and np.isfinite(s).all() and s.min() >= 0):
            raise DataError("images or their uncertainties hold a value that is no number, or is negative")
        *values, status[block] = _fit_block(time, grid, y, s, population)
        for store, value in zip(maps, values, strict=True):
            store[block] = value
    tia, tia_std, rate = (store.reshape(shape) for store in maps)
    return VoxelFit(tia, tia_std, rate, status.reshape(shape))
