"""Features of our own beside PyRadiomics': uptake peaks over 1 cm3 and the total uptake of a lesion."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import ndimage

from theradose.features.presets import LOCAL, LOCAL_FEATURES, ORIGINAL_NAME
from theradose.features.vois import COLUMNS, OK, size_fault
from theradose.imaging.volume import Volume

# Radius of the sphere of 1 cm3, as IBSI rounds it.
RADIUS_MM = 6.2
PEAK, _ = LOCAL_FEATURES
Spacing = tuple[float, float, float]


def _sphere(spacing_zyx_mm: Spacing) -> np.ndarray:
    """Return which voxels (z, y, x) around the central one have their centre inside the sphere."""
    reach = [int(RADIUS_MM // size) for size in spacing_zyx_mm]
    steps = np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij")
    return np.asarray(sum((step * size) ** 2 for step, size in zip(steps, spacing_zyx_mm, strict=True)) <= RADIUS_MM**2)


def _means(values: np.ndarray, mask: np.ndarray, spacing_zyx_mm: Spacing) -> tuple[np.ndarray, np.ndarray]:
    """Return the value (n,) of every voxel of a mask and the mean (n,) over the sphere around it.

    The sphere may leave the mask; what lies beyond the image does not count.
    """
    sphere = _sphere(spacing_zyx_mm)
    box = ndimage.find_objects(mask.astype(np.uint8))[0]
    wide = tuple(slice(max(b.start - n // 2, 0), b.stop + n // 2) for b, n in zip(box, sphere.shape, strict=True))
    part, kernel = np.asarray(values[wide], np.float64), sphere.astype(np.float64)
    total = ndimage.convolve(part, kernel, mode="constant")
    count = ndimage.convolve(np.ones_like(part), kernel, mode="constant")
    inside = mask[wide]
    return part[inside], total[inside] / count[inside]


def local_peak(values: np.ndarray, mask: np.ndarray, spacing_zyx_mm: Spacing) -> float:
    """Return the mean over 1 cm3 around the highest voxel of a mask (IBSI VJGA), in the unit of the image.

    `values` and `mask` (z, y, x) of the same shape, the mask not empty. Of several highest voxels, that with the
    higher mean.
    """
    own, means = _means(values, mask, spacing_zyx_mm)
    return float(means[own == own.max()].max())


def global_peak(values: np.ndarray, mask: np.ndarray, spacing_zyx_mm: Spacing) -> float:
    """Return the highest mean over 1 cm3 around any voxel of a mask (IBSI 0F91; SUVpeak), in the unit of the image.

    `values` and `mask` (z, y, x) of the same shape, the mask not empty.
    """
    return float(_means(values, mask, spacing_zyx_mm)[1].max())


def local_rows(volume: Volume, masks: Mapping[str, np.ndarray], features: Sequence[str]) -> pd.DataFrame:
    """Return `peak` (SUVpeak of a PET, g/mL) and `tlu` (mean x volume, g/mL mL) of every VOI, as far as asked.

    On the voxels the image has. Masks (z, y, x) are on its grid; where a value cannot be had, `status` says why.
    """
    rows = []
    for voi, mask in masks.items():
        values = np.asarray(volume.values[mask], np.float64)
        fault = size_fault(values, 1) or (None if np.isfinite(values).all() else "values that are not finite")
        for feature in features:
            value = np.nan if fault else _value(feature, volume, mask)
            status = fault or (OK if np.isfinite(value) else "values around the VOI that are not finite")
            rows.append((voi, ORIGINAL_NAME, LOCAL, feature, value, status))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"value": "float64"})


def _value(feature: str, volume: Volume, mask: np.ndarray) -> float:
    """Return one feature of a VOI, in the unit of the image or times mL."""
    if feature == PEAK:
        x, y, z = volume.grid.spacing_mm
        return global_peak(volume.values, mask, (z, y, x))
    return float(volume.values[mask].sum(dtype=np.float64)) * volume.grid.voxel_ml
