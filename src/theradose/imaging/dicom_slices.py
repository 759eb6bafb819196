"""The slices of a DICOM series: whether they belong together, lie evenly, and are all there.

Nothing is mended in silence: a slice that is missing, doubled, foreign or askew is an error that names its file.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from theradose.errors import DataError, GeometryError, Where
from theradose.imaging.acquisition import number
from theradose.imaging.header_text import quoted

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
        where, got = Where(file=path.name, field=field), quoted(value)
        raise DataError("header lacks geometry", where=where, got=got, expected=f"{count} numbers", code="THR-226")
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


def on_even_steps(values: np.ndarray, along_mm: np.ndarray, step_mm: float) -> np.ndarray:
    """Return slices (z, ...) at sorted positions (mm) as slices every `step_mm` from the first on, taken linearly."""
    at = along_mm[0] + step_mm * np.arange(1 + round((along_mm[-1] - along_mm[0]) / step_mm))
    below = np.clip(np.searchsorted(along_mm, at, side="right") - 1, 0, len(along_mm) - 2)
    part = ((at - along_mm[below]) / (along_mm[below + 1] - along_mm[below])).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray((1.0 - part) * values[below] + part * values[below + 1], values.dtype)


def step_mm(along_mm: np.ndarray, paths: Sequence[Path], *, resample: bool = False) -> tuple[float, list[str], bool]:
    """Return the distance of slices at sorted positions, notes, and whether they must be interpolated on even steps.

    DataError names the file after a gap, GeometryError after an uneven step. With `resample` uneven steps are
    interpolated: the distance is that of the whole number of steps, nearest the median, that ends at the last slice.
    """
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
    length, off = float(along_mm[-1] - along_mm[0]), abs(steps[worst] - step)
    if off > UNEVEN * step:
        if not resample:
            raise GeometryError(
                "slices are not evenly spaced", where=where, got=f"{steps[worst]:.3f} mm", expected=f"{step:.3f} mm",
                remedy="import with --resample-uneven, which interpolates on even steps", code="THR-336",
            )  # fmt: skip
        even, range_mm = length / round(length / step), f"{steps.min():.3f} to {steps.max():.3f} mm"
        return even, [f"WARN slices are {range_mm} apart: interpolated on even steps of {even:.3f} mm"], True
    notes = [f"steps vary by up to {off:.3f} mm: accepted"] if off > SAME_POSITION_MM else []
    return length / steps.size, notes, False


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
