"""A hospital's DICOM folder to a patient of a data set, without names, dates or identifiers.

Only what is listed here is carried over (allow-list). The decay correction of an image is decided by the caller and
both readings are written down, because headers contradict themselves. What cannot be used is listed, all of it, and
puts the patient in quarantine; the rest is imported.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from theradose.cohort.dose_intake import add_dose
from theradose.cohort.intake import Imported, Intake
from theradose.cohort.layout import PRE, Dataset
from theradose.cohort.mask_grid import grid_for, on_grid
from theradose.cohort.placing import (
    AS_DECLARED,
    Placed,
    activity_lines,
    clinical,
    decide_reference,
    place,
    require_choice,
    sidecar_of,
)
from theradose.cohort.raw_files import RawFiles, accounting, opened, require_source
from theradose.cohort.structure_sets import drawn, partner
from theradose.cohort.structures import labels_of
from theradose.errors import DataError, TheradoseError, Where
from theradose.imaging.dicom import Series, read_series
from theradose.imaging.dicom_folder import Found, sort_files
from theradose.imaging.rtstruct import StructureSet, read_rtstruct
from theradose.imaging.seg import read_seg
from theradose.vocabulary import VIRTUAL_MARKS, counted

# What reads a file of structures, by its modality.
READERS: dict[str, Callable[[Path], StructureSet]] = {"RTSTRUCT": read_rtstruct, "SEG": read_seg}


@dataclass(frozen=True)
class Allowed:
    """What the caller has decided to accept, none of it by itself.

    `frame_match`: contours drawn on a series that is not there, on that of its frame of reference. `burned_in`: images
    whose header says that text is burnt into the pixels. `uneven`: slices at uneven steps, interpolated on even ones.
    """

    frame_match: bool = False
    burned_in: bool = False
    uneven: bool = False


NOTHING = Allowed()


@dataclass
class _Job:
    """One import: patient, what was found and is allowed, the files by our names, and the lines for people."""

    patient: str
    intake: Intake
    found: Found
    allowed: Allowed
    raw: RawFiles = field(default_factory=RawFiles)
    lines: list[str] = field(default_factory=list)
    series: dict[str, list[Path]] = field(default_factory=dict)

    def fault(self, name: str, error: TheradoseError) -> None:
        """Note a fault of a series, structure set or file (by our name)."""
        self.intake.fault(self.patient, error, name)

    def refuse(self, name: str, error: TheradoseError) -> None:
        """Note that a series, structure set or file (by our name) cannot be used."""
        faulty = self.series.get(name) or [path for path, own in self.raw.names.items() if own == name]
        self.fault(name if name in self.series else self.raw.shown()[faulty[0]], error)
        self.raw.set_use(faulty, f"not usable: {error.code}")

    def warn(self, message: str) -> None:
        """Note a warning."""
        self.intake.warn(self.patient, message)

    def remark(self, name: str, notes: Iterable[str]) -> None:
        """Note what was accepted with a remark."""
        for note in notes:
            if note.startswith("WARN "):
                self.warn(f"{name}: {note.removeprefix('WARN ')}")
            else:
                self.lines.append(f"NOTE {name}: {note}")


def _named(job: _Job) -> None:
    """Give every file a name of ours and hash it; damaged files are refused."""
    kinds: Counter[str] = Counter()
    for uid, files in job.found.series.items():
        kind = job.found.modality[uid].lower()
        kinds[kind] += 1
        job.series[f"{kind}-{kinds[kind]:02d}"] = sorted(files)
        job.raw.add(f"{kind}-{kinds[kind]:02d}", sorted(files))
    job.raw.add("structures", job.found.structures)
    job.raw.add("dose", job.found.doses)
    job.raw.add("other", [path for path, _ in job.found.ignored if not path.is_symlink()])
    job.raw.add("damaged", [path for path, _ in job.found.damaged])
    for path, why in job.found.ignored:
        job.raw.set_use([path], why)
    for path, error in job.found.damaged:
        error.where = Where(field=error.where.field)
        job.refuse(job.raw.names[path], error)


def _require_clean(job: _Job, name: str, files: list[Path]) -> None:
    """Raise DataError when headers say that text, which may name a person, is burnt into the pixels."""
    burned = sum(path in job.found.burned_in for path in files)
    if burned and not job.allowed.burned_in:
        raise DataError(
            "text is burnt into the pixels", where=Where(field="BurnedInAnnotation"), got=f"YES in {burned} files",
            expected="NO", remedy="look at the images; if they name nobody, import with --allow-burned-in",
            code="THR-344",
        )  # fmt: skip
    if burned:
        job.warn(f"{name}: header says that text is burnt into the pixels; taken as asked, look at the images")


def _read_all(job: _Job, nm_unit: str | None) -> list[tuple[str, Series]]:
    """Return the series that can be read, by our name; the others are refused, each with its fault."""
    read = []
    for name, files in job.series.items():
        try:
            _require_clean(job, name, files)
            series = read_series(files, nm_unit, job.raw.shown(), resample_uneven=job.allowed.uneven)
            read.append((name, series))
        except TheradoseError as error:
            job.refuse(name, error)
    return read


def _add_images(job: _Job, placed: list[Placed], choice: str) -> list[Placed]:
    """Write the images that have a place of their own and a decay reference; return them."""
    added = []
    for p in placed:
        try:
            extra, lines = dict[str, Any](VIRTUAL_MARKS if p.series.synthetic else {}), []
            if p.modality != "ct":
                reference = decide_reference(p.series.acquisition, choice)
                extra, lines = sidecar_of(p, reference, choice) | extra, activity_lines(p, reference)
            job.intake.add_image(
                job.patient, p.modality, p.series.volume, session=p.session, time_h=p.time_h, extra=extra, timed=p.timed
            )
        except TheradoseError as error:
            job.refuse(p.name, error)
            continue
        added.append(p)
        job.lines += lines
        job.remark(p.name, p.series.notes)
        job.raw.set_use(job.series[p.name], p.modality)
    return added


def _read_sets(job: _Job) -> dict[Path, StructureSet]:
    """Return the structure sets that can be read; the others are refused."""
    sets = {}
    for file in job.found.structures:
        try:
            sets[file] = READERS[job.found.kinds[file]](file)
        except TheradoseError as error:
            error.where = Where(field=error.where.field)
            job.refuse(job.raw.names[file], error)
    return sets


def _add_masks(job: _Job, placed: list[Placed]) -> list[Path]:
    """Write one mask a structure set; return the files that were used."""
    used, sets = [], _read_sets(job)
    good = {p.name for p in placed}
    refused = {uid: name for uid, name in zip(job.found.series, job.series, strict=True) if name not in good}
    labels = labels_of(structures.rois for structures in sets.values())
    images = [(p.modality, p.session, p.time_h, p.series.volume.grid) for p in placed]
    for file, structures in sets.items():
        name = job.raw.names[file]
        try:
            on, warning = partner(structures, placed, refused, allow_frame_match=job.allowed.frame_match)
            mask, about = drawn(structures, on, labels, Where())
            mask, moved = on_grid(mask, grid_for(images, on.session, on.time_h, mask.grid))
            time_h = None if on.session == PRE and not on.timed else on.time_h
            job.intake.add_image(
                job.patient, "mask", mask, session=on.session, time_h=time_h, timed=on.timed,
                extra=VIRTUAL_MARKS if on.series.synthetic else {},
            )  # fmt: skip
        except TheradoseError as error:
            job.refuse(name, error)
            continue
        used.append(file)
        job.raw.set_use([file], "mask")
        warnings = [line for line in (*warning, *about) if line.startswith("WARN ")]
        job.remark(name, [*warnings, *moved])
        when = "before therapy" if time_h is None else f"at {time_h:.2f} h"
        job.lines += [f"{when}: {line}" for line in about if line not in warnings]
    return used


def _add_doses(job: _Job) -> list[Path]:
    """Write DICOM doses beside the patient; return the files that were used, others are left aside with a warning."""
    used = []
    for number, file in enumerate(job.found.doses, start=1):
        try:
            add_dose(job.intake, job.patient, file, number, job.raw.hashes[file])
        except DataError as error:
            job.warn(f"{job.raw.names[file]}: left aside, {error.what}")
            job.raw.set_use([file], f"not usable: {error.code}")
            continue
        used.append(file)
        job.raw.set_use([file], "dose")
    return used


def _require_one_patient(found: Found) -> None:
    """Raise DataError when a folder holds no image series, or those of several patients."""
    clashes = ", ".join(found.clashes())
    if (found.series or found.damaged) and not clashes:
        return
    raise DataError(
        "folder holds more than one patient" if clashes else "folder holds no image series",
        where=Where(field=clashes or None),
        got=f"{len(found.series)} series{' of files that differ in it' if clashes else ''}",
        expected="one patient a folder",
        remedy="import the patients one by one; if it is one, correct the headers" if clashes else None, code="THR-205",
    )  # fmt: skip


def _report(job: _Job, files: list[Path], placed: list[Placed], sets: list[Path], doses: list[Path]) -> list[str]:
    """Return the lines of an import: what was done, every fault, and what became of every file."""
    used = sum(len(job.series[p.name]) for p in placed) + len(sets) + len(doses)
    reasons = Counter(why for _, why in job.found.ignored)
    reasons += Counter(use for use in job.raw.use.values() if use.startswith("not usable"))
    *aside, last = accounting(len(files), used, reasons)
    faults = [f"{fault.severity} {fault.message}" for fault in job.intake.faults]
    kinds = f"{len(placed)} series, {counted(len(sets), 'structure set')}"
    kinds += f", {counted(len(doses), 'dose')}" if doses else ""
    return [*job.lines, *faults, *aside, f"{kinds}; {last}"]


def import_dicom(
    source: Path,
    to: Path,
    *,
    patient: str,
    centre: str = "unknown",
    decay_reference: str = AS_DECLARED,
    nm_unit: str | None = None,
    allowed: Allowed = NOTHING,
) -> Imported:
    """Add the patient whose DICOM series and structure sets lie in a folder or archive to the data set `to`.

    Returns lines for people: series, activity under each decay reading, volumes, faults, what became of every file.
    `nm_unit` is the unit of NM images that state none, `allowed` what is accepted although it is doubtful. What is
    faulty is listed and left out, and the patient is in quarantine (`Imported.quarantined`) until imported again.
    DataError when nothing can be used, or the folder holds other than one patient; then nothing enters the tables.
    """
    require_source(source)
    require_choice(decay_reference)
    intake = Intake(Dataset(to), to.name)
    intake.require_new(patient)
    with opened(source) as files:
        job = _Job(patient, intake, sort_files(files), allowed)
        _require_one_patient(job.found)
        _named(job)
        job.lines += job.raw.since(intake.data, patient)
        placed, warnings = place(_read_all(job, nm_unit), job.refuse)
        for warning in warnings:
            job.warn(warning)
        placed = _add_images(job, placed, decay_reference)
        intake.add_patient(patient, clinical(placed, centre, job.fault))
        sets, doses = _add_masks(job, placed), _add_doses(job)
        job.raw.require_unchanged()
        intake.require_something()
        lines = _report(job, files, placed, sets, doses)
        intake.raw.setdefault(patient, []).extend(job.raw.rows())
    intake.finish()
    return Imported(lines, intake.quarantined())
