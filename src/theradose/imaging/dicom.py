"""DICOM series to volumes: slices sorted by position along the normal, never by name, and nothing taken on trust.

A missing, doubled, foreign or damaged slice is a DataError that names the file. Reads PT (real SPECT is often stored as
PT), CT and multi-frame NM.
"""

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError

from theradose.errors import DataError, GeometryError, TheradoseError, Where
from theradose.imaging.acquisition import Acquisition, acquisition, first, number, scan_start, unit_of
from theradose.imaging.dicom_slices import (
    GAP,
    axes_of,
    numbers_of,
    on_even_steps,
    require_all_slices,
    require_one_series,
    step_mm,
    without_doubles,
)
from theradose.imaging.grid import Grid
from theradose.imaging.volume import Volume
from theradose.physics.nuclides import nuclide_table
from theradose.physics.units import seconds_from_hours

# What pydicom raises on damaged bytes.
DAMAGE = (
    InvalidDicomError, BytesLengthException, OSError, EOFError, ValueError, TypeError, AttributeError, LookupError,
    NotImplementedError, ArithmeticError, struct.error, RuntimeError, zlib.error, MemoryError,
)  # fmt: skip
UNDEFINED_LENGTH = 0xFFFFFFFF
KINDS = ("PT", "CT", "NM")
PHOTOPEAKS_KEV = {"Lu-177": (112.95, 208.37)}  # ICRP publication 107
SAME_HALF_LIFE = 1e-3
# Voxels of a file at the largest number that its bits hold: scaling to the maximum puts one there.
CLIPPED = 3
LONG_AGO = datetime(1900, 1, 1)
# pydicom's warnings quote header text, which may name a person; what matters is checked here.
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE


@dataclass(frozen=True)
class Series:
    """A series that was read: the image, its record, and notes on what was accepted (`WARN` before grave ones).

    `injection_h` is the injection on the scanner's calendar, in hours: to compare series, never written. `synthetic`
    tells that every file says (0008,001C) that no person was imaged.
    """

    volume: Volume
    acquisition: Acquisition
    notes: tuple[str, ...]
    injection_h: float | None = None
    synthetic: bool = False


def _require_whole(header: Dataset) -> None:
    """Raise EOFError when an element is shorter than it says; pydicom takes what it finds at the end of a file."""
    for tag in sorted(header.keys()):
        raw = header.get_item(tag)
        if isinstance(raw, RawDataElement) and raw.length != UNDEFINED_LENGTH and len(raw.value or b"") != raw.length:
            raise EOFError(f"{tag} is cut off")


def read_header(path: Path, *, pixels: bool = False, name: str | None = None) -> Dataset:
    """Read a DICOM file (without pixels by default); DataError names it (as `name`) when it is none or damaged."""
    try:
        header = pydicom.dcmread(path, stop_before_pixels=not pixels)
        _require_whole(header)
        # Elements are decoded when first touched; do it here, where the file can still be named.
        for element in header.iterall():
            _ = element.value
    except DAMAGE as error:
        raise DataError(
            "DICOM file is damaged", where=Where(file=name or path.name), got=type(error).__name__, code="THR-204",
            remedy="export the series again",
        ) from error  # fmt: skip
    return header


def _pixels(header: Dataset, path: Path, dimensions: int) -> tuple[np.ndarray, int]:
    """Return stored values times slope plus intercept of this very file, float32, and how many voxels were clipped."""
    try:
        stored = np.asarray(header.pixel_array, float)
    except DAMAGE as error:
        syntax = getattr(header.file_meta.get("TransferSyntaxUID"), "name", "no transfer syntax")
        raise DataError(
            "pixels cannot be read", where=Where(file=path.name), got=f"{type(error).__name__}, {syntax}",
            code="THR-204", remedy="export the series again, uncompressed",
        ) from error  # fmt: skip
    if stored.ndim != dimensions:
        raise DataError(
            "not supported: pixels of this kind", where=Where(file=path.name), got=f"{stored.ndim} axes",
            expected=dimensions, code="THR-254",
        )  # fmt: skip
    slope, intercept = number(header, "RescaleSlope"), number(header, "RescaleIntercept")
    mapped = first(header, "RealWorldValueMappingSequence")
    if slope is None and "RealWorldValueSlope" in mapped:
        slope, intercept = number(mapped, "RealWorldValueSlope"), number(mapped, "RealWorldValueIntercept")
    slope = 1.0 if slope is None else slope
    if slope == 0 or not np.isfinite([slope, intercept or 0.0]).all():
        what = "rescale slope is zero" if slope == 0 else "rescale slope or intercept is no finite number"
        raise DataError(what, where=Where(file=path.name, field="RescaleSlope"), got=slope, code="THR-208")
    top = 2 ** (int(header.BitsStored) - int(header.get("PixelRepresentation") or 0)) - 1
    return np.asarray(stored * slope + (intercept or 0.0), np.float32), int((stored >= top).sum())


