import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theradose.features.preparation import Preparation
from theradose.features.preprocess import centred_grid, cropped, resampled
from theradose.imaging.grid import Grid
from theradose.imaging.volume import Volume

GRID = Grid((10, 12, 14), (3.0, 3.0, 5.0), (-20.0, 10.0, 4.0), ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)))


def centre(grid: Grid) -> np.ndarray:
    return grid.corners_lps_mm().mean(axis=0)


@given(st.tuples(*[st.floats(1.0, 9.0)] * 3), st.tuples(*[st.integers(1, 40)] * 3))
def test_a_new_grid_has_the_old_centre_and_covers_it_without_a_voxel_to_spare(spacing_mm, shape_zyx):
    old = Grid(shape_zyx, GRID.spacing_mm, GRID.origin_mm, GRID.direction)
    new = centred_grid(old, spacing_mm)
    np.testing.assert_allclose(centre(new), centre(old), atol=1e-6)
    old_mm, new_mm = (np.array(g.shape_zyx) * g.spacing_zyx_mm for g in (old, new))
    assert (new_mm >= old_mm - 2e-3 * np.array(new.spacing_zyx_mm)).all()
    assert (new_mm < old_mm + new.spacing_zyx_mm).all()


def test_the_spacing_an_image_has_changes_nothing():
    image = Volume(np.zeros(GRID.shape_zyx, np.float32), GRID, "g/mL")
    masks = {"liver": np.ones(GRID.shape_zyx, bool)}
    for spacing in (None, GRID.spacing_mm):
        same, same_masks = resampled(image, masks, Preparation(spacing))
        assert same is image
        assert same_masks["liver"] is masks["liver"]


def test_a_ramp_stays_a_ramp_and_a_ball_keeps_its_volume():
    grid = Grid((40, 40, 40), (5.0, 5.0, 5.0), (1.0, 2.0, 3.0))
    z, y, x = np.indices(grid.shape_zyx)
    image = Volume((2.0 * x + 3.0 * y - z).astype(np.float32), grid, "g/mL")
    ball = (x - 19) ** 2 + (y - 20) ** 2 + (z - 18) ** 2 <= 10**2
    fine, masks = resampled(image, {"liver": ball}, Preparation((4.0, 4.0, 4.0)))
    places = np.argwhere(masks["liver"])[:, ::-1]
    lps = np.c_[places, np.ones(len(places))] @ fine.grid.affine_lps().T
    old = lps @ np.linalg.inv(grid.affine_lps()).T
    expected = 2.0 * old[:, 0] + 3.0 * old[:, 1] - old[:, 2]
    np.testing.assert_allclose(fine.values[masks["liver"]], expected, atol=1e-3)
    assert masks["liver"].sum() * fine.grid.voxel_ml == pytest.approx(ball.sum() * grid.voxel_ml, rel=0.02)


def test_hounsfield_units_come_back_as_whole_numbers_and_air_lies_beyond():
    rng = np.random.default_rng(0)
    image = Volume(rng.normal(40, 20, (10, 10, 10)).astype(np.float32), Grid((10, 10, 10), (3.0,) * 3), "HU")
    fine, _ = resampled(image, {}, Preparation((2.0, 2.0, 2.0)))
    assert (fine.values == np.round(fine.values)).all()
    assert -200 < fine.values.min() < 200


def test_a_small_image_is_not_cut():
    image = Volume(np.zeros(GRID.shape_zyx, np.float32), GRID, "g/mL")
    masks = {"liver": np.ones(GRID.shape_zyx, bool)}
    assert cropped(image, masks, 10.0, 10**6)[0] is image


def test_a_cut_keeps_the_margin_and_stops_at_the_rim():
    image = Volume(np.arange(10 * 12 * 14, dtype=np.float32).reshape(GRID.shape_zyx), GRID, "g/mL")
    mask = np.zeros(GRID.shape_zyx, bool)
    mask[8, 6, 3] = True
    cut, masks = cropped(image, {"liver": mask, "spleen": np.zeros_like(mask)}, 6.0, 100)
    # 6 mm are 2 voxels of 3 mm and, rounded up, 2 of 5 mm; z ends at the last slice.
    assert cut.grid.shape_zyx == (4, 5, 5)
    assert cut.values[masks["liver"]] == image.values[mask]
    assert not masks["spleen"].any()
