"""Masks become contours along voxel edges, and the contours the same masks again."""

from datetime import datetime

import numpy as np
import pydicom
import pytest

from theradose.errors import UnitError
from theradose.imaging.dicom_writer import Scan, Subject
from theradose.imaging.grid import Grid
from theradose.imaging.rtstruct import polygon_volume_ml, rasterise, read_rtstruct
from theradose.imaging.rtstruct_writer import outlines, write_rtstruct
from theradose.imaging.volume import Volume

DAY = datetime(2000, 1, 1, 8)
SHAPE = (4, 12, 10)
TURN = np.deg2rad(20.0)
OBLIQUE = ((1.0, 0.0, 0.0), (0.0, np.cos(TURN), -np.sin(TURN)), (0.0, np.sin(TURN), np.cos(TURN)))
GRIDS = [Grid(SHAPE, (8.0, 8.0, 8.0), (-36.0, 4.0, 0.0)), Grid(SHAPE, (1.17, 2.3, 4.9), (-10.1, -20.7, 30.3), OBLIQUE)]


def scan(modality):
    """Return an image or structure set of one visit."""
    return Scan(Subject("cohort", "v001"), modality, "ses-pre", DAY, modality, DAY)


def write(path, values, *, grid=GRIDS[0], on="CT", names=None):
    """Write a mask as RTSTRUCT on an image of a modality."""
    names = names or {int(label): f"voi {label}" for label in np.unique(values) if label}
    return write_rtstruct(Volume(values, grid, "label"), names, scan("RTSTRUCT"), scan(on), path)


def area(corners):
    """Return the area that corners walk around, positive clockwise in rows that go down."""
    x, y = corners.T
    return float(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2.0


def test_a_square_has_four_corners():
    plane = np.zeros((5, 6), bool)
    plane[1:4, 2:5] = True
    assert [loop.tolist() for loop in outlines(plane)] == [[[1.5, 0.5], [4.5, 0.5], [4.5, 3.5], [1.5, 3.5]]]


def test_a_ring_has_an_outline_and_a_hole():
    plane = np.ones((3, 3), bool)
    plane[1, 1] = False
    assert [area(loop) for loop in outlines(plane)] == [9.0, -1.0]


def test_voxels_that_touch_at_a_corner_have_outlines_of_their_own_and_holes_join():
    assert [area(loop) for loop in outlines(np.eye(2, dtype=bool))] == [1.0, 1.0]
    assert [area(loop) for loop in outlines(np.eye(2, dtype=bool)[::-1])] == [1.0, 1.0]
    plane = np.ones((4, 4), bool)
    plane[1, 1] = plane[2, 2] = False
    assert [area(loop) for loop in outlines(plane)] == [16.0, -2.0]


def test_nothing_has_no_outline():
    assert outlines(np.zeros((3, 3), bool)) == []


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_any_mask_comes_back_voxel_by_voxel(tmp_path, grid, share):
    rng = np.random.default_rng(round(10 * share))
    values = rng.choice([0, 5, 101], SHAPE, p=[1 - share, share / 2, share / 2]).astype(np.uint16)
    found = read_rtstruct(write(tmp_path / "x.dcm", values, grid=grid))
    assert [roi.number for roi in found.rois] == [5, 101]
    for roi in found.rois:
        assert np.array_equal(rasterise(roi, grid), values == roi.number)
        assert polygon_volume_ml(roi, grid) == pytest.approx((values == roi.number).sum() * grid.voxel_ml, rel=1e-6)


def test_a_mask_that_fills_the_image_comes_back(tmp_path):
    found = read_rtstruct(write(tmp_path / "x.dcm", np.full(SHAPE, 7, np.uint16)))
    assert rasterise(found.rois[0], GRIDS[0]).all()


def test_a_contour_of_more_than_64_kb_is_whole(tmp_path):
    comb = np.zeros((1, 60, 400), np.uint16)
    comb[0, 0], comb[0, :, ::2] = 7, 7
    grid = Grid(comb.shape, (0.7, 0.7, 3.0), (-123.45, 67.89, 0.0))
    path = write(tmp_path / "x.dcm", comb, grid=grid)
    contour = pydicom.dcmread(path).ROIContourSequence[0].ContourSequence[0]
    assert (contour["ContourData"].VR, len("\\".join(map(str, contour.ContourData))) > 8000) == ("DS", True)
    assert np.array_equal(rasterise(read_rtstruct(path).rois[0], grid), comb == 7)


def test_structures_name_the_files_they_lie_on(tmp_path):
    values = np.zeros(SHAPE, np.uint16)
    values[2, 3:5, 3:6] = 5
    header = pydicom.dcmread(write(tmp_path / "x.dcm", values, names={5: "kidney_left"}))
    image = scan("CT")
    assert [roi.ROIName for roi in header.StructureSetROISequence] == ["kidney_left"]
    frame = header.ReferencedFrameOfReferenceSequence[0]
    study = frame.RTReferencedStudySequence[0]
    series = study.RTReferencedSeriesSequence[0]
    assert frame.FrameOfReferenceUID == header.FrameOfReferenceUID == image.uid("frame", image.visit)
    assert series.SeriesInstanceUID == image.series
    files = [item.ReferencedSOPInstanceUID for item in series.ContourImageSequence]
    assert files == [image.instance(k) for k in range(SHAPE[0])]
    contour = header.ROIContourSequence[0].ContourSequence[0]
    assert contour.ContourImageSequence[0].ReferencedSOPInstanceUID == image.instance(2)
    assert (header.SyntheticData, header.ApprovalStatus) == ("YES", "UNAPPROVED")


def test_structures_on_an_nm_name_its_one_file(tmp_path):
    header = pydicom.dcmread(write(tmp_path / "x.dcm", np.full(SHAPE, 7, np.uint16), on="NM"))
    study = header.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    files = study.RTReferencedSeriesSequence[0].ContourImageSequence
    assert [item.ReferencedSOPInstanceUID for item in files] == [scan("NM").instance(0)]
    assert "ContourImageSequence" not in header.ROIContourSequence[0].ContourSequence[0]


def test_an_image_is_no_mask(tmp_path):
    with pytest.raises(UnitError, match="wrong unit"):
        write_rtstruct(Volume(np.zeros(SHAPE), GRIDS[0], "HU"), {}, scan("RTSTRUCT"), scan("CT"), tmp_path / "x.dcm")
