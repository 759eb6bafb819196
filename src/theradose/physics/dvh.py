"""Cumulative dose-volume histograms and the numbers read from them."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theradose.errors import DataError

Array = NDArray[np.float64]


def _doses(dose_gy: ArrayLike) -> Array:
    """Return the doses of a VOI's voxels, flat; DataError when there are none or one is no number."""
    doses = np.asarray(dose_gy, float).ravel()
    if doses.size == 0 or not np.isfinite(doses).all():
        raise DataError("a dose-volume histogram needs finite doses", got=f"{doses.size} voxels")
    return doses


def cumulative_dvh(dose_gy: ArrayLike, n_bins: int) -> tuple[Array, Array]:
    """Return dose levels in Gy, from zero to the maximum, and the part of the volume that gets at least each.

    V(D) = #{voxels with dose >= D} / #{voxels}, voxels of equal volume; both arrays are (n_bins + 1,).

    >>> dose, volume = cumulative_dvh([1.0, 2.0, 3.0, 4.0], 4)
    >>> dose, volume
    (array([0., 1., 2., 3., 4.]), array([1.  , 1.  , 0.75, 0.5 , 0.25]))
    """
    doses = np.sort(_doses(dose_gy))
    levels = np.linspace(0.0, doses[-1], n_bins + 1)
    below = np.searchsorted(doses, levels, side="left")
    return levels, np.asarray(1.0 - below / doses.size)


def dose_at_volume(dose_gy: ArrayLike, percent: float) -> float:
    """Return D_x in Gy, the least dose of the hottest x per cent of the volume; linear between voxels.

    >>> dose_at_volume([1.0, 2.0, 3.0, 4.0, 5.0], 50.0)
    3.0
    """
    return float(np.percentile(_doses(dose_gy), 100.0 - percent))


def volume_at_dose(dose_gy: ArrayLike, level_gy: float) -> float:
    """Return V_x, the part of the volume that gets at least `level_gy`.

    >>> volume_at_dose([1.0, 2.0, 3.0, 4.0], 3.0)
    0.5
    """
    return float(np.mean(_doses(dose_gy) >= level_gy))


def mean_dose(dose_gy: ArrayLike) -> float:
    """Return the mean dose in Gy, which is also the area under the cumulative histogram.

    >>> mean_dose([1.0, 2.0, 3.0, 4.0])
    2.5
    """
    return float(_doses(dose_gy).mean())


def generalised_eud(dose_gy: ArrayLike, a: float) -> float:
    """Return the generalised equivalent uniform dose in Gy, (mean of D^a)^(1/a).

    a = 1 is the mean, large a the maximum (serial organs), negative a the minimum (tumours; 0 as soon as a voxel gets
    nothing). Niemierko, Med Phys 1999;26:1100. DataError for negative doses or a = 0.

    >>> round(generalised_eud([10.0, 30.0], 2.0), 3), round(generalised_eud([10.0, 30.0], -10.0), 3)
    (22.361, 10.718)
    """
    doses = _doses(dose_gy)
    if a == 0 or doses.min() < 0:
        raise DataError("an equivalent uniform dose needs doses of zero or more and an exponent", got=f"a = {a:g}")
    top = doses.max() if a > 0 else doses.min()  # powers of ratios of at most one cannot overflow
    return 0.0 if top == 0 else float(top * np.mean((doses / top) ** a) ** (1.0 / a))
