"""Blur, counts and calibration against hand-computed numbers."""

from dataclasses import replace

import numpy as np
import pytest

from theradose.cohort.virtual.scanner import (
    CENTRES,
    FWHM_PER_SD,
    Camera,
    blurred,
    blurred_and_averaged,
    centre,
    ct_image,
    emission_image,
)
from theradose.errors import SettingsError

BLURS = {"blurred": blurred, "blurred_and_averaged": blurred_and_averaged}


@pytest.mark.parametrize("name", BLURS)
def test_blur_conserves_activity_inside_the_field_of_view(name: str) -> None:
    values = np.zeros((40, 40, 40))
    values[15:25, 18:22, 12:28] = np.random.default_rng(1).random((10, 4, 16))
    assert BLURS[name](values, 14.0, 8.0).sum() == pytest.approx(values.sum(), rel=1e-6)


@pytest.mark.parametrize("name", BLURS)
def test_nothing_enters_through_the_edge(name: str) -> None:
    values = np.ones((20, 20, 20))
    image = BLURS[name](values, 16.0, 8.0)
    assert image[0, 10, 10] < 0.8
    assert image[10, 10, 10] == pytest.approx(1.0, abs=1e-6)


def test_point_source_has_the_fwhm() -> None:
    values = np.zeros((41, 41, 41))
    values[20, 20, 20] = 1.0
    line = blurred(values, 14.0, 1.0)[20, 20]
    assert line[27] / line[20] == pytest.approx(0.5, abs=1e-6)


def test_averaging_over_voxels_by_hand() -> None:
    # 5.5 mm on 8 mm voxels: sd 0.2920 voxels; the own voxel keeps 2 Phi(0.5 / 0.2920) - 1 = 0.9132 on each axis.
    values = np.zeros((9, 9, 9))
    values[4, 4, 4] = 1.0
    assert blurred_and_averaged(values, 5.5, 8.0)[4, 4, 4] == pytest.approx(0.9132**3, abs=5e-4)
    sd = 20.0 / FWHM_PER_SD
    fine = np.zeros((41, 41, 41))
    fine[20, 20, 20] = 1.0
    assert np.allclose(
        blurred_and_averaged(fine, 20.0, 1.0)[20, 20], blurred(fine, 20.0, 1.0)[20, 20], atol=1e-3 / sd**3
    )


def camera(**changes: object) -> Camera:
    return replace(Camera(12.5, 0.001, 1.0, 1200.0), **changes)  # type: ignore[arg-type]


def test_noise_is_that_of_the_counts() -> None:
    # 1 MBq/mL in voxels of 0.512 mL for 1200 s at 1 count per MBq.s: 614.4 counts.
    values = np.full((30, 30, 30), 1e6)
    image = emission_image(values, camera(), 8.0, 1.0, np.random.default_rng(3))[6:-6, 6:-6, 6:-6]
    assert image.mean() == pytest.approx(1e6, rel=0.002)
    assert image.std() / image.mean() == pytest.approx(614.4**-0.5, rel=0.05)


def test_filter_smooths_the_noise_but_not_the_mean() -> None:
    values = np.full((30, 30, 30), 1e6)
    smooth = emission_image(values, camera(filter_fwhm_mm=12.0), 8.0, 1.0, np.random.default_rng(3))[6:-6, 6:-6, 6:-6]
    rough = emission_image(values, camera(), 8.0, 1.0, np.random.default_rng(3))[6:-6, 6:-6, 6:-6]
    assert smooth.std() < 0.6 * rough.std()
    assert smooth.mean() == pytest.approx(rough.mean(), rel=0.002)


def test_calibration_scales_the_image_and_nothing_is_negative() -> None:
    values = np.zeros((20, 20, 20))
    values[8:12, 8:12, 8:12] = 2e5
    right = emission_image(values, camera(filter_fwhm_mm=7.5), 8.0, 1.0, np.random.default_rng(3))
    wrong = emission_image(values, camera(filter_fwhm_mm=7.5), 8.0, 1.1, np.random.default_rng(3))
    assert np.allclose(wrong, 1.1 * right)
    assert right.min() >= 0.0


def test_ct_by_hand() -> None:
    labels = np.zeros((10, 10, 10), dtype=np.int16)
    labels[5:] = 7
    quiet = ct_image(labels, {0: -1000.0, 7: 54.6, 9: 3.0}, 0.0, np.random.default_rng(1))
    assert set(np.unique(quiet)) == {-1000.0, 55.0}
    noisy = ct_image(labels, {0: -1000.0, 7: 54.6}, 10.0, np.random.default_rng(1))
    assert noisy[labels == 7].std() == pytest.approx(10.0, rel=0.15)


def test_centres_are_those_of_the_design() -> None:
    assert (CENTRES["north"].pet.fwhm_mm, CENTRES["north"].spect.fwhm_mm, CENTRES["north"].pet.log_bias) == (
        5.5,
        12.5,
        0,
    )
    assert (CENTRES["south"].pet.fwhm_mm, CENTRES["south"].spect.fwhm_mm, CENTRES["south"].pet.log_bias) == (
        6.5,
        14,
        0.10,
    )
    with pytest.raises(SettingsError, match="one of"):
        centre("nowhere")
