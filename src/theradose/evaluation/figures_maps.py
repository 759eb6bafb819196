"""Images of one patient: projections on one scale, and the dose map over the CT with labelled isodose lines."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from scipy.ndimage import zoom

from theradose.evaluation.figures import INK, MUTED, WIDTH_IN, canvas, corner, image_axis, styled
from theradose.imaging.volume import Volume

BQ_PER_KBQ = 1000.0
MIP_CEILING = 99.8
"""Percentile of the projections at which the grey scale ends, so that one hot voxel does not hide the organs."""
CT_WINDOW_HU = (-160.0, 240.0)
DOSE_MAP, ACTIVITY_MAP = "inferno", "gray_r"
NICE = np.array([1.0, 2.0, 5.0])
LINES = 5
ISO_COLOURS = ("#7fd3ff", "#b8f2c2", "#ffffff", "#ffd166", "#ff8fa3")
SCALE_BAR_MM = 100.0
SMOOTH = 4
VISIBLE = 0.06


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


def _marks(axes: Axes, plane: Slice, colour: str) -> None:
    """Mark the patient's sides and a length of 10 cm."""
    left, right, bottom, top = plane.extent_mm
    corner(axes, "R", colour=colour)
    corner(axes, "L", right=True, colour=colour)
    if right - left < 2 * SCALE_BAR_MM:
        return
    x, y = left + 0.05 * (right - left), bottom + 0.03 * (top - bottom)
    axes.plot([x, x + SCALE_BAR_MM], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
    axes.annotate("10 cm", (x, y), (0, 2.5), textcoords="offset points", fontsize=6.5, color=colour)


def _colour_bar(figure: Figure, axes: Sequence[Axes], cmap: str, limits: tuple[float, float], label: str) -> None:
    """Put one colour bar beside all the axes that share its scale."""
    low, high = limits
    bar = figure.colorbar(
        ScalarMappable(Normalize(low, high), cmap), ax=list(axes), label=label, extend="max", shrink=0.92, pad=0.012,
        aspect=28, fraction=0.05,
    )  # fmt: skip
    bar.outline.set_linewidth(0.4)  # type: ignore[operator]
    bar.ax.grid(False)


def _mip_row(figure: Figure, axes: Sequence[Axes], images: Sequence[tuple[str, Volume]], label: str) -> None:
    """Draw projections that share one grey scale in kBq/mL, with its bar."""
    planes = [coronal_mip(image.with_values(image.values / BQ_PER_KBQ, "kBq/mL")) for _, image in images]
    high = max(float(np.percentile(np.concatenate([p.values.ravel() for p in planes]), MIP_CEILING)), 1e-9)
    for axis, plane, (title, _) in zip(axes, planes, images, strict=True):
        image_axis(axis)
        axis.imshow(
            plane.values, cmap=ACTIVITY_MAP, vmin=0, vmax=high, extent=plane.extent_mm, origin="lower",
            interpolation="bilinear",
        )  # fmt: skip
        _marks(axis, plane, MUTED)
        axis.set_title(title)
    _colour_bar(figure, axes, ACTIVITY_MAP, (0, high), label)


@styled
def projections(pet: Sequence[tuple[str, Volume]], spect: Sequence[tuple[str, Volume]]) -> Figure:
    """Return coronal maximum-intensity projections: PET on its scale, all SPECT time points on one; images in Bq/mL."""
    shown = (*pet, *spect)
    left, right, bottom, top = coronal_mip(shown[0][1]).extent_mm
    widths = [len(group) + 0.25 for group in (pet, spect) if group]
    panel_in = min((WIDTH_IN - 0.9 * len(widths)) / max(len(shown), 4), 2.4)
    figure = canvas(panel_in * len(shown) + 0.9 * len(widths), panel_in * (top - bottom) / (right - left) + 0.45)
    groups = np.atleast_1d(figure.subfigures(1, len(widths), width_ratios=widths))
    rows = [(pet, "PET (kBq/mL)"), (spect, "SPECT at scan time (kBq/mL)")]
    for part, (images, label) in zip(groups, [row for row in rows if row[0]], strict=True):
        _mip_row(part, np.atleast_1d(part.subplots(1, len(images))).tolist(), images, label)
    return figure


def nice_levels(highest: float, count: int = LINES) -> list[float]:
    """Return up to `count` round numbers (1, 2, 5 x 10^k) below a value, ascending.

    >>> nice_levels(30.0)
    [1.0, 2.0, 5.0, 10.0, 20.0]
    """
    if not highest > 0:
        return []
    decades = 10.0 ** np.arange(-4, 5)
    levels = np.outer(decades, NICE).ravel()
    return [float(level) for level in levels[levels < 0.95 * highest][-count:]]


def _dose_axis(axes: Axes, background: Slice | None, dose: Slice, high: float, levels: Sequence[float]) -> None:
    """Draw one plane: CT in grey, dose as a colour wash that fades out below, isodose lines with their labels."""
    image_axis(axes)
    axes.set_facecolor("black")
    if background is not None:
        low_hu, high_hu = CT_WINDOW_HU
        axes.imshow(
            background.values, cmap="gray", vmin=low_hu, vmax=high_hu, extent=background.extent_mm, origin="lower",
            interpolation="bilinear",
        )  # fmt: skip
    fine = np.clip(zoom(dose.values.astype(float), SMOOTH, order=1, mode="nearest", grid_mode=True), 0, None)
    opacity = np.clip((fine / high - VISIBLE / 2) / VISIBLE, 0, 1) * (0.62 if background is not None else 1.0)
    axes.imshow(
        fine, cmap=DOSE_MAP, vmin=0, vmax=high, alpha=opacity, extent=dose.extent_mm, origin="lower",
        interpolation="nearest",
    )  # fmt: skip
    inside = [level for level in levels if level < fine.max()]
    if inside:
        colours = [ISO_COLOURS[levels.index(level) % len(ISO_COLOURS)] for level in inside]
        lines = axes.contour(fine, inside, colors=colours, linewidths=0.9, extent=dose.extent_mm, origin="lower")
        for text in axes.clabel(lines, fmt=lambda level: f"{level:g}", fontsize=6.5, inline_spacing=1):
            text.set_path_effects([withStroke(linewidth=1.4, foreground="black")])
    _marks(axes, dose, "#e6e6e6")


@styled
def dose_overlay(dose: Volume, background: Volume | None, centre_zy_mm: tuple[float, float]) -> Figure:
    """Return the coronal and axial planes of a dose map (Gy) over the CT (HU) through a point (z, y) in mm."""
    z_mm, y_mm = centre_zy_mm
    planes = [coronal(dose, y_mm), axial(dose, z_mm)]
    behind = [None, None] if background is None else [coronal(background, y_mm), axial(background, z_mm)]
    values = np.concatenate([plane.values.ravel() for plane in planes])
    high = max(float(np.percentile(values[values > 0], 99.7)) if (values > 0).any() else 0.0, 1e-6)
    levels = nice_levels(float(values.max()))
    (l0, r0, b0, t0), (l1, r1, b1, t1) = (plane.extent_mm for plane in planes)
    height = 4.6
    # Panels as wide as their planes, so that neither leaves empty room beside it.
    widths = [(r0 - l0) / (t0 - b0), (r1 - l1) / (t1 - b1)]
    scale = min(1.0, (WIDTH_IN - 2.2) / (height * sum(widths)))
    figure = canvas(height * scale * sum(widths) + 2.2, height * scale + 0.3)
    axes = figure.subplots(1, 2, width_ratios=widths)
    for axis, under, plane, title in zip(axes, behind, planes, ("Coronal", "Axial"), strict=True):
        _dose_axis(axis, under, plane, high, levels)
        axis.set_title(title)
    _colour_bar(figure, axes, DOSE_MAP, (0, high), "absorbed dose (Gy)")
    marks = [
        Line2D([], [], color=ISO_COLOURS[i % len(ISO_COLOURS)], label=f"{level:g} Gy", path_effects=STROKED)
        for i, level in reversed(list(enumerate(levels)))
    ]
    legend = figure.legend(handles=marks, title="isodose", loc="outside right center", alignment="left")
    legend.get_title().set_color(INK)
    return figure


STROKED = [withStroke(linewidth=3.0, foreground="#3a3a3a")]
