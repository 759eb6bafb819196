"""The slices of a DICOM series: whether they belong together, lie evenly, and are all there.

Nothing is mended in silence: a slice that is missing, doubled, foreign or askew is an error that names its file.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from theradose.errors import DataError, GeometryError, Where
from theradose.imaging.acquisition import number

GAP = 1.5  # of the median step: a slice is missing
UNEVEN = 0.05  # of the step: accepted and noted
SAME_POSITION_MM = 0.01
SAME_COSINE = 1e-4
CONSTANT = ("Modality", "SeriesInstanceUID", "FrameOfReferenceUID", "Rows", "Columns")


def numbers_of(header: Dataset, field: str, count: int, path: Path) -> np.ndarray:
    """Return a field of several numbers; DataError when it is missing or not finite."""
    value = header.get(field)
    try:
        numbers = np.asarray(value, float)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        where = Where(file=path.name, field=field)
        raise DataError("header lacks geometry", where=where, got=value, expected=f"{count} numbers", code="THR-226")
    return numbers


def axes_of(orientation: np.ndarray, path: Path) -> np.ndarray:
    """Return the direction matrix (columns: image x, y and their normal) of ImageOrientationPatient."""
    x, y = orientation[:3], orientation[3:]
    if abs(np.linalg.norm(x) - 1) > SAME_COSINE or abs(np.linalg.norm(y) - 1) > SAME_COSINE or abs(x @ y) > SAME_COSINE:
        where = Where(file=path.name, field="ImageOrientationPatient")
        raise GeometryError("image axes are no right angle of unit vectors", where=where, got=orientation.tolist())
    return np.column_stack([x, y, np.cross(x, y)])


def require_one_series(headers: Sequence[Dataset], paths: Sequence[Path]) -> None:
    """Raise DataError naming the first file that does not belong with the others."""
    for field in CONSTANT:
        values = [str(header.get(field, "")) for header in headers]
        common = max(sorted(set(values)), key=values.count)
        for value, path in zip(values, paths, strict=True):
            if value != common:
                raise DataError(
                    "files of several series are mixed", where=Where(file=path.name, field=field), code="THR-227",
                    got="a value of its own", expected="one series in a folder", remedy="separate the series",
                )  # fmt: skip
    for field, count in (("ImageOrientationPatient", 6), ("PixelSpacing", 2)):
        common_numbers = numbers_of(headers[0], field, count, paths[0])
        for header, path in zip(headers, paths, strict=True):
            numbers = numbers_of(header, field, count, path)
            if np.abs(numbers - common_numbers).max() > SAME_COSINE:
                raise GeometryError(
                    "slices differ in geometry", where=Where(file=path.name, field=field), got=numbers.tolist(),
                    expected=common_numbers.tolist(), remedy="separate the series",
                )  # fmt: skip


def without_doubles(
    order: list[int], along_mm: np.ndarray, slices: list[np.ndarray], paths: Sequence[Path]
) -> tuple[list[int], list[str]]:
    """Drop slices that are there twice, noting them; DataError when two at one position differ."""
    kept: list[int] = []
    notes: list[str] = []
    for i in order:
        if kept and along_mm[i] - along_mm[kept[-1]] < SAME_POSITION_MM:
            if not np.array_equal(slices[i], slices[kept[-1]]):
                raise DataError(
                    "two different slices at one position", where=Where(file=paths[i].name), code="THR-228",
                    got=f"{along_mm[i]:.2f} mm, as {paths[kept[-1]].name}", remedy="separate the two series",
                )  # fmt: skip
            notes.append(f"{paths[i].name} repeats {paths[kept[-1]].name}: dropped")
            continue
        kept.append(i)
    return kept, notes


def step_mm(along_mm: np.ndarray, paths: Sequence[Path]) -> tuple[float, list[str]]:
    """Return the distance of slices at sorted positions; DataError names the file after a gap or uneven step."""
    steps = np.diff(along_mm)
    if steps.size == 0:
        raise DataError(
            "a single slice is no volume", where=Where(file=paths[0].name), got=1, expected="2 or more", code="THR-229"
        )
    step = float(np.median(steps))
    worst = int(np.argmax(np.abs(steps - step)))
    where = Where(file=paths[worst + 1].name, field="ImagePositionPatient")
    if steps[worst] > GAP * step:
        raise DataError(
            "a slice is missing", where=where, code="THR-229", remedy="export the whole series",
            got=f"{steps[worst]:.3f} mm before {along_mm[worst + 1]:.2f} mm", expected=f"steps of {step:.3f} mm",
        )  # fmt: skip
    if abs(steps[worst] - step) > UNEVEN * step:
        raise GeometryError(
            "slices are not evenly spaced", where=where, got=f"{steps[worst]:.3f} mm", expected=f"{step:.3f} mm",
            remedy="resample it on even steps, and import it as NIfTI with a mapping file", code="THR-336",
        )  # fmt: skip
    mean = float((along_mm[-1] - along_mm[0]) / steps.size)
    uneven = abs(steps[worst] - step) > SAME_POSITION_MM
    return mean, [f"steps vary by up to {abs(steps[worst] - step):.3f} mm: accepted"] if uneven else []


def require_all_slices(headers: Sequence[Dataset], found: int, path: Path) -> list[str]:
    """Return a warning when slices may lack at an end; DataError when a header counts other slices than were found.

    PT writes NumberOfSlices (0054,0081); ImagesInAcquisition (0020,1002) may count other series of the same scan too.
    """
    for field in ("NumberOfSlices", "ImagesInAcquisition"):
        stated = int(number(headers[0], field) or found)
        if stated != found and (field == "NumberOfSlices" or stated > found):
            raise DataError(
                "series is not complete", where=Where(file=path.name, field=field), code="THR-229",
                got=f"{found} slices", expected=stated, remedy="export the whole series, one time frame only",
            )  # fmt: skip
    numbers = {int(number(header, "InstanceNumber") or 0) for header in headers}
    lack = max(numbers) - len(numbers)
    return (
        [f"WARN {lack} of {max(numbers)} instance numbers are not there: slices may lack at an end"] if lack > 0 else []
    )
