import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theradose.features.perturb import (
    IMAGE_VERSIONS,
    MASK_VERSIONS,
    VERSIONS,
    Perturbation,
    apply,
    perturbations,
    random_outline,
)
from theradose.features.preparation import Preparation
from theradose.features.preprocess import resampled
from theradose.imaging.grid import Grid
from theradose.imaging.volume import Volume

SHAPE = (12, 14, 16)
GRID = Grid(SHAPE, (4.0, 5.0, 6.0), (-40.0, 10.0, 7.0))


def example(unit="g/mL", seed=0):
    """A hot block in noise, away from the border, with its mask."""
    values = np.random.default_rng(seed).gamma(9.0, 0.1, SHAPE).astype(np.float32)
    mask = np.zeros(SHAPE, bool)
    mask[4:9, 5:10, 5:11] = True
    values[mask] += 5.0
    return Volume(values, GRID, unit), {"lesion": mask}


def test_the_seven_versions_are_drawn_in_order_and_change_one_thing_each():
    drawn = perturbations(np.random.default_rng(4))
    assert tuple(change.name for change in drawn) == VERSIONS == ("base", *IMAGE_VERSIONS, *MASK_VERSIONS)
    base, shift, rotate, noise, grow, shrink, contour = drawn
    assert base == Perturbation()
    assert [abs(part) for part in shift.shift_zyx] == [1 / 3] * 3
    assert abs(rotate.rotation_deg) == 4.0
    assert (noise.noise_part, grow.grow_voxels, shrink.grow_voxels) == (0.05, 1, -1)
    assert contour.contour_seed is not None
    assert shift.rotation_deg == rotate.noise_part == noise.grow_voxels == 0


def test_a_record_holds_everything_that_is_needed_to_apply_it_again():
    image, masks = example()
    for change in perturbations(np.random.default_rng(5)):
        held = json.loads(change.to_json())
        again = Perturbation(**{**held, "shift_zyx": tuple(held["shift_zyx"])})
        assert again == change
        first, second = apply(change, image, masks), apply(again, image, masks)
        assert first[0].values.tobytes() == second[0].values.tobytes()
        assert first[1]["lesion"].tobytes() == second[1]["lesion"].tobytes()


def test_other_seeds_give_other_noise_and_other_outlines():
    image, masks = example()
    one, other = (perturbations(np.random.default_rng(seed)) for seed in (1, 2))
    assert not np.array_equal(apply(one[3], image, masks)[0].values, apply(other[3], image, masks)[0].values)
    assert not np.array_equal(apply(one[6], image, masks)[1]["lesion"], apply(other[6], image, masks)[1]["lesion"])


@pytest.mark.parametrize("change", [Perturbation(), Perturbation(rotation_deg=0.0), Perturbation(shift_zyx=(0, 0, 0))])
def test_no_change_is_the_identity(change):
    image, masks = example()
    seen, drawn = apply(change, image, masks)
    assert seen == image
    np.testing.assert_array_equal(drawn["lesion"], masks["lesion"])


@settings(deadline=None, max_examples=20)
@given(st.tuples(*[st.integers(-2, 2)] * 3).filter(any))
def test_a_shift_by_whole_voxels_is_a_roll(shift):
    image, masks = example()
    seen, drawn = apply(Perturbation(shift_zyx=tuple(float(s) for s in shift)), image, masks)
    rolled = np.roll(image.values, shift, axis=(0, 1, 2))
    inner = tuple(slice(2, -2) for _ in range(3))
    np.testing.assert_allclose(seen.values[inner], rolled[inner], rtol=1e-5)
    np.testing.assert_array_equal(drawn["lesion"], np.roll(masks["lesion"], shift, axis=(0, 1, 2)))


def test_a_shift_follows_the_axes_of_the_image_and_not_of_the_room():
    turned = ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    image, masks = example()
    image = Volume(image.values, Grid(SHAPE, GRID.spacing_mm, GRID.origin_mm, turned), "g/mL")
    _, drawn = apply(Perturbation(shift_zyx=(0.0, 0.0, 1.0)), image, masks)
    np.testing.assert_array_equal(drawn["lesion"], np.roll(masks["lesion"], 1, axis=2))


