"""Rigid registration of time points of one patient, refused when the result cannot be true.

Both images are compressed by a square root, so that the body counts beside its hottest organ, and smoothed; the
correlation of the two is then climbed from coarse to fine. It ends beside the truth when organs wash out differently:
the one that stays pulls. So the last climb is that of mutual information, which allows every organ a ratio of its own.
The start puts the centres of activity on one another, because the frames of reference of two scans have nothing in
common. All voxels of the reduced images are used, on one thread: no draw, no race.
"""

# SimpleITK has no types.
# mypy: disable-error-code="no-untyped-call,no-any-return"

import math
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from scipy.spatial.transform import Rotation

from theradose.errors import DataError, GeometryError
from theradose.imaging.itk import sample, to_itk
from theradose.imaging.resample import resample_activity, resample_labels
from theradose.imaging.volume import Volume

BINS = 32  # of the joint histogram of intensities
BODY_PART_OF_PEAK = 0.005  # of the 99.9th percentile: what counts as body when images are cut to it (own choice)
MARGIN_MM = 30.0
ITERATIONS = 200
FIRST_STEP_MM, FINAL_STEP_MM, LAST_STEP_MM = 4.0, 1.0, 0.005
# Working voxel and smoothing mm, and first step mm, of the levels; own choice. SPECT resolves about 10 mm, so 6 mm is
# fine enough to place an image to a small part of its resolution.
LEVELS = ((12.0, FIRST_STEP_MM), (6.0, FIRST_STEP_MM), (6.0, FINAL_STEP_MM))
RADIUS_MM = 150.0  # a rotation of 1/150 rad moves the skin by about 1 mm: makes rotations and shifts comparable


@dataclass(frozen=True)
class Registration:
    """A moving image put on a fixed one.

    `matrix` (4, 4) takes LPS mm of the fixed image to the moving one; `shift_mm` and `rotation_deg` (x, y, z) say how
    the moving image was displaced at the centre of the fixed activity; `overlap` is the part of the fixed activity
    that the moving image covers; `metric` is the correlation of the compressed images, 1 at best.
    """

    moved: Volume
    shift_mm: tuple[float, float, float]
    rotation_deg: tuple[float, float, float]
    overlap: float
    metric: float
    matrix: np.ndarray

    def carry(self, mask: Volume) -> Volume:
        """Return a label mask of the moving image on the fixed grid (label that fills half a voxel)."""
        return resample_labels(mask, self.moved.grid, matrix=self.matrix)


def centre_of_activity_mm(image: Volume) -> np.ndarray:
    """Return the centre of the positive activity, (3,) LPS mm; DataError when there is none."""
    weights = np.clip(image.values, 0, None).astype(np.float64)
    total = weights.sum()
    if not np.isfinite(total) or total <= 0:
        raise DataError("image holds no activity to register", got=f"sum {total:.3g}", expected="> 0")
    sums = [
        weights.sum(axis=axes) @ np.arange(n) for axes, n in zip(((1, 2), (0, 2), (0, 1)), weights.shape, strict=True)
    ]
    z, y, x = (s / total for s in sums)
    return np.asarray((image.grid.affine_lps() @ np.array([x, y, z, 1.0]))[:3])


def _body(image: Volume) -> sitk.Image:
    """Return the image compressed by a square root and cut to the body with a margin."""
    values = np.sqrt(np.clip(image.values, 0, None)).astype(np.float32)
    inside = image.values > BODY_PART_OF_PEAK * np.percentile(image.values, 99.9)
    pads = [math.ceil(MARGIN_MM / s) for s in image.grid.spacing_zyx_mm]
    found = np.nonzero(inside)
    low = [max(0, int(i.min()) - pad) for i, pad in zip(found, pads, strict=True)]
    high = [min(n, int(i.max()) + 1 + pad) for i, pad, n in zip(found, pads, values.shape, strict=True)]
    cut = to_itk(values, image.grid)
    return cut[low[2] : high[2], low[1] : high[1], low[0] : high[0]]


