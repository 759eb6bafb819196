"""Decay factors and the three readings of an image's numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from theradose.errors import DataError
from theradose.physics.decay import decay_factor, factor_to_scan_start, frame_average_factor

LU_177_H = 159.528


@given(st.floats(5, 500), st.floats(0, 1000), st.floats(0, 1000))
def test_decay_in_two_steps_is_decay_in_one(half_life: float, first: float, second: float) -> None:
    product = decay_factor(half_life, first) * decay_factor(half_life, second)
    assert product == pytest.approx(decay_factor(half_life, first + second), rel=1e-12)


@pytest.mark.parametrize("duration_h", [1e-7, 0.5, 10.0, 300.0])
def test_frame_average_is_the_integral(duration_h: float) -> None:
    slow = quad(lambda t: decay_factor(LU_177_H, t), 0, duration_h)[0] / duration_h
    assert frame_average_factor(LU_177_H, duration_h) == pytest.approx(slow, rel=1e-9)


def test_three_readings_of_one_scan_agree_at_its_start() -> None:
    true, start_h, duration_h = 100.0, 96.0, 0.5
    stored = {
        "scan_start": true,
        "administration": true * 2 ** (start_h / LU_177_H),
        "none": true * frame_average_factor(LU_177_H, duration_h),
    }
    for reference, value in stored.items():
        factor = factor_to_scan_start(reference, LU_177_H, start_h, duration_h)
        assert value * factor == pytest.approx(true, rel=1e-12)


def test_administration_read_as_scan_start_is_far_off() -> None:
    # The trap of a header that says ADMIN while the numbers are at scan start: 34 % at four days.
    assert factor_to_scan_start("administration", LU_177_H, 96.0, None) == pytest.approx(0.659, abs=5e-4)


def test_unknown_reference_and_missing_duration_are_errors() -> None:
    with pytest.raises(DataError, match=r"THR-240.*START"):
        factor_to_scan_start("START", LU_177_H, 1.0, None)
    with pytest.raises(DataError, match=r"THR-241.*FrameDuration"):
        factor_to_scan_start("none", LU_177_H, 1.0, None)


def test_times_before_the_administration_grow() -> None:
    assert np.isclose(decay_factor(10.0, -10.0), 2.0)
