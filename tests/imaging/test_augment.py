import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theradose.errors import DataError, SettingsError
from theradose.imaging.augment import OTHER_SIDE, SIDED_LABELS, Draw, apply, copy_rng, draw, refuse_flip
from theradose.imaging.grid import Grid
from theradose.imaging.volume import Volume

LIMITS = {"rotation_deg": 8.0, "translation_mm": 16.0, "scaling": 0.05, "intensity": 0.1, "noise_sd": 0.02}
GRID = Grid((9, 21, 25), (4.0, 5.0, 6.0))


def images(labels=(0, 1, 7), seed=0):
    rng = np.random.default_rng(seed)
    z, y, x = np.mgrid[:9, :21, :25]
    spot = np.exp(-(((z - 4) * 6) ** 2 + ((y - 10) * 5) ** 2 + ((x - 12) * 4) ** 2) / 100.0).astype(np.float32)
    organs = np.full(GRID.shape_zyx, labels[0], np.int16)
    organs[spot > 0.3] = labels[1]
    organs[spot > 0.7] = labels[2]
    return {
        "pet": Volume(spot, GRID, "SUV/10"),
        "ct": Volume(rng.uniform(size=GRID.shape_zyx).astype(np.float32), GRID, "window fraction"),
        "dose": Volume(2 * spot, GRID, "Gy/GBq"),
        "organs": Volume(organs, GRID, "label"),
    }


def centre_mm(values):
    """Return the centre of mass in mm from the first voxel, (z, y, x)."""
    places = np.indices(values.shape).reshape(3, -1) * np.array([[6.0], [5.0], [4.0]])
    return places @ values.ravel().astype(float) / values.sum(dtype=float)


def test_no_change_changes_nothing():
    before = images()
    after = apply(Draw(), before)
    assert all(after[role].values.tobytes() == before[role].values.tobytes() for role in before)


def test_a_recorded_draw_is_replayed_to_the_same_bytes():
    before = images()
    change = draw(copy_rng(3, "v001", 2), **LIMITS)
    first, again = apply(change, before), apply(Draw.from_json(change.to_json()), before)
    assert Draw.from_json(change.to_json()) == change
    for role in before:
        assert first[role].values.tobytes() == again[role].values.tobytes()
        assert first[role].values.dtype == before[role].values.dtype
        assert first[role].unit == before[role].unit
    assert first["pet"].values.tobytes() != before["pet"].values.tobytes()


def test_every_patient_and_copy_has_its_own_draw():
    draws = {draw(copy_rng(seed, name, copy), **LIMITS) for seed in (1, 2) for name in ("a", "b") for copy in (1, 2)}
    assert len(draws) == 8
    assert draw(copy_rng(1, "a", 1), **LIMITS) == draw(copy_rng(1, "a", 1), **LIMITS)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), limits=st.tuples(*[st.floats(0, 0.3)] * 5), flip=st.booleans())
def test_draws_stay_within_their_limits(seed, limits, flip):
    rotation, shift, scaling, intensity, noise = limits
    change = draw(
        np.random.default_rng(seed), rotation_deg=rotation, translation_mm=shift, scaling=scaling,
        intensity=intensity, noise_sd=noise, flip_left_right=flip,
    )  # fmt: skip
    assert abs(change.rotation_deg) <= rotation
    assert max(abs(change.shift_x_mm), abs(change.shift_y_mm)) <= shift
    assert abs(change.scale - 1) <= scaling + 1e-12
    assert abs(change.intensity - 1) <= intensity + 1e-12
    assert change.noise_sd == noise
    assert flip or not change.flip_left_right


def test_shift_by_whole_voxels_moves_all_roles_alike():
    before = images()
    after = apply(Draw(shift_x_mm=8.0, shift_y_mm=-5.0), before)
    for role in before:
        assert after[role].values[:, :-1, 2:] == pytest.approx(before[role].values[:, 1:, :-2], abs=1e-6)


