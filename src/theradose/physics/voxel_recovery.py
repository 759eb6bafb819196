"""Recovery of an image voxel by voxel, region by region: what spilled out is put back, what spilled in leaves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from theradose.physics.recovery import Array, Labels, blur, region_ids, region_means, require_uncorrected


@dataclass(frozen=True)
class VoxelRecovered:
    """An image (z, y, x) after correction and before, and by how much each region was scaled to keep its activity."""

    corrected: Array
    uncorrected: Array
    scale: Array


def _spread(values: Array, labels: Labels, ids: NDArray[np.int64]) -> Array:
    """Return an image in which every region holds one value of (n,), and zero elsewhere."""
    lookup = np.zeros(int(labels.max()) + 1)
    lookup[ids] = values
    return np.asarray(lookup[labels])


def region_based(
    image: Array,
    labels: Labels,
    region_mean: Array,
    *,
    spacing_zyx_mm: tuple[float, float, float],
    fwhm_mm: float,
    applied: str = "none",
) -> VoxelRecovered:
    """Return the region-based voxel-wise correction (RBV) of an image, uncorrected beside, in the image's unit.

    f_c = f s / (s * h): s holds the corrected mean of each region (`region_mean`, (n,) in the order of `region_ids`,
    from the geometric transfer matrix), h is the Gaussian of `fwhm_mm` (Thomas et al., Eur J Nucl Med Mol Imaging
    38:1104, 2011). Each region is then scaled to that mean, so it holds exactly its corrected activity; a region
    without positive activity gets it uniformly. Outside all regions stays what they did not spill there, f - s * h, so
    that an image keeps its total. DataError when a correction was `applied` before (THR-247).

    >>> labels = np.zeros((9, 9, 9), int)
    >>> labels[3:6, 3:6, 3:6] = 1
    >>> seen = blur(10.0 * (labels == 1), (4.0, 4.0, 4.0), 8.0)
    >>> found = region_based(seen, labels, np.array([10.0]), spacing_zyx_mm=(4.0, 4.0, 4.0), fwhm_mm=8.0)
    >>> found.corrected[4, 4, 4].round(6), found.corrected[0, 0, 0].round(6)
    (np.float64(10.0), np.float64(0.0))
    """
    require_uncorrected(applied)
    ids = region_ids(labels)
    uniform = _spread(np.clip(region_mean, 0.0, None), labels, ids)
    seen = blur(uniform, spacing_zyx_mm, fwhm_mm)
    voxels = np.where((labels != 0) & (seen > 0), image * uniform / np.where(seen > 0, seen, 1.0), 0.0)
    means = region_means(voxels, labels, ids)
    usable = (means > 0) & (region_mean > 0)
    scale = np.divide(region_mean, means, out=np.ones_like(means), where=usable)
    inside = np.where(_spread(usable.astype(float), labels, ids) > 0, voxels, _spread(region_mean, labels, ids))
    corrected = np.where(labels == 0, image - seen, inside * _spread(scale, labels, ids))
    return VoxelRecovered(corrected, np.asarray(image, float).copy(), scale)
