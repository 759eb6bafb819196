"""Every fault of every patient before any work: small checks in a registry, ordered from cheap to dear.

A check yields faults about one patient and never stops another. ERROR puts the patient in quarantine, WARN flags it,
NOTE is written down. Add a check: a function of a `Case` and a line in CHECKS.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

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
from theradose.cohort.participants import wrong_cells
from theradose.errors import TheradoseError, Where
from theradose.imaging.nifti import read_sidecar
from theradose.imaging.suv import sidecar_number
from theradose.provenance import verify_file
from theradose.vocabulary import UNITS

OTHER_UNITS = {"pet": ("g/mL", "SUV")}
EARLIEST_SPECT_H = 0.2  # an earlier SPECT is a wrong time
SAME_TIME_H = 0.05


def check_clinical(case: Case) -> Iterator[Fault]:
    """The clinical row is there once, its numbers are numbers in their ranges, and the radionuclide is the study's."""
    if case.participant is None or case.participant_rows > 1:
        got = f"{case.participant_rows} rows"
        yield case.error(
            "THR-260", "clinical row is not there once", file="participants.tsv", got=got, expected="1 row"
        )
        return
    for name, cell, allowed in wrong_cells(case.participant):
        yield case.error(
            "THR-261",
            "clinical value cannot be right",
            file="participants.tsv",
            field=name,
            got=cell,
            expected=allowed,
            remedy="correct the cell, or empty it",
        )
    stated = case.participant.get("radionuclide", "")
    if "spect" in case.modalities and stated != case.limits.radionuclide:
        yield case.error(
            "THR-262",
            "radionuclide is not the study's",
            file="participants.tsv",
            field="radionuclide",
            got=stated or "empty",
            expected=case.limits.radionuclide,
        )
    if "spect" in case.modalities and case.number("administered_mbq") is None:
        yield case.error(
            "THR-263", "dose needs the administered activity", file="participants.tsv", field="administered_mbq"
        )
    missing = [name for name in ("weight_kg", "height_cm") if case.number(name) is None]
    if missing:
        yield case.note(
            "THR-264", "not known, so not usable as covariate", file="participants.tsv", field=", ".join(missing)
        )


def check_required(case: Case) -> Iterator[Fault]:
    """Every kind of image that the study asks for is in the manifest."""
    for modality in case.limits.require:
        if modality not in case.modalities:
            remedy = "add the image, exclude the patient, or ask for less in check.require"
            yield case.error(
                "THR-205", f"no {modality} image", file="manifest.tsv", expected="at least one", remedy=remedy
            )


def check_twins(case: Case) -> Iterator[Fault]:
    """No image of this patient is an image of another patient as well, byte for byte."""
    for row in case.images("pet", "ct", "spect"):
        others = sorted(case.twins.get(row.sha256, set()) - {case.patient})
        if others:
            yield case.error(
                "THR-265", f"the same image belongs to patient {others[0]}", file=row.file, remedy="keep one of them"
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


CHECKS: dict[str, Callable[[Case], Iterator[Fault]]] = {
    "clinical": check_clinical,
    "required": check_required,
    "twins": check_twins,
    "files": check_files,
    "times": check_times,
    "images": check_images,
    "weight": check_weight,
    "grids": check_grids,
    "labels": check_labels,
    "sides": check_sides,
    "activity": check_activity,
    "decay": check_decay,
}
