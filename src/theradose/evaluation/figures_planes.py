"""Planes through images: cut and turned so that the patient stands upright, with sides, a length and a colour bar."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from theradose.evaluation.figures import corner
from theradose.imaging.volume import Volume

SCALE_BAR_MM = 100.0


@dataclass(frozen=True)
class Slice:
    """A plane of an image: values (rows upwards), and its extent (left, right, bottom, top) in mm."""

    values: np.ndarray
    extent_mm: tuple[float, float, float, float]


def coordinates_mm(image: Volume) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where the voxel centres lie along z, y and x, mm; axes at right angles to the patient are assumed."""
    grid = image.grid
    axes = []
    for axis, n in zip((2, 1, 0), grid.shape_zyx, strict=True):
        sign = 1.0 if grid.direction[axis][axis] >= 0 else -1.0
        axes.append(grid.origin_mm[axis] + sign * grid.spacing_mm[axis] * np.arange(n))
    return axes[0], axes[1], axes[2]


def _slice(plane: np.ndarray, rows_mm: np.ndarray, columns_mm: np.ndarray) -> Slice:
    """Turn a plane so that both coordinates grow, and note its extent."""
    if rows_mm[-1] < rows_mm[0]:
        plane, rows_mm = plane[::-1], rows_mm[::-1]
    if columns_mm[-1] < columns_mm[0]:
        plane, columns_mm = plane[:, ::-1], columns_mm[::-1]
    dr = (rows_mm[1] - rows_mm[0]) / 2 if len(rows_mm) > 1 else 1.0
    dc = (columns_mm[1] - columns_mm[0]) / 2 if len(columns_mm) > 1 else 1.0
    return Slice(plane, (columns_mm[0] - dc, columns_mm[-1] + dc, rows_mm[0] - dr, rows_mm[-1] + dr))


def coronal_mip(image: Volume) -> Slice:
    """Return the maximum along the patient's depth, seen from the front."""
    z, _, x = coordinates_mm(image)
    return _slice(image.values.max(axis=1), z, x)


def coronal(image: Volume, y_mm: float) -> Slice:
    """Return the coronal plane nearest to `y_mm`, seen from the front."""
    z, y, x = coordinates_mm(image)
    return _slice(image.values[:, int(np.abs(y - y_mm).argmin()), :], z, x)


def axial(image: Volume, z_mm: float) -> Slice:
    """Return the axial plane nearest to `z_mm`, seen from the feet, front of the patient up."""
    z, y, x = coordinates_mm(image)
    plane = _slice(image.values[int(np.abs(z - z_mm).argmin())], y, x)
    left, right, bottom, top = plane.extent_mm
    return Slice(plane.values[::-1], (left, right, -top, -bottom))


def side_marks(axes: Axes, plane: Slice, colour: str) -> None:
    """Mark the patient's sides and a length of 10 cm."""
    left, right, bottom, top = plane.extent_mm
    corner(axes, "R", colour=colour)
    corner(axes, "L", right=True, colour=colour)
    if right - left < 2 * SCALE_BAR_MM:
        return
    x, y = left + 0.05 * (right - left), bottom + 0.03 * (top - bottom)
    axes.plot([x, x + SCALE_BAR_MM], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
    axes.annotate("10 cm", (x, y), (0, 2.5), textcoords="offset points", fontsize=6.5, color=colour)


def colour_bar(figure: Figure, axes: Sequence[Axes], cmap: str, limits: tuple[float, float], label: str) -> None:
    """Put one colour bar beside all the axes that share its scale."""
    low, high = limits
    bar = figure.colorbar(
        ScalarMappable(Normalize(low, high), cmap), ax=list(axes), label=label, extend="max", shrink=0.92, pad=0.012,
        aspect=28, fraction=0.05,
    )  # fmt: skip
    bar.outline.set_linewidth(0.4)
    bar.ax.grid(False)
