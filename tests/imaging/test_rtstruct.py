"""Contours to masks: area, holes, positions, and what is left aside."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theradose.errors import DataError, GeometryError
from theradose.imaging.grid import Grid
from theradose.imaging.rtstruct import Roi, polygon_volume_ml, rasterise, read_rtstruct

GRID = Grid((6, 40, 50), (2.0, 3.0, 4.0), (-10.0, -20.0, 30.0))


def circle(radius, centre=(40.0, 40.0), z=38.0, n=90):
    angle = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.column_stack([centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle), np.full(n, z)])


def rectangle(x0, x1, y0, y1, z=38.0):
    return np.array([(x0, y0, z), (x1, y0, z), (x1, y1, z), (x0, y1, z)], float)


def roi(*contours):
    return Roi(1, "r", contours, 0)


def test_a_rectangle_along_voxel_borders_fills_exactly_its_voxels() -> None:
    # Voxels have borders at -11, -9, ... in x and -21.5, -18.5, ... in y; slice 2 lies at z = 38.
    mask = rasterise(roi(rectangle(-1, 5, 8.5, 14.5)), GRID)
    assert np.argwhere(mask).tolist() == [[2, y, x] for y in (10, 11) for x in (5, 6, 7)]


def test_rectangles_that_touch_share_no_voxel_and_leave_none_out() -> None:
    # The common border runs through voxel centres, x = 10.
    left, right = (rasterise(roi(rectangle(x0, x1, 8.5, 14.5)), GRID) for x0, x1 in ((-1, 10), (10, 19)))
    both = rasterise(roi(rectangle(-1, 19, 8.5, 14.5)), GRID)
    assert not (left & right).any()
    assert np.array_equal(left | right, both)


def test_a_ring_has_a_hole() -> None:
    # Off the voxel centres: four quadrants alike would err four times alike.
    centre = (41.3, 39.2)
    ring = roi(circle(30, centre), circle(12, centre))
    mask = rasterise(ring, GRID)
    assert not mask[2, 20, 25]
    area = np.pi * (30**2 - 12**2)
    assert polygon_volume_ml(ring, GRID) == pytest.approx(area * 4 / 1000, rel=2e-3)
    assert mask.sum() * GRID.voxel_ml == pytest.approx(area * 4 / 1000, rel=0.02)


def test_an_island_in_the_hole_counts_again() -> None:
    nested = roi(circle(30), circle(20), circle(8))
    assert rasterise(nested, GRID)[2, 20, 25]
    assert polygon_volume_ml(nested, GRID) == pytest.approx(np.pi * (900 - 400 + 64) * 4 / 1000, rel=2e-3)


def test_a_keyhole_is_a_hole() -> None:
    outer, inner = circle(30), circle(12)[::-1]
    keyhole = np.vstack([outer, outer[:1], inner[-1:], inner, outer[:1]])
    assert np.array_equal(rasterise(roi(keyhole), GRID), rasterise(roi(circle(30), circle(12)), GRID))


def test_an_oblique_image_finds_its_slices_along_its_normal() -> None:
    turn = np.array([[0.8, 0.0, 0.6], [0.0, 1.0, 0.0], [-0.6, 0.0, 0.8]])
    oblique = Grid(GRID.shape_zyx, GRID.spacing_mm, GRID.origin_mm, tuple(tuple(map(float, row)) for row in turn))
    straight = circle(12)
    turned = (straight - GRID.origin_mm) @ turn.T + GRID.origin_mm
    assert np.array_equal(rasterise(roi(turned), oblique), rasterise(roi(straight), GRID))


@given(
    radius=st.floats(6, 30),
    x=st.floats(30, 50),
    y=st.floats(30, 50),
    stretch=st.floats(0.5, 1.5),
    n=st.integers(12, 80),
)
@settings(max_examples=40, deadline=None)
def test_the_volume_is_that_of_the_polygon(radius, x, y, stretch, n) -> None:
    points = circle(radius, (x, y), n=n) * (1, 1, 1)
    points[:, 0] = x + (points[:, 0] - x) * stretch
    one = roi(points)
    voxels = int(rasterise(one, GRID).sum())
    expected = polygon_volume_ml(one, GRID) / GRID.voxel_ml
    # The border passes through about sqrt(8 pi A) pixels, each right to half of itself on either side.
    assert abs(voxels - expected) <= 3 + 0.5 * np.sqrt(8 * np.pi * expected) * 0.5


def test_contours_between_slices_and_outside_are_refused() -> None:
    with pytest.raises(GeometryError, match=r"between the slices .* got 2\.00 mm"):
        rasterise(roi(circle(10, z=40.0)), GRID)
    with pytest.raises(GeometryError, match="outside"):
        rasterise(roi(circle(10, centre=(-12.0, 40.0))), GRID)
    with pytest.raises(GeometryError, match="outside"):
        rasterise(roi(circle(10), circle(10, z=22.0)), GRID)


def test_a_file_lists_empty_structures_and_counts_points(dicom_maker, tmp_path) -> None:
    points = [("POINT", circle(5)[:1]), ("CLOSED_PLANAR", circle(5)[:2]), ("CLOSED_PLANAR", circle(5))]
    path = dicom_maker.write_structures(tmp_path / "rs.dcm", [("lesion 1", points), ("Areola", None), ("x", [])])
    structures = read_rtstruct(path)
    assert structures.empty_rois() == [2, 3]
    assert (structures.rois[0].skipped, len(structures.rois[0].contours)) == (2, 1)
    assert (structures.series, structures.frame_of_reference) == ("1.2.3.4", "1.2.3.9")
    assert np.allclose(structures.rois[0].contours[0], circle(5))


def test_damaged_and_foreign_files_are_named(dicom_maker, tmp_path) -> None:
    path = dicom_maker.write_structures(tmp_path / "rs.dcm", [("a", [("CLOSED_PLANAR", circle(5, n=600))])])
    content = path.read_bytes()
    for n in range(200, len(content) - 1, 997):
        path.write_bytes(content[:n])
        with pytest.raises(DataError, match=r"rs\.dcm"):
            read_rtstruct(path)
    image = dicom_maker.write_slices(tmp_path / "s", np.zeros((1, 2, 2), np.uint16))
    with pytest.raises(DataError, match="not a structure set"):
        read_rtstruct(image[0])
