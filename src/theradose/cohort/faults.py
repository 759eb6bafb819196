"""Every fault of every patient before any work: small checks in a registry, ordered from cheap to dear.

A check yields faults about one patient and never stops another. ERROR puts the patient in quarantine, WARN flags it,
NOTE is written down. Add a check: a function of a `Case` and a line in CHECKS.
"""

import os
import struct
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np

from theradose.cohort.case import Case, Fault
from theradose.cohort.counts import COUNTS, SENSITIVITY
from theradose.cohort.image_faults import (
    check_activity,
    check_decay,
    check_grids,
    check_images,
    check_labels,
    check_sides,
    check_weight,
)
from theradose.cohort.participants import ABSENT, DATE_FORM, absent_organs, unit_hint, wrong_cells, wrong_dates
from theradose.errors import TheradoseError, Where
from theradose.imaging.nifti import read_sidecar
from theradose.imaging.plausible import require_injected
from theradose.imaging.suv import sidecar_number
from theradose.provenance import verify_file
from theradose.vocabulary import UNITS, VOIS

OTHER_UNITS = {"pet": ("g/mL", "SUV")}
EARLIEST_SPECT_H = 0.2  # an earlier SPECT is a wrong time
SAME_TIME_H = 0.05
DEFAULT_MM, FULL_FIELD_MM = 1.0, 300.0  # spacing of a file whose spacing was lost; no camera's field is so small
KIDNEYS = ("kidney_left", "kidney_right")
PARTICIPANTS_FILE = "participants.tsv"
ADD_OR_EXCLUDE = "add the image, or exclude the patient"


def check_clinical(case: Case) -> Iterator[Fault]:
    """The clinical row is there once, its numbers are numbers in their ranges, and the radionuclide is the study's."""
    if case.participant is None or case.participant_rows > 1:
        got = f"{case.participant_rows} rows"
        yield case.error("THR-260", "clinical row is not there once", file=PARTICIPANTS_FILE, got=got, expected="1 row")
        return
    for name, cell, allowed in wrong_cells(case.participant):
        yield case.error(
            "THR-261",
            "clinical value cannot be right",
            file=PARTICIPANTS_FILE,
            field=name,
            got=cell,
            expected=allowed,
            remedy=f"{unit_hint(name, cell, case.participant.get('radionuclide'))}correct the cell, or empty it",
        )
    for name, form in wrong_dates(case.participant):
        what = "date can be read in two ways"
        yield case.error(
            "THR-366", what, file=PARTICIPANTS_FILE, field=name, got=f"the form {form}", expected=DATE_FORM
        )
    stated = case.participant.get("radionuclide", "")
    if "spect" in case.modalities and stated != case.limits.radionuclide:
        yield case.error(
            "THR-262",
            "radionuclide is not the study's",
            file=PARTICIPANTS_FILE,
            field="radionuclide",
            got=stated or "empty",
            expected=case.limits.radionuclide,
        )
    administered = case.number("administered_mbq")
    if "spect" in case.modalities and administered is None:
        yield case.error(
            "THR-263", "dose needs the administered activity", file=PARTICIPANTS_FILE, field="administered_mbq"
        )
    elif administered is not None:
        try:
            require_injected(administered, stated, Where(field="administered_mbq"))
        except TheradoseError as error:
            yield case.reworded(error, PARTICIPANTS_FILE)
    missing = [name for name in ("weight_kg", "height_cm") if case.number(name) is None]
    if missing:
        yield case.note(
            "THR-264", "not known, so not usable as covariate", file=PARTICIPANTS_FILE, field=", ".join(missing)
        )


def check_required(case: Case) -> Iterator[Fault]:
    """Every kind of image that the study asks for is in the manifest, and one image at least."""
    if not case.rows and not case.limits.require:
        yield case.error("THR-205", "no image", file="manifest.tsv", expected="at least one", remedy=ADD_OR_EXCLUDE)
    for modality in case.limits.require:
        if modality not in case.modalities:
            remedy = f"{ADD_OR_EXCLUDE}, or ask for less in check.require"
            yield case.error(
                "THR-205", f"no {modality} image", file="manifest.tsv", expected="at least one", remedy=remedy
            )


