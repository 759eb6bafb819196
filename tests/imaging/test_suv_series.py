"""SUV of a folder: per-slice slopes, parts of a series, several series."""

import numpy as np
import pydicom
import pytest

from theradose.errors import DataError
from theradose.imaging.suv_series import suv_of_files, suv_of_series

STORED = np.arange(5 * 4 * 6).reshape(5, 4, 6).astype(np.uint16)
ATTENUATED = {"CorrectedImage": ["DECY", "ATTN", "SCAT"], "Manufacturer": "GE MEDICAL SYSTEMS"}
# 370 MBq one half-life before the scan, 74 kg: SUV = Bq/mL x 74e3 / 185e6 = 4e-4 Bq/mL.
FACTOR = 4e-4


@pytest.fixture
def write(dicom_maker, tmp_path):
    def make(folder="s", stored=STORED, series="1.2.3.4", **changes):
        info = dicom_maker.tracer("^18^Fluorine", 370e6, "", "100000.000")
        fields = {"PatientWeight": "74", "SeriesTime": "114946.2", "AcquisitionTime": "114946.2", **ATTENUATED}
        slopes = changes.pop("slopes", None)
        return dicom_maker.write_slices(
            tmp_path / folder, stored, info=info, series=series, slopes=slopes, changes={**fields, **changes}
        )

    return make


def said(answer, words):
    return any(words in note for note in answer["notes"])


def test_every_slice_has_its_own_slope(write) -> None:
    slopes = [1.0, 2.0, 0.5, 3.0, 1.5]
    answer = suv_of_series(write(slopes=slopes))
    suv = STORED * np.array(slopes)[:, None, None] * FACTOR
    assert answer["factor"] == pytest.approx(FACTOR, rel=1e-6)
    assert answer["suv_max"] == pytest.approx(suv.max(), rel=1e-6)
    assert answer["suv_mean"] == pytest.approx(suv[suv > 0].mean(), rel=1e-6)
    assert answer["suv_mean_over"] == "voxels above zero"
    assert answer["hours_from_injection"] == pytest.approx(1.8295)
    assert answer["reference_time"].endswith("(START); 1.8295 h after injection")
    assert said(answer, "time of day only")
    assert not said(answer, "missing")
    assert "2024" not in str(answer)
    assert "CANARY" not in str(answer)


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        ([2], ("a single slice", "1 of 5 slices (NumberOfSlices): 4 are missing")),
        ([0, 1, 3, 4], ("4 of 5 slices", "gaps between slices (1): about 1 slices missing")),
        ([0, 1], ("2 of 5 slices",)),
    ],
)
def test_a_part_of_a_series_has_numbers_and_a_note(write, kept, words) -> None:
    answer = suv_of_series([write()[i] for i in kept])
    assert answer["suv_max"] == pytest.approx(STORED[kept].max() * FACTOR, rel=1e-6)
    assert all(said(answer, word) for word in words), answer["notes"]


def test_copies_count_once_and_time_frames_are_named(write, tmp_path) -> None:
    files = write()
    (tmp_path / "copy.dcm").write_bytes(files[1].read_bytes())
    again = suv_of_series([*files, tmp_path / "copy.dcm"])
    assert said(again, "copies of other files (1)")
    assert again["suv_mean"] == suv_of_series(files)["suv_mean"]
    assert said(suv_of_series([*files, *write("later")]), "10 slices at 5 positions: several time frames")


def test_frames_without_decay_correction_have_factors_of_their_own(write) -> None:
    none = {"DecayCorrection": "NONE", "CorrectedImage": ["ATTN", "SCAT"], "ActualFrameDuration": "1"}
    beds = [*write("a", STORED[:1], **none), *write("b", STORED[:1], AcquisitionTime="133932.4", **none)]
    answer = suv_of_series(beds)
    assert answer["suv_max"] == pytest.approx(STORED[0].max() * 2 * FACTOR, rel=1e-5)  # a half-life later
    assert answer["factor"] == pytest.approx(1.5 * FACTOR, rel=1e-5)
    assert said(answer, "factor differs between slices: 0.0004 to 0.0008")


def test_nothing_above_zero_and_no_slope(write) -> None:
    answer = suv_of_series(write(stored=STORED[:1] * 0, RescaleSlope=None))
    assert (answer["suv_max"], np.isnan(answer["suv_mean"])) == (0.0, True)
    assert said(answer, "no voxel is above zero")
    assert said(answer, "RescaleSlope is missing (files: 1)")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"PatientWeight": "0"}, r"THR-211 .* file \d+.dcm · field PatientWeight · got 0"),
        ({"RescaleSlope": "0"}, r"THR-208 .* file \d+.dcm"),
        ({"NumberOfFrames": "5"}, r"THR-302 .* file \d+.dcm"),
    ],
)
def test_refusals_name_file_and_field(write, changes, words) -> None:
    with pytest.raises(DataError, match=words):
        suv_of_series(write(**changes))


def test_pixels_that_are_cut_off_are_refused(write) -> None:
    path = write()[0]
    header = pydicom.dcmread(path)
    header.PixelData = header.PixelData[:10]
    header.save_as(path)
    with pytest.raises(DataError, match=rf"THR-204 pixels cannot be read · file {path.name}"):
        suv_of_series([path])


def test_slices_that_differ_in_what_suv_needs_are_refused(write) -> None:
    with pytest.raises(DataError, match=r"THR-301 .* field PatientWeight"):
        suv_of_series([*write(), *write("t", PatientWeight="80")])


def test_positions_that_are_missing_are_noted(write) -> None:
    assert said(suv_of_series(write(ImagePositionPatient=None)), "positions of the slices are missing")


def test_a_folder_of_several_series(write, tmp_path, dicom_maker) -> None:
    write("nac", series="1.1", SeriesNumber=1, CorrectedImage=["DECY"])
    write("ac", series="1.2", SeriesNumber=2)
    dicom_maker.write_slices(tmp_path / "ct", STORED, modality="CT", series="1.3")
    write("mip", STORED[:1], series="1.4", ImageType=["DERIVED", "SECONDARY", "MIP"])
    answers, aside = suv_of_files(sorted(p for p in tmp_path.rglob("*") if p.is_file()))
    assert [(one["series_number"], one.get("refused")) for one in answers] == [(1, "THR-291"), (2, None)]
    assert answers[0]["reason"].endswith("series 2 of this study can be used")
    assert aside == ["left aside, image type MIP: 1"]


def test_damaged_files_are_left_aside_when_others_are_whole(write, tmp_path) -> None:
    files = write()
    for n, path in enumerate(files):
        path.write_bytes(b"broken")
        if n == 0:
            (answer,), aside = suv_of_files(sorted(p for p in tmp_path.rglob("*") if p.is_file()))
            assert said(answer, "4 of 5 slices")
            assert aside == ["left aside, WARN DICOM file is damaged: 1"]
    with pytest.raises(DataError, match=r"THR-204 .* file \d+.dcm"):
        suv_of_files(sorted(p for p in tmp_path.rglob("*") if p.is_file()))


def test_a_folder_without_pet(tmp_path, dicom_maker) -> None:
    with pytest.raises(DataError, match=r"THR-299 .* no DICOM files"):
        suv_of_files(sorted(p for p in tmp_path.rglob("*") if p.is_file()))
    dicom_maker.write_nm(tmp_path / "nm.dcm", STORED)
    with pytest.raises(DataError, match="got NM"):
        suv_of_files(sorted(p for p in tmp_path.rglob("*") if p.is_file()))
