"""Images of virtual patients become DICOM that says what they are, where they lie and what their numbers mean."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pydicom
import pytest

from theradose.errors import DataError, UnitError
from theradose.imaging.acquisition import radionuclide_of
from theradose.imaging.dicom import read_series
from theradose.imaging.dicom_writer import Emission, Scan, Subject, write_frames, write_slices
from theradose.imaging.grid import Grid
from theradose.imaging.volume import Volume
from theradose.physics.nuclides import nuclide

INJECTION = datetime(2000, 1, 1, 8)
SHAPE = (5, 4, 3)
TURN = np.deg2rad(20.0)
OBLIQUE = ((1.0, 0.0, 0.0), (0.0, np.cos(TURN), -np.sin(TURN)), (0.0, np.sin(TURN), np.cos(TURN)))
GRID = Grid(SHAPE, (2.0, 3.0, 4.0), (-10.0, -20.5, 30.25), OBLIQUE)
# Half of what 16 bit resolve, relative to the maximum; float32 adds 2^-24.
HALF_STEP = 0.5 / 65535 + 2.0**-23
# Attributes of type 1 in PS3.3 beside those of pixels and UIDs: sections C.7, C.8.2, C.8.4 and C.8.9.
TYPE_1 = {
    "CT": ("ImageType", "RescaleSlope", "RescaleIntercept", "PixelSpacing", "FrameOfReferenceUID"),
    "PT": (
        "SeriesDate", "SeriesTime", "Units", "CountsSource", "SeriesType", "NumberOfSlices", "DecayCorrection",
        "ImageType", "RescaleSlope", "RescaleIntercept", "FrameReferenceTime", "ImageIndex", "DecayFactor",
    ),
    "NM": (
        "NumberOfFrames", "FrameIncrementPointer", "NumberOfEnergyWindows", "NumberOfDetectors", "ImageType",
        "SliceVector", "NumberOfSlices", "NumberOfRotations",
    ),
}  # fmt: skip


def scan(modality, *, hours=0.0, radionuclide="Lu-177", frame_s=1200.0, reference="scan_start", image="a"):
    """Return what the headers of a test image state."""
    emission = None
    if modality != "CT":
        emission = Emission(radionuclide, 7400.0 if radionuclide == "Lu-177" else 150.0, INJECTION, frame_s, reference)
    start = INJECTION + timedelta(hours=hours)
    who = Subject("cohort", "v001", "M", 81.5, 176.0)
    return Scan(who, modality, "ses-tx1_024h", start, image, start, emission)


def activity(*, low=0.0, grid=GRID):
    """Return random Bq/mL, slices of very different height."""
    rng = np.random.default_rng(3)
    values = rng.uniform(low, 1.0, grid.shape_zyx) * 10.0 ** np.arange(6, 6 - grid.shape_zyx[0], -1)[:, None, None]
    return Volume(values.astype(np.float32), grid, "Bq/mL")


def per_slice_error(found, wanted):
    """Return the largest difference of each slice over the slice's maximum."""
    gap = np.abs(found.values.astype(float) - wanted.values)
    return gap.max(axis=(1, 2)) / np.abs(wanted.values).max(axis=(1, 2))


def test_a_ct_comes_back_in_whole_hu_where_it_was(tmp_path):
    values = np.linspace(-1024.0, 3071.0, 60).reshape(SHAPE).astype(np.float32)
    files = write_slices(Volume(values, GRID, "HU"), scan("CT"), tmp_path)
    found = read_series(files)
    assert np.array_equal(found.volume.values, np.rint(values))
    assert found.volume.grid.same_as(GRID, 1e-5)
    assert (found.volume.unit, found.acquisition.modality) == ("HU", "CT")
    header = pydicom.dcmread(files[0])
    assert (header.PixelRepresentation, header.BitsStored, float(header.RescaleIntercept)) == (1, 16, 0.0)


@pytest.mark.parametrize("low", [0.0, -0.3])
def test_a_pt_keeps_each_slice_to_half_a_step_of_16_bit(tmp_path, low):
    wanted = activity(low=low)
    files = write_slices(wanted, scan("PT", hours=24.0), tmp_path)
    found = read_series(files)
    limit = HALF_STEP if low == 0 else 2 * HALF_STEP  # one bit is the sign
    assert per_slice_error(found.volume, wanted).max() < limit
    assert found.volume.grid.same_as(GRID, 1e-5)
    headers = [pydicom.dcmread(file) for file in files]
    assert len({float(h.RescaleSlope) for h in headers}) == SHAPE[0]
    assert {float(h.RescaleIntercept) for h in headers} == {0.0}
    assert {h.PixelRepresentation for h in headers} == {int(low < 0)}


