"""Masks on the grid of the image they are for: resampled when they come in, with what that did to each volume."""

from collections.abc import Iterable

import numpy as np

from theradose.cohort.layout import PRE
from theradose.errors import GeometryError
from theradose.imaging.grid import Grid
from theradose.imaging.resample import resample
from theradose.imaging.volume import Volume
from theradose.vocabulary import voi_of_label

LARGEST_LOSS = 0.05  # of a label's volume outside the image
LARGEST_CHANGE = 0.05  # of a label's volume that needs no warning
SAME_TIME_H = 0.05
# Kinds of images in the order in which a mask is for them.
ORDER = ("spect", "pet", "ct")
Lying = tuple[str, str, float | None, Grid]


def grid_for(images: Iterable[Lying], session: str, time_h: float | None, own: Grid) -> Grid:
    """Return the grid that a mask of a session and time (h) must lie on: its own when nothing asks for another.

    `images` are (modality, session, time_h, grid). Activity of a cycle is measured on the grid of the SPECT; before
    therapy it is enough that one image lies on the mask's grid.
    """
    near = [
        (kind, grid) for kind, held, at, grid in images
        if held == session and (session == PRE or (at is not None and abs(at - (time_h or 0.0)) <= SAME_TIME_H))
    ]  # fmt: skip
    grids = [grid for wanted in ORDER for kind, grid in near if kind == wanted]
    if any(kind == "spect" for kind, _ in near):
        return grids[0]
    return next((grid for grid in grids if grid.same_as(own)), grids[0] if grids else own)


def name_of(label: int) -> str:
    """Return the VOI of a label, or `label 77` when it has none."""
    try:
        return voi_of_label(label)
    except KeyError:
        return f"label {label}"


def _refusal(what: str, mask: Volume, grid: Grid) -> GeometryError:
    """Return the error that a mask is not for an image, with both grids."""
    return GeometryError(
        what, got=mask.grid.describe(), expected=grid.describe(), code="THR-220",
        remedy="give the image it was drawn on, or export it again",
    )  # fmt: skip


def _require_inside(mask: Volume, grid: Grid) -> None:
    """Raise GeometryError when more than 5 % of a label lie outside a grid, or the grids have other hands."""
    if np.linalg.det(mask.grid.direction) * np.linalg.det(grid.direction) < 0:
        raise _refusal("mask and image have axes of different handedness", mask, grid)
    places = np.argwhere(mask.values > 0)
    labels = mask.values[tuple(places.T)]
    to_grid = np.linalg.inv(grid.affine_lps()) @ mask.grid.affine_lps()
    index = (np.column_stack([places[:, ::-1], np.ones(len(places))]) @ to_grid.T)[:, :3]
    outside = ((index < -0.5) | (index > np.asarray(grid.shape_zyx[::-1]) - 0.5)).any(axis=1)
    for label in np.unique(labels):
        part = float(outside[labels == label].mean())
        if part > LARGEST_LOSS:
            raise _refusal(f"{100 * part:.0f} % of {name_of(int(label))} lie outside the image", mask, grid)


def on_grid(mask: Volume, grid: Grid) -> tuple[Volume, list[str]]:
    """Return a label mask on a grid, by the nearest voxel, and lines: the volume of each label before and after, mL.

    A mask that lies there already comes back as it is, without lines. GeometryError (THR-220) when the grids have other
    handedness, a label would lose more than 5 % outside, or all of its voxels.
    """
    if mask.grid.same_as(grid):
        return mask, []
    _require_inside(mask, grid)
    moved = resample(mask, grid, interpolation="nearest")
    said, warnings = [], []
    for label in map(int, np.unique(mask.values[mask.values > 0])):
        before_ml = int((mask.values == label).sum()) * mask.grid.voxel_ml
        after_ml = int((moved.values == label).sum()) * grid.voxel_ml
        if after_ml == 0:
            raise _refusal(f"{name_of(label)} is smaller than the voxels of the image", mask, grid)
        change = f"{name_of(label)} {before_ml:.2f} -> {after_ml:.2f} mL"
        said.append(change)
        if abs(after_ml / before_ml - 1.0) > LARGEST_CHANGE:
            warnings.append(f"WARN resampling changed a volume by {100 * (after_ml / before_ml - 1):+.0f} %: {change}")
    grids = f"from {mask.grid.describe()} to {grid.describe()}"
    return moved, [f"THR-277 mask was resampled on the grid of its image, {grids}: {', '.join(said)}", *warnings]