@pytest.mark.parametrize(("angle", "expected"), [(90.0, (0.0, 12.0)), (-90.0, (0.0, -12.0)), (180.0, (-12.0, 0.0))])
def test_rotation_turns_x_towards_y_about_the_centre(angle, expected):
    middle = np.array([24.0, 50.0, 48.0])
    spot = np.zeros(GRID.shape_zyx, np.float32)
    spot[3:6, 9:12, 14:17] = 1.0  # 12 mm to +x of the centre
    turned = apply(Draw(rotation_deg=angle), {"pet": Volume(spot, GRID, "SUV/10")})["pet"].values
    assert centre_mm(turned)[::-1][:2] - middle[::-1][:2] == pytest.approx(expected, abs=0.6)


def test_scale_enlarges_about_the_centre():
    n, spacing, width_mm = 31, 4.0, 12.0
    place = (np.arange(n) - (n - 1) / 2) * spacing
    line = np.exp(-(place**2) / (2 * width_mm**2))
    spot = np.einsum("z,y,x->zyx", line, line, line)
    before = Volume(spot, Grid((n, n, n), (spacing, spacing, spacing)), "SUV/10")
    after = apply(Draw(scale=1.2), {"pet": before})["pet"].values
    for axis in range(3):
        found = after.sum(axis=tuple({0, 1, 2} - {axis}))
        assert found @ place == pytest.approx(0.0, abs=1e-6)
        # Linear interpolation adds up to spacing^2 / 6 to the variance, in the scale of the copy.
        variance = (found @ place**2) / found.sum()
        assert (1.2 * width_mm) ** 2 * 0.995 < variance < 1.2**2 * (width_mm**2 + spacing**2 / 6)


def test_intensity_scales_uptake_and_dose_together():
    before = images()
    after = apply(Draw(intensity=1.5), before)
    assert after["pet"].values == pytest.approx(1.5 * before["pet"].values)
    assert after["dose"].values == pytest.approx(1.5 * before["dose"].values)
    assert np.array_equal(after["ct"].values, before["ct"].values)
    assert np.array_equal(after["organs"].values, before["organs"].values)


def test_noise_is_on_the_pet_alone_and_has_its_width():
    before = images()
    after = apply(Draw(noise_sd=0.05, noise_seed=9), before)
    assert float(np.std(after["pet"].values - before["pet"].values)) == pytest.approx(0.05, rel=0.05)
    for role in ("ct", "dose", "organs"):
        assert after[role].values.tobytes() == before[role].values.tobytes()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_labels_stay_labels(seed):
    before = images(labels=(0, 4, 103))
    after = apply(draw(np.random.default_rng(seed), **LIMITS), before)["organs"].values
    assert set(np.unique(after)) <= {0, 4, 103}


def test_flips_are_refused_where_labels_have_a_side():
    sided, plain = images(labels=(0, 5, 6)), images()
    flip = Draw(flip_left_right=True)
    with pytest.raises(SettingsError, match="kidney_left"):
        apply(flip, sided)
    with pytest.raises(SettingsError, match="flip"):
        refuse_flip(sided["organs"].values)
    refuse_flip(plain["organs"].values)
    after = apply(flip, plain)
    assert np.array_equal(after["ct"].values, plain["ct"].values[:, :, ::-1])


@pytest.mark.parametrize("text", ["{", "[1]", '{"angle": 3}'])
def test_a_damaged_record_is_an_error(text):
    with pytest.raises(DataError, match="cannot be read"):
        Draw.from_json(text)


def test_a_flip_may_exchange_the_sides_of_labels():
    before = images(labels=(1, 5, 7))
    after = apply(Draw(flip_left_right=True, exchange_sides=True), before)
    organs, flipped = before["organs"].values, after["organs"].values
    assert np.array_equal(flipped == 6, (organs == 5)[:, :, ::-1])
    assert np.array_equal(flipped == 7, (organs == 7)[:, :, ::-1])  # the liver has no side
    assert not (flipped == 5).any()
    assert np.array_equal(after["pet"].values, before["pet"].values[:, :, ::-1])
    again = apply(Draw(flip_left_right=True, exchange_sides=True), after)
    assert np.array_equal(again["organs"].values, organs)
    same = apply(Draw(exchange_sides=True), before)
    assert np.array_equal(same["organs"].values, organs)


def test_every_side_has_its_other_side():
    assert {OTHER_SIDE[other] for other in OTHER_SIDE.values()} == set(OTHER_SIDE) == SIDED_LABELS
    assert all(OTHER_SIDE[OTHER_SIDE[label]] == label != OTHER_SIDE[label] for label in OTHER_SIDE)
