"""A PET once more: new noise as the image itself has it, drawn by seed."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from theradose.errors import DataError
from theradose.imaging.quality import WEIGHTS_OF_DIFFERENCE, even_tissue
from theradose.imaging.volume import Volume

# Variances of the Gaussian that a filter may be, voxels^2: from none at all to what two voxels' distance can tell.
VARIANCES = np.linspace(0.01, 4.0, 400)
REACH = 10  # voxels; five standard deviations of the widest


@dataclass(frozen=True)
class PetNoise:
    """The noise of a PET: the variance of a voxel over its mean (unit of the image), and the filter it went through.

    `filter_voxels2` is the variance of a Gaussian, 0.01 for noise that neighbours do not share.
    """

    variance_per_mean: float
    filter_voxels2: float


def _weights(variances: np.ndarray) -> np.ndarray:
    """Return Gaussian filters of variances (n,), taken at the voxels, (n, 2 REACH + 1); their squares add to one."""
    weights = np.exp(-(np.arange(-REACH, REACH + 1) ** 2) / (2.0 * variances[:, None]))
    return np.asarray(weights / np.sqrt((weights**2).sum(axis=1, keepdims=True)))


def _seen(step: int) -> np.ndarray:
    """Return what second differences, `step` voxels apart, show of noise with sd 1 behind each filter of VARIANCES."""
    weights = _weights(VARIANCES)
    one, two = ((weights[:, n * step :] * weights[:, : -n * step]).sum(axis=1) for n in (1, 2))
    return np.asarray(np.sqrt((6.0 - 8.0 * one + 2.0 * two) / WEIGHTS_OF_DIFFERENCE))


def noise_of(pet: Volume, mask: Volume) -> PetNoise:
    """Return the noise that even tissue of a PET has, outside of what a mask of labels draws.

    It is taken for Poisson's, filtered: its variance grows with the signal. DataError when there is too little tissue.
    """
    found = even_tissue(pet, mask)
    if not (np.isfinite([found.near, found.far]).all() and found.base > 0.0):
        raise DataError("the noise of the PET cannot be read: too little tissue is far from all outlines")
    near, far = _seen(1), _seen(2)
    grain = found.far / found.near if found.near > 0.0 else 1.0
    variance = float(np.interp(grain, far / near, VARIANCES))
    sd = found.near / float(np.interp(variance, VARIANCES, near))
    return PetNoise(sd**2 / found.base, variance)


def renoised(pet: Volume, noise: PetNoise, seed: int) -> Volume:
    """Return a PET with noise of its own kind added, nothing below zero; the same seed, the same bytes.

    The noise it came with stays: over seeds the spread is that of a new scan, the image itself is noisier by sqrt(2).
    """
    white = np.random.default_rng(seed).standard_normal(pet.values.shape)
    drawn = white * np.sqrt(noise.variance_per_mean * np.maximum(pet.values.astype(np.float64), 0.0))
    weights = _weights(np.array([noise.filter_voxels2]))[0]
    for axis in range(drawn.ndim):
        drawn = ndimage.correlate1d(drawn, weights, axis=axis, mode="nearest")
    return pet.with_values(np.maximum(pet.values + drawn, 0.0).astype(pet.values.dtype))
