"""Virtual patients of a data set as DICOM folders, as a hospital would send them, to try importers on.

Dates are invented: the diagnostic injection is on 1 January 2000, therapy follows, scans by their hours after
administration. One visit (the time before therapy, or a time point of a cycle) is one study and frame of reference.
"""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from theradose.cohort.layout import PRE, Dataset, cycle_of
from theradose.errors import DataError, SettingsError, Where
from theradose.imaging.dicom_writer import Emission, Scan, Subject, write_frames, write_slices
from theradose.imaging.nifti import read_sidecar
from theradose.imaging.plausible import tracer_of
from theradose.imaging.rtstruct_writer import write_rtstruct
from theradose.imaging.suv import decay_reference, injected_mbq, sidecar_number
from theradose.imaging.volume import Volume
from theradose.physics.units import seconds_from_hours
from theradose.provenance import sha256_file
from theradose.vocabulary import voi_of_label

FIRST_INJECTION = datetime(2000, 1, 1, 8)
TO_THERAPY, BETWEEN_CYCLES = timedelta(days=14), timedelta(weeks=8)  # invented, as the date is
SEXES = {"male": "M", "female": "F"}
# How a SPECT is written: one NM file, the same with frames in reverse order, or slices called PT.
SPECT_FORMS = {"nm": "NM", "nm-reversed": "NM", "pt": "PT"}


def injection(session: str) -> datetime:
    """Return the invented moment of the injection of a session."""
    later = timedelta() if session == PRE else TO_THERAPY + BETWEEN_CYCLES * (cycle_of(session) - 1)
    return FIRST_INJECTION + later


def _visit(session: str, time_h: float) -> tuple[str, datetime]:
    """Return name and invented beginning of the visit an image belongs to: `ses-tx1_024h` from 23.5 h on."""
    if session == PRE or np.isnan(time_h):
        return session, injection(session)
    return f"{session}_{round(time_h):03d}h", injection(session) + timedelta(hours=round(time_h) - 0.5)


def _subject(data: Dataset, patient: str) -> Subject:
    """Return what the clinical table says of a patient; DataError when he is not in it."""
    table = data.participants()
    found = table[table["patient"] == patient]
    if found.empty:
        raise DataError(
            "patient is not in the clinical table", where=Where(patient=patient, file=data.participants_file.name),
            expected=f"one of {', '.join(table['patient'])}", code="THR-376",
        )  # fmt: skip
    row = found.iloc[0]
    weight, height = (None if pd.isna(row[name]) else float(row[name]) for name in ("weight_kg", "height_cm"))
    return Subject(sha256_file(data.participants_file), patient, SEXES.get(str(row.get("sex", "")), ""), weight, height)


