"""The one place where quantities change their unit; everywhere else time is in h, activity in MBq, energy in keV."""

from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatOrArray = TypeVar("FloatOrArray", float, NDArray[np.float64])

SECONDS_PER_HOUR = 3600.0
MICROSECONDS_PER_SECOND = 1e6
JOULE_PER_KEV = 1.602176634e-16  # exact since the SI of 2019: elementary charge 1.602176634e-19 C
BQ_PER_MBQ = 1e6
KG_PER_G = 1e-3
MM3_PER_ML = 1e3
KEV_PER_MEV = 1e3

# One MBq for one hour is 3.6e9 decays; each leaves its keV in one gram: 5.767836e-4 Gy per MBq.h.keV/g.
GY_PER_MBQ_H_KEV_PER_G = BQ_PER_MBQ * SECONDS_PER_HOUR * JOULE_PER_KEV / KG_PER_G


def hours_from_seconds(time_s: FloatOrArray) -> FloatOrArray:
    """Convert s to h.

    >>> round(hours_from_seconds(574300.0), 3)   # half-life of Lu-177 as real SPECT headers give it
    159.528
    """
    return time_s / SECONDS_PER_HOUR


def seconds_from_hours(time_h: FloatOrArray) -> FloatOrArray:
    """Convert h to s.

    >>> seconds_from_hours(2.0)
    7200.0
    """
    return time_h * SECONDS_PER_HOUR


def seconds_from_microseconds(time_us: FloatOrArray) -> FloatOrArray:
    """Convert us to s.

    >>> seconds_from_microseconds(2.0)
    2e-06
    """
    return time_us / MICROSECONDS_PER_SECOND


def joule_from_kev(energy_kev: FloatOrArray) -> FloatOrArray:
    """Convert keV to J.

    >>> joule_from_kev(1.0)
    1.602176634e-16
    """
    return energy_kev * JOULE_PER_KEV


def kev_from_mev(energy_mev: FloatOrArray) -> FloatOrArray:
    """Convert MeV to keV.

    >>> kev_from_mev(0.5)
    500.0
    """
    return energy_mev * KEV_PER_MEV


def sphere_radius_mm(mass_g: ArrayLike, density_g_per_ml: float) -> NDArray[np.float64]:
    """Return the radius in mm of a sphere of given mass (g) and density (g/mL).

    >>> round(float(sphere_radius_mm(10.0, 1.04)), 3)
    13.191
    """
    volume_mm3 = np.asarray(mass_g, float) / density_g_per_ml * MM3_PER_ML
    return np.asarray(np.cbrt(3.0 * volume_mm3 / (4.0 * np.pi)))


def gy_g_per_mbq_h(energy_kev: FloatOrArray) -> FloatOrArray:
    """Return the dose that 1 MBq.h leaves in 1 g when every decay leaves `energy_kev` there, g.Gy/(MBq.h).

    >>> round(gy_g_per_mbq_h(147.923) * 1000, 2)   # Lu-177 electrons, g.Gy/(GBq.h)
    85.32
    """
    return energy_kev * GY_PER_MBQ_H_KEV_PER_G


def local_dose_gy(tia_mbq_h: FloatOrArray, energy_kev: float, mass_g: FloatOrArray | float) -> FloatOrArray:
    """Return the mean dose in Gy when every decay leaves `energy_kev` in the mass: D = TIA E / m.

    Arrays broadcast; with TIA per volume and density in g/mL the result is the dose of each voxel.

    >>> round(local_dose_gy(2308.312, 147.923, 150.0), 4)   # a kidney of 150 g, Lu-177
    1.313
    """
    return tia_mbq_h * gy_g_per_mbq_h(energy_kev) / mass_g


def gy_per_mbq_h_from_mgy_per_mbq_s(s_mgy_per_mbq_s: FloatOrArray) -> FloatOrArray:
    """Convert an S value from mGy/(MBq.s), as tables print it, to Gy/(MBq.h): times 3600 s/h and 1e-3 Gy/mGy.

    >>> round(gy_per_mbq_h_from_mgy_per_mbq_s(2.37e-3), 6)   # Lu-177, sphere of 10 g
    0.008532
    """
    return s_mgy_per_mbq_s * (SECONDS_PER_HOUR / 1000.0)


def mgy_per_mbq_s_from_gy_per_mbq_h(s_gy_per_mbq_h: FloatOrArray) -> FloatOrArray:
    """Convert an S value from Gy/(MBq.h) to mGy/(MBq.s).

    >>> round(mgy_per_mbq_s_from_gy_per_mbq_h(0.008532), 5)
    0.00237
    """
    return s_gy_per_mbq_h / (SECONDS_PER_HOUR / 1000.0)


def mbq_from_bq_per_ml(concentration_bq_per_ml: FloatOrArray, volume_ml: FloatOrArray) -> FloatOrArray:
    """Return the activity in MBq of a volume in mL at a mean concentration in Bq/mL.

    >>> mbq_from_bq_per_ml(200e3, 150.0)
    30.0
    """
    return concentration_bq_per_ml * volume_ml / BQ_PER_MBQ


def bq_per_ml_from_mbq(activity_mbq: FloatOrArray, volume_ml: FloatOrArray) -> FloatOrArray:
    """Return the mean concentration in Bq/mL of an activity in MBq in a volume in mL.

    >>> bq_per_ml_from_mbq(30.0, 150.0)
    200000.0
    """
    return activity_mbq * BQ_PER_MBQ / volume_ml


def decays_from_mbq_h(tia_mbq_h: FloatOrArray) -> FloatOrArray:
    """Return the number of decays (Bq.s) in a time-integrated activity in MBq.h.

    >>> decays_from_mbq_h(2.0)
    7200000000.0
    """
    return tia_mbq_h * (BQ_PER_MBQ * SECONDS_PER_HOUR)


def mbq_from(value: float, unit: str) -> float:
    """Convert an activity in Bq, kBq, MBq or GBq to MBq; KeyError for another unit.

    >>> mbq_from(7.4, "GBq")
    7400.0
    """
    return value * {"Bq": 1e-6, "kBq": 1e-3, "MBq": 1.0, "GBq": 1e3}[unit]
