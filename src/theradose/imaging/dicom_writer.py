"""Images of virtual patients as DICOM files: CT and PT slice by slice, NM in one file.

Every file says that no person was imaged. UIDs are hashes of names, so that the same image gives the same bytes.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import DSfloat

from theradose import __version__
from theradose.errors import DataError
from theradose.imaging.acquisition import DECAY_TAGS, ELEMENTS
from theradose.imaging.volume import Volume
from theradose.physics.decay import factor_to_scan_start, frame_average_factor
from theradose.physics.nuclides import nuclide
from theradose.physics.units import BQ_PER_MBQ, hours_from_seconds, seconds_from_hours
from theradose.vocabulary import RESEARCH_USE_ONLY

NOTICE = f"VIRTUAL patient, made by a computer; no person was imaged. {RESEARCH_USE_ONLY}"
SOP_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2", "PT": "1.2.840.10008.5.1.4.1.1.128", "NM": "1.2.840.10008.5.1.4.1.1.20",
    "RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3",
}  # fmt: skip
IMAGE_TYPES = {
    "CT": ["ORIGINAL", "PRIMARY", "AXIAL"], "PT": ["ORIGINAL", "PRIMARY"],
    "NM": ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"],
}  # fmt: skip
DECAY_TAG = {reference: tag for tag, reference in DECAY_TAGS.items()}
DIGITS = 9
VIEWS = 60  # stops of the one detector of an NM; together they last as long as the frame


@dataclass(frozen=True)
class Subject:
    """A virtual patient as headers state one; `cohort` keeps the UIDs of two patients of one name apart."""

    cohort: str
    name: str
    sex: str = ""
    weight_kg: float | None = None
    height_cm: float | None = None


@dataclass(frozen=True)
class Emission:
    """What the header of a PET or SPECT states of the injection, the frame and the decay correction."""

    radionuclide: str
    injected_mbq: float
    injection: datetime
    frame_s: float
    decay_reference: str


@dataclass(frozen=True)
class Scan:
    """One image or structure set: whose, of which DICOM modality, when, and two names its UIDs are made of.

    What shares `visit`, which began at `opened`, shares study and frame of reference; `image` names the series, which
    began at `start`.
    """

    subject: Subject
    modality: str
    visit: str
    opened: datetime
    image: str
    start: datetime
    emission: Emission | None = None

    def uid(self, *names: object) -> str:
        """Return the UID of something of this patient."""
        return str(generate_uid(entropy_srcs=["\n".join(map(str, (self.subject.cohort, self.subject.name, *names)))]))

    @property
    def series(self) -> str:
        """The UID of the series."""
        return self.uid("series", self.modality, self.image)

    def instance(self, number: int) -> str:
        """Return the UID of the file with this number (from 0)."""
        return self.uid("instance", self.modality, self.image, number)


def decimal(value: float) -> DSfloat:
    """Return a number as decimal text of at most 16 characters, as DICOM wants it."""
    return DSfloat(float(value), auto_format=True)


def points(values: Any) -> list[DSfloat]:
    """Return coordinates in mm or direction cosines as decimal text, to nine digits behind the point."""
    return [decimal(value) for value in (np.round(np.asarray(values, float), DIGITS) + 0.0).ravel().tolist()]


def item(**fields: Any) -> Dataset:
    """Return a dataset of fields by keyword."""
    made = Dataset()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def _day(moment: datetime) -> str:
    """Return a date as DICOM writes it."""
    return moment.strftime("%Y%m%d")


def _clock(moment: datetime) -> str:
    """Return a time of day as DICOM writes it."""
    return moment.strftime("%H%M%S.%f")


def header(scan: Scan, number: int, **more: Any) -> Dataset:
    """Return what all files have in common (patient, study, series, the word that they are synthetic) and more."""
    who = scan.subject
    made = item(
        SOPClassUID=SOP_CLASSES[scan.modality], SOPInstanceUID=scan.instance(number), SyntheticData="YES",
        PatientName=f"VIRTUAL^{who.name}", PatientID=who.name, PatientBirthDate="", PatientSex=who.sex,
        PatientWeight=None if who.weight_kg is None else decimal(who.weight_kg),
        PatientSize=None if who.height_cm is None else decimal(who.height_cm / 100.0), PatientComments=NOTICE,
        StudyInstanceUID=scan.uid("study", scan.visit), StudyDate=_day(scan.opened), StudyTime=_clock(scan.opened),
        StudyID=scan.visit[:16], StudyDescription="VIRTUAL, research use only", AccessionNumber="",
        ReferringPhysicianName="", Modality=scan.modality, SeriesInstanceUID=scan.series,
        SeriesNumber=list(SOP_CLASSES).index(scan.modality) + 1, SeriesDate=_day(scan.start),
        SeriesTime=_clock(scan.start), SeriesDescription=f"VIRTUAL {scan.visit} {scan.modality}",
        FrameOfReferenceUID=scan.uid("frame", scan.visit), PositionReferenceIndicator="", Manufacturer="theradose",
        ManufacturerModelName="virtual patients", SoftwareVersions=__version__,
        InstanceNumber=number + 1, **more,
    )  # fmt: skip
    made.file_meta = FileMetaDataset()
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return made


def _image(scan: Scan, number: int, stored: np.ndarray, volume: Volume, **more: Any) -> Dataset:
    """Return a file of 16-bit pixels (y, x) or (z, y, x) and more, without its place in space."""
    day, clock = _day(scan.start), _clock(scan.start)
    return header(
        scan, number, ImageType=IMAGE_TYPES[scan.modality], ImageComments=NOTICE, BodyPartExamined="WHOLEBODY",
        AcquisitionNumber=1, AcquisitionDate=day, AcquisitionTime=clock, ContentDate=day, ContentTime=clock,
        SamplesPerPixel=1, PhotometricInterpretation="MONOCHROME2", Rows=stored.shape[-2], Columns=stored.shape[-1],
        PixelSpacing=points(volume.grid.spacing_zyx_mm[1:]), SliceThickness=decimal(volume.grid.spacing_mm[2]),
        BitsAllocated=16, BitsStored=16, HighBit=15, PixelRepresentation=int(stored.dtype.kind == "i"),
        PixelData=stored.tobytes(), **more,
    )  # fmt: skip


def _scaled(values: np.ndarray, *, signed: bool) -> tuple[np.ndarray, DSfloat]:
    """Return values as 16-bit integers and the smallest slope (as decimal text) that gives them back."""
    top = float(np.abs(values).max())
    slope = decimal(top / (2**15 - 1 if signed else 2**16 - 1) or 1.0)
    return np.rint(np.asarray(values, float) / float(slope)).astype("<i2" if signed else "<u2"), slope


def _code(radionuclide: str) -> Dataset:
    """Return the coded radionuclide, `^177^Lutetium` for Lu-177; SNOMED CT where pydicom knows its code there."""
    symbol, mass = radionuclide.split("-")
    name = next((word.capitalize() for word, short in ELEMENTS.items() if short == symbol), symbol)
    known = getattr(codes.SCT, f"_{mass}{name}", None)
    value, scheme = (known.value, known.scheme_designator) if known else (radionuclide, "99THERADOSE")
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=f"^{mass}^{name}")


def _tracer(emission: Emission) -> dict[str, Any]:
    """Return radionuclide, activity in Bq, half-life in s, time of injection, and the kind of decay correction."""
    made = item(
        RadionuclideCodeSequence=Sequence([_code(emission.radionuclide)]),
        RadionuclideTotalDose=decimal(emission.injected_mbq * BQ_PER_MBQ),
        RadionuclideHalfLife=decimal(seconds_from_hours(nuclide(emission.radionuclide).half_life_h)),
        RadiopharmaceuticalStartTime=_clock(emission.injection),
        RadiopharmaceuticalStartDateTime=_day(emission.injection) + _clock(emission.injection),
    )
    tag = DECAY_TAG[emission.decay_reference]
    return {
        "RadiopharmaceuticalInformationSequence": Sequence([made]), "DecayCorrection": tag,
        "CorrectedImage": ["ATTN", "SCAT"] if tag == "NONE" else ["ATTN", "SCAT", "DECY"],
        "PatientOrientationCodeSequence": Sequence(), "PatientGantryRelationshipCodeSequence": Sequence(),
    }  # fmt: skip


def _frame(scan: Scan, emission: Emission) -> dict[str, Any]:
    """Return what a PT states of its frame.

    Counts give the mean activity of the frame, which is the activity at FrameReferenceTime after its start. The decay
    factor takes it from there to the time the numbers refer to.
    """
    half_life_h, frame_h = nuclide(emission.radionuclide).half_life_h, hours_from_seconds(emission.frame_s)
    start_h = hours_from_seconds((scan.start - emission.injection).total_seconds())
    average = frame_average_factor(half_life_h, frame_h)
    to_start = factor_to_scan_start(emission.decay_reference, half_life_h, start_h, frame_h)
    factor = {} if emission.decay_reference == "none" else {"DecayFactor": decimal(1.0 / average / to_start)}
    return {
        "Units": "BQML", "SeriesType": ["STATIC", "IMAGE"], "CountsSource": "EMISSION", "CollimatorType": "NONE",
        "FrameReferenceTime": decimal(-1000.0 * seconds_from_hours(float(np.log2(average)) * half_life_h)),
        "ActualFrameDuration": round(1000.0 * emission.frame_s), "RescaleIntercept": decimal(0.0), **factor,
    }  # fmt: skip


def require_writable(volume: Volume, unit: str) -> None:
    """Raise UnitError for another unit, DataError for values that are not finite or, in HU, no 16-bit number."""
    volume.require_unit(unit)
    limit = 2**15 - 1 if unit == "HU" else np.inf
    if not (np.isfinite(volume.values).all() and np.abs(volume.values).max() <= limit):
        raise DataError(
            "image holds values that DICOM cannot", expected=f"finite numbers of at most {limit:g} {unit}",
            got=f"{volume.values.min():g} to {volume.values.max():g}", code="THR-281",
        )  # fmt: skip


def write_slices(volume: Volume, scan: Scan, folder: Path) -> list[Path]:
    """Write a CT (HU, rounded to whole numbers) or PT (Bq/mL, a slope for each slice); return the files.

    UnitError or DataError when the values cannot be written.
    """
    require_writable(volume, "HU" if scan.modality == "CT" else "Bq/mL")
    affine, signed = volume.grid.affine_lps(), bool(volume.values.min() < 0)
    fields: dict[str, Any] = {
        "PatientPosition": "HFS",
        "KVP": None,
        "RescaleIntercept": decimal(0.0),
        "RescaleType": "HU",
    }
    if scan.emission is not None:
        fields = {"NumberOfSlices": len(volume.values), **_tracer(scan.emission), **_frame(scan, scan.emission)}
    files = []
    for k, plane in enumerate(volume.values):
        stored, slope = np.rint(plane).astype("<i2"), decimal(1.0)
        if scan.emission is not None:
            stored, slope = _scaled(plane, signed=signed)
            fields["ImageIndex"] = k + 1
        made = _image(
            scan, k, stored, volume, RescaleSlope=slope,
            ImageOrientationPatient=points(np.asarray(volume.grid.direction).T[:2]),
            ImagePositionPatient=points(affine[:3, 3] + k * affine[:3, 2]), **fields,
        )  # fmt: skip
        files.append(folder / f"{k + 1:04d}.dcm")
        made.save_as(files[-1], enforce_file_format=True)
    return files


def write_frames(volume: Volume, scan: Scan, path: Path, *, reverse: bool = False) -> Path:
    """Write a SPECT (Bq/mL) as one multi-frame NM file with a real-world value map; return the file.

    Frames follow the image's third axis, or run against it with `reverse`; SpacingBetweenSlices is negative when they
    run against the normal of a frame. UnitError or DataError when the values cannot be written.
    """
    require_writable(volume, "Bq/mL")
    assert scan.emission is not None, "a SPECT has a tracer"
    stored, slope = _scaled(volume.values, signed=bool(volume.values.min() < 0))
    x, y, z = np.asarray(volume.grid.direction).T
    affine, n, sign = volume.grid.affine_lps(), len(stored), float(np.sign(np.cross(x, y) @ z))
    first = affine[:3, 3] + (n - 1) * affine[:3, 2] if reverse else affine[:3, 3]
    rotation = item(
        StartAngle=decimal(0), AngularStep=decimal(360 / VIEWS), RotationDirection="CC", ScanArc=decimal(360),
        ActualFrameDuration=round(1000.0 * scan.emission.frame_s / VIEWS), NumberOfFramesInRotation=VIEWS,
    )  # fmt: skip
    unit = item(CodeValue="Bq/ml", CodingSchemeDesignator="UCUM", CodeMeaning="Becquerels/milliliter")
    mapped = item(
        RealWorldValueFirstValueMapped=int(stored.min()), RealWorldValueLastValueMapped=int(stored.max()),
        RealWorldValueIntercept=0.0, RealWorldValueSlope=float(slope), LUTLabel="Bq/mL",
        LUTExplanation="activity concentration", MeasurementUnitsCodeSequence=Sequence([unit]),
    )  # fmt: skip
    place = item(CollimatorType="", ImageOrientationPatient=points([x, y]), ImagePositionPatient=points(first))
    made = _image(
        scan, 0, stored[::-1] if reverse else stored, volume, **_tracer(scan.emission), NumberOfFrames=n,
        CountsAccumulated=None, FrameIncrementPointer=Tag("SliceVector"), SliceVector=list(range(1, n + 1)),
        NumberOfSlices=n,
        SpacingBetweenSlices=decimal((-sign if reverse else sign) * volume.grid.spacing_mm[2]),
        NumberOfEnergyWindows=1, EnergyWindowInformationSequence=Sequence(), NumberOfDetectors=1,
        DetectorInformationSequence=Sequence([place]), NumberOfRotations=1,
        RotationInformationSequence=Sequence([rotation]), RealWorldValueMappingSequence=Sequence([mapped]),
    )  # fmt: skip
    made.save_as(path, enforce_file_format=True)
    return path
