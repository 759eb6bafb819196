"""What dose and masks written as DICOM hang on, and what their headers say of the patient: our identifier, no more.

Of an image they are attached to, only its UIDs are read (allow-list). No date is known here, so dates that may be empty
are empty, and UIDs are hashes: the same content gives the same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from theradose import __version__
from theradose.errors import DataError, Where
from theradose.imaging.dicom import read_header
from theradose.imaging.dicom_writer import NOTICE, item
from theradose.imaging.grid import Grid
from theradose.vocabulary import RESEARCH_USE_ONLY

# All that is read of an image; the last two are there once a file.
ALLOWED = ("StudyInstanceUID", "FrameOfReferenceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID")
# DICOM PS3.4 table B.5-1 and the numbers that the series get here.
SOP_CLASSES = {
    "RTDOSE": ("1.2.840.10008.5.1.4.1.1.481.2", 9001), "SEG": ("1.2.840.10008.5.1.4.1.1.66.4", 9002),
    "RTSTRUCT": ("1.2.840.10008.5.1.4.1.1.481.3", 9003),
}  # fmt: skip
TEXT_LENGTH = 64  # of DICOM's type LO


@dataclass(frozen=True)
class Reference:
    """Where files of a patient belong: UIDs of study, frame of reference and series, and the files of that series.

    `files` holds (SOP class, SOP instance): one for each slice of the grid in its order, or one for all slices.
    `virtual` says that no person was imaged.
    """

    patient: str
    virtual: bool
    study: str
    frame: str
    series: str = ""
    files: tuple[tuple[str, str], ...] = ()

    def uid(self, *names: str) -> str:
        """Return the UID of something of this patient, study and frame of reference."""
        return str(generate_uid(entropy_srcs=["\n".join((self.study, self.frame, self.patient, *names))]))

    def series_of(self, modality: str) -> str:
        """Return the UID of the series that files of a modality go to."""
        return self.uid("series", modality)

    def on_dose(self, content: str) -> "Reference":
        """Return itself, or, where there is no image, the same with the RTDOSE of this content in its place."""
        if self.files:
            return self
        dose = (SOP_CLASSES["RTDOSE"][0], self.uid("RTDOSE", content))
        return replace(self, series=self.series_of("RTDOSE"), files=(dose,))


def generated(patient: str, cycle: int, data: str, *, virtual: bool) -> Reference:
    """Return a reference without an image: one study a patient, one frame of reference a cycle of a data set."""
    study, frame = (
        str(generate_uid(entropy_srcs=["\n".join((data, patient, *names))]))
        for names in (("study",), ("frame", str(cycle)))
    )
    return Reference(patient, virtual, study, frame)


def reference_to(files: Sequence[Path], grid: Grid, patient: str, *, virtual: bool) -> Reference:
    """Return the reference to a series that lies on `grid`; DataError when a UID is missing (THR-314)."""
    headers = [read_header(file) for file in files]
    for header, file in zip(headers, files, strict=True):
        missing = [name for name in ALLOWED if not header.get(name)]
        if missing:
            where = Where(patient=patient, file=file.name, field=", ".join(missing))
            raise DataError("reference lacks a UID", where=where, remedy="export the series again", code="THR-314")
    to_index, by_slice = np.linalg.inv(grid.affine_lps()), {}
    for header in headers:
        place = (0, 0, 0) if len(headers) == 1 else header.ImagePositionPatient
        at = round(float((to_index @ (*map(float, place), 1.0))[2]))
        by_slice[at] = (str(header.SOPClassUID), str(header.SOPInstanceUID))
    study, frame, series = (str(headers[0].get(name)) for name in ALLOWED[:3])
    return Reference(patient, virtual, study, frame, series, tuple(by_slice[k] for k in sorted(by_slice)))


def marks(reference: Reference) -> dict[str, Any]:
    """Return the fields that say whose a file is, and that it is for research or of no person."""
    if reference.virtual:
        return {"PatientName": f"VIRTUAL^{reference.patient}", "PatientComments": NOTICE, "SyntheticData": "YES"}
    return {
        "PatientName": f"RESEARCH^{reference.patient}", "PatientComments": RESEARCH_USE_ONLY,
        "PatientIdentityRemoved": "YES", "DeidentificationMethod": "theradose: identifiers replaced, dates left out",
    }  # fmt: skip


def described(reference: Reference, what: str) -> str:
    """Return a description of at most 64 characters, `VIRTUAL, research use only: dose of cycle 1`."""
    return f"{'VIRTUAL, research' if reference.virtual else 'Research'} use only: {what}"[:TEXT_LENGTH]


def header(reference: Reference, modality: str, what: str, content: str, **more: Any) -> Dataset:
    """Return a file of a modality in the study and frame of a reference, with more fields.

    `content` is a hash of what the file holds; its UID follows from it.
    """
    sop_class, number = SOP_CLASSES[modality]
    made = item(
        SOPClassUID=sop_class, SOPInstanceUID=reference.uid(modality, content), PatientID=reference.patient,
        PatientBirthDate="", PatientSex="", **marks(reference), StudyInstanceUID=reference.study, StudyDate="",
        StudyTime="", StudyID="", AccessionNumber="", ReferringPhysicianName="", Modality=modality,
        SeriesInstanceUID=reference.series_of(modality), SeriesNumber=number,
        SeriesDescription=described(reference, what), FrameOfReferenceUID=reference.frame,
        PositionReferenceIndicator="", Manufacturer="theradose", ManufacturerModelName="theradose",
        SoftwareVersions=__version__, InstanceNumber=1, **more,
    )  # fmt: skip
    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made
