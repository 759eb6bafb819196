import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theradose.errors import DataError, GeometryError, SettingsError, UnitError
from theradose.imaging.grid import Grid
from theradose.imaging.normalise import (
    body_mask,
    concentration_per_unit,
    dose_per_activity,
    match_resolution,
    model_grid,
    normalise_ct,
    normalise_pet,
    on_grid,
)
from theradose.imaging.volume import Volume

GRID = Grid((4, 6, 8), (8.0, 8.0, 8.0), (-10.0, 5.0, 0.0))


def volume(values, unit, grid=GRID):
    return Volume(np.broadcast_to(values, grid.shape_zyx).astype(np.float32), grid, unit)


def test_the_same_spacing_keeps_the_grid():
    assert model_grid(GRID, 8.0) is GRID


@settings(max_examples=50, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 60)] * 3),
    spacing=st.tuples(*[st.floats(1, 9)] * 3),
    wanted=st.floats(2, 16),
)
def test_the_model_grid_fills_the_same_box_about_the_same_centre(shape, spacing, wanted):
    turned = ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    old = Grid(shape, spacing, (3.0, -7.0, 11.0), turned)
    new = model_grid(old, wanted)
    assert new.corners_lps_mm().mean(axis=0) == pytest.approx(old.corners_lps_mm().mean(axis=0), abs=1e-6)
    sides = np.array(old.shape_zyx[::-1]) * old.spacing_mm
    found = np.array(new.shape_zyx[::-1]) * new.spacing_mm
    assert (np.abs(found - sides) <= np.maximum(wanted / 2, wanted - sides) + 1e-2).all()


def test_pet_is_suv_over_its_scale_and_not_clipped():
    pet = normalise_pet(volume(55.0, "g/mL"), 10.0)
    assert pet.unit == "SUV/10"
    assert pet.values.dtype == np.float32
    assert pet.values == pytest.approx(5.5)
    with pytest.raises(UnitError):
        normalise_pet(volume(55.0, "Bq/mL"), 10.0)


def test_concentration_undoes_suv():
    # 150 MBq in 80 kg; 30 kBq/mL is SUV 30e3 * 80e3 / 150e6 = 16.
    suv = 30e3 * 80e3 / 150e6
    assert suv / 10.0 * concentration_per_unit(80.0, 10.0) == pytest.approx(30e3 / 150.0)


def test_ct_window():
    ct = volume(0.0, "HU")
    ct.values[0, 0, :5] = (-1000.0, -160.0, 40.0, 240.0, 3000.0)
    assert normalise_ct(ct, (-160.0, 240.0)).values[0, 0, :5] == pytest.approx([0, 0, 0.5, 1, 1])
    with pytest.raises(SettingsError, match="must rise"):
        normalise_ct(ct, (240.0, -160.0))
    with pytest.raises(UnitError):
        normalise_ct(volume(0.0, "Bq/mL"), (-160.0, 240.0))


def test_dose_per_activity():
    dose = dose_per_activity(volume(3.7, "Gy"), 7400.0)
    assert dose.unit == "Gy/GBq"
    assert dose.values == pytest.approx(0.5)
    with pytest.raises(DataError, match="must be positive"):
        dose_per_activity(volume(3.7, "Gy"), 0.0)
    with pytest.raises(UnitError):
        dose_per_activity(volume(3.7, "Gy/GBq"), 7400.0)


def test_images_on_the_grid_are_untouched_and_others_brought_there():
    fine = Grid((8, 12, 16), (4.0, 4.0, 4.0), (-12.0, 3.0, -2.0))
    labels = np.zeros(fine.shape_zyx, np.int16)
    labels[2:6, 4:8, 6:10] = 103
    there = volume(0.3, "SUV/10")
    found = on_grid(
        {"pet": there, "ct": volume(0.7, "window fraction", fine), "organs": Volume(labels, fine, "label")}, GRID
    )
    assert found["pet"] is there
    assert found["ct"].grid == GRID
    assert found["ct"].values[1:3, 1:5, 1:7] == pytest.approx(0.7, abs=1e-6)
    assert found["organs"].values.dtype == np.int16
    assert int((found["organs"].values == 103).sum()) == 4 * 4 * 4 // 8


def test_body_is_what_is_labelled_when_the_remainder_is():
    organs, ct = np.zeros(GRID.shape_zyx, np.int16), volume(0.5, "window fraction")
    organs[:, 2:4, 2:6] = 1
    organs[1, 2, 3] = 5
    assert np.array_equal(body_mask(Volume(organs, GRID, "label"), ct), organs > 0)


def test_body_without_that_label_is_the_largest_tissue_with_its_holes():
    organs, ct = np.zeros(GRID.shape_zyx, np.int16), volume(0.0, "window fraction")
    ct.values[:, 1:5, 1:6] = 0.5
    ct.values[:, 2:4, 3] = 0.0  # air inside
    ct.values[:, 5, 7] = 0.5  # a table
    organs[0, 0, 0] = 5  # a label counts wherever it lies
    body = body_mask(Volume(organs, GRID, "label"), ct)
    expected = np.zeros(GRID.shape_zyx, bool)
    expected[:, 1:5, 1:6] = True
    expected[0, 0, 0] = True
    assert np.array_equal(body, expected)
    with pytest.raises(GeometryError):
        body_mask(Volume(organs[:2], Grid((2, 6, 8), GRID.spacing_mm), "label"), ct)


def point(spacing_mm=(8.0, 8.0, 8.0), shape=(31, 31, 31)):
    values = np.zeros(shape, np.float32)
    values[tuple(n // 2 for n in shape)] = 1.0
    return Volume(values, Grid(shape, spacing_mm), "SUV")


def fwhm_mm(image, axis):
    """Return the FWHM of a Gaussian with the variance that an image has along an axis."""
    profile = image.values.astype(float).sum(axis=tuple(a for a in range(3) if a != axis))
    place = np.arange(profile.size) * image.grid.spacing_zyx_mm[axis]
    mean = (profile * place).sum() / profile.sum()
    return 2.3548200450309493 * np.sqrt((profile * (place - mean) ** 2).sum() / profile.sum())


@pytest.mark.parametrize(("have", "want"), [(5.5, 7.5), (6.5, 7.5), (4.0, 20.0)])
def test_resolutions_add_in_quadrature_even_below_a_voxel(have, want):
    image = match_resolution(point((4.0, 6.0, 8.0)), have, want)
    for axis in range(3):
        assert fwhm_mm(image, axis) == pytest.approx(np.sqrt(want**2 - have**2), rel=1e-4)
    assert image.values.sum() == pytest.approx(1.0, abs=1e-5)
    assert image.unit == "SUV"


def test_two_steps_are_as_good_as_one():
    once = match_resolution(point(), 5.0, 15.0)
    twice = match_resolution(match_resolution(point(), 5.0, 9.0), 9.0, 15.0)
    np.testing.assert_allclose(once.values, twice.values, atol=1e-6)


def test_a_matched_image_stays_a_flat_one_too_and_none_gets_sharper():
    np.testing.assert_array_equal(match_resolution(point(), 6.5, 6.5).values, point().values)
    flat = volume(3.0, "SUV")
    np.testing.assert_allclose(match_resolution(flat, 5.5, 12.0).values, 3.0, rtol=1e-6)
    with pytest.raises(SettingsError, match="sharper"):
        match_resolution(flat, 7.5, 5.5)