def check_twins(case: Case) -> Iterator[Fault]:
    """No image is one of another patient as well, byte for byte; nobody has another's weight, activity and times."""
    for row in case.images("pet", "ct", "spect"):
        others = sorted(case.twins.get(row.sha256, set()) - {case.patient})
        if others:
            yield case.error(
                "THR-265", f"the same image belongs to patient {others[0]}", file=row.file, remedy="keep one of them"
            )
    others = sorted(case.twins.get(case.likeness or "", set()) - {case.patient})
    if others:
        yield case.error(
            "THR-367",
            f"patient {others[0]} has the same weight, activity and times of SPECT",
            file=PARTICIPANTS_FILE,
            field="weight_kg, administered_mbq",
            remedy="remove one; or fill in the column person: the same word for one person, else two words",
        )


def check_files(case: Case) -> Iterator[Fault]:
    """Every file is there and has the bytes it had at intake; its sidecar can be read and names the right unit."""
    for row in case.images():
        path = case.data.root / row.file
        where = Where(patient=case.patient, file=row.file)
        try:
            verify_file(path, row.sha256, where)
            unit = str(read_sidecar(path).get("Units"))
        except TheradoseError as error:
            yield case.caught(error, row.file)
            continue
        allowed = (UNITS[row.modality], *OTHER_UNITS.get(row.modality, ()))
        counts = row.modality == "spect" and unit == COUNTS
        if unit not in allowed and not (counts and case.limits.counts):
            yield case.error(
                "THR-210",
                "unit of the image is wrong",
                file=row.file,
                field="Units",
                got=unit,
                expected=" or ".join(allowed),
                remedy=f"{'set ' + SENSITIVITY if counts else 'correct the sidecar'}, or convert the image",
            )


def memory_gb() -> float:
    """Return the memory of this machine, GB."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _unpacked_bytes(path: Path) -> int:
    """Return how large a file is once unpacked: gzip says it in its last four bytes (RFC 1952, ISIZE)."""
    if path.suffix != ".gz" or path.stat().st_size < struct.calcsize("<I"):
        return path.stat().st_size
    with path.open("rb") as handle:
        handle.seek(-struct.calcsize("<I"), os.SEEK_END)
        return int(struct.unpack("<I", handle.read())[0])


def check_memory(case: Case) -> Iterator[Fault]:
    """The images of a patient fit into memory together, which is known before one is read."""
    sizes = {r.file: _unpacked_bytes(case.data.root / r.file) for r in case.images() if r.file not in case.broken}
    needed_gb, has_gb = sum(sizes.values()) / 1e9, memory_gb()
    if needed_gb > has_gb:
        largest = max(sizes, key=lambda file: sizes[file])
        case.broken |= set(sizes)
        yield case.error(
            "THR-370",
            "images do not fit into memory",
            file=largest,
            got=f"{needed_gb:.3g} GB",
            expected=f"at most {has_gb:.3g} GB",
            remedy="resample the images to larger voxels, or use another machine",
        )


def check_times(case: Case) -> Iterator[Fault]:
    """SPECT times are within the study's limit, distinct, and those of the sidecars; one alone is flagged."""
    rows = sorted(case.images("spect"), key=lambda row: row.time_h)
    for row in rows:
        if not EARLIEST_SPECT_H <= row.time_h <= case.limits.max_time_h:
            yield case.error(
                "THR-266",
                "SPECT time is out of range",
                file=row.file,
                field="time_h",
                got=f"{row.time_h:g} h",
                expected=f"{EARLIEST_SPECT_H:g} to {case.limits.max_time_h:g} h",
            )
    for row, later in pairwise(rows):
        if row.session == later.session and later.time_h - row.time_h < SAME_TIME_H:
            yield case.error(
                "THR-267", "two SPECT images at one time", file=later.file, field="time_h", got=f"{later.time_h:g} h"
            )
    for row in (r for r in rows if r.file not in case.broken):
        try:
            start_h = sidecar_number(read_sidecar(case.data.root / row.file), "FrameTimesStart") / 3600.0
        except TheradoseError as error:
            yield case.caught(error, row.file)
            continue
        if abs(start_h - row.time_h) > SAME_TIME_H:
            yield case.error(
                "THR-268",
                "times disagree",
                file=row.file,
                field="FrameTimesStart",
                got=f"{start_h:.3f} h",
                expected=f"{row.time_h:.3f} h as in manifest.tsv",
            )
    sessions = [row.session for row in rows]
    for session in sorted({s for s in sessions if sessions.count(s) == 1}):
        yield case.warn("THR-269", f"one SPECT only in {session}", remedy="its half-life will be the population's")


