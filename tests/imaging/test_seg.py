"""Segments of a SEG on the grid of an image: by number and place, whatever names and UIDs say."""

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes

from theradose.errors import DataError, GeometryError, Where
from theradose.imaging.grid import Grid
from theradose.imaging.rtdose_reference import generated
from theradose.imaging.seg import place_segments, read_seg, segment_mask
from theradose.imaging.seg_writer import write_seg
from theradose.imaging.volume import Volume

SHAPE = (6, 8, 7)
TURN = np.deg2rad(20.0)
OBLIQUE = ((1.0, 0.0, 0.0), (0.0, np.cos(TURN), -np.sin(TURN)), (0.0, np.sin(TURN), np.cos(TURN)))
GRID = Grid(SHAPE, (2.0, 3.0, 4.0), (-10.0, -20.0, 30.0), OBLIQUE)
ON_DOSE = generated("p001", 1, "data", virtual=True).on_dose("hash")
WHERE = Where(patient="p001", file="s.dcm")


def stub():
    """Return what a segmentation needs of a file."""
    made = pydicom.Dataset()
    made.SOPClassUID, made.SOPInstanceUID, made.Modality = "1.2.840.10008.5.1.4.1.1.2", "1.2.3", "CT"
    made.StudyInstanceUID, made.SeriesInstanceUID, made.FrameOfReferenceUID = "1.2", "1.2.4", ON_DOSE.frame
    made.PatientID, made.PatientName, made.PatientBirthDate, made.PatientSex = "CANARY", "CANARY^C", "", ""
    made.AccessionNumber = made.StudyID = made.StudyDate = made.StudyTime = ""
    made.Rows, made.Columns, made.SliceThickness, made.PixelSpacing = 8, 7, 4.0, [3.0, 2.0]
    made.ImageOrientationPatient = np.asarray(OBLIQUE).T[:2].round(9).ravel().tolist()
    made.ImagePositionPatient = [-10.0, -20.0, 30.0]
    return made


def write(path, masks, names, *, kind="BINARY", **more):
    """Write masks (segment, z, y, x) that may overlap, as a foreign program would; empty frames are left out."""
    affine = GRID.affine_lps()[:, [2, 1, 0, 3]]
    values = np.moveaxis(np.asarray(masks), 0, -1)
    values = values if kind == "FRACTIONAL" else values.astype(np.uint8)
    numbers = list(range(1, len(names) + 1))
    volume = hd.Volume(
        values, affine, "PATIENT", frame_of_reference_uid=ON_DOSE.frame, channels={"SegmentNumber": numbers}
    )
    segments = [
        hd.seg.SegmentDescription(n, name, codes.SCT.Tissue, codes.SCT.Tissue, "MANUAL")
        for n, name in zip(numbers, names, strict=True)
    ]
    hd.seg.Segmentation(
        [stub()], volume, kind, segments, "1.2.5", 1, "1.2.6", 1, "other", "other", "1", "1", **more
    ).save_as(path)  # fmt: skip
    return path


def ball(z, y, x, radius=2):
    """Return a ball of voxels."""
    at = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    return sum((a - c) ** 2 for a, c in zip(at, (z, y, x), strict=True)) <= radius**2


def masked(found, grid=GRID, frame=ON_DOSE.frame):
    """Return label mask and lines as an importer asks for them: known organs, and all but `couch` are lesions."""
    organs = {"kidney_left": 5, "Liver": 7, "liver": 7, "spleen": 8, "couch": None}
    labels = {roi.number: organs.get(roi.name, 100 + roi.number) for roi in found.rois}
    return segment_mask(found, grid, labels, WHERE, frame)


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_a_mask_we_wrote_comes_back_voxel_by_voxel(tmp_path, share):
    rng = np.random.default_rng(round(10 * share))
    values = rng.choice([0, 5, 102], SHAPE, p=[1 - share, share / 2, share / 2]).astype(np.uint16)
    names = {5: "kidney_left", 102: "lesion_02"}
    write_seg(Volume(values, GRID, "label"), names, ON_DOSE, tmp_path / "s.dcm", what="masks", content="hash")
    found = read_seg(tmp_path / "s.dcm")
    mask, lines = masked(found)
    assert np.array_equal(mask.values, values)
    assert found.grid.same_as(GRID)
    assert (found.series, found.frame_of_reference) == (ON_DOSE.series, ON_DOSE.frame)
    ml = (values == 5).sum() * GRID.voxel_ml
    assert lines[0] == f"segment 1 -> kidney_left: {ml:.2f} mL (file {ml:.2f} mL)"


def test_segments_may_overlap_and_each_is_a_mask_of_its_own(tmp_path):
    liver, lesion = ball(2, 4, 3, 3), ball(3, 5, 4, 1)
    found = read_seg(write(tmp_path / "s.dcm", [liver, lesion], ["Liver", "tumour A"]))
    masks, notes = place_segments(found, GRID, WHERE, ON_DOSE.frame)
    assert np.array_equal(masks[1], liver)
    assert np.array_equal(masks[2], lesion)
    assert notes == []
    both = (liver & lesion).sum() * GRID.voxel_ml
    assert found.notes == (f"segments overlap in {both:.2f} mL",)
    mask, lines = masked(found)
    assert np.array_equal(mask.values, np.where(lesion, 102, np.where(liver, 7, 0)))
    assert lines[-1].endswith(f"{both:.2f} mL lie in another segment")
    assert not any("tumour" in line for line in lines)


