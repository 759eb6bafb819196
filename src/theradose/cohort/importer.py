"""A hospital's DICOM folder to a patient of a data set, without names, dates or identifiers.

Only what is listed here is carried over (allow-list). The decay correction of an image is decided by the caller and
both readings are written down, because headers contradict themselves. What cannot be used is listed, all of it, and
puts the patient in quarantine; the rest is imported.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from theradose.cohort.intake import Imported, Intake
from theradose.cohort.layout import PRE, Dataset
from theradose.cohort.placing import (
    AS_DECLARED,
    Placed,
    activity_lines,
    clinical,
    decide_reference,
    place,
    sidecar_of,
)
from theradose.cohort.raw_files import RawFiles, accounting, opened
from theradose.cohort.structures import label_mask, labels_by_number, labels_of
from theradose.errors import DataError, TheradoseError, Where
from theradose.imaging.dicom import Series, read_series
from theradose.imaging.dicom_folder import Found, sort_files
from theradose.imaging.rtstruct import StructureSet, read_rtstruct
from theradose.imaging.seg import SegmentSet, read_seg, segment_mask
from theradose.imaging.volume import Volume

# What reads a file of structures, by its modality.
READERS: dict[str, Callable[[Path], StructureSet]] = {"RTSTRUCT": read_rtstruct, "SEG": read_seg}


@dataclass
class _Job:
    """One import: the patient, what was found, the files by our names, and the lines for people."""

    patient: str
    intake: Intake
    found: Found
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
    job.raw.add("other", [path for path, _ in job.found.ignored if not path.is_symlink()])
    job.raw.add("damaged", [path for path, _ in job.found.damaged])
    for path, why in job.found.ignored:
        job.raw.set_use([path], why)
    for path, error in job.found.damaged:
        error.where = Where(field=error.where.field)
        job.refuse(job.raw.names[path], error)


def _read_all(job: _Job, nm_unit: str | None) -> list[tuple[str, Series]]:
    """Return the series that can be read, by our name; the others are refused, each with its fault."""
    read = []
    for name, files in job.series.items():
        try:
            read.append((name, read_series(files, nm_unit, job.raw.shown())))
        except TheradoseError as error:
            job.refuse(name, error)
    return read


def _add_images(job: _Job, placed: list[Placed], choice: str) -> list[Placed]:
    """Write the images that have a place of their own and a decay reference; return them."""
    added = []
    for p in placed:
        try:
            extra, lines = {}, []
            if p.modality != "ct":
                reference = decide_reference(p.series.acquisition, choice)
                extra, lines = sidecar_of(p, reference, choice), activity_lines(p, reference)
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


def _partner(structures: StructureSet, placed: list[Placed]) -> tuple[Placed, list[str]]:
    """Return the series a structure set was drawn on, by its UID, else the only one of its frame (with a warning)."""
    named = [p for p in placed if p.series.acquisition.series == structures.series]
    frame = [p for p in placed if p.series.acquisition.frame_of_reference == structures.frame_of_reference]
    if named:
        return named[0], []
    if len(frame) == 1:
        return frame[0], [
            f"WARN drawn on a series that is not here; {frame[0].name} of its frame of reference was taken"
        ]
    raise DataError(
        "structure set belongs to no series of this folder",
        where=Where(field="ReferencedFrameOfReferenceSequence"),
        got=f"{len(frame)} series of its frame of reference",
        expected="the series it was drawn on",
        remedy="add that series",
        code="THR-259",
    )


def _drawn(structures: StructureSet, on: Placed, labels: dict[str, int], where: Where) -> tuple[Volume, list[str]]:
    """Return contours or segments as one label mask on the grid of a series, and lines about them."""
    grid = on.series.volume.grid
    if isinstance(structures, SegmentSet):
        numbers = labels_by_number(structures.rois, labels)
        return segment_mask(structures, grid, numbers, where, on.series.acquisition.frame_of_reference)
    return label_mask(structures.rois, grid, labels, where)


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
    labels = labels_of(structures.rois for structures in sets.values())
    for file, structures in sets.items():
        name = job.raw.names[file]
        try:
            on, warning = _partner(structures, placed)
            mask, about = _drawn(structures, on, labels, Where())
            time_h = None if on.session == PRE and not on.timed else on.time_h
            job.intake.add_image(job.patient, "mask", mask, session=on.session, time_h=time_h, timed=on.timed)
        except TheradoseError as error:
            job.refuse(name, error)
            continue
        used.append(file)
        job.raw.set_use([file], "mask")
        warnings = [line for line in (*warning, *about) if line.startswith("WARN ")]
        job.remark(name, warnings)
        when = "before therapy" if time_h is None else f"at {time_h:.2f} h"
        job.lines += [f"{when}: {line}" for line in about if line not in warnings]
    return used


def _require_one_patient(found: Found) -> None:
    """Raise DataError when a folder holds no image series, or those of several patients."""
    if (found.series or found.damaged) and len(found.people) <= 1:
        return
    raise DataError(
        "folder holds more than one patient" if found.series else "folder holds no image series",
        got=f"{len(found.series)} series of {len(found.people)} patients",
        expected="one patient a folder", remedy="import the patients one by one", code="THR-205",
    )  # fmt: skip


def _report(job: _Job, files: list[Path], placed: list[Placed], sets: list[Path]) -> list[str]:
    """Return the lines of an import: what was done, every fault, and what became of every file."""
    used = sum(len(job.series[p.name]) for p in placed) + len(sets)
    reasons = Counter(why for _, why in job.found.ignored)
    reasons += Counter(use for use in job.raw.use.values() if use.startswith("not usable"))
    *aside, last = accounting(len(files), used, reasons)
    faults = [f"{fault.severity} {fault.message}" for fault in job.intake.faults]
    return [*job.lines, *faults, *aside, f"{len(placed)} series, {len(sets)} structure sets; {last}"]


def import_dicom(
    source: Path,
    to: Path,
    *,
    patient: str,
    centre: str = "unknown",
    decay_reference: str = AS_DECLARED,
    nm_unit: str | None = None,
) -> Imported:
    """Add the patient whose DICOM series and structure sets lie in a folder or archive to the data set `to`.

    Returns lines for people: series, activity under each decay reading, volumes, faults, what became of every file.
    `nm_unit` is the unit of NM images that state none. What is faulty is listed and left out, and the patient is in
    quarantine (`Imported.quarantined`) until imported again. DataError when nothing can be used, or the folder holds
    other than one patient; then nothing enters the tables.
    """
    if not source.exists():
        raise DataError("source is missing", expected="a folder or archive", code="THR-201")
    intake = Intake(Dataset(to), to.name)
    intake.require_new(patient)
    with opened(source) as files:
        job = _Job(patient, intake, sort_files(files))
        _require_one_patient(job.found)
        _named(job)
        job.lines += job.raw.since(intake.data, patient)
        placed, warnings = place(_read_all(job, nm_unit), job.refuse)
        for warning in warnings:
            job.warn(warning)
        placed = _add_images(job, placed, decay_reference)
        intake.add_patient(patient, clinical(placed, centre, job.fault))
        sets = _add_masks(job, placed)
        job.raw.require_unchanged()
        intake.require_something()
        lines = _report(job, files, placed, sets)
        intake.raw.setdefault(patient, []).extend(job.raw.rows())
    intake.finish()
    return Imported(lines, intake.quarantined())
