import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theradose.features.peak import global_peak, local_peak, local_rows
from theradose.features.vois import OK
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import read_volume
from theradose.imaging.volume import Volume

IBSI = Path(os.environ.get("THERADOSE_IBSI_DATA", "no data"))
ALL = ("peak", "tlu")


@pytest.mark.skipif(not IBSI.is_dir(), reason="THERADOSE_IBSI_DATA names no folder")
def test_peaks_of_the_digital_phantom_are_those_of_ibsi():
    folder = IBSI / "digital_phantom"
    image, mask = read_volume(folder / "phantom.nii.gz", "HU"), read_volume(folder / "mask.nii.gz", "label").values > 0
    x, y, z = image.grid.spacing_mm
    assert local_peak(image.values, mask, (z, y, x)) == pytest.approx(2.6, abs=0.05)
    assert global_peak(image.values, mask, (z, y, x)) == pytest.approx(3.1, abs=0.05)


def test_the_sphere_holds_the_voxels_whose_centre_is_inside():
    values, mask = np.zeros((9, 9, 9)), np.ones((9, 9, 9), bool)
    values[4, 4, 4] = 7.0
    # 6.2 mm on voxels of 6 mm: the voxel and its six neighbours.
    assert local_peak(values, mask, (6.0, 6.0, 6.0)) == pytest.approx(1.0)
    # Voxels of 6.5 mm: the voxel alone.
    assert global_peak(values, mask, (6.5, 6.5, 6.5)) == pytest.approx(7.0)
    # Neighbours along z alone.
    assert global_peak(values, mask, (6.0, 7.0, 7.0)) == pytest.approx(7.0 / 3.0)


def test_a_lone_hot_voxel_does_not_hide_a_higher_plateau_from_the_global_peak():
    values = np.zeros((5, 5, 15))
    values[2, 2, 2] = 10.0
    values[:, :, 8:] = 4.0
    mask = np.ones(values.shape, bool)
    assert local_peak(values, mask, (6.0, 6.0, 6.0)) == pytest.approx(10.0 / 7.0)
    assert global_peak(values, mask, (6.0, 6.0, 6.0)) == pytest.approx(4.0)


def test_the_sphere_leaves_the_voi_but_not_the_image():
    values, mask = np.zeros((3, 3, 3)), np.zeros((3, 3, 3), bool)
    values[0, 0, 0], values[0, 0, 1], mask[0, 0, 0] = 4.0, 8.0, True
    assert local_peak(values, mask, (6.0, 6.0, 6.0)) == pytest.approx(12.0 / 4.0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), spacing=st.sampled_from([2.0, 3.0, 4.0, 8.0]), factor=st.floats(0.1, 10.0))
def test_the_local_peak_is_below_the_global_one_below_the_maximum_and_all_scale_with_the_image(seed, spacing, factor):
    values = np.random.default_rng(seed).gamma(2.0, 1.0, (8, 9, 10))
    mask = np.zeros(values.shape, bool)
    mask[1:7, 2:7, 2:9] = True
    spacings = (spacing,) * 3
    low, high = local_peak(values, mask, spacings), global_peak(values, mask, spacings)
    assert low <= high + 1e-12
    assert high <= values.max() + 1e-12
    assert global_peak(factor * values, mask, spacings) == pytest.approx(factor * high)


def test_rows_say_why_a_value_is_missing():
    grid = Grid((4, 4, 4), (10.0, 10.0, 10.0))
    values = np.full(grid.shape_zyx, 2.0)
    values[3, 3, 3] = np.nan
    masks = {name: np.zeros(grid.shape_zyx, bool) for name in ("good", "empty", "nan")}
    masks["good"][:2, 0, 0] = True
    masks["nan"][3, 3, 3] = True
    rows = local_rows(Volume(values, grid, "g/mL"), masks, ALL).set_index(["voi", "feature"])
    assert rows.loc[("good", "peak"), "value"] == 2.0
    assert rows.loc[("good", "tlu"), "value"] == pytest.approx(2.0 * 2)  # 2 voxels of 1 mL
    assert rows.loc["good", "status"].tolist() == [OK, OK]
    assert set(rows.loc["empty", "status"]) == {"no voxel"}
    assert set(rows.loc["nan", "status"]) == {"values that are not finite"}
    assert rows.loc[["empty", "nan"], "value"].isna().all()


def test_a_sphere_that_reaches_into_nan_has_no_peak_but_a_total():
    grid = Grid((3, 3, 3), (6.0, 6.0, 6.0))
    values, mask = np.ones(grid.shape_zyx), np.zeros(grid.shape_zyx, bool)
    values[1, 1, 2], mask[1, 1, 1] = np.nan, True
    rows = local_rows(Volume(values, grid, "g/mL"), {"a": mask}, ALL).set_index("feature")
    assert rows.loc["peak", "status"] == "values around the VOI that are not finite"
    assert rows.loc["tlu", ["value", "status"]].tolist() == [pytest.approx(0.216), OK]