def test_ten_segments_of_one_name_get_numbers(tmp_path):
    masks = [ball(k // 2, k % 8, 3, 0) for k in range(10)]
    found = read_seg(write(tmp_path / "s.dcm", masks, ["node"] * 10))
    assert [roi.name for roi in found.rois] == [f"node_{k}" for k in range(1, 11)]
    assert found.notes == (
        "WARN segments 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 share names: numbered in the order of the file",
    )
    assert len(np.unique(masked(found)[0].values)) == 11


def test_an_empty_segment_and_an_unknown_name_are_left_aside(tmp_path):
    masks = [ball(2, 4, 3), np.zeros(SHAPE, bool), ball(4, 1, 1, 1)]
    found = read_seg(write(tmp_path / "s.dcm", masks, ["spleen", "liver", "couch"], omit_empty_frames=False))
    assert found.empty_rois() == [2]
    lines = masked(found)[1]
    assert lines[-2:] == [
        "segment 2 is empty in the file: left aside",
        "segment 3 has the name of no organ and no lesion: left aside",
    ]


def test_left_out_frames_change_no_place(tmp_path):
    lesion = np.zeros(SHAPE, bool)
    lesion[[1, 3], 2:5, 2:4] = True
    found = read_seg(write(tmp_path / "s.dcm", [lesion], ["lesion"]))
    assert found.grid.shape_zyx[0] < SHAPE[0]
    mask, lines = masked(found)
    assert np.array_equal(mask.values > 0, lesion)
    assert not any("nearest" in line for line in lines)


@pytest.mark.parametrize("frames", [[3], [1, 3, 5]])
def test_frames_without_a_stated_distance_are_as_far_apart_as_thick(tmp_path, frames):
    lesion = np.zeros(SHAPE, bool)
    lesion[frames, 2:5, 2:4] = True
    made = pydicom.dcmread(write(tmp_path / "s.dcm", [lesion], ["lesion"]))
    del made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SpacingBetweenSlices
    made.save_as(tmp_path / "s.dcm")
    found = read_seg(tmp_path / "s.dcm")
    assert found.grid.spacing_mm == pytest.approx((2.0, 3.0, 4.0))
    assert np.array_equal(masked(found)[0].values > 0, lesion)


def test_fractional_segments_are_cut_at_one_half(tmp_path):
    values = np.zeros((1, *SHAPE), np.float32)
    values[0, 2, 2:6, 3] = [0.2, 0.45, 0.55, 1.0]
    found = read_seg(write(tmp_path / "s.dcm", values, ["lesion"], kind="FRACTIONAL"))
    assert np.array_equal(masked(found)[0].values > 0, values[0] >= 0.5)
    assert found.notes == ("segments are fractional: voxels filled by half or more are taken",)


def test_place_decides_and_no_uid(tmp_path):
    found = read_seg(write(tmp_path / "s.dcm", [ball(2, 4, 3)], ["liver"]))
    mask, lines = masked(found, frame="1.2.3.99")
    assert np.array_equal(mask.values > 0, ball(2, 4, 3))
    assert "WARN segments name another frame of reference, and lie on the voxels of the image: accepted" in lines


def test_another_grid_of_the_frame_takes_the_nearest_voxel(tmp_path):
    found = read_seg(write(tmp_path / "s.dcm", [ball(2, 4, 3)], ["liver"]))
    # Voxels of half the size: each of the segment is eight of the image.
    start = GRID.affine_lps() @ (-0.25, -0.25, -0.25, 1)
    fine = Grid((12, 16, 14), (1.0, 1.5, 2.0), tuple(start[:3]), OBLIQUE)
    mask, lines = masked(found, fine)
    assert np.array_equal(mask.values > 0, ball(2, 4, 3).repeat(2, 0).repeat(2, 1).repeat(2, 2))
    assert "segments lie on another grid of the same frame of reference: taken by the nearest voxel" in lines


def test_another_grid_in_another_frame_is_refused(tmp_path):
    found = read_seg(write(tmp_path / "s.dcm", [ball(2, 4, 3)], ["liver"]))
    other = Grid(SHAPE, (2.5, 3.0, 4.0), GRID.origin_mm, OBLIQUE)
    with pytest.raises(GeometryError, match=r"THR-312 .*p001"):
        masked(found, other, "1.2.3.99")


def test_a_segment_outside_the_image_is_refused(tmp_path):
    found = read_seg(write(tmp_path / "s.dcm", [ball(3, 4, 3)], ["liver"]))
    with pytest.raises(GeometryError, match=r"THR-313 .*% of its volume outside"):
        masked(found, Grid((4, 8, 7), GRID.spacing_mm, GRID.origin_mm, OBLIQUE))


def test_nothing_to_use_is_refused(tmp_path):
    found = read_seg(write(tmp_path / "s.dcm", [ball(2, 4, 3)], ["couch"]))
    with pytest.raises(DataError, match="THR-317 segmentation holds nothing to use"):
        masked(found)


def test_uneven_frames_are_refused(tmp_path):
    made = pydicom.dcmread(write(tmp_path / "s.dcm", [ball(2, 4, 3)], ["liver"]))
    made.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0].ImagePositionPatient = [-10.0, -20.0, 31.3]
    made.save_as(tmp_path / "s.dcm")
    with pytest.raises(GeometryError, match=r"THR-311 .*s\.dcm"):
        read_seg(tmp_path / "s.dcm")


def test_other_files_and_damaged_ones_are_named(tmp_path):
    path = write(tmp_path / "s.dcm", [ball(2, 4, 3)], ["liver"])
    whole = path.read_bytes()
    made = pydicom.dcmread(path)
    del made.SegmentSequence
    made.save_as(path)
    for content in (path.read_bytes(), whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"THR-204 .*s\.dcm"):
            read_seg(path)
    made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    made.save_as(path)
    with pytest.raises(DataError, match="THR-310"):
        read_seg(path)
