from itertools import product

import numpy as np
import pytest

from theradose.errors import DataError, SettingsError
from theradose.evaluation.gamma import MAPS, Criteria, gamma_map, pass_percent

SPACING = (8.0, 8.0, 8.0)


def blob(centre=(4.0, 8.0, 8.0), shape=(9, 17, 17), width=2.5):
    places = np.indices(shape).transpose(1, 2, 3, 0)
    return np.exp(-((places - np.array(centre)) ** 2).sum(axis=-1) / (2 * width**2))


def trilinear(values, place):
    """Interpolate at one place by hand; infinite outside."""
    last = np.array(values.shape) - 1
    if (place < -1e-9).any() or (place > last + 1e-9).any():
        return np.inf
    low = np.minimum(np.floor(np.clip(place, 0, last)).astype(int), np.maximum(last - 1, 0))
    total = 0.0
    for corner in np.ndindex(2, 2, 2):
        part = np.where(corner, place - low, 1 - (place - low))
        if (np.abs(part) > 1e-12).all():
            total += part.prod() * values[tuple(np.minimum(low + corner, last))]
    return total


def slow_twin(predicted, reference, spacing, criteria, in_plane):
    """Return gamma by looking at every search point of every voxel that is nearer than the best so far."""
    step, reach = criteria.distance_mm / 10, round(criteria.cap * 10)
    high, found = reference.max(), np.full(reference.shape, np.nan)
    along = range(-reach, reach + 1)
    steps = [np.array(off) for off in product((0,) if in_plane else along, along, along)]
    places = sorted(((np.linalg.norm(off) / 10, tuple(step * off)) for off in steps), key=lambda place: place[0])
    for voxel in np.ndindex(reference.shape):
        if reference[voxel] < criteria.threshold_percent / 100 * high:
            continue
        best = criteria.cap
        for far, off in places:
            if far > min(best, criteria.cap + 1e-9):
                break  # gamma is never less than the distance
            dose = trilinear(predicted, np.array(voxel) + np.array(off) / np.array(spacing))
            apart = (dose - reference[voxel]) / (criteria.dose_percent / 100 * high)
            best = min(best, np.hypot(far, apart))
        found[voxel] = best
    return found


@pytest.mark.parametrize("in_plane", [True, False])
def test_identical_maps_agree_everywhere(in_plane):
    dose = blob()
    gamma = gamma_map(dose, dose, SPACING, Criteria(3.0, 3.0), in_plane=in_plane)
    assert np.nanmax(gamma) == 0.0
    assert np.isnan(gamma).sum() == (dose < 0.1 * dose.max()).sum()


def test_a_shift_by_the_distance_passes_and_a_larger_one_does_not():
    edge = np.zeros((1, 9, 24))
    edge[:, :, 12:] = 1.0
    strict = Criteria(1.0, 8.0, threshold_percent=0.0)
    assert np.nanmax(gamma_map(np.roll(edge, 1, axis=2)[..., 1:], edge[..., 1:], SPACING, strict)) <= 1.0
    assert np.nanmax(gamma_map(np.roll(edge, 2, axis=2)[..., 2:], edge[..., 2:], SPACING, strict)) > 1.0


def test_a_uniform_difference_of_the_limit_is_one():
    dose = np.full((3, 5, 5), 2.0)
    assert gamma_map(1.03 * dose, dose, SPACING, Criteria(3.0, 3.0)) == pytest.approx(np.ones(dose.shape))
    assert gamma_map(1.015 * dose, dose, SPACING, Criteria(3.0, 3.0)) == pytest.approx(np.full(dose.shape, 0.5))
    assert gamma_map(1.30 * dose, dose, SPACING, Criteria(3.0, 3.0)) == pytest.approx(np.full(dose.shape, 2.0))


def test_a_ramp_by_hand():
    # dD/dx = 1 per mm, limit 2, distance 1 mm: the nearest point of a line 1 away is 1 / sqrt(1 + 4) of the limit.
    reference = np.tile(np.arange(201.0), (1, 1, 1))
    ramp = Criteria(1.0, 1.0, threshold_percent=0.0)
    gamma = gamma_map(reference + 1.0, reference, (1.0, 1.0, 1.0), ramp)
    assert gamma[0, 0, 5:-5] == pytest.approx(np.full(191, 1 / np.sqrt(1 + 4)), abs=1e-3)


