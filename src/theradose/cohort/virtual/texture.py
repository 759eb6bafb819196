"""Uptake texture: a log-normal Gaussian random field in every organ, each with its own correlation length."""

import numpy as np
from scipy import ndimage

FIELD_LOG_SD = 0.20
"""Activity is multiplied by exp(0.20 x field); 0.15 to 0.25 in the design of the cohort, section 3."""

CORRELATION_LENGTH_MM, LENGTH_PER_Z = 9.6, 0.35
MARGIN_LENGTHS = 4.0


def correlation_length_mm(z_texture: float) -> float:
    """Return 9.6 mm x exp(0.35 z_tex), the length at which the field's correlation falls to exp(-1/2)."""
    return float(CORRELATION_LENGTH_MM * np.exp(LENGTH_PER_Z * z_texture))


def random_field(white: np.ndarray, length_mm: float, spacing_mm: float) -> np.ndarray:
    """Return white noise (z, y, x) smoothed to the correlation length, with expected mean 0 and sd 1.

    A Gaussian filter of sd s leaves the correlation exp(-r^2 / (4 s^2)), so s = length / sqrt(2).
    """
    sigma = length_mm / np.sqrt(2.0) / spacing_mm
    reach = int(np.ceil(5.0 * sigma)) + 1
    kernel = ndimage.gaussian_filter1d(np.eye(1, 2 * reach + 1, reach)[0], sigma, mode="constant")
    sd = float(np.sum(kernel**2)) ** 1.5
    return np.asarray(ndimage.gaussian_filter(white, sigma, mode="wrap") / sd)


def textured(
    labels: np.ndarray, relative: np.ndarray, z_texture: dict[int, float], spacing_mm: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the uptake of each voxel relative to the mean of its VOI (mean 1 in every label), shape of `labels`.

    `relative` is the deterministic part (cores), `z_texture` the texture latent of each label; labels that have
    none (air, remainder, bladder) keep the deterministic part alone.
    """
    white = rng.standard_normal(labels.shape)
    pattern = relative.copy()
    for z in sorted(set(z_texture.values())):
        chosen = np.isin(labels, [label for label, value in z_texture.items() if value == z])
        length_mm = correlation_length_mm(z)
        box = _box_around(chosen, round(MARGIN_LENGTHS * length_mm / spacing_mm))
        field = random_field(white[box], length_mm, spacing_mm)
        pattern[box][chosen[box]] *= np.exp(FIELD_LOG_SD * field[chosen[box]])
    sums = np.bincount(labels.ravel(), weights=pattern.ravel())
    counts = np.bincount(labels.ravel())
    means = np.divide(sums, counts, out=np.ones_like(sums), where=counts > 0)
    return np.asarray(pattern / means[labels])


def _box_around(chosen: np.ndarray, margin: int) -> tuple[slice, ...]:
    """Return the box that holds all chosen voxels and `margin` more on every side."""
    box = []
    for axis in range(3):
        places = np.flatnonzero(chosen.any(axis=tuple(other for other in range(3) if other != axis)))
        box.append(slice(max(int(places[0]) - margin, 0), min(int(places[-1]) + 1 + margin, chosen.shape[axis])))
    return tuple(box)