def test_a_slice_without_activity_is_zero(tmp_path):
    wanted = activity()
    wanted.values[2] = 0.0
    found = read_series(write_slices(wanted, scan("PT", hours=1.0), tmp_path))
    assert np.array_equal(found.volume.values[2], np.zeros(SHAPE[1:]))


def test_the_importer_reads_tracer_times_and_person(tmp_path):
    record = read_series(write_slices(activity(), scan("PT", hours=24.0, radionuclide="Y-90"), tmp_path)).acquisition
    assert (record.radionuclide, record.unit, record.decay_tag) == ("Y-90", "Bq/mL", "START")
    assert (record.injected_mbq, record.start_h, record.frame_duration_s) == (150.0, 24.0, 1200.0)
    assert (record.weight_kg, record.height_cm) == (81.5, 176.0)
    assert record.notes == ()


@pytest.mark.parametrize(
    ("reference", "tag", "factor"), [("scan_start", "START", 1.386294), ("administration", "ADMIN", 5.545177)]
)
def test_frame_time_and_decay_factor_by_hand(tmp_path, reference, tag, factor):
    """A frame of one half-life T, two half-lives after injection.

    Its mean is 1 / (2 ln 2) of its start, which is the activity after T log2(2 ln 2) = 0.471234 T. To the start of
    the scan 2 ln 2, to the injection 4 times that.
    """
    half_life_h = nuclide("Ga-68").half_life_h
    frame_s = half_life_h * 3600.0
    about = scan("PT", hours=2 * half_life_h, radionuclide="Ga-68", frame_s=frame_s, reference=reference)
    header = pydicom.dcmread(write_slices(activity(), about, tmp_path)[0])
    assert float(header.DecayFactor) == pytest.approx(factor, rel=1e-6)
    assert float(header.FrameReferenceTime) == pytest.approx(0.471234 * frame_s * 1000.0, rel=1e-6)
    assert header.ActualFrameDuration == round(frame_s * 1000.0)
    assert (header.DecayCorrection, "DECY" in header.CorrectedImage) == (tag, True)
    assert header.SeriesTime == header.AcquisitionTime


def test_an_image_without_decay_correction_has_no_decay_factor(tmp_path):
    header = pydicom.dcmread(write_slices(activity(), scan("PT", hours=1.0, reference="none"), tmp_path)[0])
    assert (header.DecayCorrection, "DecayFactor" in header) == ("NONE", False)
    assert list(header.CorrectedImage) == ["ATTN", "SCAT"]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("left_handed", [False, True])
def test_an_nm_lies_where_the_sign_of_its_spacing_says(tmp_path, reverse, left_handed):
    """PS3.3 C.8.4.15: frames are stacked along the normal (row x column) of the first by SpacingBetweenSlices."""
    mirrored = tuple((a, b, -c) for a, b, c in OBLIQUE)
    wanted = activity(grid=replace(GRID, direction=mirrored) if left_handed else GRID)
    header = pydicom.dcmread(write_frames(wanted, scan("NM", hours=24.0), tmp_path / "x.dcm", reverse=reverse))
    step = float(header.SpacingBetweenSlices)
    assert step == (-4.0 if reverse != left_handed else 4.0)
    detector, mapped = header.DetectorInformationSequence[0], header.RealWorldValueMappingSequence[0]
    x, y = np.reshape(np.asarray(detector.ImageOrientationPatient, float), (2, 3))
    affine = wanted.grid.affine_lps()
    for frame, pixels in enumerate(header.pixel_array):
        place = np.asarray(detector.ImagePositionPatient, float) + frame * step * np.cross(x, y)
        k = int(np.rint(np.linalg.solve(affine, [*place, 1.0])[2]))
        assert place == pytest.approx(affine[:3, 3] + k * affine[:3, 2], abs=1e-5)
        values = pixels * float(mapped.RealWorldValueSlope) + float(mapped.RealWorldValueIntercept)
        assert np.abs(values - wanted.values[k]).max() < HALF_STEP * wanted.values.max()
    assert mapped.MeasurementUnitsCodeSequence[0].CodeValue == "Bq/ml"


@pytest.mark.parametrize("reverse", [False, True])
def test_the_importer_reads_an_nm(tmp_path, reverse):
    wanted = activity()
    path = write_frames(wanted, scan("NM", hours=24.0), tmp_path / "x.dcm", reverse=reverse)
    found = read_series([path])
    assert found.volume.grid.same_as(GRID, 1e-5)
    assert np.abs(found.volume.values - wanted.values).max() < HALF_STEP * wanted.values.max()
    record = found.acquisition
    assert (record.unit, record.injected_mbq, record.start_h, record.decay_tag) == ("Bq/mL", 7400.0, 24.0, "START")
    assert record.frame_duration_s == 1200.0