def _clipped(counts: Sequence[int], n_voxels: int) -> list[str]:
    """Return a warning when more voxels of a file hold the largest number than scaling to the maximum puts there."""
    over = sum(n for n in counts if n > CLIPPED)
    return [f"WARN {over} voxels ({100 * over / n_voxels:.2g} %) hold the largest number: clipped?"] if over else []


def _stack(headers: list[Dataset], paths: list[Path], unit: str, *, resample: bool) -> tuple[Volume, list[str]]:
    """Return the volume of single-frame files of one series, and notes; `resample` mends uneven steps."""
    axes = axes_of(numbers_of(headers[0], "ImageOrientationPatient", 6, paths[0]), paths[0])
    places = np.array([numbers_of(h, "ImagePositionPatient", 3, p) for h, p in zip(headers, paths, strict=True)])
    slices, clipped = zip(*(_pixels(h, p, 2) for h, p in zip(headers, paths, strict=True)), strict=True)
    along_mm = places @ axes[:, 2]
    order = [int(i) for i in np.argsort(along_mm, kind="stable")]
    kept, notes = without_doubles(order, along_mm, slices, paths)
    between_mm, uneven, mend = step_mm(along_mm[kept], [paths[i] for i in kept], resample=resample)
    ends = require_all_slices(headers, len(kept), paths[0])
    drift = (places[kept[-1]] - places[kept[0]]) @ axes[:, :2]
    if np.abs(drift).max() > between_mm * GAP:
        where = Where(file=paths[kept[-1]].name, field="ImagePositionPatient")
        raise GeometryError(
            "slices are stacked askew (tilted gantry)", where=where, got=f"{drift.round(2).tolist()} mm",
            remedy="resample it on an upright grid, and import it as NIfTI with a mapping file", code="THR-336",
        )  # fmt: skip
    rows_mm, columns_mm = numbers_of(headers[0], "PixelSpacing", 2, paths[0])
    values = np.stack([slices[i] for i in kept])
    if mend:
        values = on_even_steps(values, along_mm[kept], between_mm)
    notes += [*uneven, *ends, *(_clipped(clipped, values.size) if unit != "HU" else [])]
    return _volume(values, places[kept[0]], axes, (columns_mm, rows_mm, between_mm), unit), notes


def _frames(header: Dataset, path: Path, unit: str) -> tuple[Volume, list[str]]:
    """Return volume and notes of a multi-frame NM file; frames stack to the side the sign of their spacing says."""
    detector = first(header, "DetectorInformationSequence")
    axes = axes_of(numbers_of(detector, "ImageOrientationPatient", 6, path), path)
    origin = numbers_of(detector, "ImagePositionPatient", 3, path)
    rows_mm, columns_mm = numbers_of(header, "PixelSpacing", 2, path)
    between_mm = number(header, "SpacingBetweenSlices") or number(header, "SliceThickness") or 0.0
    values, clipped = _pixels(header, path, 3)
    numbers = np.asarray(header.get("SliceVector") or range(1, len(values) + 1), int)
    if sorted(numbers.tolist()) != list(range(1, len(values) + 1)):
        raise DataError(
            "frames are not one slice each", where=Where(file=path.name, field="SliceVector"), code="THR-254",
            got=f"{len(values)} frames, {len(set(numbers.tolist()))} slices", expected="one window and time slot",
        )  # fmt: skip
    values = values[np.argsort(numbers, kind="stable")]
    if between_mm < 0:
        origin = origin + axes[:, 2] * between_mm * (len(values) - 1)
        values = values[::-1]
    volume = _volume(values, origin, axes, (columns_mm, rows_mm, abs(between_mm)), unit)
    return volume, _clipped([clipped], values.size)


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


