"""The gamma index of Low et al. (Med. Phys. 25, 1998): dose difference and distance to agreement in one number."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from theradose.errors import DataError, SettingsError

STEPS_PER_DISTANCE = 10  # search points within the distance criterion, as pymedphys takes them by default
MARGIN = 1e-9


@dataclass(frozen=True)
class Criteria:
    """What counts as agreement: a difference in % of the highest reference dose, and a distance in mm.

    Voxels whose reference dose is below `threshold_percent` of the highest are not judged (10 %: AAPM TG-218, Miften et
    al., Med. Phys. 45, 2018). Gamma is not searched beyond `cap`.
    """

    dose_percent: float
    distance_mm: float
    threshold_percent: float = 10.0
    cap: float = 2.0

    def __post_init__(self) -> None:
        if not min(self.dose_percent, self.distance_mm, self.cap) > 0:
            raise SettingsError("gamma criteria must be positive", got=self, expected="> 0")


# Nuclear medicine at 8 mm: two voxels are about the resolution of the SPECT images behind a label, and its doses are
# known to about 10 % (1 SD); 3 %/3 mm of external beams lies below both. A pass rate needs no gamma far above one.
MAPS = Criteria(dose_percent=10.0, distance_mm=16.0, cap=1.1)


def _offsets_mm(criteria: Criteria, axes: Sequence[bool]) -> np.ndarray:
    """Return search offsets (k, 3) within the reach of `cap`, nearest first; axes not searched stay at zero."""
    step = criteria.distance_mm / STEPS_PER_DISTANCE
    reach = int(np.floor(criteria.cap * STEPS_PER_DISTANCE + MARGIN))
    line = step * np.arange(-reach, reach + 1)
    grid = np.meshgrid(*[line if searched else np.zeros(1) for searched in axes], indexing="ij")
    offsets = np.stack([part.ravel() for part in grid], axis=1)
    lengths = np.linalg.norm(offsets, axis=1)
    order = np.argsort(lengths, kind="stable")
    return np.asarray(offsets[order][lengths[order] <= criteria.cap * criteria.distance_mm + MARGIN])


def _shells(offsets: np.ndarray, size: int) -> list[np.ndarray]:
    """Return offsets in growing groups: the first alone, as most points need no second, later ones up to `size`."""
    cuts = [1]
    while cuts[-1] < len(offsets):
        cuts.append(min(cuts[-1] + min(2 * cuts[-1] + 3, size), len(offsets)))
    return np.split(offsets, cuts[:-1])


def _sampled(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return values at fractional voxel places (..., 3), linear between voxel centres, infinite outside the image."""
    last = np.asarray(values.shape) - 1
    inside = ((places >= -MARGIN) & (places <= last + MARGIN)).all(axis=-1)
    found = np.full(places.shape[:-1], np.inf)
    found[inside] = ndimage.map_coordinates(values, np.clip(places[inside], 0, last).T, order=1)
    return found


def gamma_map(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing_zyx_mm: Sequence[float],
    criteria: Criteria,
    *,
    in_plane: bool = False,
    mask: np.ndarray | None = None,
) -> np.ndarray:
    """Return gamma at each reference voxel, (z, y, x), at most `cap`; NaN where the dose is below the threshold.

    gamma = min over points of the predicted map of sqrt(distance^2 / distance_mm^2 + difference^2 / limit^2), linear
    between voxels, at steps of a tenth of `distance_mm`. With `in_plane` points are searched within each slice (2-D),
    otherwise in the volume. Voxels outside `mask` are not judged. DataError when the reference holds no dose.
    """
    highest = float(reference.max()) if reference.size else 0.0
    if not highest > 0:
        raise DataError("reference map holds no dose", got="all zero or empty", expected="some dose > 0")
    judged = (reference >= criteria.threshold_percent / 100.0 * highest) & (True if mask is None else mask)
    points, wanted = np.argwhere(judged), reference[judged].astype(np.float64)
    predicted, spacing = prediction.astype(np.float64), np.asarray(spacing_zyx_mm, dtype=np.float64)
    limit = criteria.dose_percent / 100.0 * highest
    best = np.full(len(points), criteria.cap**2)
    left = np.arange(len(points))
    offsets = _offsets_mm(criteria, (not in_plane, True, True))
    for group in _shells(offsets, size=256):
        far = (group**2).sum(axis=1) / criteria.distance_mm**2
        # No point farther away than its best gamma can improve it.
        left = left[best[left] > far[0]]
        if not len(left):
            break
        dose = _sampled(predicted, points[left, None] + group / spacing)
        squares = ((dose - wanted[left, None]) / limit) ** 2 + far
        best[left] = np.minimum(best[left], squares.min(axis=1))
    found = np.full(reference.shape, np.nan)
    found[judged] = np.sqrt(best)
    return found


def pass_percent(
    prediction: np.ndarray,
    reference: np.ndarray,
    mask: np.ndarray,
    *,
    spacing_zyx_mm: Sequence[float],
    in_plane: bool,
    criteria: Criteria = MAPS,
) -> float:
    """Return the part (%) of judged voxels in the mask with gamma <= 1; a zero map: 0 at these criteria.

    The limit is a share of the highest dose: where a lesion is much hotter than organs, errors in organs pass.
    """
    gamma = gamma_map(prediction, reference, spacing_zyx_mm, criteria, in_plane=in_plane, mask=mask)
    judged = gamma[np.isfinite(gamma)]
    return float(100.0 * (judged <= 1.0 + MARGIN).mean())
