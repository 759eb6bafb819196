"""Images on other grids: means over voxels when the new ones are larger, and activity that stays what it was.

Linear interpolation alone keeps no total. Three things are done about it. A target voxel larger than the source's is
the mean over sub-voxels no larger than the source's, so nothing is skipped. At the rim an image goes on for the half
voxel that its outermost voxels reach beyond their centres. What is left (parts of a per cent) is taken out by one
factor: the activity of the source inside the target's field of view over the activity found there, voxels cut by the
border counting in part. A factor far from one means that the grids do not describe the same object, and is refused.
"""

import math

import numpy as np
import SimpleITK as sitk

from theradose.errors import GeometryError
from theradose.imaging.grid import Grid
from theradose.imaging.itk import sample, to_itk
from theradose.imaging.volume import Volume

INTERPOLATORS = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor, "bspline": sitk.sitkBSpline3}
SAME_PLACE = np.eye(4)
# Own choices: a larger correction than 10 % is no rounding; below 1 % net activity (noise of both signs) the ratio of
# two totals says nothing.
LARGEST_CORRECTION = 0.10
SMALLEST_NET_PART = 0.01
HALF = 0.5


def _parts(source: Grid, target: Grid, matrix: np.ndarray) -> tuple[int, int, int]:
    """Return into how many sub-voxels (z, y, x) a target voxel must be cut to be no larger than the source's."""
    # Extent of one target step, seen along the source axes.
    steps = (
        np.linalg.inv(source.direction)
        @ matrix[:3, :3]
        @ (np.asarray(target.direction) * np.asarray(target.spacing_mm))
    )
    voxels = np.abs(steps) / np.asarray(source.spacing_mm)[:, None]
    x, y, z = (max(1, math.ceil(float(v) - 1e-3)) for v in voxels.max(axis=0))
    return (z, y, x)


def _finer(grid: Grid, parts: tuple[int, int, int]) -> Grid:
    """Return the grid of sub-voxels of a grid."""
    n_xyz = np.asarray(parts[::-1])
    spacing = np.asarray(grid.spacing_mm) / n_xyz
    shift = np.asarray(grid.direction) @ ((spacing - np.asarray(grid.spacing_mm)) / 2)
    x, y, z = np.asarray(grid.origin_mm) + shift
    nz, ny, nx = (int(n * p) for n, p in zip(grid.shape_zyx, parts, strict=True))
    sx, sy, sz = spacing
    return Grid((nz, ny, nx), (float(sx), float(sy), float(sz)), (float(x), float(y), float(z)), grid.direction)


