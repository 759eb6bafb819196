"""The dose map of a patient over the CT (or else the SPECT), with labelled isodose lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from scipy.ndimage import zoom

from theradose.evaluation.figures import INK, WIDTH_IN, canvas, image_axis, styled
from theradose.evaluation.figures_planes import Slice, axial, colour_bar, coordinates_mm, coronal, side_marks
from theradose.imaging.volume import Volume

CT_WINDOW_HU = (-160.0, 240.0)
DOSE_MAP = "inferno"
NICE = np.array([1.0, 2.0, 5.0])
LINES = 4
ISO_COLOURS = ("#7fd3ff", "#c8f7b0", "#ffffff", "#ff9eb5")
SMOOTH = 4
VISIBLE = 0.06
"""Part of the scale below which the colour wash fades out, so that the CT stays visible."""
WASH = 0.65
AIR_HU = -500.0
BODY_PART = 0.02
MARGIN_MM = 18.0
NEAR_MM = 20.0
# Where the label of each level stands: axis (0 x, 1 y), its far end or near end, offset in points, alignment.
SIDES = (
    (0, True, (3, 0), ("left", "center")),
    (0, False, (-3, 0), ("right", "center")),
    (1, True, (0, 2), ("center", "bottom")),
    (1, False, (0, -2), ("center", "top")),
)
BEHIND = {"facecolor": "black", "alpha": 0.55, "edgecolor": "none", "pad": 0.8}
LEGEND_STROKE = [withStroke(linewidth=3.2, foreground="#3a3a3a")]


def nice_levels(highest: float, count: int = LINES) -> list[float]:
    """Return up to `count` round numbers (1, 2, 5 x 10^k) below a value, ascending.

    >>> nice_levels(30.0)
    [2.0, 5.0, 10.0, 20.0]
    """
    if not highest > 0:
        return []
    decades = 10.0 ** np.arange(-4, 5)
    levels = np.outer(decades, NICE).ravel()
    return [float(level) for level in levels[levels < 0.95 * highest][-count:]]


@dataclass(frozen=True)
class Background:
    """The image under a dose map: its grey window, and the value above which there is a body."""

    image: Volume
    window: tuple[float, float]
    body_above: float


def under_ct(ct: Volume) -> Background:
    """Return a CT (HU) as background, soft-tissue window."""
    return Background(ct, CT_WINDOW_HU, AIR_HU)


def under_spect(spect: Volume) -> Background:
    """Return a SPECT (Bq/mL) as background where there is no CT, its window cut at the highest half per cent."""
    inside = spect.values[spect.values > 0]
    high = float(np.percentile(inside, 99.5)) if inside.size else 1.0
    return Background(spect, (0.0, high), BODY_PART * high)


def _isodose(axes: Axes, fine: np.ndarray, dose: Slice, levels: Sequence[float]) -> None:
    """Draw the isodose lines of a plane and write each level once, beside its longest line, each on another side."""
    for index, level in enumerate(levels):
        if not fine.min() < level < fine.max():
            continue
        colour = ISO_COLOURS[index % len(ISO_COLOURS)]
        lines = axes.contour(fine, [level], colors=[colour], linewidths=1.0, extent=dose.extent_mm, origin="lower")
        longest = max(lines.allsegs[0], key=len)
        axis, last, offset, (ha, va) = SIDES[index % len(SIDES)]
        place = longest[longest[:, axis].argmax() if last else longest[:, axis].argmin()]
        axes.annotate(
            f"{level:g} Gy", place, offset, textcoords="offset points", fontsize=7.5, color=colour, ha=ha, va=va,
            bbox=BEHIND, annotation_clip=True, zorder=6,
        )  # fmt: skip


def dose_axis(
    axes: Axes, under: Slice, window: tuple[float, float], dose: Slice, scale: tuple[float, list[float]]
) -> None:
    """Draw one plane: background in grey, dose as a colour wash that fades out below, isodose lines with labels.

    `scale` is the highest dose of the colours and the isodose levels, Gy.
    """
    image_axis(axes)
    axes.set_facecolor("black")
    axes.imshow(
        under.values, cmap="gray", vmin=window[0], vmax=window[1], extent=under.extent_mm, origin="lower",
        interpolation="bilinear",
    )  # fmt: skip
    high, levels = scale
    fine = np.clip(zoom(dose.values.astype(float), SMOOTH, order=1, mode="nearest", grid_mode=True), 0, None)
    opacity = np.clip((fine / high - VISIBLE / 2) / VISIBLE, 0, 1) * WASH
    axes.imshow(
        fine, cmap=DOSE_MAP, vmin=0, vmax=high, alpha=opacity, extent=dose.extent_mm, origin="lower",
        interpolation="nearest",
    )  # fmt: skip
    _isodose(axes, fine, dose, levels)


def view(plane: Slice, body_above: float) -> tuple[float, float, float, float]:
    """Return the part of a plane (left, right, bottom, top in mm) that holds the body, with a margin."""
    there = plane.values > body_above
    if not there.any():
        return plane.extent_mm
    left, right, bottom, top = plane.extent_mm
    rows, columns = np.nonzero(there.any(axis=1))[0], np.nonzero(there.any(axis=0))[0]
    dy, dx = (top - bottom) / there.shape[0], (right - left) / there.shape[1]
    return (
        max(left, left + dx * columns[0] - MARGIN_MM), min(right, left + dx * (columns[-1] + 1) + MARGIN_MM),
        max(bottom, bottom + dy * rows[0] - MARGIN_MM), min(top, bottom + dy * (rows[-1] + 1) + MARGIN_MM),
    )  # fmt: skip


def hottest_z_mm(dose: Volume) -> float:
    """Return the height (mm) of the axial plane that holds the highest dose."""
    z, _, _ = coordinates_mm(dose)
    return float(z[int(dose.values.max(axis=(1, 2)).argmax())])


@styled
def dose_overlay(dose: Volume, background: Background, centre_zy_mm: tuple[float, float]) -> Figure:
    """Return planes of a dose map (Gy) over an image: coronal and axial through a point (z, y) in mm, and the hottest.

    All planes share one colour scale and the same isodose levels.
    """
    z_mm, y_mm = centre_zy_mm
    cuts = {"Coronal": (coronal, y_mm), "Axial": (axial, z_mm)}
    if abs(hottest_z_mm(dose) - z_mm) > NEAR_MM:
        cuts["Axial, highest dose"] = (axial, hottest_z_mm(dose))
    planes = {title: cut(dose, place) for title, (cut, place) in cuts.items()}
    behind = {title: cut(background.image, place) for title, (cut, place) in cuts.items()}
    values = np.concatenate([plane.values.ravel() for plane in planes.values()])
    high = max(float(np.percentile(values[values > 0], 99.0)) if (values > 0).any() else 0.0, 1e-6)
    levels = nice_levels(float(values.max()))
    shown = {title: view(plane, background.body_above) for title, plane in behind.items()}
    figure, axes = _overlay_axes(list(shown.values()))
    for axis, (title, plane) in zip(axes, planes.items(), strict=True):
        dose_axis(axis, behind[title], background.window, plane, (high, levels))
        axis.set(title=title, xlim=shown[title][:2], ylim=shown[title][2:])
        side_marks(axis, Slice(plane.values, shown[title]), "#e6e6e6")
    colour_bar(figure, axes, DOSE_MAP, (0, high), "absorbed dose (Gy)")
    marks = [
        Line2D([], [], color=ISO_COLOURS[i % len(ISO_COLOURS)], label=f"{level:g} Gy", path_effects=LEGEND_STROKE)
        for i, level in reversed(list(enumerate(levels)))
    ]
    legend = figure.legend(handles=marks, title="isodose", loc="outside right center", alignment="left")
    legend.get_title().set_color(INK)
    return figure


def _overlay_axes(views: Sequence[tuple[float, float, float, float]]) -> tuple[Figure, list[Axes]]:
    """Return a figure with the coronal plane on the left and the axial ones stacked beside it, all on one scale."""
    sizes = [(right - left, top - bottom) for left, right, bottom, top in views]
    widths = [sizes[0][0], max(width for width, _ in sizes[1:])]
    height = max(sizes[0][1], sum(h for _, h in sizes[1:]))
    # 1.9 inches for colour bar and legend, half an inch for the titles.
    scale = min((WIDTH_IN - 1.9) / sum(widths), 6.4 / height)
    figure = canvas(scale * sum(widths) + 1.9, scale * height + 0.5)
    names = ["a", "b", "c"][: len(sizes)]
    mosaic: list[Any] = [["a", name] for name in names[1:]]
    panels = figure.subplot_mosaic(mosaic, width_ratios=widths, height_ratios=[h for _, h in sizes[1:]])
    return figure, [panels[name] for name in names]