def written(tmp_path, modality):
    """Return the headers of a small image of a modality."""
    about = scan(modality, hours=24.0)
    if modality == "NM":
        return [pydicom.dcmread(write_frames(activity(), about, tmp_path / "x.dcm"))]
    volume = Volume(np.zeros(SHAPE, np.int16), GRID, "HU") if modality == "CT" else activity()
    return [pydicom.dcmread(file) for file in write_slices(volume, about, tmp_path)]


@pytest.mark.parametrize("modality", TYPE_1)
def test_files_are_valid_and_say_that_nobody_was_imaged(tmp_path, modality):
    headers = written(tmp_path, modality)
    for header in headers:
        assert [name for name in TYPE_1[modality] if header.get(name) in (None, "")] == []
        assert header.file_meta.MediaStorageSOPInstanceUID == header.SOPInstanceUID
        assert header.SyntheticData == "YES"
        assert (header.PatientName, header.PatientID, header.PatientSex) == ("VIRTUAL^v001", "v001", "M")
        for comment in (header.PatientComments, header.ImageComments):
            assert "VIRTUAL" in comment
            assert "Research use only" in comment
        assert (header.StudyDate, header.StudyTime) == ("20000102", "080000.000000")
        uids = [header.SOPInstanceUID, header.SeriesInstanceUID, header.StudyInstanceUID, header.FrameOfReferenceUID]
        assert all(uid.is_valid for uid in uids)
        assert len(set(uids)) == len(uids)
    assert len({header.SOPInstanceUID for header in headers}) == len(headers)
    assert len({header.SeriesInstanceUID for header in headers}) == 1


def test_the_same_image_gives_the_same_bytes_and_another_other_uids(tmp_path):
    files = {}
    for name, image in (("one", "a"), ("two", "a"), ("three", "b")):
        (tmp_path / name).mkdir()
        files[name] = write_slices(activity(), scan("PT", hours=24.0, image=image), tmp_path / name)
    content = {name: [file.read_bytes() for file in found] for name, found in files.items()}
    assert content["one"] == content["two"]
    first, other = pydicom.dcmread(files["one"][0]), pydicom.dcmread(files["three"][0])
    assert first.SeriesInstanceUID != other.SeriesInstanceUID
    assert first.SOPInstanceUID != other.SOPInstanceUID
    assert first.StudyInstanceUID == other.StudyInstanceUID


@pytest.mark.parametrize(
    ("radionuclide", "code", "scheme"),
    [("Lu-177", "447553000", "SCT"), ("Ga-68", "35337001", "SCT"), ("Tb-161", "Tb-161", "99THERADOSE")],
)
def test_radionuclides_are_coded_and_read_again(tmp_path, radionuclide, code, scheme):
    header = pydicom.dcmread(write_slices(activity(), scan("PT", radionuclide=radionuclide), tmp_path)[0])
    info = header.RadiopharmaceuticalInformationSequence[0]
    item = info.RadionuclideCodeSequence[0]
    assert (item.CodeValue, item.CodingSchemeDesignator) == (code, scheme)
    assert radionuclide_of(header) == radionuclide
    assert float(info.RadionuclideHalfLife) == pytest.approx(nuclide(radionuclide).half_life_h * 3600.0, rel=1e-9)


@pytest.mark.parametrize("value", [np.nan, np.inf, 40000.0])
def test_values_that_dicom_cannot_hold_are_refused(tmp_path, value):
    values = np.zeros(SHAPE, np.float32)
    values[1, 2, 0] = value
    with pytest.raises(DataError, match="THR-281"):
        write_slices(Volume(values, GRID, "HU"), scan("CT"), tmp_path)
    if not np.isfinite(value):
        with pytest.raises(DataError, match="THR-281"):
            write_frames(Volume(values, GRID, "Bq/mL"), scan("NM"), tmp_path / "x.dcm")
    assert list(tmp_path.iterdir()) == []


def test_another_unit_is_refused(tmp_path):
    suv = activity().with_values(np.ones(SHAPE), "g/mL")
    with pytest.raises(UnitError, match="wrong unit"):
        write_slices(suv, scan("PT"), tmp_path)
    with pytest.raises(UnitError, match="wrong unit"):
        write_frames(suv, scan("NM"), tmp_path / "x.dcm")
