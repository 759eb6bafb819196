"""One image and one mask as files: what they are, and whether they belong together, before features are taken."""

from pathlib import Path

import numpy as np

from theradose.errors import DataError, GeometryError, UnitError, Where
from theradose.features.patient import IN_SUV, in_preset_unit
from theradose.features.presets import UNIT_OF
from theradose.features.vois import label_masks
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import read_sidecar, read_volume, sidecar
from theradose.imaging.volume import Volume

GIVEN = (*IN_SUV, UNIT_OF["ct"], UNIT_OF["dose"])
ALONE = "mask"


def _unit(image: Path, given: str | None) -> str:
    """Return the unit of an image, from its sidecar or as given; UnitError when both speak and differ, or neither."""
    stated = str(read_sidecar(image).get("Units", "")) if sidecar(image).is_file() else ""
    where = Where(file=image.name, field="--unit")
    if given is not None and given not in GIVEN:
        raise UnitError("unit of the image is not known", where=where, got=given, expected=", ".join(GIVEN))
    same = given == stated or {given, stated} <= set(IN_SUV)
    if given and stated and not same:
        raise UnitError("--unit is not the unit of the sidecar", where=where, got=given, expected=stated)
    if not (given or stated) and image.is_file():
        raise UnitError(
            "unit of the image is not stated", where=Where(file=image.name), expected=", ".join(GIVEN),
            remedy="say it with --unit, or put a sidecar with Units beside the image",
        )  # fmt: skip
    return stated or given or ""


def case_image(image: Path, unit: str | None, weight_kg: float | None) -> tuple[Volume, str]:
    """Return an image (g/mL, HU or Gy) and its modality (`pet`, `ct`, `dose`), by its unit.

    `unit` is that of an image without sidecar. UnitError when the unit is unknown, contradicts the sidecar, or does not
    fit the values; DataError when the file cannot be read.
    """
    volume = read_volume(image, _unit(image, unit))
    modality = next((name for name in ("ct", "dose") if volume.unit == UNIT_OF[name]), "pet")
    about = read_sidecar(image) if sidecar(image).is_file() else {}
    volume = in_preset_unit(volume, modality, about, weight_kg)
    lowest = float(np.nanmin(volume.values))
    if (modality == "ct") != (lowest < 0) and modality != "pet":
        raise UnitError(
            f"an image without air is no CT, a dose is not negative: {volume.unit} does not fit",
            where=Where(file=image.name), got=f"lowest value {lowest:.4g}", remedy="check --unit",
        )  # fmt: skip
    return volume, modality


def case_masks(mask: Path, grid: Grid, label: int | None) -> dict[str, np.ndarray]:
    """Return one mask (z, y, x) of bool per label on the image's grid; a mask of ones alone is named `mask`.

    DataError when labels are no whole numbers, there is none or not the one asked for; GeometryError when the mask has
    another grid than the image: nothing is resampled unasked, since that changes volumes and features.
    """
    labels = read_volume(mask, "label")
    where = Where(file=mask.name)
    if not np.array_equal(labels.values, np.round(labels.values)):
        raise DataError(
            "labels of a mask are whole numbers", where=where, got=float(labels.values[labels.values % 1 != 0][0]),
            remedy="export it as a label map", code="THR-221",
        )  # fmt: skip
    if not labels.grid.same_as(grid):
        raise GeometryError(
            "mask lies on another grid than the image", where=where, got=labels.grid.describe(),
            expected=grid.describe(),
            remedy="give the mask that was drawn on this image, or resample it on the image's grid (nearest neighbour)",
        )  # fmt: skip
    drawn = label_masks(labels, label)
    return {ALONE: next(iter(drawn.values()))} if set(np.unique(labels.values)) <= {0, 1} else drawn
