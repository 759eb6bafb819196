"""Where voxels lie."""

import numpy as np
import pytest

from theradose.errors import GeometryError
from theradose.imaging.grid import Grid


def test_voxel_volume_and_corners_by_hand() -> None:
    grid = Grid((3, 2, 5), (1.0, 2.0, 4.0), (10.0, 20.0, 30.0))
    assert grid.voxel_ml == 0.008
    assert grid.spacing_zyx_mm == (4.0, 2.0, 1.0)
    corners = grid.corners_lps_mm()
    assert corners.min(0).tolist() == [10.0, 20.0, 30.0]
    assert corners.max(0).tolist() == [14.0, 22.0, 38.0]


def test_direction_turns_the_axes() -> None:
    grid = Grid((2, 2, 2), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), ((0, -1, 0), (1, 0, 0), (0, 0, 1)))
    assert np.allclose(grid.affine_lps() @ [1, 0, 0, 1], [0, 1, 0, 1])


@pytest.mark.parametrize(("shift_voxel", "same"), [(0.0, True), (0.9e-3, True), (2e-3, False), (1.0, False)])
def test_same_place_to_a_thousandth_of_a_voxel(shift_voxel: float, same: bool) -> None:
    one = Grid((4, 4, 4), (2.0, 2.0, 2.0))
    assert one.same_as(Grid((4, 4, 4), (2.0, 2.0, 2.0), (2.0 * shift_voxel, 0.0, 0.0))) is same


def test_a_turned_direction_at_the_same_origin_is_another_grid() -> None:
    one = Grid((4, 4, 4), (2.0, 2.0, 2.0))
    with pytest.raises(GeometryError, match="mask lies on another grid"):
        one.require_same(Grid((4, 4, 4), (2.0, 2.0, 2.0), direction=((-1, 0, 0), (0, -1, 0), (0, 0, 1))), "mask")


@pytest.mark.parametrize(
    ("shape", "spacing"), [((0, 1, 1), (1, 1, 1)), ((1, 1, 1), (0, 1, 1)), ((1, 1, 1), (np.nan, 1, 1))]
)
def test_impossible_grids_are_refused(shape: tuple, spacing: tuple) -> None:
    with pytest.raises(GeometryError):
        Grid(shape, spacing)
