"""Spill-over between regions of an image of limited resolution, and its correction.

An image is taken as the truth convolved with a Gaussian of known FWHM. If activity is uniform in each of n regions and
zero elsewhere, the mean seen in region i is m_i = sum_j M_ij c_j, where M_ij is the mean over region i of the blurred
indicator of region j (geometric transfer matrix: Rousset, Ma and Evans, J Nucl Med 39:904, 1998). The diagonal holds
the recovery coefficients, what stands beside it the spill-in. Nothing enters through the edges of the field of view.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from theradose.errors import DataError, Where

Array = NDArray[np.float64]
Labels = NDArray[np.integer]

FWHM_PER_SD = 2.0 * math.sqrt(2.0 * math.log(2.0))
TRUNCATE_SD = 4.0
BACKGROUND_FWHM = 2.0
ENOUGH_VOXELS = 8
WORST_CONDITION = 1e8


@dataclass(frozen=True)
class Recovered:
    """Regions after correction, all (n,) in the unit of the image: mean, covariance (n, n), coefficients, spill-in."""

    mean: Array
    covariance: Array
    coefficient: Array
    spill_in: Array


def sd_voxels(spacing_zyx_mm: tuple[float, float, float], fwhm_mm: float) -> tuple[float, float, float]:
    """Return the standard deviation of a Gaussian of given FWHM (mm) along the axes, in voxels.

    >>> [round(s, 4) for s in sd_voxels((8.0, 4.0, 4.0), 12.0)]
    [0.637, 1.274, 1.274]
    """
    z, y, x = (fwhm_mm / FWHM_PER_SD / spacing for spacing in spacing_zyx_mm)
    return (z, y, x)


def blur(values: Array, spacing_zyx_mm: tuple[float, float, float], fwhm_mm: float) -> Array:
    """Return an image (z, y, x) convolved with a Gaussian of FWHM in mm; beyond the edges lies zero.

    >>> round(float(blur(np.ones((9, 9, 9)), (4.0, 4.0, 4.0), 8.0)[4, 4, 4]), 3)
    1.0
    """
    sigma = sd_voxels(spacing_zyx_mm, fwhm_mm)
    return np.asarray(ndimage.gaussian_filter(values, sigma, mode="constant", truncate=TRUNCATE_SD))


def region_ids(labels: Labels) -> NDArray[np.int64]:
    """Return the labels present in a label map, sorted, zero left out."""
    found = np.unique(labels)
    return np.asarray(found[found != 0], np.int64)


def region_means(values: Array, labels: Labels, ids: NDArray[np.int64]) -> Array:
    """Return the mean of an image in each region, (n,), in the unit of the image."""
    return np.asarray(ndimage.mean(values, labels, ids), float)


def with_background(
    labels: Labels, spacing_zyx_mm: tuple[float, float, float], fwhm_mm: float, label: int
) -> NDArray[np.int64]:
    """Return labels in which everything within two FWHM of a region that has no label gets `label`.

    Masks that hold organs only leave out the tissue that spills into them; taken as uniform, that shell is a region.
    """
    distance_mm = ndimage.distance_transform_edt(labels == 0, sampling=spacing_zyx_mm)
    shell = (labels == 0) & (distance_mm <= BACKGROUND_FWHM * fwhm_mm)
    return np.where(shell, label, labels).astype(np.int64)


def transfer_matrix(
    labels: Labels, ids: NDArray[np.int64], spacing_zyx_mm: tuple[float, float, float], fwhm_mm: float
) -> Array:
    """Return M (n, n): M_ij is the mean over region i of the blurred indicator of region j.

    Each indicator is blurred on its bounding box widened by the reach of the kernel, which is exact and fast. Row sums
    are one for a region deep inside others, and less at the rim of all regions.
    """
    index = np.full(int(labels.max()) + 1, ids.size)
    index[ids] = np.arange(ids.size)
    place = index[labels]
    counts = np.bincount(place.ravel(), minlength=ids.size + 1)[: ids.size]
    reach = [int(TRUNCATE_SD * s + 0.5) + 1 for s in sd_voxels(spacing_zyx_mm, fwhm_mm)]
    matrix = np.zeros((ids.size, ids.size))
    for j, box in enumerate(ndimage.find_objects(place + 1, ids.size)):
        wide = tuple(slice(max(0, s.start - r), s.stop + r) for s, r in zip(box, reach, strict=True))
        blurred = blur((place[wide] == j).astype(float), spacing_zyx_mm, fwhm_mm)
        sums = np.bincount(place[wide].ravel(), blurred.ravel(), minlength=ids.size + 1)[: ids.size]
        matrix[:, j] = sums / counts
    return matrix


def mean_noise(
    values: Array,
    labels: Labels,
    ids: NDArray[np.int64],
    *,
    uniform: Array,
    spacing_zyx_mm: tuple[float, float, float],
    fwhm_mm: float | None,
) -> Array:
    """Return the standard uncertainty of each region's mean, (n,), estimated from the image itself.

    The residual of the image against the one that uniform regions (`uniform`, (n,)) would give is taken as voxel noise;
    texture counts as noise too. Noise is correlated over a resolution element, k = (2 sqrt(pi) sd)^3 voxels, the sum of
    the autocorrelation of noise smoothed by the same Gaussian, so var = s^2 k / N. Regions below 8 voxels say too
    little about themselves: their variance is scaled from the others in proportion to the mean, as for counts.
    """
    lookup = np.zeros(int(labels.max()) + 1)
    lookup[ids] = uniform
    model = lookup[labels] if fwhm_mm is None else blur(lookup[labels], spacing_zyx_mm, fwhm_mm)
    counts = np.asarray(ndimage.sum(np.ones(labels.shape), labels, ids))
    squares = np.asarray(ndimage.sum((values - model) ** 2, labels, ids))
    means = np.clip(region_means(values, labels, ids), 0.0, None)
    large = counts >= ENOUGH_VOXELS
    everything = large if large.any() else np.ones_like(large)
    pooled = squares[everything].sum() / max(float((counts * means)[everything].sum()), np.finfo(float).tiny)
    variance = np.where(large, squares / np.maximum(counts - 1, 1), pooled * means)
    sigma = (0.0, 0.0, 0.0) if fwhm_mm is None else sd_voxels(spacing_zyx_mm, fwhm_mm)
    together = math.prod(max(1.0, 2.0 * math.sqrt(math.pi) * s) for s in sigma)
    return np.asarray(np.sqrt(variance * np.minimum(together / counts, 1.0)))


def require_uncorrected(applied: str) -> None:
    """Raise DataError (THR-247) when recovery was corrected before: `applied` names that correction, or none.

    >>> require_uncorrected("none")
    """
    if applied != "none":
        raise DataError(
            "recovery would be corrected twice",
            where=Where(field="RecoveryCorrection"),
            got=applied,
            expected="none",
            remedy="take the uncorrected image, or set quantify.recovery to none",
            code="THR-247",
        )


def _none(means: Array, std: Array, matrix: Array) -> Recovered:
    """Leave the means as the image shows them."""
    return Recovered(means.copy(), np.diag(std**2), np.ones_like(means), np.zeros(matrix.shape[0]))


def _coefficient(means: Array, std: Array, matrix: Array) -> Recovered:
    """Divide each mean by its own recovery coefficient; spill-in stays in it."""
    coefficient = np.diag(matrix).copy()
    return Recovered(means / coefficient, np.diag((std / coefficient) ** 2), coefficient, np.zeros_like(means))


def _geometric_transfer(means: Array, std: Array, matrix: Array) -> Recovered:
    """Solve m = M c; the covariance of c is M^-1 diag(s^2) M^-T."""
    condition = float(np.linalg.cond(matrix))
    if not condition < WORST_CONDITION:
        raise DataError(
            "regions cannot be told apart at this resolution",
            got=f"condition {condition:.3g} of the transfer matrix",
            expected=f"below {WORST_CONDITION:g}",
            remedy="merge VOIs that lie in one another, or use recovery: coefficient",
            code="THR-242",
        )
    inverse = np.linalg.inv(matrix)
    mean = np.asarray(np.linalg.solve(matrix, means), float)
    coefficient = np.diag(matrix).copy()
    covariance = np.asarray((inverse * std**2) @ inverse.T, float)
    return Recovered(mean, covariance, coefficient, matrix @ mean - coefficient * mean)


# Every method: (means (n,), their standard uncertainties (n,), transfer matrix (n, n)) -> Recovered.
RECOVERY: dict[str, Callable[[Array, Array, Array], Recovered]] = {
    "none": _none,
    "coefficient": _coefficient,
    "geometric_transfer": _geometric_transfer,
}
