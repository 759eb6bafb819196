"""Voxel-wise recovery: uniform regions come back, activity is kept, a second correction is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theradose.errors import DataError
from theradose.physics.recovery import RECOVERY, blur, region_ids, region_means, transfer_matrix
from theradose.physics.voxel_recovery import region_based

SPACING, FWHM_MM = (4.8, 4.8, 4.8), 12.0


def body():
    """Return labels of a body with a kidney, a liver and a lesion in it, and air around."""
    labels = np.zeros((20, 20, 20), int)
    labels[3:17, 3:17, 3:17] = 1
    labels[6:11, 5:9, 6:12] = 5
    labels[5:14, 9:15, 5:14] = 7
    labels[8:11, 11:13, 8:11] = 101
    return labels


def corrected_means(image, labels):
    ids = region_ids(labels)
    means, matrix = region_means(image, labels, ids), transfer_matrix(labels, ids, SPACING, FWHM_MM)
    return RECOVERY["geometric_transfer"](means, np.zeros(ids.size), matrix).mean


def rbv(image, labels, **options):
    found = corrected_means(image, labels)
    return region_based(image, labels, found, spacing_zyx_mm=SPACING, fwhm_mm=FWHM_MM, **options)


def test_uniform_regions_come_back_voxel_by_voxel() -> None:
    labels = body()
    true = np.array([0, 2, 0, 0, 0, 40, 0, 8] + [0] * 93 + [60.0])[labels]
    image = blur(true, SPACING, FWHM_MM)
    found = rbv(image, labels)
    assert found.corrected == pytest.approx(true, abs=1e-6)
    assert np.array_equal(found.uncorrected, image)
    assert found.scale == pytest.approx(np.ones(4))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_regions_and_image_keep_their_activity(seed: int) -> None:
    # Texture and noise: voxels differ, each region holds its corrected activity, and the image its total.
    rng = np.random.default_rng(seed)
    labels = body()
    texture = rng.uniform(0.5, 1.5, labels.shape)
    true = np.array([0.3, 2, 0, 0, 0, 40, 0, 8] + [0] * 93 + [60.0])[labels] * texture
    image = blur(true, SPACING, FWHM_MM) + 0.2 * blur(rng.standard_normal(labels.shape), SPACING, FWHM_MM)
    found = rbv(image, labels)
    ids = region_ids(labels)
    assert region_means(found.corrected, labels, ids) == pytest.approx(corrected_means(image, labels), rel=1e-9)
    assert found.corrected.sum() == pytest.approx(image.sum(), rel=2e-3)


def test_texture_of_a_region_stays_visible() -> None:
    labels = body()
    true = np.where(labels == 7, 10.0, 0.0)
    true[5:14, 9:15, 5:9] = np.where(labels[5:14, 9:15, 5:9] == 7, 20.0, 0.0)
    found = rbv(blur(true, SPACING, FWHM_MM), labels)
    inside = (labels == 7) & (np.abs(true) > 0)
    assert np.corrcoef(found.corrected[inside], true[inside])[0, 1] > 0.8


def test_a_region_without_activity_gets_what_it_should_hold() -> None:
    labels = body()
    ids = region_ids(labels)
    wanted = np.array([1.0, 0.0, -2.0, 5.0])
    found = region_based(np.zeros(labels.shape), labels, wanted, spacing_zyx_mm=SPACING, fwhm_mm=FWHM_MM)
    assert region_means(found.corrected, labels, ids) == pytest.approx(wanted)


def test_recovery_applied_twice_is_refused() -> None:
    labels = body()
    with pytest.raises(DataError, match=r"THR-247.*geometric_transfer 12 mm"):
        rbv(np.ones(labels.shape), labels, applied="geometric_transfer 12 mm")