def _windows(header: Dataset, nuclide: str | None) -> list[str]:
    """Return a warning when energy windows are stated and none holds a photon line of the radionuclide."""
    outer = header.get("EnergyWindowInformationSequence") or [header]
    ranges = [each for window in outer for each in window.get("EnergyWindowRangeSequence") or ()]
    limits = [(number(r, "EnergyWindowLowerLimit") or 0.0, number(r, "EnergyWindowUpperLimit") or 0.0) for r in ranges]
    lines = PHOTOPEAKS_KEV.get(nuclide or "", ())
    if not limits or not lines or any(low <= line <= high for low, high in limits for line in lines):
        return []
    stated = ", ".join(f"{low:g}-{high:g}" for low, high in limits)
    return [f"WARN energy window {stated} keV holds no line of {nuclide} ({', '.join(f'{e:g}' for e in lines)} keV)"]


def _half_life(header: Dataset, nuclide: str | None) -> list[str]:
    """Return a warning when the header's half-life is another than that of the table, which is the one taken."""
    stated_s = number(first(header, "RadiopharmaceuticalInformationSequence"), "RadionuclideHalfLife")
    known = nuclide_table().get(nuclide or "")
    if not stated_s or known is None or abs(stated_s / seconds_from_hours(known.half_life_h) - 1.0) <= SAME_HALF_LIFE:
        return []
    table_s = seconds_from_hours(known.half_life_h)
    return [f"WARN half-life of {nuclide} is {stated_s:g} s in the header, {table_s:g} s in ICRP 107, which was taken"]


def _require_supported(header: Dataset, path: Path) -> str:
    """Return the modality; DataError for enhanced multi-frame images and for kinds that are no PT, CT or NM."""
    modality = str(header.get("Modality", ""))
    if modality in KINDS and "SeriesInstanceUID" in header and (modality == "NM" or "NumberOfFrames" not in header):
        return modality
    got = getattr(header.get("SOPClassUID"), "name", None) or modality or "no modality"
    raise DataError(
        "not supported: this kind of image", where=Where(file=path.name, field="SOPClassUID"), got=got, code="THR-254",
        expected="single-frame PT or CT, or NM", remedy="convert it to single-frame DICOM, or to NIfTI with a mapping",
    )  # fmt: skip


def _read(headers: list[Dataset], paths: list[Path], unit: str | None, *, resample: bool) -> Series:
    """Return the series of headers with pixels; errors name one of `paths`, or no file when it may be any."""
    if _require_supported(headers[0], paths[0]) == "NM":
        if len(paths) > 1:
            where = Where(file=paths[1].name)
            raise DataError("an NM series has one file", where=where, got=len(paths), expected=1, code="THR-227")
    else:
        require_one_series(headers, paths)
    unit = unit_of(headers[0], unit)
    record = acquisition(headers, unit)
    if record.modality == "NM":
        volume, notes = _frames(headers[0], paths[0], unit)
    else:
        volume, notes = _stack(headers, paths, unit, resample=resample)
    start = scan_start(headers) if record.start_h is not None else None
    injection_h = None if start is None else (start - LONG_AGO).total_seconds() / 3600.0 - (record.start_h or 0.0)
    notes += [*_windows(headers[0], record.radionuclide), *_half_life(headers[0], record.radionuclide), *record.notes]
    synthetic = all(header.get("SyntheticData") == "YES" for header in headers)
    return Series(volume, record, tuple(notes), injection_h, synthetic)


def read_series(
    files: Sequence[Path],
    unit: str | None = None,
    names: Mapping[Path, str] | None = None,
    *,
    resample_uneven: bool = False,
) -> Series:
    """Read the files of one series as a volume (LPS mm; Bq/mL, g/mL or HU) with its acquisition record.

    `unit` states what NM values are when the camera writes no unit; `names` says how messages call the files (by
    default by their own names); `resample_uneven` interpolates slices at uneven steps on even ones. DataError,
    GeometryError or UnitError names the file; nothing else is raised.
    """
    paths = sorted(files)
    if not paths:
        raise DataError("series has no files", expected="at least one", code="THR-201")
    shown = [Path((names or {}).get(path, path.name)) for path in paths]
    headers = [read_header(path, pixels=True, name=name.name) for path, name in zip(paths, shown, strict=True)]
    try:
        return _read(headers, shown, unit, resample=resample_uneven)
    except TheradoseError as error:
        error.at(file=shown[0].name)
        raise
    except DAMAGE as error:
        raise DataError(
            "header makes no sense", where=Where(file=shown[0].name), got=type(error).__name__, code="THR-330",
            remedy="export the series again",
        ) from error  # fmt: skip