def test_a_quarter_turn_takes_x_to_y():
    grid = Grid((3, 11, 11), (4.0, 4.0, 4.0))
    values = np.zeros(grid.shape_zyx, np.float32)
    values[1, 5, 8] = 1.0  # three voxels along x from the centre
    seen, _ = apply(Perturbation(rotation_deg=90.0), Volume(values, grid, "g/mL"), {})
    assert np.unravel_index(np.argmax(seen.values), grid.shape_zyx) == (1, 8, 5)


@pytest.mark.parametrize("change", perturbations(np.random.default_rng(8))[1:3], ids=lambda change: change.name)
def test_moving_keeps_the_total_of_what_lies_inside(change):
    image, masks = example()
    alone = image.with_values(np.where(masks["lesion"], image.values, 0.0).astype(np.float32))
    seen, drawn = apply(change, alone, masks)
    assert not np.array_equal(seen.values, alone.values)
    assert seen.values.sum() == pytest.approx(alone.values.sum(), rel=0.01)
    assert drawn["lesion"].sum() == pytest.approx(masks["lesion"].sum(), rel=0.15)


def test_noise_grows_with_the_signal_and_leaves_the_mask():
    flat = Volume(np.full((30, 30, 30), 8.0, np.float32), Grid((30, 30, 30), (4.0, 4.0, 4.0)), "g/mL")
    seen, _ = apply(Perturbation(noise_part=0.05, noise_seed=3), flat, {})
    assert seen.values.std() == pytest.approx(0.4, rel=0.02)
    assert seen.values.mean() == pytest.approx(8.0, abs=0.01)
    hounsfield, _ = apply(Perturbation(noise_part=0.05, noise_seed=3), Volume(flat.values - 1008, flat.grid, "HU"), {})
    np.testing.assert_array_equal(hounsfield.values, -1000.0)  # air has no signal
    image, masks = example()
    assert apply(Perturbation(noise_part=0.05), image, masks)[1]["lesion"] is masks["lesion"]


def test_growing_adds_the_faces_and_shrinking_takes_them_off_again():
    image, masks = example()
    _, grown = apply(Perturbation(grow_voxels=1), image, masks)
    _, shrunk = apply(Perturbation(grow_voxels=-1), image, masks)
    z, y, x = 5, 5, 6
    assert grown["lesion"].sum() == z * y * x + 2 * (z * y + y * x + z * x)
    assert shrunk["lesion"].sum() == (z - 2) * (y - 2) * (x - 2)
    _, back = apply(Perturbation(grow_voxels=-1), image, grown)
    np.testing.assert_array_equal(back["lesion"], masks["lesion"])


def test_a_random_outline_keeps_the_core_and_stays_near():
    image, masks = example()
    mask = masks["lesion"]
    drawn = random_outline(image, mask, 1)
    assert 2 * (drawn & mask).sum() / (drawn.sum() + mask.sum()) > 0.8  # the edge is sharp: supervoxels follow it
    assert drawn[6, 7, 8]
    far = np.ones(SHAPE, bool)
    far[0:13, 1:14, 1:15] = False
    assert not (drawn & far).any()
    empty = np.zeros(SHAPE, bool)
    assert random_outline(image, empty, 1) is empty


def test_a_single_voxel_has_an_outline_too():
    image, _ = example()
    mask = np.zeros(SHAPE, bool)
    mask[0, 0, 0] = True
    assert random_outline(image, mask, 2).sum() <= 1


@pytest.mark.parametrize("unit", ["g/mL", "HU"])
def test_the_base_version_is_what_the_engine_itself_resamples_to(unit):
    how = Preparation(spacing_mm=(7.0, 7.0, 7.0))
    image, masks = example(unit)
    seen, drawn = apply(Perturbation(), image, masks, how)
    expected, expected_masks = resampled(image, masks, how)
    assert seen.grid == expected.grid
    np.testing.assert_array_equal(seen.values, expected.values)
    np.testing.assert_array_equal(drawn["lesion"], expected_masks["lesion"])


def test_a_shift_is_measured_in_the_voxels_that_features_are_taken_on():
    how = Preparation(spacing_mm=(8.0, 10.0, 12.0))
    image, masks = example()
    seen, _ = apply(Perturbation(shift_zyx=(0.0, 0.0, 1.0)), image, masks, how)
    base, _ = apply(Perturbation(), image, masks, how)
    np.testing.assert_allclose(seen.values[:, :, 2:-1], base.values[:, :, 1:-2], rtol=1e-4)
