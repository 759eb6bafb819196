"""A hospital's DICOM folder to a patient of a data set, without names, dates or identifiers.

Only what is listed here is carried over (allow-list). The decay correction of an image is decided by the caller and
both readings are written down, because headers contradict themselves.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from theradose.cohort.archives import is_archive, unpack
from theradose.cohort.intake import Intake
from theradose.cohort.layout import PRE, Dataset
from theradose.cohort.structures import label_mask, labels_of
from theradose.errors import DataError, Where
from theradose.imaging.acquisition import DECAY_TAGS, Acquisition
from theradose.imaging.dicom import Series, read_series
from theradose.imaging.dicom_folder import Found, find_series
from theradose.imaging.plausible import decay_contradiction
from theradose.imaging.rtstruct import StructureSet, read_rtstruct
from theradose.physics.decay import DECAY_REFERENCES, factor_to_scan_start
from theradose.physics.nuclides import nuclide
from theradose.physics.units import seconds_from_hours

AS_DECLARED = "as_declared"
THERAPY = "ses-tx1"
# Radionuclides whose PT images come from PET; PT of any other is SPECT stored as PT.
PET_NUCLIDES = frozenset(
    ("C-11", "Cu-64", "F-18", "Ga-68", "I-124", "N-13", "O-15", "Rb-82", "Sc-44", "Y-86", "Y-90", "Zr-89")
)


@dataclass(frozen=True)
class Placed:
    """A series and where it goes: modality and session of the data set, hours after administration."""

    series: Series
    modality: str
    session: str
    time_h: float | None


def _emission(series: Series) -> Placed:
    """Return where a PET or SPECT belongs; DataError when tracer, activity or time of injection are not stated."""
    record = series.acquisition
    needed = {
        "RadionuclideCodeSequence": record.radionuclide,
        "RadionuclideTotalDose": record.injected_mbq,
        "RadiopharmaceuticalStartDateTime": record.start_h,
    }
    missing = [name for name, value in needed.items() if value is None]
    if missing:
        raise DataError(
            f"header of a {record.modality} series lacks what dosimetry needs",
            where=Where(field=", ".join(missing)),
            remedy="export with these fields, or convert to NIfTI and import with a mapping file",
            code="THR-250",
        )
    nuclide(str(record.radionuclide))
    is_pet = record.modality == "PT" and record.radionuclide in PET_NUCLIDES
    return Placed(series, "pet" if is_pet else "spect", PRE if is_pet else THERAPY, record.start_h)


def _place(all_series: list[Series]) -> list[Placed]:
    """Return all series with their places; a CT goes with the image of its frame of reference, else before therapy."""
    placed = [_emission(s) for s in all_series if s.acquisition.modality != "CT"]
    placed.sort(key=lambda p: (p.modality, p.time_h))
    frames = {p.series.acquisition.frame_of_reference: p for p in placed}
    for series in (s for s in all_series if s.acquisition.modality == "CT"):
        partner = frames.get(series.acquisition.frame_of_reference)
        later = partner is not None and partner.modality == "spect"
        placed.append(Placed(series, "ct", THERAPY if later else PRE, partner.time_h if later and partner else None))
    return placed


def decide_reference(record: Acquisition, choice: str) -> str:
    """Return the decay reference by the caller's choice, or by the header's tag when `choice` is as_declared."""
    reference = DECAY_TAGS.get(record.decay_tag or "") if choice == AS_DECLARED else choice
    if reference not in DECAY_REFERENCES:
        raise DataError(
            "decay correction is not stated" if choice == AS_DECLARED else "decay reference is unknown",
            where=Where(field="DecayCorrection"),
            got=record.decay_tag if choice == AS_DECLARED else choice,
            expected=f"one of {', '.join(DECAY_REFERENCES)}",
            remedy="decide with --decay-reference",
            code="THR-207",
        )
    return reference


def readings(series: Series) -> dict[str, float]:
    """Return the activity (MBq) in the field of view at scan start under each reading of the decay correction.

    `as_stored` is the plain sum; the others are named by decay reference. Readings that need an unknown frame duration
    are left out.
    """
    record = series.acquisition
    stored = series.volume.total_mbq()
    half_life_h = nuclide(str(record.radionuclide)).half_life_h
    found = {"as_stored": stored}
    for reference in DECAY_REFERENCES:
        duration_h = None if record.frame_duration_s is None else record.frame_duration_s / 3600.0
        if reference == "none" and duration_h is None:
            continue
        found[reference] = stored * factor_to_scan_start(
            reference, half_life_h, float(record.start_h or 0.0), duration_h
        )
    return found


def sidecar_of(placed: Placed, reference: str, choice: str) -> dict[str, Any]:
    """Return the sidecar of a PET or SPECT: PET-BIDS keys, the decided decay reference and what the header declared."""
    record = placed.series.acquisition
    sidecar: dict[str, Any] = {
        "Modality": "PT" if placed.modality == "pet" else "NM",
        "TracerRadionuclide": record.radionuclide,
        "InjectedRadioactivity": record.injected_mbq,
        "InjectedRadioactivityUnits": "MBq",
        "TimeZero": "InjectionStart",
        "InjectionStart": 0,
        "FrameTimesStart": [seconds_from_hours(float(record.start_h or 0.0))],
        "ImageDecayCorrected": reference != "none",
        "DecayReference": reference,
        "DecayReferenceDecidedBy": "header" if choice == AS_DECLARED else "user",
        "DecayCorrectionDeclared": record.decay_tag,
        "DecayFactorDeclared": record.decay_factor,
    }
    if record.frame_duration_s is not None:
        sidecar["FrameDuration"] = [record.frame_duration_s]
    if record.unit == "Bq/mL":
        sidecar["ActivityInFieldOfViewMBq"] = readings(placed.series)
    return sidecar


def _activity_line(placed: Placed, reference: str) -> list[str]:
    """Return lines: the activity of a time point under each reading, a warning when the header contradicts itself."""
    record = placed.series.acquisition
    if record.unit != "Bq/mL":
        return [f"{placed.modality} at {placed.time_h:.2f} h is in {record.unit}"]
    each = ", ".join(f"{name} {mbq:.1f} MBq" for name, mbq in readings(placed.series).items())
    lines = [f"{placed.modality} at {placed.time_h:.2f} h: in the field of view {each}; taken: {reference}"]
    half_life_h = nuclide(str(record.radionuclide)).half_life_h
    clash = decay_contradiction(record.decay_tag, record.decay_factor, half_life_h, float(record.start_h or 0.0))
    return [*lines, f"WARN decay correction contradicts itself: {clash}; {reference} was taken"] if clash else lines


def _clinical(placed: list[Placed], centre: str) -> dict[str, object]:
    """Return the clinical row: weight and height of the first series that has them, activity of the therapy."""
    records = [p.series.acquisition for p in placed]
    therapy = [p.series.acquisition for p in placed if p.modality == "spect"]
    known = therapy or [r for r in records if r.radionuclide]
    return {
        "centre": centre,
        "weight_kg": next((r.weight_kg for r in records if r.weight_kg), None),
        "height_cm": next((r.height_cm for r in records if r.height_cm), None),
        "administered_mbq": therapy[0].injected_mbq if therapy else None,
        "radionuclide": known[0].radionuclide if known else None,
    }


def _partner(structures: StructureSet, placed: list[Placed], file: str) -> Placed:
    """Return the series a structure set was drawn on: by its UID, else the only one of its frame of reference."""
    named = [p for p in placed if p.series.acquisition.series == structures.series]
    frame = [p for p in placed if p.series.acquisition.frame_of_reference == structures.frame_of_reference]
    chosen = named or (frame if len(frame) == 1 else [])
    if not chosen:
        raise DataError(
            "structure set belongs to no series of this folder",
            where=Where(file=file),
            got=f"{len(frame)} series of its frame of reference",
            expected="the series it was drawn on",
            remedy="add that series",
            code="THR-259",
        )
    return chosen[0]


def _add_masks(intake: Intake, patient: str, placed: list[Placed], files: list[Path]) -> list[str]:
    """Write one mask a structure set; return lines for the report."""
    sets = [(file, read_rtstruct(file)) for file in files]
    labels = labels_of(roi for _, structures in sets for roi in structures.rois)
    lines = []
    for file, structures in sets:
        partner = _partner(structures, placed, file.name)
        mask, about = label_mask(
            structures.rois, partner.series.volume.grid, labels, Where(patient=patient, file=file.name)
        )
        time_h = None if partner.session == PRE else partner.time_h
        intake.add_image(patient, "mask", mask, session=partner.session, time_h=time_h)
        when = "before therapy" if time_h is None else f"at {time_h:.2f} h"
        lines += [f"{when}: {line}" for line in about]
    return lines


def _found_in(source: Path, scratch: Path) -> Found:
    """Return what lies in a folder or archive; archives inside a folder are unpacked under `scratch`."""
    archives = [source] if is_archive(source) else sorted(p for p in source.rglob("*") if is_archive(p))
    found = Found() if source.is_file() else find_series(source)
    for number, archive in enumerate(archives):
        unpack(archive, scratch / str(number))
    inside = find_series(scratch)
    for series, files in inside.series.items():
        found.series[series] += files
    found.modality |= inside.modality
    found.structures += inside.structures
    found.ignored = [(p, why) for p, why in found.ignored + inside.ignored if p not in archives]
    found.people |= inside.people
    return found


def import_dicom(
    source: Path,
    to: Path,
    *,
    patient: str,
    centre: str = "unknown",
    decay_reference: str = AS_DECLARED,
    nm_unit: str | None = None,
) -> list[str]:
    """Add the patient whose DICOM series and structure sets lie in a folder or archive to the data set `to`.

    Returns lines for people: series, activity under each decay reading, volumes, files left aside. `nm_unit` is the
    unit of NM images that state none. DataError names the file that cannot be used; then nothing enters the tables.
    """
    if not source.exists():
        raise DataError("source is missing", where=Where(file=source.name), code="THR-201")
    intake = Intake(Dataset(to), to.name)
    with tempfile.TemporaryDirectory() as scratch:
        found = _found_in(source, Path(scratch))
        if not found.series or len(found.people) > 1:
            raise DataError(
                "folder holds no image series" if not found.series else "folder holds more than one patient",
                where=Where(file=source.name), got=f"{len(found.series)} series of {len(found.people)} patients",
                expected="one patient a folder", remedy="import the patients one by one", code="THR-205",
            )  # fmt: skip
        placed = _place([read_series(files, nm_unit) for files in found.series.values()])
        intake.add_patient(patient, _clinical(placed, centre))
        lines = []
        for p in placed:
            extra: dict[str, Any] = {}
            if p.modality != "ct":
                reference = decide_reference(p.series.acquisition, decay_reference)
                extra = sidecar_of(p, reference, decay_reference)
                lines += _activity_line(p, reference)
            lines += [f"NOTE {note}" for note in p.series.notes]
            intake.add_image(patient, p.modality, p.series.volume, session=p.session, time_h=p.time_h, extra=extra)
        lines += _add_masks(intake, patient, placed, found.structures)
        intake.finish()
    aside, sets = len(found.ignored), len(found.structures)
    used = sum(map(len, found.series.values())) + sets
    lines += [f"left aside: {count} files ({why})" for why, count in _counted(found).items()]
    lines.append(
        f"{len(placed)} series, {sets} structure sets; {used + aside} files = {used} used + {aside} left aside"
    )
    return lines


def _counted(found: Found) -> dict[str, int]:
    """Return how many files were left aside for each reason."""
    reasons = [why for _, why in found.ignored]
    return {why: reasons.count(why) for why in sorted(set(reasons))}