class _Copy:
    """One patient on the way out: images first, then structures on them."""

    def __init__(self, data: Dataset, patient: str, spect: str, folder: Path) -> None:
        self.data, self.patient, self.spect, self.folder = data, patient, spect, folder
        self.subject = _subject(data, patient)
        self.images: list[tuple[Scan, Volume]] = []
        self.lines: list[str] = []

    def scan(self, row: "pd.Series[Any]") -> Scan:
        """Return what headers state of a manifest row's image; DataError when it is of no virtual patient."""
        file, session, kind, time_h = row["file"], row["session"], row["modality"], float(row["time_h"])
        about = read_sidecar(self.data.root / file)
        if about.get("Virtual") is not True:
            raise DataError(
                "image is not of a virtual patient", where=Where(patient=self.patient, file=file, field="Virtual"),
                expected="true in the sidecar", code="THR-282", remedy="real patients have their own DICOM",
            )  # fmt: skip
        modality = {"ct": "CT", "pet": "PT", "mask": "RTSTRUCT", "spect": SPECT_FORMS[self.spect]}[kind]
        name = f"{file} {row['sha256']} {self.spect if kind == 'spect' else ''}"
        given, emission = injection(session), None
        if kind in ("pet", "spect"):
            start = given + timedelta(seconds=sidecar_number(about, "FrameTimesStart"))
            emission = Emission(
                str(tracer_of(about)), injected_mbq(about), given,
                sidecar_number(about, "FrameDuration"), decay_reference(about),
            )  # fmt: skip
        else:
            start = given + timedelta(seconds=0.0 if np.isnan(time_h) else seconds_from_hours(time_h))
        return Scan(self.subject, modality, *_visit(session, time_h), name, start, emission)

    def place(self, row: "pd.Series[Any]") -> Path:
        """Make and return the folder of a manifest row's series, `ses-tx1_spect_024h`."""
        time_h = float(row["time_h"])
        time = "" if np.isnan(time_h) else f"_{round(time_h):03d}h"
        folder = self.folder / f"{row['session']}_{row['modality']}{time}"
        folder.mkdir(parents=True)
        return folder

    def image(self, row: "pd.Series[Any]") -> None:
        """Write a CT, PET or SPECT."""
        scan, volume, folder = self.scan(row), self.data.load(row), self.place(row)
        if scan.modality == "NM":
            files = [write_frames(volume, scan, folder / "0001.dcm", reverse=self.spect == "nm-reversed")]
        else:
            files = write_slices(volume, scan, folder)
        self.images.append((scan, volume))
        self.lines.append(f"{self.patient} {folder.name}: {len(files)} {scan.modality}")

    def mask(self, row: "pd.Series[Any]") -> None:
        """Write a mask as structures on the first image of its visit, else session, with its grid; DataError if none.

        The structures belong to the visit of that image.
        """
        scan, mask = self.scan(row), self.data.load(row)
        where = Where(patient=self.patient, file=row["file"])
        near = [
            image for image, volume in self.images
            if image.visit.split("_")[0] == row["session"] and volume.grid.same_as(mask.grid)
        ]  # fmt: skip
        if not near:
            raise DataError(
                "mask lies on no image", where=where, expected="a CT, PET or SPECT of its session on its grid",
                code="THR-220",
            )  # fmt: skip
        on = min(near, key=lambda image: image.visit != scan.visit)
        try:
            names = {int(label): voi_of_label(int(label)) for label in np.unique(mask.values) if label > 0}
        except KeyError as error:
            raise DataError("label is no VOI", where=where, got=error, code="THR-221") from error
        folder = self.place(row)
        scan = replace(scan, visit=on.visit, opened=on.opened, start=on.start)
        write_rtstruct(mask, names, scan, on, folder / "0001.dcm")
        self.lines.append(f"{self.patient} {folder.name}: {len(names)} structures on the {on.modality}")


def _copy_patient(data: Dataset, to: Path, patient: str, spect: str) -> list[str]:
    """Write the folder of a patient, whole or not at all, and return a line a series."""
    folder = to / f"sub-{patient}"
    unfinished = to / f".sub-{patient}.{os.getpid()}.tmp"
    if folder.exists():
        raise SettingsError(
            "folder exists", where=Where(file=folder.name), remedy="name a new one or remove it", code="THR-375"
        )
    copy = _Copy(data, patient, spect, unfinished)
    rows = data.manifest().query("patient == @patient").sort_values(["session", "modality", "time_h"])
    try:
        for is_mask in (False, True):
            for _, row in rows[(rows["modality"] == "mask") == is_mask].iterrows():
                (copy.mask if is_mask else copy.image)(row)
        unfinished.rename(folder)
    except OSError as error:
        where = Where(file=str(folder))
        raise SettingsError("folder cannot be written", where=where, got=error.strerror, code="no_folder") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return copy.lines


def export_dicom(data: Dataset, to: Path, *, patients: Sequence[str] = (), spect: str = "nm") -> list[str]:
    """Write virtual patients (all by default) to `to`/sub-ID/<session>_<modality>_<time>/*.dcm; return a line a series.

    `spect` is nm (one multi-frame file, slice spacing positive), nm-reversed (negative) or pt (slices). The same data
    set gives the same bytes. SettingsError when a folder exists or `spect` is unknown, DataError names patient and file
    of what cannot be written; a patient's folder appears whole or not at all.
    """
    if spect not in SPECT_FORMS:
        raise SettingsError("form of SPECT is unknown", got=spect, expected=f"one of {', '.join(SPECT_FORMS)}")
    chosen = list(patients) or sorted(data.participants()["patient"])
    return [line for patient in chosen for line in _copy_patient(data, to, patient, spect)]