def _means(values: np.ndarray, parts: tuple[int, int, int]) -> np.ndarray:
    """Return the means over blocks of sub-voxels, (z, y, x)."""
    if parts == (1, 1, 1):
        return values
    pz, py, px = parts
    nz, ny, nx = (n // p for n, p in zip(values.shape, parts, strict=True))
    blocks = values.reshape(nz, pz, ny, py, nx, px)
    return np.asarray(blocks.mean(axis=(1, 3, 5), dtype=np.float64).astype(np.float32))


def resample(
    image: Volume,
    grid: Grid,
    *,
    interpolation: str = "linear",
    matrix: np.ndarray = SAME_PLACE,
    outside: float = 0.0,
    average: bool = True,
) -> Volume:
    """Return an image on another grid, float32 (`nearest` keeps the type of the values).

    `interpolation` is linear, nearest or bspline; `matrix` (4, 4) takes LPS mm of the new grid to LPS mm of the image;
    `outside` fills what lies beyond the image. Larger voxels get the mean over sub-voxels, except with nearest; without
    `average` they get the value at their centre, as IBSI has it.
    """
    if interpolation == "nearest":
        values = sample(to_itk(image.values, image.grid), grid, matrix, INTERPOLATORS["nearest"], outside)
        return Volume(values.astype(image.values.dtype), grid, image.unit)
    parts = _parts(image.grid, grid, matrix) if average else (1, 1, 1)
    fine = sample(to_itk(image.values, image.grid), _finer(grid, parts), matrix, INTERPOLATORS[interpolation], outside)
    return Volume(_means(fine, parts), grid, image.unit)


def _cover(of: Grid, by: Grid, matrix: np.ndarray) -> np.ndarray:
    """Return which part (0 to 1) of each voxel of `of` lies in the field of view of `by`, (z, y, x) float32.

    A border of zeros around ones, interpolated linearly, is one half where the field of view ends.
    """
    padded = np.pad(np.ones(by.shape_zyx, np.float32), 1)
    x, y, z = np.asarray(by.origin_mm) - np.asarray(by.direction) @ np.asarray(by.spacing_mm)
    nz, ny, nx = padded.shape
    wide = Grid((nz, ny, nx), by.spacing_mm, (float(x), float(y), float(z)), by.direction)
    return sample(to_itk(padded, wide), of, matrix, sitk.sitkLinear, 0.0)


def activity_inside_mbq(image: Volume, grid: Grid, matrix: np.ndarray = SAME_PLACE) -> float:
    """Return the activity (MBq) of an image in Bq/mL that lies inside the field of view of a grid."""
    image.require_unit("Bq/mL")
    inside = _cover(image.grid, grid, np.linalg.inv(matrix))
    return float(np.vdot(image.values.astype(np.float64), inside)) * image.grid.voxel_ml * 1e-6


def resample_activity(
    image: Volume, grid: Grid, *, matrix: np.ndarray = SAME_PLACE, interpolation: str = "linear"
) -> Volume:
    """Return an activity concentration (Bq/mL) on another grid with the activity inside the common field of view kept.

    `matrix` as in `resample`. GeometryError when the fields of view do not meet or the totals differ by more than 10 %
    before they are made equal.
    """
    wanted = activity_inside_mbq(image, grid, matrix)
    inside = _cover(image.grid, grid, np.linalg.inv(matrix))
    if not inside.any():
        raise GeometryError(
            "images do not overlap", got=grid.describe(), expected=f"overlap with {image.grid.describe()}"
        )
    moved = resample(image, grid, interpolation=interpolation, matrix=matrix)
    found = moved.total_mbq()
    gross = float(np.abs(moved.values).sum(dtype=np.float64)) * grid.voxel_ml * 1e-6
    if abs(wanted) <= SMALLEST_NET_PART * gross or gross == 0:
        return moved
    factor = wanted / found if found else math.inf
    if abs(factor - 1) > LARGEST_CORRECTION:
        raise GeometryError(
            "activity is not kept on the new grid",
            got=f"{found:.6g} MBq",
            expected=f"{wanted:.6g} MBq",
            remedy="the images overlap at a hot edge only, or the new voxels do not fit the image",
        )
    return moved.with_values((moved.values * np.float32(factor)).astype(np.float32))


def _box(grid: Grid, source: Grid, matrix: np.ndarray, index: tuple[slice, ...]) -> tuple[slice, ...]:
    """Return the part of `grid` in which a box of voxels of `source` can be seen, one voxel wider on every side."""
    z, y, x = ((s.start - 1, s.stop) for s in index)
    corners = np.array([(i, j, k, 1) for k in z for j in y for i in x], float)
    to_grid = np.linalg.inv(grid.affine_lps()) @ np.linalg.inv(matrix) @ source.affine_lps()
    places = (corners @ to_grid.T)[:, :3][:, ::-1]
    low = np.clip(np.floor(places.min(0)).astype(int) - 1, 0, None)
    high = np.minimum(np.ceil(places.max(0)).astype(int) + 2, grid.shape_zyx)
    return tuple(slice(int(a), max(int(a), int(b))) for a, b in zip(low, high, strict=True))


def _cut(grid: Grid, box: tuple[slice, ...]) -> Grid:
    """Return the part of a grid that a box of voxels (z, y, x) covers."""
    first = np.array([box[2].start, box[1].start, box[0].start, 1.0])
    x, y, z = (grid.affine_lps() @ first)[:3]
    nz, ny, nx = (s.stop - s.start for s in box)
    return Grid((nz, ny, nx), grid.spacing_mm, (float(x), float(y), float(z)), grid.direction)


def resample_labels(mask: Volume, grid: Grid, *, matrix: np.ndarray = SAME_PLACE, average: bool = True) -> Volume:
    """Return a label mask on another grid: a voxel gets the label that fills at least half of it, else 0.

    `matrix` and `average` as in `resample`. Where two labels fill one half each, the larger number wins (lesions lie
    in organs).
    """
    labels = mask.require_unit("label", "mask").values
    result = np.zeros(grid.shape_zyx, labels.dtype)
    most = np.full(grid.shape_zyx, HALF, np.float32)
    for label in np.unique(labels[labels != 0]):
        one = labels == label
        box = _box(grid, mask.grid, matrix, tuple(slice(int(i.min()), int(i.max()) + 1) for i in np.nonzero(one)))
        if any(s.start >= s.stop for s in box):
            continue
        part = resample(
            Volume(one.astype(np.float32), mask.grid, "1"), _cut(grid, box), matrix=matrix, average=average
        ).values
        wins = part >= most[box]
        result[box][wins] = label
        most[box][wins] = part[wins]
    return Volume(result, grid, "label")
