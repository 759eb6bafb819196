"""One row of a mapping to an image or mask: nothing is guessed, and what is doubtful is said."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from theradose.cohort.counts import COUNTS
from theradose.cohort.mask_grid import name_of
from theradose.cohort.participants import shown
from theradose.cohort.structures import MASK_TYPE
from theradose.errors import DataError, GeometryError, UnitError, Where
from theradose.imaging.nifti import read_sidecar, read_volume, sidecar
from theradose.imaging.volume import Volume
from theradose.vocabulary import LESION_LABEL_FROM, LESION_PREFIX, VIRTUAL_MARKS, VOIS

# How people name units in a table, and what they are here. SUV is by body weight: g/mL.
UNITS = {
    "Bq/mL": ("Bq/mL", 1.0),
    "kBq/mL": ("Bq/mL", 1e3),
    "SUV": ("g/mL", 1.0),
    "g/mL": ("g/mL", 1.0),
    "HU": ("HU", 1.0),
    COUNTS: (COUNTS, 1.0),
}
UNITS_OF = {"pet": ("Bq/mL", "g/mL"), "spect": ("Bq/mL", COUNTS), "ct": ("HU",)}
# Keys of a sidecar that are carried over; everything else may name a person, place or date.
ALLOWED_KEYS = (
    "TracerRadionuclide", "InjectedRadioactivity", "InjectedRadioactivityUnits", "InjectionStart", "FrameTimesStart",
    "FrameDuration", "ImageDecayCorrected", "DecayReference", "EffectiveResolutionFWHM", "Modality", "CountRate",
    "RecoveryCorrection", "PatientWeight",
)  # fmt: skip
CLIPPED = 3  # voxels at the largest number of a type that scaling to the maximum may put there


def _cell(cell: object) -> str:
    """Return a cell as a message may show it: a unit of the house or a number, for other words may name a person."""
    return str(cell) if str(cell) in UNITS else shown(str(cell)) if str(cell) else "an empty cell"


def _safe_path(source: Path, file: str) -> Path:
    """Return a file of the table under the source folder; DataError when it leads elsewhere."""
    path = (source / file).resolve()
    if not path.is_relative_to(source.resolve()):
        raise DataError("file lies outside the source folder", expected="a path inside it", code="THR-255")
    return path


def finite(volume: Volume, masks: list[Volume], where: Where) -> tuple[Volume, list[str]]:
    """Return an image whose values are finite: others become 0 outside the masks; DataError when one lies inside."""
    values = np.asarray(volume.values)
    bad = ~np.isfinite(values)
    if not bad.any():
        return volume, []
    own = [np.where(bad, mask.values, 0) for mask in masks if mask.grid.same_as(volume.grid)]
    inside = {f" of {name_of(int(n))}": each == n for each in own for n in np.unique(each[each > 0])}
    found = [
        f"{int(each.sum())} voxels{name}, first at voxel (x, y, z) = {tuple(np.argwhere(each)[0][::-1].tolist())}"
        for name, each in (inside if own else {"": bad}).items()
    ]
    if found:
        raise DataError(
            "values inside a VOI are not finite" if own else "values are not finite", where=where, code="THR-270",
            got="; ".join(found), expected="finite values",
            remedy="export the image again, or give a mask: values outside all VOIs become 0",
        )  # fmt: skip
    return volume.with_values(np.where(bad, 0, values)), [f"{int(bad.sum())} values outside all VOIs set to 0"]


def _clipped(volume: Volume) -> list[str]:
    """Return a warning when more than a few voxels hold the largest number that the file's type can hold."""
    values = np.asarray(volume.values)
    n = int((values == np.iinfo(values.dtype).max).sum()) if values.dtype.kind in "iu" else 0
    return [f"WARN {n} voxels ({100 * n / values.size:.2g} %) hold the largest number: clipped?"] if n > CLIPPED else []


def image_of(source: Path, row: "pd.Series[Any]") -> tuple[Volume, dict[str, Any], list[str]]:
    """Return the image of a row in the units of the house, the sidecar keys that are carried over, and notes."""
    where = Where(field="units")
    path = _safe_path(source, str(row["file"]))
    about = read_sidecar(path) if sidecar(path).is_file() else {}
    extra = {key: value for key, value in about.items() if key in ALLOWED_KEYS}
    extra |= VIRTUAL_MARKS if about.get("Virtual") is True else {}
    unit, factor = UNITS.get(str(row["units"]), ("", 1.0))
    if unit not in UNITS_OF[str(row["modality"])]:
        names = [name for name, (known, _) in UNITS.items() if known in UNITS_OF[str(row["modality"])]]
        raise UnitError(
            "unit of the image is not stated", where=where, got=_cell(row["units"]), expected=" or ".join(names),
            remedy="fill in the column units of the mapping",
        )  # fmt: skip
    volume = read_volume(path, unit)
    notes = _clipped(volume) if unit != "HU" else []
    scaled = np.asarray(volume.values, np.float64) * factor
    return volume.with_values(scaled.astype(np.float32)), extra, notes


def _label(name: str, where: Where) -> int | None:
    """Return the label of a VOI name or number, None for an empty cell."""
    if not name:
        return None
    lesion = re.fullmatch(rf"{LESION_PREFIX}(\d+)", name)
    if lesion and int(lesion[1]) > 0:
        return LESION_LABEL_FROM + int(lesion[1]) - 1
    if name in VOIS:
        return VOIS[name].label
    if name.isdigit() and int(name) > 0:
        return int(name)
    raise DataError(
        "label is no VOI",
        where=where,
        got=_cell(name),
        expected=f"{LESION_PREFIX}01, or one of {', '.join(VOIS)}",
        code="THR-221",
    )


def labels_in(source: Path, row: "pd.Series[Any]") -> tuple[Volume, list[str]]:
    """Return one mask file as labels, and what was made of its values; a stated label goes to all voxels above 0."""
    volume = read_volume(_safe_path(source, str(row["file"])), "label")
    where = Where(field="label")
    label = _label(str(row["label"]), where)
    found = np.asarray(volume.values)
    if not np.isfinite(found).all() or (label is None and (found != np.rint(found)).any()):
        raise DataError(
            "mask holds other than whole numbers", where=where, expected="labels", code="THR-221",
            remedy="name its VOI in the column label",
        )  # fmt: skip
    held = np.unique(found[found > 0])
    if held.size == 0:
        raise DataError(
            "mask is empty", expected="at least one label", code="THR-272", remedy="draw it, or leave it out"
        )
    notes = []
    if label is not None and held.tolist() != [1]:
        stated = ", ".join(f"{value:.4g}" for value in held[:5])
        notes = [f"{'WARN ' if held.size > 1 else ''}mask values {stated} all became {row['label']}"]
    values = (found > 0) * label if label is not None else found
    return Volume(values.astype(MASK_TYPE), volume.grid, "label"), notes


def merged(masks: list[Volume]) -> Volume:
    """Return the masks of one session as one; of voxels in two the later counts. GeometryError on different grids."""
    first = masks[0]
    for mask in masks[1:]:
        if not first.grid.same_as(mask.grid):
            raise GeometryError(
                "masks of one session lie on different grids", got=mask.grid.describe(), code="THR-220",
                expected=first.grid.describe(), remedy="keep one of them in the mapping",
            )  # fmt: skip
        first = first.with_values(np.where(mask.values > 0, mask.values, first.values))
    return first
