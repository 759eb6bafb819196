"""Small DICOM series and structure sets, made for tests; every person in them is called CANARY."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CANARY = "CANARY"
SOP = {
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "NM": "1.2.840.10008.5.1.4.1.1.20",
    "RTSTRUCT": "1.2.840.10008.5.1.4.1.1.481.3",
}


def item(**fields):
    """Return a dataset of fields by keyword."""
    made = Dataset()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def _base(modality, series, frame):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SOP[modality]
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = item(
        SOPClassUID=SOP[modality], SOPInstanceUID=meta.MediaStorageSOPInstanceUID, Modality=modality,
        PatientName=f"{CANARY}^NAME", PatientID=f"{CANARY}-ID", PatientBirthDate="19010203", InstitutionName=CANARY,
        SeriesDescription=f"{CANARY} series", StudyInstanceUID="1.2.3", SeriesInstanceUID=series,
        FrameOfReferenceUID=frame,
        PatientWeight="80", PatientSize="1.75", SeriesDate="20240110", SeriesTime="120000.5",
        AcquisitionDate="20240110", AcquisitionTime="120000.5",
    )  # fmt: skip
    made.file_meta = meta
    return made


def tracer(name="177 Lutetium", bq=7.4e9, moment="20240110080000", clock="080000"):
    """Return the radiopharmaceutical item; an empty `moment` leaves the time of day alone."""
    info = item(RadionuclideTotalDose=str(bq), RadionuclideCodeSequence=Sequence([item(CodeMeaning=name)]))
    if clock:
        info.RadiopharmaceuticalStartTime = clock
    if moment:
        info.RadiopharmaceuticalStartDateTime = moment
    return info


def _pixels(made, stored):
    made.Rows, made.Columns = stored.shape[-2:]
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit = 15
    made.PixelRepresentation = 1 if stored.dtype == np.int16 else 0
    made.PixelData = stored.tobytes()


def write_slices(
    folder, stored, *, modality="PT", spacing=(2.0, 3.0, 4.0), origin=(-10.0, -20.0, 30.0),
    axes=(1, 0, 0, 0, 1, 0), series="1.2.3.4", frame="1.2.3.9", slopes=None, changes=None, info=None,
):  # fmt: skip
    """Write a PT or CT series, stored (z, y, x), slice k at origin + k dz normal, names in scrambled order."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    axes_ = np.asarray(axes, float)
    normal = np.cross(axes_[:3], axes_[3:])
    names = np.random.default_rng(1).permutation(len(stored))
    files = []
    for k, plane in enumerate(stored):
        made = _base(modality, series, frame)
        made.ImageOrientationPatient = [float(v) for v in axes_]
        made.ImagePositionPatient = [float(v) for v in np.asarray(origin) + k * spacing[2] * normal]
        made.PixelSpacing = [spacing[1], spacing[0]]
        made.SliceThickness = spacing[2]
        made.InstanceNumber = int(names[k]) + 1
        made.RescaleSlope = str((slopes or [1.0] * len(stored))[k])
        made.RescaleIntercept = "0" if modality == "PT" else "-1024"
        if modality == "PT":
            made.NumberOfSlices = len(stored)
            made.Units, made.DecayCorrection, made.DecayFactor = "BQML", "START", "1"
            made.ActualFrameDuration = "1200000"
            made.RadiopharmaceuticalInformationSequence = Sequence([info or tracer()])
        for name, value in (changes or {}).items():
            if value is None:
                delattr(made, name)
            else:
                setattr(made, name, value)
        _pixels(made, plane)
        files.append(folder / f"{int(names[k]):03d}.dcm")
        made.save_as(files[-1], enforce_file_format=True)
    return files


def write_nm(path, stored, *, step=4.0, origin=(-10.0, -20.0, 30.0), changes=None):
    """Write a multi-frame NM file; frame k lies at origin + k step normal, so a negative step stacks downwards."""
    made = _base("NM", "1.2.3.5", "1.2.3.9")
    detector = item(ImageOrientationPatient=[1.0, 0, 0, 0, 1.0, 0], ImagePositionPatient=list(origin))
    made.DetectorInformationSequence = Sequence([detector])
    made.NumberOfFrames = len(stored)
    made.SpacingBetweenSlices, made.SliceThickness = step, abs(step)
    made.SliceVector = list(range(1, len(stored) + 1))
    made.PixelSpacing = [3.0, 2.0]
    made.RescaleSlope, made.RescaleIntercept = "2", "0"
    made.DecayCorrection = "START"
    made.NumberOfDetectors = 2
    made.RotationInformationSequence = Sequence([item(ActualFrameDuration=20000, NumberOfFramesInRotation=120)])
    made.RadiopharmaceuticalInformationSequence = Sequence([tracer()])
    for name, value in (changes or {}).items():
        setattr(made, name, value)
    _pixels(made, stored)
    made.save_as(path, enforce_file_format=True)
    return path


def write_structures(path, rois, *, series="1.2.3.4", frame="1.2.3.9"):
    """Write an RTSTRUCT; `rois` are (name, [(type, points (n, 3))])."""
    made = _base("RTSTRUCT", "1.2.3.6", frame)
    made.StructureSetROISequence = Sequence(
        [item(ROINumber=i + 1, ROIName=name, ReferencedFrameOfReferenceUID=frame) for i, (name, _) in enumerate(rois)]
    )
    made.ROIContourSequence = Sequence()
    for i, (_, contours) in enumerate(rois):
        one = item(ReferencedROINumber=i + 1)
        if contours is not None:
            one.ContourSequence = Sequence(
                [
                    item(
                        ContourGeometricType=kind,
                        NumberOfContourPoints=len(points),
                        ContourData=np.ravel(points).tolist(),
                    )
                    for kind, points in contours
                ]
            )
        made.ROIContourSequence.append(one)
    referenced = item(RTReferencedSeriesSequence=Sequence([item(SeriesInstanceUID=series)]))
    made.ReferencedFrameOfReferenceSequence = Sequence(
        [item(FrameOfReferenceUID=frame, RTReferencedStudySequence=Sequence([referenced]))]
    )
    made.save_as(path, enforce_file_format=True)
    return path
