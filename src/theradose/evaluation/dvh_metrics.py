"""How dose-volume histograms of predicted maps differ from those of a reference, in the body and its hottest part."""

from collections.abc import Callable
from functools import partial

import numpy as np

from theradose.errors import DataError

HOT_FRACTION = 0.05
NEAR_MAXIMUM = 2.0  # ICRU Report 83: D2 and D98 stand for maximum and minimum, D50 is the median
HALF = 0.5

Region = Callable[[np.ndarray, np.ndarray], np.ndarray]


def body(reference: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the mask itself, (n, h, w) bool; DataError when the reference holds no dose there."""
    if not mask.any() or not float(reference[mask].max()) > 0:
        raise DataError(
            "reference map holds no dose inside the mask", got="all zero or empty", expected="some dose > 0"
        )
    return mask


def hot(reference: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the hottest 5 % of the mask, by the reference, (n, h, w) bool."""
    return np.asarray(mask & (reference >= np.quantile(reference[body(reference, mask)], 1.0 - HOT_FRACTION)))


def dose_at(doses: np.ndarray, volume_percent: float) -> float:
    """Return D_x: what the hottest x % of the voxels (n,) receive at least."""
    return float(np.quantile(doses.astype(np.float64), 1.0 - volume_percent / 100.0))


def volume_over(doses: np.ndarray, dose: float) -> float:
    """Return the part (%) of the voxels (n,) that receive at least a dose."""
    return float(100.0 * (doses >= dose).mean())


def _difference(
    prediction: np.ndarray,
    reference: np.ndarray,
    mask: np.ndarray,
    *,
    region: Region,
    of: Callable[[np.ndarray], float],
) -> float:
    inside = region(reference, mask)
    wanted = reference[inside]
    return float(100.0 * abs(of(prediction[inside]) - of(wanted)) / wanted.astype(np.float64).mean())


def mean_dose(doses: np.ndarray) -> float:
    """Return the mean of the voxels (n,)."""
    return float(doses.astype(np.float64).mean())


def half_volume_points(prediction: np.ndarray, reference: np.ndarray, mask: np.ndarray, *, region: Region) -> float:
    """Return by how many percentage points the volumes differ that receive half of the reference's D2."""
    inside = region(reference, mask)
    half = HALF * dose_at(reference[inside], NEAR_MAXIMUM)
    return abs(volume_over(prediction[inside], half) - volume_over(reference[inside], half))


# Absolute differences of one patient, D and mean in % of the reference's mean dose in the region.
DVH_METRICS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], float]] = {
    f"{name}_{metric}_percent": function
    for name, region in {"body": body, "hot": hot}.items()
    for metric, function in {
        "mean": partial(_difference, region=region, of=mean_dose),
        "d2": partial(_difference, region=region, of=partial(dose_at, volume_percent=NEAR_MAXIMUM)),
        "d50": partial(_difference, region=region, of=partial(dose_at, volume_percent=50.0)),
        "d98": partial(_difference, region=region, of=partial(dose_at, volume_percent=98.0)),
        "half_volume": partial(half_volume_points, region=region),
    }.items()
}
