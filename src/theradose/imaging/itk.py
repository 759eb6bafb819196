"""The bridge to SimpleITK: nothing above `imaging` sees an ITK image or transform. One thread, so results repeat."""

# SimpleITK has no types.
# mypy: disable-error-code="no-untyped-call,no-any-return"

import numpy as np
import SimpleITK as sitk

from theradose.imaging.grid import Grid

sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)


def to_itk(values: np.ndarray, grid: Grid) -> sitk.Image:
    """Return values (z, y, x) as an ITK image in LPS mm; float64 becomes float32."""
    image = sitk.GetImageFromArray(values.astype(np.float32) if values.dtype != np.float32 else values)
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(grid.origin_mm)
    image.SetDirection(tuple(np.asarray(grid.direction, float).ravel()))
    return image


def affine_transform(matrix: np.ndarray) -> sitk.AffineTransform:
    """Return the ITK transform of a 4 x 4 matrix that takes points of the target to points of the source, LPS mm."""
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(tuple(np.asarray(matrix, float)[:3, :3].ravel()))
    transform.SetTranslation(tuple(np.asarray(matrix, float)[:3, 3]))
    return transform


def sample(image: sitk.Image, grid: Grid, matrix: np.ndarray, interpolator: int, outside: float) -> np.ndarray:
    """Return an image's values (z, y, x) float32 at the voxel centres of `grid`, each taken through `matrix` first."""
    resampler = sitk.ResampleImageFilter()
    resampler.SetNumberOfThreads(1)
    nz, ny, nx = grid.shape_zyx
    resampler.SetSize((nx, ny, nz))
    resampler.SetOutputSpacing(grid.spacing_mm)
    resampler.SetOutputOrigin(grid.origin_mm)
    resampler.SetOutputDirection(tuple(np.asarray(grid.direction, float).ravel()))
    resampler.SetTransform(affine_transform(matrix))
    resampler.SetInterpolator(interpolator)
    resampler.SetDefaultPixelValue(outside)
    return np.asarray(sitk.GetArrayFromImage(resampler.Execute(image)), np.float32)
