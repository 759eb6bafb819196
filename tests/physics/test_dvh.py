"""Dose-volume histograms: by hand, and what must always hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theradose.errors import DataError
from theradose.physics.dvh import cumulative_dvh, dose_at_volume, mean_dose, volume_at_dose

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


@pytest.mark.parametrize("doses", [[], [np.nan, 1.0]])
def test_no_doses_is_an_error(doses: list[float]) -> None:
    with pytest.raises(DataError):
        cumulative_dvh(doses, 10)
