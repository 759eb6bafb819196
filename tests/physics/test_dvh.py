"""Dose-volume histograms: by hand, and what must always hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theradose.errors import DataError
from theradose.physics.dvh import cumulative_dvh, dose_at_volume, generalised_eud, mean_dose, volume_at_dose

DOSES = st.lists(st.floats(0, 100), min_size=1, max_size=60)


@given(DOSES, st.integers(2, 60))
def test_histogram_falls_from_all_to_the_hottest(doses: list[float], bins: int) -> None:
    levels, volume = cumulative_dvh(doses, bins)
    assert levels.shape == volume.shape == (bins + 1,)
    assert volume[0] == 1.0
    assert (np.diff(volume) <= 0).all()
    assert (np.diff(levels) >= 0).all()
    assert levels[-1] == max(doses)
    assert volume[-1] == pytest.approx(np.mean(np.array(doses) >= max(doses)))


@given(DOSES, st.floats(0, 100))
def test_curve_agrees_with_a_count(doses: list[float], level: float) -> None:
    levels, volume = cumulative_dvh(doses, 50)
    for i in (0, 17, 50):
        assert volume[i] == pytest.approx(volume_at_dose(doses, levels[i]))
    assert volume_at_dose(doses, level) == pytest.approx(sum(d >= level for d in doses) / len(doses))


@given(DOSES)
def test_mean_is_the_area_under_the_curve(doses: list[float]) -> None:
    levels, volume = cumulative_dvh(doses, 4000)
    area = np.trapezoid(volume, levels)
    assert area == pytest.approx(mean_dose(doses), abs=2 * max(doses) / 4000 + 1e-12)


def test_dose_at_volume_by_hand() -> None:
    doses = np.arange(101.0)
    assert dose_at_volume(doses, 95.0) == pytest.approx(5.0)
    assert dose_at_volume(doses, 2.0) == pytest.approx(98.0)
    assert dose_at_volume(doses, 100.0) == 0.0


def test_uniform_dose_is_a_step() -> None:
    levels, volume = cumulative_dvh(np.full(10, 3.0), 10)
    assert (volume == 1.0).all()
    assert levels[-1] == 3.0


@given(DOSES, st.floats(0, 100), st.floats(0, 100))
def test_both_readings_fall(doses: list[float], x: float, y: float) -> None:
    x, y = sorted((x, y))
    assert volume_at_dose(doses, x) >= volume_at_dose(doses, y)
    assert dose_at_volume(doses, x) >= dose_at_volume(doses, y)


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=40), st.floats(1, 50), st.floats(1, 50))
def test_equivalent_uniform_dose_lies_between_minimum_and_maximum(doses: list[float], a: float, b: float) -> None:
    a, b = sorted((a, b))
    slack = 1e-9 * max(doses)
    low, mean, high = generalised_eud(doses, -a), generalised_eud(doses, 1.0), generalised_eud(doses, b)
    assert mean == pytest.approx(np.mean(doses))
    assert min(doses) - slack <= low <= mean + slack <= high + 2 * slack <= max(doses) + 3 * slack
    assert generalised_eud(doses, a) <= high + slack  # rises with the exponent
    assert generalised_eud(np.multiply(doses, 3.0), b) == pytest.approx(3.0 * high)


def test_equivalent_uniform_dose_by_hand() -> None:
    assert generalised_eud([3.0, 4.0], 2.0) == pytest.approx(np.sqrt(12.5))
    assert generalised_eud([0.0, 4.0], -5.0) == 0.0
    assert generalised_eud([0.0, 0.0], 2.0) == 0.0
    # Large exponents neither overflow nor vanish: two voxels, one counts, its half volume costs a factor 2^(1/a).
    assert generalised_eud([0.01, 100.0], 300.0) == pytest.approx(100.0 * 0.5 ** (1 / 300))
    assert generalised_eud([0.01, 100.0], -300.0) == pytest.approx(0.01 * 2.0 ** (1 / 300))
    for doses, a in (([-1.0], 1.0), ([1.0], 0.0)):
        with pytest.raises(DataError):
            generalised_eud(doses, a)


@pytest.mark.parametrize("doses", [[], [np.nan, 1.0]])
def test_no_doses_is_an_error(doses: list[float]) -> None:
    with pytest.raises(DataError):
        cumulative_dvh(doses, 10)