def _reduced(image: sitk.Image, spacing_mm: float) -> sitk.Image:
    """Return the image smoothed (Gaussian, FWHM one spacing) and sampled at about that spacing, or as it is."""
    smooth = sitk.SmoothingRecursiveGaussian(image, spacing_mm / math.sqrt(8 * math.log(2)))
    factors = [max(1, round(spacing_mm / s)) for s in image.GetSpacing()]
    # Means over blocks: sitk.Shrink picks voxels beside the centres it states, half a voxel off for even factors.
    return sitk.BinShrink(smooth, [min(f, max(1, n // 4)) for f, n in zip(factors, image.GetSize(), strict=True)])


def _climb(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Euler3DTransform, step_mm: float) -> float:
    """Improve the transform in place and return the correlation reached; the final step climbs mutual information."""
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(step_mm, LAST_STEP_MM, ITERATIONS, gradientMagnitudeTolerance=1e-8)
    method.SetOptimizerScales([RADIUS_MM**2] * 3 + [1.0] * 3)
    method.SetInitialTransform(transform, inPlace=True)
    if step_mm == FINAL_STEP_MM:
        method.SetMetricAsMattesMutualInformation(BINS)
    else:
        method.SetMetricAsCorrelation()
    method.Execute(fixed, moving)
    method.SetMetricAsCorrelation()
    return math.sqrt(max(0.0, -method.MetricEvaluate(fixed, moving)))


def _matrix(transform: sitk.Euler3DTransform) -> np.ndarray:
    """Return the 4 x 4 matrix of a rigid transform."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(transform.GetMatrix()).reshape(3, 3)
    centre = np.asarray(transform.GetCenter())
    matrix[:3, 3] = np.asarray(transform.GetTranslation()) + centre - matrix[:3, :3] @ centre
    return matrix


def _overlap(fixed: Volume, moving: Volume, matrix: np.ndarray) -> float:
    """Return the part of the fixed activity that lies in the moving image's field of view."""
    ones = to_itk(np.ones(moving.values.shape, np.float32), moving.grid)
    inside = sample(ones, fixed.grid, matrix, sitk.sitkNearestNeighbor, 0.0)
    weights = np.clip(fixed.values, 0, None).astype(np.float64)
    return float((weights * inside).sum() / weights.sum())


def register_to(fixed: Volume, moving: Volume, *, max_shift_mm: float, min_overlap: float) -> Registration:
    """Move an activity image (Bq/mL) rigidly on a fixed one; deterministic.

    DataError when the shift of the body is larger than `max_shift_mm`, less than `min_overlap` of the fixed activity is
    covered, or the images agree no better than before.
    """
    fixed.require_unit("Bq/mL", "fixed image")
    moving.require_unit("Bq/mL", "moving image")
    centre = centre_of_activity_mm(fixed)
    transform = sitk.Euler3DTransform()
    transform.SetCenter(centre.tolist())
    transform.SetTranslation((centre_of_activity_mm(moving) - centre).tolist())
    bodies = _body(fixed), _body(moving)
    correlation = 0.0
    for spacing_mm, step_mm in LEVELS:
        still, other = (_reduced(body, spacing_mm) for body in bodies)
        correlation = _climb(still, other, transform, step_mm)
    matrix = _matrix(transform)
    shift = centre - (matrix @ np.append(centre, 1.0))[:3]
    rotation = Rotation.from_matrix(matrix[:3, :3].T).as_euler("xyz", degrees=True)
    overlap = _overlap(fixed, moving, matrix)
    _require_plausible(shift, max_shift_mm, overlap, min_overlap)
    moved = resample_activity(moving, fixed.grid, matrix=matrix)
    return Registration(
        moved,
        (float(shift[0]), float(shift[1]), float(shift[2])),
        (float(rotation[0]), float(rotation[1]), float(rotation[2])),
        overlap,
        correlation,
        matrix,
    )


def _require_plausible(shift_mm: np.ndarray, max_shift_mm: float, overlap: float, min_overlap: float) -> None:
    """Raise DataError when a registration went further or covers less than is allowed."""
    remedy = "look at both images; a wrong patient or field of view? Or set quantify.max_shift_mm / min_overlap"
    length = float(np.linalg.norm(shift_mm))
    if length > max_shift_mm:
        raise DataError(
            "registration shifts the patient too far",
            got=f"{length:.1f} mm ({', '.join(f'{s:.1f}' for s in shift_mm)})",
            expected=f"at most {max_shift_mm:g} mm",
            remedy=remedy,
            code="THR-224",
        )
    if overlap < min_overlap:
        raise GeometryError(
            "registered images overlap too little",
            got=f"{overlap:.2f} of the activity",
            expected=f"at least {min_overlap:g}",
            remedy=remedy,
            code="THR-225",
        )
