"""SUV of the PET series of a folder: a whole series, a part of one, or a single slice, whatever lies there.

Import refuses what is not whole; here its numbers are given with a note of what is missing.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import apply_modality_lut

from theradose.errors import DataError, TheradoseError, Where
from theradose.imaging.acquisition import first, number
from theradose.imaging.dicom import DAMAGE, read_header
from theradose.imaging.dicom_folder import Found, sort_files
from theradose.imaging.suv_factor import RADIO, Factor, suv_factor
from theradose.imaging.suv_times import WORDS

SAME = ("Units", "DecayCorrection", "PatientWeight", "SUVType", "Manufacturer", "CorrectedImage", "SeriesTime")
SAME_TRACER = (
    "RadionuclideTotalDose", "RadionuclideHalfLife", "RadiopharmaceuticalStartTime", "RadiopharmaceuticalStartDateTime",
)  # fmt: skip
SAME_POSITION_MM = 0.01
GAP = 1.5  # of the median step: a slice is missing
MEAN_OVER = "voxels above zero"
NEEDS_AC = ("THR-291", "THR-292")


def _require_alike(headers: Sequence[Dataset], paths: Sequence[Path]) -> None:
    """Raise DataError naming the first file whose fields for SUV are not those of the first."""
    tracers = [first(header, RADIO) for header in headers]
    for field, sources in [(f, headers) for f in SAME] + [(f, tracers) for f in SAME_TRACER]:
        for source, path in zip(sources, paths, strict=True):
            if str(source.get(field)) != str(sources[0].get(field)):
                raise DataError(
                    "slices of one series differ", where=Where(file=path.name, field=field), got="a value of its own",
                    expected="one value", remedy="separate the series", code="THR-301",
                )  # fmt: skip


def _missing(headers: Sequence[Dataset]) -> list[str]:
    """Return notes on slices that are not there, by NumberOfSlices and by gaps between positions."""
    stated = int(number(headers[0], "NumberOfSlices") or 0)
    try:
        x, y = np.array(headers[0].ImageOrientationPatient, float).reshape(2, 3)
        along_mm = np.array([np.array(h.ImagePositionPatient, float) @ np.cross(x, y) for h in headers])
    except (AttributeError, TypeError, ValueError):
        along_mm = np.array([np.nan])
    if not np.isfinite(along_mm).all():
        return ["WARN positions of the slices are missing: whether all are there is unknown"]
    places = np.unique(np.round(along_mm / SAME_POSITION_MM)) * SAME_POSITION_MM
    notes = ["WARN a single slice: SUV of this slice alone"] if places.size == 1 else []
    if stated and stated != places.size:
        notes.append(f"WARN {places.size} of {stated} slices (NumberOfSlices): {abs(stated - places.size)} "
                     + ("are missing" if places.size < stated else "too many"))  # fmt: skip
    steps = np.diff(places)
    gaps = steps[steps > GAP * np.median(steps)] if steps.size else steps
    if gaps.size:
        lost = int(np.sum(np.round(gaps / np.median(steps)) - 1))
        notes.append(f"WARN gaps between slices ({gaps.size}): about {lost} slices missing there")
    if places.size < len(headers):
        notes.append(f"{len(headers)} slices at {places.size} positions: several time frames, all are counted")
    return notes


def _statistics(paths: Sequence[Path], factor: Factor) -> tuple[float, float, list[str]]:
    """Return highest SUV, mean over the voxels above zero and notes; every file with its own slope and intercept."""
    highest, total, count, plain = -np.inf, 0.0, 0, 0
    for path, per_unit in zip(paths, factor.per_unit, strict=True):
        header = read_header(path, pixels=True)
        if number(header, "RescaleSlope") == 0:
            raise DataError("rescale slope is zero", where=Where(field="RescaleSlope"), got=0, code="THR-208").at(
                file=path.name
            )
        plain += "RescaleSlope" not in header
        try:
            values = np.asarray(apply_modality_lut(header.pixel_array, header), float) * per_unit
        except DAMAGE as error:
            raise DataError(
                "pixels cannot be read", where=Where(file=path.name), got=type(error).__name__, code="THR-204",
                remedy="export the series again, uncompressed",
            ) from error  # fmt: skip
        above = values[values > 0]
        highest, total, count = max(highest, float(values.max())), total + float(above.sum()), count + above.size
    notes = [f"WARN RescaleSlope is missing (files: {plain}): taken as 1"] if plain else []
    if not count:
        notes.append("WARN no voxel is above zero")
    return highest, total / count if count else float("nan"), notes


def _once(paths: Sequence[Path]) -> tuple[list[Path], list[Dataset], list[str]]:
    """Return files and headers of a series without those that are there twice (SOPInstanceUID), and notes."""
    kept: dict[str, tuple[Path, Dataset]] = {}
    for path in sorted(paths):
        header = read_header(path)
        kept.setdefault(str(header.get("SOPInstanceUID") or path), (path, header))
    doubled = len(paths) - len(kept)
    notes = [f"copies of other files ({doubled}): left out"] if doubled else []
    return [path for path, _ in kept.values()], [header for _, header in kept.values()], notes


def suv_of_series(paths: Sequence[Path]) -> dict[str, Any]:
    """Return what `theradose suv` says of the files of one PET series, without dates; DataError or UnitError.

    suv_max; suv_mean over the voxels above zero; factor, SUV per Bq/mL or per count after rescale (median over the
    files); rule, reference_time, hours_from_injection; other, the factor of another reading; notes (grave: `WARN`).
    """
    paths, headers, notes = _once(paths)
    if "NumberOfFrames" in headers[0]:
        raise DataError(
            "not supported: multi-frame PET", where=Where(file=paths[0].name, field="NumberOfFrames"), code="THR-302",
            expected="one slice a file", remedy="convert Enhanced PET to single-frame PET",
        )  # fmt: skip
    _require_alike(headers, paths)
    try:
        factor = suv_factor(headers)
    except TheradoseError as error:
        error.at(file=paths[0].name)
        raise
    highest, mean, of_pixels = _statistics(paths, factor)
    low, middle, high = (float(q) for q in np.quantile(factor.per_unit, (0.0, 0.5, 1.0)))
    spread = [f"factor differs between slices: {low:.6g} to {high:.6g}"] if high > low * (1 + 1e-6) else []
    reference = factor.reference
    words = WORDS[reference.rule if reference else "scanner"]
    return {
        "suv_max": highest, "suv_mean": mean, "suv_mean_over": MEAN_OVER, "factor": middle,
        "reference_time": f"{words}; {reference.hours:.4f} h after injection" if reference else words,
        "hours_from_injection": reference.hours if reference else None, "rule": factor.rule, "other": factor.other,
        "unit": "g/mL", "notes": [*_missing(headers), *notes, *factor.notes, *of_pixels, *spread],
    }  # fmt: skip


def _answers(found: Found) -> list[tuple[dict[str, Any], str]]:
    """Return for every PET series, in order of series number, what is said or refused, and its study."""
    answers = []
    for uid in (uid for uid, modality in found.modality.items() if modality == "PT"):
        header = read_header(found.series[uid][0])
        series_number = number(header, "SeriesNumber")
        label = {
            "series_number": None if series_number is None else int(series_number),
            "files": len(found.series[uid]),
        }
        try:
            said = suv_of_series(found.series[uid])
        except DataError as error:
            said = {"refused": error.code, "reason": str(error)}
        answers.append(({**label, **said}, str(header.get("StudyInstanceUID"))))
    return sorted(answers, key=lambda one: (one[0]["series_number"] is None, one[0]["series_number"] or 0.0))


def suv_of_files(files: Iterable[Path]) -> tuple[list[dict[str, Any]], list[str]]:
    """Return an answer for every PET series among files, and why others were left aside (with counts).

    An answer holds `refused` and `reason` instead of numbers when the series cannot be quantified; one that is not
    attenuation-corrected names the series of its study that is. DataError when there is no PET, that of the
    first damaged file when there are such; else these are left aside, too.
    """
    found = sort_files(files)
    reasons = [*(reason for _, reason in found.ignored), *(f"WARN {error.what}" for _, error in found.damaged)]
    aside = [f"left aside, {reason}: {count}" for reason, count in Counter(reasons).items()]
    answers = _answers(found)
    if not answers and found.damaged:
        raise found.damaged[0][1]
    if not answers:
        others = ", ".join(sorted(set(found.modality.values()))) or "; ".join(aside) or "no DICOM files"
        raise DataError("no PET series is here", got=others, expected="modality PT", code="THR-299")
    for answer, study in answers:
        good = [one["series_number"] for one, other in answers if "refused" not in one and other == study]
        if answer.get("refused") in NEEDS_AC and good and good[0] is not None:
            answer["reason"] += f" · series {good[0]} of this study can be used"
    return [answer for answer, _ in answers], aside
