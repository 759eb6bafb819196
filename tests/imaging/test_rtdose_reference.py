"""What dose and masks as DICOM say of the patient, and that an independent checker finds no fault in them."""

import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pydicom
import pytest

from theradose.errors import DataError
from theradose.imaging.dicom import read_series
from theradose.imaging.grid import Grid
from theradose.imaging.rtdose import write_rtdose
from theradose.imaging.rtdose_reference import generated, reference_to
from theradose.imaging.rtstruct_writer import attach_rtstruct
from theradose.imaging.seg_writer import write_seg
from theradose.imaging.volume import Volume

CHECKER = Path(sysconfig.get_path("scripts")) / "dciodvfy"
GRID = Grid((3, 6, 5), (2.0, 3.0, 4.0), (-10.0, -20.0, 30.0))
NAMES = {5: "kidney_left", 101: "lesion_01"}


def write(folder, reference):
    """Write a dose and masks; return the three files."""
    values = np.zeros(GRID.shape_zyx, np.uint16)
    values[0, 1:4, 1:4], values[1:, 2:5, 3] = 5, 101
    mask, dose = Volume(values, GRID, "label"), Volume(values * 0.37, GRID, "Gy")
    about = {"what": "cycle 1", "content": "hash"}
    return [
        write_rtdose(dose, reference, folder / "dose.dcm", **about),
        write_seg(mask, NAMES, reference, folder / "seg.dcm", **about),
        attach_rtstruct(mask, NAMES, reference, folder / "rtstruct.dcm", **about),
    ]


def errors(path):
    """Return the errors that dciodvfy finds in a file; fail where it is not installed or does not get to the end."""
    done = subprocess.run([CHECKER, path], capture_output=True, text=True, check=False)
    words = done.stdout + done.stderr
    assert any(name in words.splitlines() for name in ("RTDose", "Segmentation", "RTStructureSet")), words
    return [line for line in words.splitlines() if line.startswith("Error")]


def sixteen_bit(path):
    """Return a copy of an RTDOSE with 16-bit pixels: on 32-bit ones dciodvfy ends itself, on anyone's."""
    made = pydicom.dcmread(path)
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit, made.PixelData = 15, made.PixelData[: len(made.PixelData) // 2]
    made.save_as(path.with_name("sixteen.dcm"))
    return path.with_name("sixteen.dcm")


@pytest.fixture
def series(dicom_maker, tmp_path):
    """Return the function that writes a series with a name and a birth date in its headers."""

    def make(modality):
        values = np.arange(90, dtype=np.uint16).reshape(GRID.shape_zyx)
        if modality == "NM":
            return [dicom_maker.write_nm(tmp_path / "nm.dcm", values)]
        return dicom_maker.write_slices(tmp_path / "image", values, modality=modality)

    return make


@pytest.mark.parametrize("virtual", [True, False])
def test_the_checker_finds_no_error(tmp_path, virtual):
    dose, seg, rtstruct = write(tmp_path, generated("p001", 1, "data", virtual=virtual).on_dose("hash"))
    assert [errors(path) for path in (sixteen_bit(dose), seg, rtstruct)] == [[], [], []]


def test_the_checker_can_find_an_error(tmp_path):
    dose, *_ = write(tmp_path, generated("p001", 1, "data", virtual=True).on_dose("hash"))
    path = sixteen_bit(dose)
    made = pydicom.dcmread(path)
    del made.ReferencedRTPlanSequence
    made.save_as(path)
    assert any("ReferencedRTPlanSequence" in line for line in errors(path))


def test_virtual_patients_are_called_virtual_and_real_ones_research(tmp_path):
    for virtual in (True, False):
        for path in write(tmp_path, generated("p001", 1, "data", virtual=virtual).on_dose("hash")):
            made = pydicom.dcmread(path)
            assert str(made.PatientName) == ("VIRTUAL^p001" if virtual else "RESEARCH^p001")
            assert ("VIRTUAL" in str(made)) == virtual
            assert made.get("SyntheticData") == ("YES" if virtual else None)
            assert "research use only" in made.PatientComments.lower()
            assert "research use only" in made.SeriesDescription.lower()


def test_made_up_uids_are_those_of_the_patient():
    one, two, other = (generated(*key, virtual=True) for key in (("a", 1, "d"), ("a", 2, "d"), ("b", 1, "d")))
    assert one == generated("a", 1, "d", virtual=True)
    assert one.study == two.study != other.study
    assert len({one.frame, two.frame, other.frame}) == 3


def test_without_an_image_masks_lie_on_the_dose(tmp_path):
    dose, seg, rtstruct = (
        pydicom.dcmread(p) for p in write(tmp_path, generated("p", 1, "d", virtual=True).on_dose("hash"))
    )
    referenced = seg.ReferencedSeriesSequence[0]
    assert referenced.SeriesInstanceUID == dose.SeriesInstanceUID
    named = referenced.ReferencedInstanceSequence[0]
    assert (named.ReferencedSOPClassUID, named.ReferencedSOPInstanceUID) == (dose.SOPClassUID, dose.SOPInstanceUID)
    assert dose.FrameOfReferenceUID == seg.FrameOfReferenceUID == rtstruct.FrameOfReferenceUID
    assert dose.StudyInstanceUID == seg.StudyInstanceUID == rtstruct.StudyInstanceUID


@pytest.mark.parametrize("modality", ["PT", "NM"])
def test_files_join_the_study_of_an_image_and_take_nothing_else_from_it(tmp_path, series, dicom_maker, modality):
    files = series(modality)
    image = read_series(files, "Bq/mL")
    headers = [pydicom.dcmread(file) for file in files]
    reference = reference_to(files, image.volume.grid, "p001", virtual=False)
    for path in write(tmp_path, reference):
        made = pydicom.dcmread(path)
        assert made.StudyInstanceUID == headers[0].StudyInstanceUID
        assert made.FrameOfReferenceUID == headers[0].FrameOfReferenceUID
        assert (made.PatientID, made.PatientBirthDate, made.StudyDate) == ("p001", "", "")
        content = path.read_bytes()
        assert dicom_maker.CANARY.encode() not in content
        assert b"19010203" not in content
        assert b"20240110" not in content
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    named = {i.ReferencedSOPInstanceUID for i in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert named == {header.SOPInstanceUID for header in headers}
    assert seg.SourceImageSequence[0].ReferencedSOPClassUID == headers[0].SOPClassUID


def test_slices_are_referenced_in_the_order_of_their_place(series):
    files = series("PT")
    reference = reference_to(files[::-1], GRID, "p001", virtual=False)
    by_place = sorted((pydicom.dcmread(f) for f in files), key=lambda header: float(header.ImagePositionPatient[2]))
    assert [uid for _, uid in reference.files] == [header.SOPInstanceUID for header in by_place]


def test_a_series_without_its_uids_is_refused(series):
    files = series("PT")
    made = pydicom.dcmread(files[0])
    del made.StudyInstanceUID
    made.save_as(files[0])
    with pytest.raises(DataError, match=r"THR-314 .*StudyInstanceUID"):
        reference_to(files, GRID, "p001", virtual=False)
