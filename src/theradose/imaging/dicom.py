"""DICOM series to volumes: slices sorted by position along the normal, never by name, and nothing taken on trust.

A missing, doubled, foreign or damaged slice is a DataError that names the file. Reads PT (real SPECT is often stored as
PT), CT and multi-frame NM.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError

from theradose.errors import DataError, GeometryError, TheradoseError, Where
from theradose.imaging.acquisition import Acquisition, acquisition, first, number, unit_of
from theradose.imaging.grid import Grid
from theradose.imaging.volume import Volume

# What pydicom raises on damaged bytes.
DAMAGE = (
    InvalidDicomError, BytesLengthException, OSError, EOFError, ValueError, TypeError, AttributeError, KeyError,
    IndexError, NotImplementedError, OverflowError, struct.error, RuntimeError,
)  # fmt: skip
UNDEFINED_LENGTH = 0xFFFFFFFF
GAP = 1.5  # of the median step: a slice is missing
UNEVEN = 0.05  # of the step: accepted and noted
SAME_POSITION_MM = 0.01
SAME_COSINE = 1e-4
CONSTANT = ("Modality", "SeriesInstanceUID", "FrameOfReferenceUID", "Rows", "Columns")
WHOLE_SERIES = ("CT", "PT")
# pydicom's warnings quote header text, which may name a person; what matters is checked here.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE


@dataclass(frozen=True)
class Series:
    """A series that was read: the image, its record, and notes on what was accepted with a remark."""

    volume: Volume
    acquisition: Acquisition
    notes: tuple[str, ...]


def _require_whole(header: Dataset) -> None:
    """Raise EOFError when an element is shorter than it says; pydicom takes what it finds at the end of a file."""
    for tag in sorted(header.keys()):
        raw = header.get_item(tag)
        if isinstance(raw, RawDataElement) and raw.length != UNDEFINED_LENGTH and len(raw.value or b"") != raw.length:
            raise EOFError(f"{tag} is cut off")


def read_header(path: Path, *, pixels: bool = False) -> Dataset:
    """Read a DICOM file (without pixels by default); DataError names the file when it is none or damaged."""
    try:
        header = pydicom.dcmread(path, stop_before_pixels=not pixels)
        _require_whole(header)
        # Elements are decoded when first touched; do it here, where the file can still be named.
        for element in header:
            _ = element.value
    except DAMAGE as error:
        raise DataError(
            "DICOM file is damaged", where=Where(file=path.name), got=type(error).__name__, code="THR-204",
            remedy="export the series again",
        ) from error  # fmt: skip
    return header


def _named(error: TheradoseError, path: Path) -> DataError:
    """Return the fault again with the name of the file it was found in."""
    where = Where(file=path.name, field=error.where.field)
    kind = type(error) if isinstance(error, DataError) else DataError
    return kind(error.what, where=where, got=error.got, expected=error.expected, remedy=error.remedy, code=error.code)


def _numbers(header: Dataset, field: str, count: int, path: Path) -> np.ndarray:
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


def _axes(orientation: np.ndarray, path: Path) -> np.ndarray:
    """Return the direction matrix (columns: image x, y and their normal) of ImageOrientationPatient."""
    x, y = orientation[:3], orientation[3:]
    if abs(np.linalg.norm(x) - 1) > SAME_COSINE or abs(np.linalg.norm(y) - 1) > SAME_COSINE or abs(x @ y) > SAME_COSINE:
        where = Where(file=path.name, field="ImageOrientationPatient")
        raise GeometryError("image axes are no right angle of unit vectors", where=where, got=orientation.tolist())
    return np.column_stack([x, y, np.cross(x, y)])


def _pixels(header: Dataset, path: Path, dimensions: int) -> np.ndarray:
    """Return the stored values times slope plus intercept of this very file, float32."""
    try:
        stored = np.asarray(header.pixel_array, float)
    except DAMAGE as error:
        raise DataError(
            "pixels cannot be read", where=Where(file=path.name), got=type(error).__name__,
            code="THR-204", remedy="export the series again, uncompressed",
        ) from error  # fmt: skip
    if stored.ndim != dimensions:
        where = Where(file=path.name)
        raise DataError(
            "not supported: pixels of this kind",
            where=where,
            got=f"{stored.ndim} axes",
            expected=dimensions,
            code="THR-254",
        )
    slope, intercept = number(header, "RescaleSlope"), number(header, "RescaleIntercept")
    mapped = first(header, "RealWorldValueMappingSequence")
    if slope is None and "RealWorldValueSlope" in mapped:
        slope, intercept = number(mapped, "RealWorldValueSlope"), number(mapped, "RealWorldValueIntercept")
    slope = 1.0 if slope is None else slope
    if slope == 0:
        raise DataError(
            "rescale slope is zero", where=Where(file=path.name, field="RescaleSlope"), got=0, code="THR-208"
        )
    return np.asarray(stored * slope + (intercept or 0.0), np.float32)


def _require_one_series(headers: Sequence[Dataset], paths: Sequence[Path]) -> None:
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
        common_numbers = _numbers(headers[0], field, count, paths[0])
        for header, path in zip(headers, paths, strict=True):
            numbers = _numbers(header, field, count, path)
            if np.abs(numbers - common_numbers).max() > SAME_COSINE:
                raise GeometryError(
                    "slices differ in geometry", where=Where(file=path.name, field=field), got=numbers.tolist()
                )


def _without_doubles(
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


def _step_mm(along_mm: np.ndarray, paths: Sequence[Path]) -> tuple[float, list[str]]:
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
            "slices are not evenly spaced", where=where, got=f"{steps[worst]:.3f} mm", expected=f"{step:.3f} mm"
        )
    mean = float((along_mm[-1] - along_mm[0]) / steps.size)
    uneven = abs(steps[worst] - step) > SAME_POSITION_MM
    return mean, [f"steps vary by up to {abs(steps[worst] - step):.3f} mm: accepted"] if uneven else []


def _require_all_slices(header: Dataset, found: int, path: Path) -> None:
    """Raise DataError when the header counts other slices than were found (PT writes NumberOfSlices)."""
    stated = number(header, "NumberOfSlices")
    if stated and int(stated) != found:
        raise DataError(
            "series is not complete", where=Where(file=path.name, field="NumberOfSlices"), code="THR-229",
            got=f"{found} slices", expected=int(stated), remedy="export the whole series, one time frame only",
        )  # fmt: skip


def _stack(headers: list[Dataset], paths: list[Path], unit: str) -> tuple[Volume, list[str]]:
    """Return the volume of single-frame files of one series, and notes."""
    axes = _axes(_numbers(headers[0], "ImageOrientationPatient", 6, paths[0]), paths[0])
    places = np.array([_numbers(h, "ImagePositionPatient", 3, p) for h, p in zip(headers, paths, strict=True)])
    slices = [_pixels(h, p, 2) for h, p in zip(headers, paths, strict=True)]
    along_mm = places @ axes[:, 2]
    order = [int(i) for i in np.argsort(along_mm, kind="stable")]
    kept, notes = _without_doubles(order, along_mm, slices, paths)
    step_mm, uneven = _step_mm(along_mm[kept], [paths[i] for i in kept])
    _require_all_slices(headers[0], len(kept), paths[0])
    drift = (places[kept[-1]] - places[kept[0]]) @ axes[:, :2]
    if np.abs(drift).max() > step_mm * GAP:
        where = Where(file=paths[kept[-1]].name, field="ImagePositionPatient")
        raise GeometryError(
            "slices are stacked askew (tilted gantry)", where=where, got=f"{drift.round(2).tolist()} mm"
        )
    rows_mm, columns_mm = _numbers(headers[0], "PixelSpacing", 2, paths[0])
    return _volume(np.stack([slices[i] for i in kept]), places[kept[0]], axes, (columns_mm, rows_mm, step_mm), unit), [
        *notes,
        *uneven,
    ]


def _frames(header: Dataset, path: Path, unit: str) -> Volume:
    """Return the volume of a multi-frame NM file; the sign of SpacingBetweenSlices says to which side frames stack."""
    detector = first(header, "DetectorInformationSequence")
    axes = _axes(_numbers(detector, "ImageOrientationPatient", 6, path), path)
    origin = _numbers(detector, "ImagePositionPatient", 3, path)
    rows_mm, columns_mm = _numbers(header, "PixelSpacing", 2, path)
    step_mm = number(header, "SpacingBetweenSlices") or number(header, "SliceThickness") or 0.0
    values = _pixels(header, path, 3)
    numbers = np.asarray(header.get("SliceVector") or range(1, len(values) + 1), int)
    if sorted(numbers.tolist()) != list(range(1, len(values) + 1)):
        raise DataError(
            "frames are not one slice each", where=Where(file=path.name, field="SliceVector"), code="THR-254",
            got=f"{len(values)} frames, {len(set(numbers.tolist()))} slices", expected="one window and time slot",
        )  # fmt: skip
    values = values[np.argsort(numbers, kind="stable")]
    if step_mm < 0:
        origin = origin + axes[:, 2] * step_mm * (len(values) - 1)
        values = values[::-1]
    return _volume(values, origin, axes, (columns_mm, rows_mm, abs(step_mm)), unit)


def _volume(
    values: np.ndarray, origin: np.ndarray, axes: np.ndarray, spacing_xyz_mm: tuple[float, float, float], unit: str
) -> Volume:
    """Put values, place and unit together."""
    nz, ny, nx = values.shape
    sx, sy, sz = spacing_xyz_mm
    x, y, z = origin
    direction = tuple((float(a), float(b), float(c)) for a, b, c in np.round(axes, 7) + 0.0)
    grid = Grid((nz, ny, nx), (float(sx), float(sy), float(sz)), (float(x), float(y), float(z)), direction)
    return Volume(np.ascontiguousarray(values, np.float32), grid, unit)


def read_series(files: Sequence[Path], unit: str | None = None) -> Series:
    """Read the files of one series as a volume (LPS mm; Bq/mL, g/mL or HU) with its acquisition record.

    `unit` states what NM values are when the camera writes no unit. DataError, GeometryError or UnitError names the
    file.
    """
    paths = sorted(files)
    if not paths:
        raise DataError("series has no files", expected="at least one", code="THR-201")
    headers = [read_header(path, pixels=True) for path in paths]
    _require_one_series(headers, paths) if headers[0].get("Modality") != "NM" else None
    try:
        unit = unit_of(headers[0], unit)
        record = acquisition(headers, unit)
    except TheradoseError as error:
        raise _named(error, paths[0]) from error
    if record.modality == "NM":
        if len(paths) > 1:
            raise DataError(
                "an NM series has one file", where=Where(file=paths[1].name), got=len(paths), expected=1, code="THR-227"
            )
        return Series(_frames(headers[0], paths[0], unit), record, record.notes)
    if record.modality not in WHOLE_SERIES or "NumberOfFrames" in headers[0]:
        where = Where(file=paths[0].name, field="SOPClassUID")
        got = getattr(headers[0].get("SOPClassUID"), "name", None)
        raise DataError(
            "not supported: this kind of image", where=where, got=got, expected="PT, CT or NM", code="THR-254"
        )
    volume, notes = _stack(headers, paths, unit)
    return Series(volume, record, (*notes, *record.notes))
