"""DICOM doses that came along with the images: kept beside the patient to compare with, and used for nothing else."""

from pathlib import Path

from theradose.cohort.intake import Intake
from theradose.imaging.nifti import write_volume
from theradose.imaging.rtdose import read_rtdose, summation_of
from theradose.vocabulary import VIRTUAL_MARKS


def add_dose(intake: Intake, patient: str, file: Path, number: int, sha256: str) -> Path:
    """Write an RTDOSE (Gy) as `derivatives/dose/sub-x/sub-x_rtdose-01_dose.nii.gz` with its sidecar; return the image.

    The sidecar holds unit, summation type and the hash of the DICOM file. The manifest does not list it, so no step
    takes it for an image. Errors of `read_rtdose`.
    """
    dose, (summation, synthetic) = read_rtdose(file), summation_of(file)
    folder = intake.data.root / "derivatives" / "dose" / f"sub-{patient}"
    path = folder / f"sub-{patient}_rtdose-{number:02d}_dose.nii.gz"
    about = {"Modality": "RTDOSE", "DoseSummationType": summation, "SourceSha256": sha256, "Use": "comparison only"}
    write_volume(dose.with_values(dose.values.astype("float32")), path, about | (VIRTUAL_MARKS if synthetic else {}))
    intake.beside(patient, path)
    return path
