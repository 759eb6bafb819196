"""What happens to an image and its masks before features are taken: one voxel size for all patients, and a cut."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from scipy import ndimage

from theradose.features.preparation import Preparation
from theradose.imaging.grid import Grid
from theradose.imaging.resample import resample, resample_labels
from theradose.imaging.volume import Volume

SAME_SPACING_MM = 1e-3
# What lies beyond an image: nothing in a PET or a dose map, air in a CT.
BEYOND = {"g/mL": 0.0, "HU": -1000.0, "Gy": 0.0}


def centred_grid(grid: Grid, spacing_mm: tuple[float, float, float]) -> Grid:
    """Return the grid of other voxels (x, y, z mm) that covers the old one around the same centre, as IBSI has it."""
    old_xyz = np.asarray(grid.shape_zyx[::-1])
    # A part of a thousandth of a voxel is rounding, not a reason for one more.
    new_xyz = np.ceil(old_xyz * np.asarray(grid.spacing_mm) / np.asarray(spacing_mm) - 1e-3).astype(int)
    half = (old_xyz - 1) * np.asarray(grid.spacing_mm) / 2 - (new_xyz - 1) * np.asarray(spacing_mm) / 2
    x, y, z = np.asarray(grid.origin_mm) + np.asarray(grid.direction) @ half
    nx, ny, nz = (int(n) for n in new_xyz)
    return Grid((nz, ny, nx), spacing_mm, (float(x), float(y), float(z)), grid.direction)


def resampled(
    volume: Volume, masks: Mapping[str, np.ndarray], how: Preparation
) -> tuple[Volume, dict[str, np.ndarray]]:
    """Return image (HU as whole numbers) and masks (z, y, x; where half a voxel is filled) with the voxels asked for.

    Without a spacing, or with the one the image has, both are returned as they are.
    """
    spacing_mm = how.spacing_mm
    if spacing_mm is None or np.allclose(volume.grid.spacing_mm, spacing_mm, rtol=0, atol=SAME_SPACING_MM):
        return volume, dict(masks)
    grid = centred_grid(volume.grid, spacing_mm)
    beyond = BEYOND[volume.unit]
    image = resample(volume, grid, interpolation=how.interpolation, outside=beyond, average=how.average)
    if volume.unit == "HU":
        image = image.with_values(np.round(image.values))
    moved = {}
    for name, mask in masks.items():
        labels = Volume(mask.astype(np.uint8), volume.grid, "label")
        moved[name] = resample_labels(labels, grid, average=how.average).values > 0
    return image, moved


def counted(values: np.ndarray, how: Preparation) -> np.ndarray:
    """Return which of the values (n,) of a VOI count for intensities: within the range, and then within sigma.

    Standard deviations are those of the voxels in range, with 1/n (IBSI, 3-sigma outlier filtering).
    """
    low = -math.inf if how.range_low is None else how.range_low
    high = math.inf if how.range_high is None else how.range_high
    inside = (values >= low) & (values <= high)
    if how.sigma is not None and inside.any():
        mean, reach = values[inside].mean(dtype=np.float64), how.sigma * values[inside].std(dtype=np.float64)
        inside &= (values >= mean - reach) & (values <= mean + reach)
    return inside


def cropped(
    volume: Volume, masks: Mapping[str, np.ndarray], margin_mm: float, above_voxels: int
) -> tuple[Volume, dict[str, np.ndarray]]:
    """Return image and masks cut to the box around all masks plus a margin; images up to `above_voxels` stay whole."""
    union = np.logical_or.reduce(list(masks.values())) if masks else np.zeros(volume.grid.shape_zyx, bool)
    if union.size <= above_voxels or not union.any():
        return volume, dict(masks)
    box = ndimage.find_objects(union.astype(np.uint8))[0]
    pads = [math.ceil(margin_mm / spacing) for spacing in volume.grid.spacing_zyx_mm]
    cut = tuple(
        slice(max(0, part.start - pad), min(size, part.stop + pad))
        for part, pad, size in zip(box, pads, union.shape, strict=True)
    )
    first_xyz1 = np.array([cut[2].start, cut[1].start, cut[0].start, 1.0])
    x, y, z = (volume.grid.affine_lps() @ first_xyz1)[:3]
    values = volume.values[cut]
    grid = replace(volume.grid, shape_zyx=values.shape, origin_mm=(float(x), float(y), float(z)))
    return Volume(values, grid, volume.unit), {name: mask[cut] for name, mask in masks.items()}