def check_spacing(case: Case) -> Iterator[Fault]:
    """No image has the spacing that files get whose spacing was lost."""
    for row in (r for r in case.images() if r.file in case.volumes):
        grid = case.volumes[row.file].grid
        if set(grid.spacing_mm) == {DEFAULT_MM} and max(grid.shape_zyx) * DEFAULT_MM < FULL_FIELD_MM:
            yield case.warn(
                "THR-371",
                "spacing looks like a default, not like a camera's",
                file=row.file,
                field="pixdim",
                got=grid.describe(),
                expected=f"the camera's spacing, or {FULL_FIELD_MM:g} mm of voxels of 1 mm",
                remedy="compare with the header of the scanner",
            )


def check_organs(case: Case) -> Iterator[Fault]:
    """A mask holds what the study learns and both kidneys or none, unless declared absent, and nothing declared absent.

    A patient without lesions is an ordinary one.
    """
    absent, wrong = absent_organs(case.participant or {})
    for fault in wrong:
        yield case.error(
            "THR-368",
            "absent organ is unknown",
            file=PARTICIPANTS_FILE,
            field=ABSENT,
            got=fault,
            expected=f"words such as {', '.join((*KIDNEYS, 'spleen'))}",
        )
    for row in (r for r in case.images("mask") if r.file in case.volumes):
        labels = set(np.unique(case.volumes[row.file].values).tolist())
        present = {name for name, voi in VOIS.items() if voi.label in labels}
        if present & absent:
            got = ", ".join(sorted(present & absent))
            yield case.error("THR-368", "mask holds an organ that is declared absent", row.file, ABSENT, got=got)
        missing = [n for n, voi in VOIS.items() if voi.organ in case.limits.organs and n not in present | absent]
        if missing:
            yield case.error(
                "THR-374",
                "mask lacks an organ that the study learns",
                file=row.file,
                field=", ".join(missing),
                remedy=f"outline it, or write it into {ABSENT} of {PARTICIPANTS_FILE}",
            )
        for here, other in (KIDNEYS, KIDNEYS[::-1]):
            if here in present and other not in present | absent | set(missing):
                yield case.error(
                    "THR-369",
                    "mask holds one kidney only",
                    file=row.file,
                    field=other,
                    remedy=f"outline the other, or write {other} into {ABSENT} of {PARTICIPANTS_FILE}",
                )


CHECKS: dict[str, Callable[[Case], Iterator[Fault]]] = {
    "clinical": check_clinical,
    "required": check_required,
    "twins": check_twins,
    "files": check_files,
    "memory": check_memory,
    "times": check_times,
    "images": check_images,
    "weight": check_weight,
    "grids": check_grids,
    "spacing": check_spacing,
    "labels": check_labels,
    "organs": check_organs,
    "sides": check_sides,
    "activity": check_activity,
    "decay": check_decay,
}
