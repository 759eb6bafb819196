"""Spill-over: the transfer matrix against an explicit sum, phantoms with known answers, noise, and edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf

from theradose.errors import DataError
from theradose.physics.recovery import (
    FWHM_PER_SD,
    RECOVERY,
    blur,
    mean_noise,
    region_ids,
    region_means,
    transfer_matrix,
    with_background,
)

SPACING = (4.0, 3.0, 5.0)


def weights(shape, spacing, fwhm_mm, truncate_sd=4.0):
    """Return w (n, n): what a voxel sees of each other one, by an explicit product of three sampled Gaussians."""
    index = np.indices(shape).reshape(3, -1).T
    total = np.ones((len(index), len(index)))
    for axis, step in enumerate(spacing):
        sd = fwhm_mm / FWHM_PER_SD / step
        reach = int(truncate_sd * sd + 0.5)
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sd) ** 2)
        kernel /= kernel.sum()
        apart = index[:, None, axis] - index[None, :, axis]
        inside = np.abs(apart) <= reach
        total *= np.where(inside, kernel[np.clip(apart + reach, 0, 2 * reach)], 0.0)
    return total


def slow_matrix(labels, spacing, fwhm_mm):
    """Return the transfer matrix by its definition: mean over i of the sum over j."""
    seen, flat = weights(labels.shape, spacing, fwhm_mm), labels.ravel()
    ids = region_ids(labels)
    return np.array([[seen[flat == i][:, flat == j].sum(axis=1).mean() for j in ids] for i in ids])


def tiny(seed=0):
    """Return a small label map with neighbours, a region at the edge, gaps and labels that skip numbers."""
    labels = np.random.default_rng(seed).choice([0, 2, 5, 101], size=(5, 7, 6), p=[0.3, 0.3, 0.2, 0.2])
    labels[:2, :, :3] = 7
    return labels


@pytest.mark.parametrize("fwhm_mm", [6.0, 12.0, 40.0])
def test_matrix_equals_the_explicit_sum(fwhm_mm: float) -> None:
    labels = tiny()
    fast = transfer_matrix(labels, region_ids(labels), SPACING, fwhm_mm)
    assert fast == pytest.approx(slow_matrix(labels, SPACING, fwhm_mm), abs=1e-13)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.floats(4.0, 20.0))
def test_reciprocity_and_no_gain(seed: int, fwhm_mm: float) -> None:
    # What j sends to i per voxel of j equals what i sends to j; a region never sees more than all there is.
    labels = tiny(seed)
    ids = region_ids(labels)
    matrix = transfer_matrix(labels, ids, SPACING, fwhm_mm)
    exchange = matrix * np.bincount(labels.ravel())[ids][:, None]
    assert exchange == pytest.approx(exchange.T, abs=1e-10)
    assert (matrix.sum(axis=1) <= 1 + 1e-12).all()
    assert (matrix >= 0).all()


def test_nothing_comes_in_through_the_edges() -> None:
    whole = np.ones((6, 6, 6), int)
    matrix = transfer_matrix(whole, region_ids(whole), (4.0, 4.0, 4.0), 12.0)
    assert matrix[0, 0] < 0.7
    # A voxel at an edge sees half of the kernel and half of its central weight.
    sd = 12.0 / FWHM_PER_SD / 4.0
    centre = 1.0 / np.exp(-0.5 * (np.arange(-5, 6) / sd) ** 2).sum()
    seen = blur(np.ones((41, 41, 41)), (4.0, 4.0, 4.0), 12.0)[0, 20, 20]
    assert seen == pytest.approx((1.0 + centre) / 2.0, rel=1e-9)


def distance_mm(n, spacing_mm):
    axis = (np.arange(n) - (n - 1) / 2) * spacing_mm
    return np.sqrt(sum(a**2 for a in np.meshgrid(axis, axis, axis, indexing="ij")))


def blurred_sphere(r_mm, radius_mm, fwhm_mm):
    """Return a unit sphere convolved with a Gaussian, in closed form, at distances from its centre."""
    sd = fwhm_mm / FWHM_PER_SD
    near, far = (radius_mm - r_mm) / (np.sqrt(2) * sd), (radius_mm + r_mm) / (np.sqrt(2) * sd)
    edge = sd / (r_mm * np.sqrt(2 * np.pi)) * (np.exp(-(near**2)) - np.exp(-(far**2)))
    return 0.5 * (erf(near) + erf(far)) - edge


@pytest.mark.parametrize(("radius_mm", "fwhm_mm"), [(14.0, 12.0), (20.0, 15.0)])
def test_sphere_in_background_is_recovered(radius_mm: float, fwhm_mm: float) -> None:
    # The image is an analytic one, no voxel Gaussian made it: sphere 10, background 1. Voxels are small because those
    # of the mask must hold the sphere's volume: 2 mm voxels make a sphere of 14 mm radius 2.5 % too large.
    r = distance_mm(64, 1.5)
    image = 1.0 + 9.0 * blurred_sphere(r, radius_mm, fwhm_mm)
    labels = np.where(r <= radius_mm, 2, 1)
    ids = region_ids(labels)
    matrix = transfer_matrix(labels, ids, (1.5, 1.5, 1.5), fwhm_mm)
    # The background goes on beyond the field of view here, so its row is completed.
    matrix[0, 0] = 1.0 - matrix[0, 1]
    means = region_means(image, labels, ids)
    assert means[1] < 7.0
    found = RECOVERY["geometric_transfer"](means, np.zeros(2), matrix)
    assert found.mean == pytest.approx([1.0, 10.0], rel=0.01)
    assert found.coefficient[1] * found.mean[1] + found.spill_in[1] == pytest.approx(means[1])


def test_touching_regions_are_recovered_exactly_and_activity_is_counted_once() -> None:
    # Lesion within liver beside a kidney: each voxel belongs to one region, so the sum of activities is the total.
    labels = np.zeros((16, 16, 16), int)
    labels[3:13, 3:9, 3:13] = 7
    labels[6:9, 5:8, 6:9] = 101
    labels[4:10, 9:13, 4:10] = 5
    true = {7: 1.0, 101: 12.0, 5: 6.0}
    activity = np.select([labels == k for k in true], list(true.values()), 0.0)
    spacing, fwhm_mm = (4.8, 4.8, 4.8), 14.0
    image, ids = blur(activity, spacing, fwhm_mm), region_ids(labels)
    means, matrix = region_means(image, labels, ids), transfer_matrix(labels, ids, spacing, fwhm_mm)
    found = RECOVERY["geometric_transfer"](means, np.zeros(3), matrix)
    assert found.mean == pytest.approx([true[i] for i in ids], rel=1e-10)
    volumes = np.bincount(labels.ravel())[ids]
    assert found.mean @ volumes == pytest.approx(activity.sum())
    alone = RECOVERY["coefficient"](means, np.zeros(3), matrix)
    assert alone.mean == pytest.approx(means / np.diag(matrix))
    assert RECOVERY["none"](means, np.zeros(3), matrix).mean == pytest.approx(means)


def test_noise_is_carried_through_the_correction() -> None:
    rng = np.random.default_rng(5)
    labels = tiny()
    ids = region_ids(labels)
    matrix = transfer_matrix(labels, ids, SPACING, 5.0)
    std, mean = np.array([1.0, 0.5, 2.0, 0.2]), np.array([10.0, 20.0, 30.0, 40.0])
    for name in RECOVERY:
        drawn = [RECOVERY[name](mean + std * rng.standard_normal(4), std, matrix).mean for _ in range(4000)]
        found = RECOVERY[name](mean, std, matrix).covariance
        assert np.sqrt(np.diag(found)) == pytest.approx(np.std(drawn, axis=0), rel=0.05)


def test_noise_of_a_mean_is_estimated_from_the_image() -> None:
    rng = np.random.default_rng(2)
    labels = np.where(distance_mm(24, 4.0) < 30, 5, 1)
    ids, spacing, fwhm_mm = region_ids(labels), (4.0, 4.0, 4.0), 12.0
    lookup = np.array([0, 10, 0, 0, 0, 50.0])
    means, claims = [], []
    for _ in range(60):
        noise = 8.0 * blur(rng.standard_normal(labels.shape), spacing, fwhm_mm)
        image = blur(lookup[labels], spacing, fwhm_mm) + noise
        means.append(region_means(image, labels, ids)[1])
        uniform = np.array([10.0, 50.0])
        claims.append(mean_noise(image, labels, ids, uniform=uniform, spacing_zyx_mm=spacing, fwhm_mm=fwhm_mm)[1])
    # The correlation of noise is taken as that of an endless image; some of it ends at the region's rim.
    assert 1.0 <= np.mean(claims) / np.std(means) <= 1.6


def test_small_regions_borrow_their_noise() -> None:
    rng = np.random.default_rng(4)
    labels = np.ones((12, 12, 12), int)
    labels[5, 5, 5] = 101
    image = rng.poisson(np.where(labels == 101, 400.0, 100.0)).astype(float)
    ids = region_ids(labels)
    uniform = region_means(image, labels, ids)
    std = mean_noise(image, labels, ids, uniform=uniform, spacing_zyx_mm=(4.0, 4.0, 4.0), fwhm_mm=None)
    assert std[1] == pytest.approx(20.0, rel=0.1)
    assert std[0] == pytest.approx(10.0 / np.sqrt(1727), rel=0.1)


def test_shell_of_background_stops_after_two_fwhm() -> None:
    labels = np.zeros((40, 5, 5), int)
    labels[20] = 5
    shell = with_background(labels, (4.0, 4.0, 4.0), 10.0, 6)
    assert np.flatnonzero(shell[:, 2, 2] == 6).tolist() == [15, 16, 17, 18, 19, 21, 22, 23, 24, 25]
    assert (shell == 5).sum() == 25


def test_regions_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(DataError, match=r"THR-242.*condition"):
        RECOVERY["geometric_transfer"](np.ones(2), np.zeros(2), np.full((2, 2), 0.5))