@pytest.mark.parametrize(("in_plane", "criteria"), [(True, Criteria(10.0, 16.0, cap=1.1)), (False, Criteria(5.0, 5.0))])
def test_as_the_slow_twin(in_plane, criteria):
    shape = (2, 5, 5)
    rng = np.random.default_rng(4)
    reference = blob((0.5, 2.0, 2.0), shape, 2.0)
    predicted = reference * rng.uniform(0.8, 1.2, shape)
    spacing = (8.0, 5.0, 6.0)
    expected = slow_twin(predicted, reference, spacing, Criteria(**{**vars(criteria), "cap": 0.6}), in_plane)
    found = gamma_map(predicted, reference, spacing, Criteria(**{**vars(criteria), "cap": 0.6}), in_plane=in_plane)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert 0.1 < np.nanmean(found) < 0.6


# pymedphys 0.41.0, gamma(..., dose_percent_threshold=5, distance_mm_threshold=8, lower_percent_dose_cutoff=10,
# interp_fraction=10, max_gamma=2): row 7 of slice 3 searched in its plane; number of voxels, mean and pass rate.
PYMEDPHYS_ROW = [0.5498, 0.6561, 0.6752, 0.6374, 0.4674, 0.1010, 0.9311, 1.1011, 1.0813, 1.0246, 0.9633]
PYMEDPHYS = {"slice": (118, 0.54252, 0.92373), "volume": (582, 0.43929, 0.98625)}
# Both look at points a tenth of the distance apart, on circles there and on a square grid here: no place is farther
# than half a diagonal of such a square from a point.
HALF_DIAGONAL = 0.5 * np.sqrt(2) * 0.1


def two_spots():
    shape, spots = (7, 15, 17), ((1.0, 3.0, (0, 0, 0)), (2.5, 1.5, (1, -4, 5)))
    places, middle = np.indices(shape), [(n - 1) / 2 for n in shape]
    reference = sum(
        a * np.exp(-sum((places[i] - middle[i] - off[i]) ** 2 for i in range(3)) / (2 * width**2))
        for a, width, off in spots
    )
    return np.roll(reference, 1, axis=2) * 1.05 + 0.02, reference


def test_as_pymedphys():
    predicted, reference = two_spots()
    criteria = Criteria(5.0, 8.0)
    found = {
        "slice": gamma_map(predicted[3:4], reference[3:4], SPACING, criteria, in_plane=True),
        "volume": gamma_map(predicted, reference, SPACING, criteria),
    }
    assert found["slice"][0, 7, 3:14] == pytest.approx(np.array(PYMEDPHYS_ROW), abs=HALF_DIAGONAL)
    for name, (n, mean, passed) in PYMEDPHYS.items():
        own = found[name][np.isfinite(found[name])]
        assert len(own) == n
        assert own.mean() == pytest.approx(mean, abs=0.005)
        assert (own <= 1.0).mean() == pytest.approx(passed, abs=1e-5)


def test_pass_rate_by_hand():
    reference = np.ones((1, 4, 5))
    predicted = reference.copy()
    predicted[0, :, :] = 1.05
    mask = np.ones_like(reference, bool)
    how = {"spacing_zyx_mm": SPACING, "in_plane": True}
    assert pass_percent(predicted, reference, mask, **how) == 100.0
    assert pass_percent(np.zeros_like(reference), reference, mask, **how) == 0.0
    half = np.where(np.arange(5) < 3, 1.0, 9.0) * reference
    assert pass_percent(half, reference, mask, criteria=Criteria(10.0, 0.5), **how) == pytest.approx(60.0)
    mask[..., 3:] = False
    assert pass_percent(half, reference, mask, criteria=Criteria(10.0, 0.5), **how) == 100.0


def test_slices_are_not_neighbours_in_plane():
    reference = np.stack([np.full((5, 5), 1.0), np.full((5, 5), 0.5)])
    mask = np.ones_like(reference, bool)
    swapped = reference[::-1]
    assert pass_percent(swapped, reference, mask, spacing_zyx_mm=SPACING, in_plane=True) == 0.0
    assert pass_percent(swapped, reference, mask, spacing_zyx_mm=SPACING, in_plane=False) == 100.0


def test_an_empty_reference_and_criteria_of_zero_are_refused():
    with pytest.raises(DataError, match="no dose"):
        gamma_map(blob(), np.zeros_like(blob()), SPACING, MAPS)
    with pytest.raises(SettingsError, match="positive"):
        Criteria(0.0, 3.0)
