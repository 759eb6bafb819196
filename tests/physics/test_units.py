"""Conversions: each there and back, and against numbers from print."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theradose.physics import units

POSITIVE = st.floats(1e-6, 1e6)


@given(POSITIVE)
def test_there_and_back(value: float) -> None:
    assert units.hours_from_seconds(units.seconds_from_hours(value)) == pytest.approx(value)
    there = units.gy_per_mbq_h_from_mgy_per_mbq_s(value)
    assert units.mgy_per_mbq_s_from_gy_per_mbq_h(there) == pytest.approx(value)
    assert units.bq_per_ml_from_mbq(units.mbq_from_bq_per_ml(value, 3.0), 3.0) == pytest.approx(value)


def test_constant_is_derived_from_the_si() -> None:
    decays, joule_per_kev, kg = 3600 * 1e6, 1.602176634e-19 * 1e3, 1e-3
    assert pytest.approx(decays * joule_per_kev / kg) == units.GY_PER_MBQ_H_KEV_PER_G
    assert units.joule_from_kev(2.0) == pytest.approx(2 * joule_per_kev)


def test_per_second_and_per_hour_differ_by_3600() -> None:
    # 1 mGy/(MBq.s) = 1e-3 Gy x 3600 /(MBq.h)
    assert units.gy_per_mbq_h_from_mgy_per_mbq_s(1.0) == pytest.approx(3.6)


def test_mbq_written_as_bq_is_a_million_off() -> None:
    assert units.mbq_from(7.4e9, "Bq") == pytest.approx(7400.0)
    assert units.mbq_from(7.4e9, "Bq") == pytest.approx(1e-6 * units.mbq_from(7.4e9, "MBq"))
    with pytest.raises(KeyError):
        units.mbq_from(1.0, "mCi")


def test_arrays_broadcast() -> None:
    dose = units.local_dose_gy(np.array([1.0, 2.0]), 147.923, np.array([10.0, 20.0]))
    assert dose == pytest.approx([units.local_dose_gy(1.0, 147.923, 10.0)] * 2)
