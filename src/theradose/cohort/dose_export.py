"""Dose maps and masks of a study for other programs: NIfTI, RTDOSE, SEG and RTSTRUCT, one folder a patient.

All say that they are for research only, those of virtual patients that no person was imaged. Without the DICOM images
that the study began with, UIDs are made up: one study a patient, one frame of reference a cycle.
"""

import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from theradose.cohort.layout import CYCLE_PREFIX, Dataset
from theradose.cohort.raw_files import opened, require_source
from theradose.cohort.time_points import mask_row
from theradose.errors import DataError, SettingsError, TheradoseError, Where
from theradose.imaging.activity import whole_labels
from theradose.imaging.dicom import read_series
from theradose.imaging.dicom_folder import find_series
from theradose.imaging.dicom_writer import NOTICE
from theradose.imaging.nifti import read_sidecar, read_volume, write_volume
from theradose.imaging.rtdose import write_rtdose
from theradose.imaging.rtdose_reference import Reference, generated, reference_to
from theradose.imaging.rtstruct_writer import attach_rtstruct
from theradose.imaging.seg_writer import write_seg
from theradose.imaging.volume import Volume
from theradose.provenance import verify_file
from theradose.tables import IMAGES, read_table
from theradose.vocabulary import RESEARCH_USE_ONLY, voi_of_label

# Of the largest voxel, between a series and the image that was imported from it: 16-bit steps of it are 2^-16.
SAME_IMAGE = 1e-4


def _dataset(chunk: Path, data: Path | None, where: Where) -> Dataset:
    """Return the data set that the doses of a chunk were computed from; DataError when it is not there or another."""
    file = chunk / "provenance.json"
    try:
        inputs = dict(json.loads(file.read_text(encoding="utf-8"))["inputs"])
        name = next(name for name in inputs if Path(name).name == "manifest.tsv")
    except (OSError, ValueError, KeyError, TypeError, StopIteration) as error:
        raise DataError(
            "dose maps do not say what they were made from", where=where, got=type(error).__name__,
            expected=f"{chunk.name}/provenance.json with the manifest of the data set", code="THR-320",
        ) from error  # fmt: skip
    found = Dataset(data or Path(name).parent)
    if not found.manifest_file.is_file():
        raise DataError(
            "data set of the study is not there", where=where, expected="its folder", remedy="name it with --data",
            code="THR-321",
        )  # fmt: skip
    verify_file(found.manifest_file, str(inputs[name]), Where(patient=where.patient, file=found.manifest_file.name))
    return found


def _series(inside: Iterable[Path], image: Volume, where: Where) -> tuple[list[Path], Volume]:
    """Return the files of the one series among files that holds an image, and its volume; else DataError."""
    found = find_series(inside)
    if clashes := found.clashes():
        raise DataError(
            "reference folder holds more than one patient", where=where, got=f"differing {', '.join(clashes)}",
            expected=f"one, or a folder sub-{where.patient} for each", code="THR-322",
        )  # fmt: skip
    matching, unreadable = [], 0
    for series, files in found.series.items():
        if found.modality[series] == "CT":
            continue
        try:
            volume = read_series(files, image.unit).volume
        except TheradoseError:
            unreadable += 1
            continue
        limit = SAME_IMAGE * float(np.abs(image.values).max())
        if volume.grid.same_as(image.grid) and float(np.abs(volume.values - image.values).max()) <= limit:
            matching.append((files, volume))
    if len(matching) != 1:
        raise DataError(
            "reference folder does not hold the image of the dose map", where=where,
            got=f"{len(matching)} matching of {len(found.series)} series, {unreadable} unreadable",
            expected="one series with the place and values of the first SPECT of the cycle",
            remedy="give the folder the SPECT was imported from, or leave --dicom out", code="THR-323",
        )  # fmt: skip
    return matching[0]


