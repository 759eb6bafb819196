"""Noise, grain and blur of a PET: by hand, and what must and must not change them."""

import numpy as np
import pytest
from scipy import ndimage

from theradose.imaging.grid import Grid
from theradose.imaging.quality import QUALITIES, image_quality
from theradose.imaging.volume import Volume
from theradose.physics.nuclides import nuclide
from theradose.vocabulary import VOIS

GRID = Grid((40, 24, 30), (8.0, 8.0, 8.0))
LIVER = (slice(16, 24), slice(8, 15), slice(10, 18))


def phantom(noise=0.1, smooth=0.0, blur=0.3, body_label=0, seed=0):
    """Return a body of 1 with a liver of 5, blurred (voxels), with smoothed noise of a level on it, and its mask."""
    labels = np.zeros(GRID.shape_zyx, np.int16)
    labels[:, 2:-2, 2:-2] = body_label
    true = np.zeros(GRID.shape_zyx)
    true[:, 2:-2, 2:-2] = 1.0
    true[LIVER], labels[LIVER] = 5.0, VOIS["liver"].label
    white = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(GRID.shape_zyx), smooth)
    values = ndimage.gaussian_filter(true, blur) + noise * white / white.std()
    return Volume(np.maximum(values, 0.0).astype(np.float32), GRID, "Bq/mL"), Volume(labels, GRID, "label")


def quality(**changes):
    return image_quality(*phantom(**changes), {})


def test_white_noise_is_found_again_and_has_no_grain():
    for noise in (0.05, 0.2):
        found = quality(noise=noise)
        assert found["noise"] == pytest.approx(noise, rel=0.05)
        assert found["grain"] == pytest.approx(1.0, abs=0.05)


def test_a_filter_leaves_grain_and_blur_leaves_spill():
    assert quality(smooth=0.8)["grain"] > 1.3
    spills = [quality(blur=blur)["spill"] for blur in (0.3, 0.5, 0.8)]
    assert spills == sorted(spills)
    assert spills[2] > 1.5 * spills[1] > 2 * spills[0]


def test_unit_and_a_mask_with_the_body_in_it_change_nothing():
    pet, mask = phantom()
    found = image_quality(pet, mask, {})
    assert image_quality(pet.with_values(1000.0 * pet.values), mask, {}) == pytest.approx(found, rel=1e-6, nan_ok=True)
    body = image_quality(*phantom(body_label=VOIS["remainder"].label), {})
    assert body == pytest.approx(found, nan_ok=True)


def test_a_mask_on_another_grid_is_put_on_that_of_the_pet():
    pet, mask = phantom()
    fine = Grid((80, 48, 60), (4.0, 4.0, 4.0), tuple(o - 2.0 for o in GRID.origin_mm))
    labels = mask.values.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    expected = pytest.approx(image_quality(pet, mask, {}), rel=1e-6, nan_ok=True)
    assert image_quality(pet, Volume(labels, fine, "label"), {}) == expected


def test_where_nothing_is_even_nothing_is_said():
    pet, mask = phantom()
    everything = mask.with_values(np.full_like(mask.values, VOIS["liver"].label))
    assert np.isnan(list(image_quality(pet, everything, {}).values())).all()
    assert set(image_quality(pet, everything, {})) == set(QUALITIES)
    without = quality(noise=0.0)
    assert without["noise"] == 0.0
    assert np.isnan(without["grain"])
    nothing_large = mask.with_values(np.where(mask.values > 0, VOIS["urinary_bladder"].label, 0).astype(np.int16))
    assert np.isnan(image_quality(pet, nothing_large, {})["spill"])


def test_counts_are_those_that_leave_the_noise():
    """Noise of 10 %: 100 counts in a voxel of 0.512 mL with 1000 Bq/mL in 100 s."""
    pet, mask = phantom()
    pet = pet.with_values(1000.0 * pet.values)
    half_life_h = nuclide("Ga-68").half_life_h
    about = {
        "TracerRadionuclide": "Ga-68", "FrameTimesStart": [3600.0 * half_life_h], "FrameDuration": [100.0],
        "DecayReference": "scan_start", "ImageDecayCorrected": True,
    }  # fmt: skip
    expected = 100.0 / (1e-3 * 0.512 * 100.0)
    assert image_quality(pet, mask, about)["counts"] == pytest.approx(expected, rel=0.1)
    to_injection = image_quality(pet, mask, about | {"DecayReference": "administration"})["counts"]
    assert to_injection == pytest.approx(2.0 * image_quality(pet, mask, about)["counts"])
    for lost in about:
        if lost != "ImageDecayCorrected":
            assert np.isnan(image_quality(pet, mask, {k: v for k, v in about.items() if k != lost})["counts"]), lost
    assert np.isnan(image_quality(pet.with_values(pet.values, "g/mL"), mask, about)["counts"])
