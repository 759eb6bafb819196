"""Physical decay: factors, averages over a frame, and the time an image's numbers refer to."""

import math

import numpy as np

from theradose.errors import DataError, Where

# What an image's numbers stand for: activity decay-corrected to the administration, activity at the start of the scan,
# or the mean over the frame without any correction (DICOM (0054,1102) ADMIN, START, NONE).
DECAY_REFERENCES = ("administration", "scan_start", "none")
SERIES_BELOW = 1e-8


def decay_constant_per_h(half_life_h: float) -> float:
    """Return ln 2 / T in 1/h.

    >>> round(decay_constant_per_h(159.528), 8)
    0.00434499
    """
    return math.log(2.0) / half_life_h


def decay_factor(half_life_h: float, time_h: float) -> float:
    """Return exp(-lambda t), the part that is left after `time_h`; above one for negative times.

    >>> decay_factor(10.0, 20.0)
    0.25
    """
    return float(np.exp2(-time_h / half_life_h))


def frame_average_factor(half_life_h: float, duration_h: float) -> float:
    """Return the mean activity over a frame divided by the activity at its start, (1 - exp(-x)) / x, x = lambda D.

    >>> round(frame_average_factor(159.528, 0.5), 6)   # Lu-177, a bed position of 30 min
    0.998915
    >>> frame_average_factor(10.0, 0.0)
    1.0
    """
    x = decay_constant_per_h(half_life_h) * duration_h
    return 1.0 - x / 2.0 if x < SERIES_BELOW else -math.expm1(-x) / x


def factor_to_scan_start(reference: str, half_life_h: float, start_h: float, duration_h: float | None) -> float:
    """Return what an image must be multiplied by to give the activity at the start of its scan.

    administration: exp(-lambda t_start); scan_start: 1; none: 1 / frame average (needs the frame's duration).
    `start_h` counts from the administration. DataError when the reference is unknown or the duration is missing.

    >>> factor_to_scan_start("administration", 10.0, 10.0, None)
    0.5
    """
    if reference == "administration":
        return decay_factor(half_life_h, start_h)
    if reference == "scan_start":
        return 1.0
    if reference != "none":
        raise DataError(
            "decay reference is unknown",
            where=Where(field="DecayReference"),
            got=reference,
            expected=f"one of {', '.join(DECAY_REFERENCES)}",
            remedy="set quantify.decay_reference to what the image really holds",
            code="THR-240",
        )
    if duration_h is None:
        raise DataError(
            "image without decay correction needs its frame duration",
            where=Where(field="FrameDuration"),
            expected="seconds",
            remedy="add FrameDuration to the sidecar",
            code="THR-241",
        )
    return 1.0 / frame_average_factor(half_life_h, duration_h)
