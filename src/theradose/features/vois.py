"""Masks of whole organs, the checks a VOI must pass before features are taken, and what is measured without filters."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import ndimage

from theradose.errors import DataError, Where
from theradose.imaging.volume import Volume
from theradose.vocabulary import organ_of, voi_of_label

OK = "ok"
COLUMNS = ("voi", "filter", "feature_class", "feature", "value", "status")
# The class of our own rows: uptake and volume of a VOI, wanted by physical predictors whatever the preset holds.
MEASURED = "voi"


def organ_masks(mask: Volume, organs: Sequence[str], where: Where | None = None) -> dict[str, np.ndarray]:
    """Return one mask (z, y, x) of bool per organ present, in the order asked: both sides, all lesions together.

    DataError when a label means nothing.
    """
    labels = np.asarray(mask.require_unit("label", "mask").values)
    organ_labels: dict[str, list[int]] = {}
    for label in np.unique(labels):
        if label == 0:
            continue
        try:
            organ_labels.setdefault(organ_of(voi_of_label(int(label))), []).append(int(label))
        except KeyError as error:
            raise DataError("label of the mask has no name", where=where, got=int(label), code="THR-221") from error
    return {organ: np.isin(labels, organ_labels[organ]) for organ in organs if organ in organ_labels}


def label_masks(mask: Volume, label: int | None = None) -> dict[str, np.ndarray]:
    """Return one mask (z, y, x) of bool per label of a label image, or for one label alone, whatever it stands for.

    Known labels are named as in the vocabulary, others `label_7`; DataError when the label asked for is not there.
    """
    labels = np.asarray(mask.require_unit("label", "mask").values)
    found = [int(value) for value in np.unique(labels) if value > 0]
    if not found or (label is not None and label not in found):
        raise DataError("label is not in the mask", got=found, expected=label or "at least one", code="THR-222")
    masks = {}
    for value in found if label is None else [label]:
        try:
            name = voi_of_label(value)
        except KeyError:
            name = f"label_{value}"
        masks[name] = labels == value
    return masks


def size_fault(values: np.ndarray, min_voxels: int) -> str | None:
    """Return why a VOI with these image values (n,) is too small for any feature, or None when it is not."""
    if values.size == 0:
        return "no voxel"
    return f"fewer than {min_voxels} voxels" if values.size < min_voxels else None


def value_fault(values: np.ndarray) -> str | None:
    """Return why these image values (n >= 1,) give no features of intensity or texture, or None when they do."""
    if not np.isfinite(values).all():
        return "values that are not finite"
    return "all values equal" if np.ptp(values) == 0 else None


def voi_fault(values: np.ndarray, min_voxels: int) -> str | None:
    """Return why a VOI with these image values (n,) gives no features of intensity, or None when it does."""
    return size_fault(values, min_voxels) or value_fault(values)


def radius_mm(mask: np.ndarray, voxel_ml: float) -> float:
    """Return the radius of the sphere with the volume of the largest connected part of a mask, mm."""
    parts, _ = ndimage.label(mask)
    largest = int(np.bincount(parts.ravel())[1:].max(initial=0))
    return float((3.0 * largest * voxel_ml * 1000.0 / (4.0 * math.pi)) ** (1.0 / 3.0))


def measure(volume: Volume, masks: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """Return mean (unit of the image) and volume_ml of every VOI as rows of the feature table, class `voi`."""
    rows = []
    for voi, mask in masks.items():
        values = np.asarray(volume.values[mask], np.float64)
        fault = "no voxel" if values.size == 0 else None
        if fault is None and not np.isfinite(values).all():
            fault = "values that are not finite"
        mean = float(values.mean()) if fault is None else math.nan
        rows.append((voi, "original", MEASURED, "mean", mean, fault or OK))
        rows.append((voi, "original", MEASURED, "volume_ml", values.size * volume.grid.voxel_ml, OK))
    return pd.DataFrame(rows, columns=list(COLUMNS))
