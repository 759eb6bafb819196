"""A mask reaches the grid of its image whole, and every change of a volume is said."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theradose.cohort.mask_grid import grid_for, on_grid
from theradose.errors import GeometryError
from theradose.imaging.grid import Grid
from theradose.imaging.volume import Volume

COARSE = Grid((10, 10, 10), (4.0, 4.0, 4.0))
FINE = Grid((20, 20, 20), (2.0, 2.0, 2.0), (-1.0, -1.0, -1.0))  # two voxels along a side of one of COARSE
AXES = ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def drawn(grid, *boxes):
    """Return a mask with a cube for each (label, first voxel, after the last)."""
    values = np.zeros(grid.shape_zyx, np.uint16)
    for label, first, after in boxes:
        values[first:after, first:after, first:after] = label
    return Volume(values, grid, "label")


def test_a_mask_that_lies_there_comes_back_as_it_is() -> None:
    mask = drawn(COARSE, (101, 2, 6))
    assert on_grid(mask, COARSE) == (mask, [])


def test_two_grids_of_the_same_borders_keep_labels_and_volumes() -> None:
    mask = drawn(FINE, (5, 2, 8), (101, 10, 16))
    moved, lines = on_grid(mask, COARSE)
    assert np.array_equal(moved.values, drawn(COARSE, (5, 1, 4), (101, 5, 8)).values)
    assert moved.values.dtype == np.uint16
    assert len(lines) == 1
    assert lines[0].startswith("THR-277 mask was resampled")
    assert "kidney_left 1.73 -> 1.73 mL, lesion_01 1.73 -> 1.73 mL" in lines[0]


@given(st.floats(-1.9, 1.9))
def test_a_shift_below_half_a_voxel_changes_nothing(by_mm) -> None:
    moved, _ = on_grid(drawn(Grid((10, 10, 10), (4.0, 4.0, 4.0), (by_mm, 0.0, 0.0)), (101, 2, 6)), COARSE)
    assert np.array_equal(moved.values, drawn(COARSE, (101, 2, 6)).values)


def test_a_changed_volume_is_warned_of() -> None:
    _, (_, warning) = on_grid(drawn(FINE, (101, 3, 10)), COARSE)  # 7 half voxels: 4 or 3 whole ones
    assert warning == "WARN resampling changed a volume by +49 %: lesion_01 2.74 -> 4.10 mL"


def test_what_would_be_lost_is_refused_with_both_grids() -> None:
    far = Grid((10, 10, 10), (4.0, 4.0, 4.0), (0.0, 0.0, 16.0))
    with pytest.raises(
        GeometryError, match=r"THR-220 50 % of lesion_01 .* at \(0, 0, 16\) mm · expected .*\(0, 0, 0\)"
    ):
        on_grid(drawn(far, (101, 4, 8)), COARSE)
    with pytest.raises(GeometryError, match="lesion_01 is smaller than the voxels of the image"):
        on_grid(drawn(Grid((20, 20, 20), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0)), (101, 0, 1)), COARSE)
    mirrored = Grid((10, 10, 10), (4.0, 4.0, 4.0), (36.0, 0.0, 0.0), AXES)
    with pytest.raises(GeometryError, match=r"handedness .* direction"):
        on_grid(drawn(mirrored, (101, 2, 6)), COARSE)


def test_one_twentieth_outside_is_allowed() -> None:
    values = np.zeros((10, 10, 10), np.uint16)
    values[4, 4, :] = 101  # 10 voxels; the grid moves along x
    values[5, 4, :] = 101
    row = Volume(values, Grid((10, 10, 10), (4.0, 4.0, 4.0), (0.0, 0.0, 0.0)), "label")
    nine = Grid((10, 10, 9), (4.0, 4.0, 4.0))
    with pytest.raises(GeometryError, match="10 % of lesion_01"):
        on_grid(row, nine)
    values[5, 4, 9] = 0  # 1 of 19 is 5.3 %
    with pytest.raises(GeometryError, match="5 % of lesion_01"):
        on_grid(row, nine)
    values[6, 4, 0] = 101  # 1 of 20
    assert on_grid(row, nine)[0].values.shape == (10, 10, 9)


def test_a_mask_is_for_the_spect_of_its_time() -> None:
    spect, ct, pet = (Grid((10, 10, 10), (mm,) * 3) for mm in (4.0, 1.0, 3.0))
    images = [("ct", "ses-tx1", 24.0, ct), ("spect", "ses-tx1", 24.0, spect), ("ct", "ses-pre", None, ct)]
    assert grid_for(images, "ses-tx1", 24.0, ct) is spect
    assert grid_for(images, "ses-tx1", 96.0, ct) is ct  # nothing at that time: its own
    assert grid_for([*images, ("pet", "ses-pre", 1.0, pet)], "ses-pre", None, ct) is ct
    assert grid_for([*images, ("pet", "ses-pre", 1.0, pet)], "ses-pre", None, spect) is pet
