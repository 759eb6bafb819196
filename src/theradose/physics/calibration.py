"""From counts to activity concentration: dead time, sensitivity, and how well the calibration factor is known.

    c [Bq/mL] = N k / (D eps V) 1e6,    k = true / observed rate of the whole camera

with N counts in a voxel of V mL, frame duration D in s and sensitivity eps in cps/MBq. The result is the mean over the
frame without decay correction (`none` of physics.decay); taking it to another time is left to that module.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import lambertw

from theradose.errors import DataError, FitError, UnitError, Where
from theradose.physics.units import BQ_PER_MBQ, seconds_from_hours, seconds_from_microseconds

Array = NDArray[np.float64]

# A two-headed SPECT of Lu-177 has about 6 cps/MBq (5.67(8) measured, EJNMMI Res 8:103, 2018, s13550-018-0459-4), Tc-99m
# on rings of CZT detectors some hundreds. Beyond these bounds a unit was lost (cps/kBq, cps/Bq, counts for a rate).
LOWEST_CPS_PER_MBQ, HIGHEST_CPS_PER_MBQ = 0.1, 2000.0


def _paralysable(observed_cps: Array, dead_time_s: float) -> Array:
    """Solve m = n exp(-n tau) on its lower branch, n = -W0(-m tau) / tau; no answer beyond m tau = 1/e."""
    lost = observed_cps * dead_time_s
    if np.any(lost > math.exp(-1.0)):
        raise _too_fast(lost, "below 1/e = 0.368")
    return np.asarray(-np.real(lambertw(-lost)) / dead_time_s)  # type: ignore[call-overload]


def _non_paralysable(observed_cps: Array, dead_time_s: float) -> Array:
    """Solve m = n / (1 + n tau), n = m / (1 - m tau)."""
    lost = observed_cps * dead_time_s
    if np.any(lost >= 1.0):
        raise _too_fast(lost, "below 1")
    return np.asarray(observed_cps / (1.0 - lost))


def _too_fast(lost: Array, expected: str) -> DataError:
    """Return the error of a count rate that no true rate can make with this dead time."""
    return DataError(
        "camera cannot count so fast with this dead time",
        where=Where(field="dead_time_us"),
        got=f"observed rate times dead time {float(lost.max()):.3g}",
        expected=expected,
        remedy="check the count rate (cps of the whole camera) and the dead time",
        code="THR-234",
    )


# Every model: (observed rate in cps, dead time in s > 0) -> true rate in cps (Knoll, Radiation Detection and
# Measurement, chapter 4).
DEAD_TIME: dict[str, Callable[[Array, float], Array]] = {
    "paralysable": _paralysable,
    "non_paralysable": _non_paralysable,
}


def true_rate_cps(observed_cps: ArrayLike, dead_time_us: float, model: str = "paralysable") -> Array:
    """Return the true count rate in cps, any shape, of a camera with a dead time in microseconds.

    The rate is that of the whole camera over its open energy windows, not of a VOI: dead time is lost on every photon.
    DataError when no true rate explains the observed one (THR-234).

    >>> true_rate_cps([90_000.0], 1.0, "non_paralysable").round(1)   # 90000 / (1 - 0.09)
    array([98901.1])
    """
    observed = np.asarray(observed_cps, float)
    return observed if dead_time_us == 0 else DEAD_TIME[model](observed, seconds_from_microseconds(dead_time_us))


def dead_time_factor(observed_cps: float, dead_time_us: float, model: str = "paralysable") -> float:
    """Return true / observed rate, by which counts of a frame are multiplied; 1 without counts.

    >>> round(dead_time_factor(50_000.0, 2.0), 4)
    1.1183
    """
    return float(true_rate_cps(observed_cps, dead_time_us, model)) / observed_cps if observed_cps > 0 else 1.0


@dataclass(frozen=True)
class Sensitivity:
    """The calibration factor of a camera in cps/MBq and its relative standard uncertainty, common to all its scans."""

    cps_per_mbq: float
    relative_std: float

    def __post_init__(self) -> None:
        if not LOWEST_CPS_PER_MBQ <= self.cps_per_mbq <= HIGHEST_CPS_PER_MBQ:
            raise UnitError(
                "sensitivity of a camera cannot be right",
                where=Where(field="sensitivity_cps_per_mbq"),
                got=f"{self.cps_per_mbq:g} cps/MBq",
                expected=f"{LOWEST_CPS_PER_MBQ:g} to {HIGHEST_CPS_PER_MBQ:g} cps/MBq",
                remedy="give counts per second and MBq, not per Bq, kBq or GBq, and not counts of a whole frame",
                code="THR-235",
            )


def sensitivity_from_phantom(
    counts: ArrayLike, duration_h: ArrayLike, activity_mbq: ArrayLike, activity_relative_std: float
) -> Sensitivity:
    """Return the sensitivity from n scans of a phantom: counts (n,), duration in h, mean activity of the frame in MBq.

    eps is the mean of N/(D A). Type A: the larger of the spread of the mean and of Poisson statistics. Type B: the
    radionuclide calibrator that measured the phantom; it is the same for all n scans, so its relative standard
    uncertainty is added in full (JCGM 100:2008, 5.2). FitError without a scan that holds counts.

    >>> sensitivity_from_phantom([3.6e5, 3.6e5], [0.5, 0.5], [20.0, 20.0], 0.02).cps_per_mbq   # 3.6e5 / 1800 s / 20
    10.0
    """
    n, seconds = np.atleast_1d(np.asarray(counts, float)), seconds_from_hours(np.asarray(duration_h, float))
    if n.size == 0 or np.any(n <= 0):
        raise FitError("a phantom scan without counts gives no sensitivity", reason="not_positive", got=n.tolist())
    each = n / (seconds * np.asarray(activity_mbq, float))
    spread = float(np.std(each, ddof=1) / each.mean()) / math.sqrt(n.size) if n.size > 1 else 0.0
    return Sensitivity(float(each.mean()), math.hypot(max(spread, n.sum() ** -0.5), activity_relative_std))


def bq_per_ml_from_counts(
    counts: ArrayLike, *, duration_h: float, voxel_ml: float, cps_per_mbq: float, dead_time: float = 1.0
) -> Array:
    """Return the mean concentration over a frame in Bq/mL, any shape, of counts per voxel.

    Duration in h, voxel volume in mL, sensitivity in cps/MBq, `dead_time` the factor true / observed. UnitError for a
    sensitivity that cannot be one (THR-235), DataError for a frame or a voxel that holds nothing.

    >>> bq_per_ml_from_counts([360.0], duration_h=0.5, voxel_ml=0.1, cps_per_mbq=10.0).round(3)
    array([200000.])
    """
    if not (duration_h > 0 and voxel_ml > 0 and dead_time >= 1):
        raise DataError(
            "counts need a frame, a voxel and a dead-time factor to become activity",
            got=f"duration {duration_h:g} h, voxel {voxel_ml:g} mL, dead-time factor {dead_time:g}",
            expected="above 0 h, above 0 mL, at least 1",
            code="THR-236",
        )
    eps = Sensitivity(cps_per_mbq, 0.0).cps_per_mbq
    factor = BQ_PER_MBQ * dead_time / (seconds_from_hours(duration_h) * eps * voxel_ml)
    return np.asarray(np.asarray(counts, float) * factor)


def counts_relative_std(counts: float) -> float:
    """Return the relative standard uncertainty of a number of independent counts, 1/sqrt(N).

    Counts of a reconstructed VOI are correlated, so that the spread of repeated reconstructions is larger.

    >>> counts_relative_std(10_000.0)
    0.01
    """
    return 1.0 / math.sqrt(counts)