class _Cycle:
    """The dose map of a cycle with its mask, its first SPECT and what files say of it."""

    def __init__(self, results: Path, row: "pd.Series[Any]", data: Path | None) -> None:
        self.patient, self.cycle = str(row["patient"]), int(row["cycle"])
        self.session, self.sha256 = f"{CYCLE_PREFIX}{self.cycle}", str(row["sha256"])
        file = results / "dose" / Path(row["file"]).parent.name / Path(row["file"]).name
        self.where = Where(patient=self.patient, file=file.name)
        verify_file(file, self.sha256, self.where)
        self.dose, self.about = read_volume(file), read_sidecar(file)
        self.virtual = self.about.get("Virtual") is True
        self.data = _dataset(file.parent, data, self.where)
        self.spect = self.data.rows(self.patient, "spect")
        own = self.spect[self.spect["session"] == self.session]
        if own.empty:
            raise DataError("data set holds no SPECT of the cycle", where=self.where, code="THR-324")
        self.first = own.sort_values("time_h").iloc[0]
        masks = self.data.rows(self.patient, "mask")
        chosen = mask_row(masks, self.patient, self.session, float(self.first["time_h"]))
        mask, self.mask_sha256 = self.data.load(chosen), str(chosen["sha256"])
        self.dose.grid.require_same(mask.grid, "mask", self.where)
        self.mask = mask.with_values(whole_labels(mask).astype(np.uint16))
        try:
            self.names = {int(k): voi_of_label(int(k)) for k in np.unique(self.mask.values) if k}
        except KeyError as error:
            where = Where(patient=self.patient, file=str(chosen["file"]))
            raise DataError("label is no VOI", where=where, got=error, code="THR-221") from error

    def reference(self, dicom: Path | None) -> Reference:
        """Return what DICOM files are attached to: the series of the first SPECT, or made-up UIDs."""
        if dicom is None:
            made_of = str(self.spect.iloc[0]["sha256"])
            return generated(self.patient, self.cycle, made_of, virtual=self.virtual).on_dose(self.sha256)
        image = self.data.load(self.first)
        self.dose.grid.require_same(image.grid, "first SPECT", self.where)
        with opened(dicom) as inside:
            files, volume = _series(inside, image, self.where)
            return reference_to(files, volume.grid, self.patient, virtual=self.virtual)

    def write(self, folder: Path, reference: Reference) -> str:
        """Write all files of the cycle and return a line about them."""
        stem = folder / self.session / f"sub-{self.patient}_{self.session}"
        extra = {k: v for k, v in self.about.items() if k != "Units"}
        extra["Notice"] = NOTICE if self.virtual else RESEARCH_USE_ONLY
        write_volume(self.dose, stem.with_name(f"{stem.name}_dose.nii.gz"), extra)
        what = f"cycle {self.cycle}"
        write_rtdose(
            self.dose, reference, stem.with_name(f"{stem.name}_dose.dcm"), what=f"dose of {what}", content=self.sha256
        )
        # Masks belong to the dose of their cycle: two cycles may share a mask.
        about: dict[str, str] = {"what": f"masks of {what}", "content": f"{self.cycle} {self.mask_sha256}"}
        write_seg(self.mask, self.names, reference, stem.with_name(f"{stem.name}_seg.dcm"), **about)
        attach_rtstruct(self.mask, self.names, reference, stem.with_name(f"{stem.name}_rtstruct.dcm"), **about)
        top = float(self.dose.values.max())
        return f"{self.patient} {self.session}: dose up to {top:.4g} Gy, {len(self.names)} masks"


def _export_patient(results: Path, rows: pd.DataFrame, to: Path, dicom: Path | None, data: Path | None) -> list[str]:
    """Write the folder of a patient, whole or not at all, and return a line a cycle."""
    name = f"sub-{rows['patient'].iloc[0]}"
    folder, unfinished = to / name, to / f".{name}.{os.getpid()}.tmp"
    if folder.exists():
        raise SettingsError(
            "folder exists", where=Where(file=name), remedy="name a new one or remove it", code="THR-375"
        )
    try:
        lines = []
        for _, row in rows.sort_values("cycle").iterrows():
            cycle = _Cycle(results, row, data)
            lines.append(cycle.write(unfinished, cycle.reference(dicom)))
        unfinished.rename(folder)
    except OSError as error:
        where = Where(file=name)
        raise SettingsError("folder cannot be written", where=where, got=error.strerror, code="no_folder") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return lines


def export_dose(
    results: Path, to: Path, *, patients: Sequence[str] = (), dicom: Path | None = None, data: Path | None = None
) -> list[str]:
    """Write dose maps and masks of a study's patients (all by default) to `to`/sub-ID/ses-txN; return a line a cycle.

    `dicom` holds the images the study began with, packed or not: of one patient, or a folder sub-ID for each; dose and
    masks then join the study and frame of reference of the first SPECT of the cycle. `data` is the data set where it
    has moved. Nothing is written of a patient with a fault: DataError names it.
    """
    if dicom is not None:
        require_source(dicom, "--dicom")
    table = read_table(results / "dose" / "images.tsv", IMAGES)
    maps = table[table["role"] == "dose"]
    known = sorted(set(maps["patient"]))
    chosen = list(dict.fromkeys(patients)) or known
    lost = [patient for patient in chosen if patient not in known]
    if lost or not chosen:
        raise DataError(
            "study has no dose map of this patient", where=Where(patient=", ".join(lost) or None),
            expected=f"one of {', '.join(known)}" if known else "dose maps", code="THR-325",
        )  # fmt: skip
    lines = []
    for patient in chosen:
        own = None if dicom is None else dicom / f"sub-{patient}"
        if own is not None and not own.is_dir():
            if len(chosen) > 1:
                raise DataError(
                    "reference folder is not sorted by patient", where=Where(patient=patient),
                    expected=f"a folder sub-{patient} in it", remedy="export one --patient", code="THR-326",
                )  # fmt: skip
            own = dicom
        lines += _export_patient(results, maps[maps["patient"] == patient], to, own, data)
    return lines
