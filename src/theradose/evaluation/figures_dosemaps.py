"""Dose maps predicted before therapy: truth, label and every prediction on one scale, their differences on another."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from theradose.evaluation.figures import INK, MINUS, MUTED, WIDTH_IN, canvas, corner, empty_axis, image_axis, styled

DOSE_MAP, DIFFERENCE_MAP = "inferno", "RdBu_r"
CEILING = 99.7
"""Percentile of the maps at which the scales end."""
MARGIN_VOXEL = 2


def crop(mask: np.ndarray, margin: int = MARGIN_VOXEL) -> tuple[slice, slice]:
    """Return the rows and columns that hold a mask (h, w), with a margin; everything when it is empty."""
    if not mask.any():
        return slice(None), slice(None)
    rows, columns = np.nonzero(mask)
    return (
        slice(max(int(rows.min()) - margin, 0), int(rows.max()) + margin + 1),
        slice(max(int(columns.min()) - margin, 0), int(columns.max()) + margin + 1),
    )


def _image(axes: Axes, values: np.ndarray, scale: tuple[str, float, float], spacing_yx_mm: tuple[float, float]) -> None:
    """Draw a slice with square millimetres on a scale (colour map, low, high)."""
    image_axis(axes)
    cmap, low, high = scale
    axes.imshow(
        values, cmap=cmap, vmin=low, vmax=high, aspect=spacing_yx_mm[0] / spacing_yx_mm[1], interpolation="nearest"
    )


def _bar(figure: Figure, axes: Sequence[Axes], scale: tuple[str, float, float], label: str, extend: str) -> None:
    """Put one colour bar beside a row of images."""
    cmap, low, high = scale
    bar = figure.colorbar(
        ScalarMappable(Normalize(low, high), cmap), ax=list(axes), label=label, extend=extend, aspect=18, pad=0.012,
        fraction=0.05, shrink=0.95,
    )  # fmt: skip
    bar.ax.grid(False)


@styled
def dose_maps(
    references: Mapping[str, np.ndarray],
    predictions: Mapping[str, np.ndarray],
    mask: np.ndarray,
    spacing_yx_mm: tuple[float, float],
) -> Figure:
    """Return one axial slice (h, w) of references and predictions in Gy/GBq, and each one's difference from the first.

    The first reference is what the others are compared with; `mask` is the body.
    """
    maps = {**references, **predictions}
    rows, columns = crop(mask)
    shown = {name: np.where(mask, values, 0.0)[rows, columns] for name, values in maps.items()}
    against, wanted = next(iter(shown.items()))
    differences = {name: values - wanted for name, values in shown.items() if name != against}
    inside = np.concatenate([values.ravel() for values in shown.values()])
    high = max(float(np.percentile(inside[inside > 0], CEILING)) if (inside > 0).any() else 0.0, 1e-6)
    spread = max(float(np.percentile(np.abs(list(differences.values())), CEILING)), 1e-6)
    scales = (DOSE_MAP, 0.0, high), (DIFFERENCE_MAP, -spread, spread)
    height, width = wanted.shape
    panel_in = min((WIDTH_IN - 1.0) / len(shown), 2.6)
    panel_high_in = panel_in * height / width * spacing_yx_mm[0] / spacing_yx_mm[1]
    figure = canvas(panel_in * len(shown) + 1.0, 2 * panel_high_in + 0.6)
    axes = figure.subplots(2, len(shown), squeeze=False)
    for column, (name, values) in enumerate(shown.items()):
        _image(axes[0, column], values, scales[0], spacing_yx_mm)
        axes[0, column].set_title(name, color=INK)
        if name in differences:
            _image(axes[1, column], differences[name], scales[1], spacing_yx_mm)
            corner(axes[1, column], f"{name} {MINUS} {against}", colour=MUTED)
        else:
            empty_axis(axes[1, column])
            axes[1, column].text(
                0.5, 0.5, f"difference\nfrom {against}", transform=axes[1, column].transAxes, ha="center", va="center",
                color=MUTED,
            )  # fmt: skip
    corner(axes[0, 0], "R", colour="white")
    corner(axes[0, 0], "L", right=True, colour="white")
    _bar(figure, axes[0], scales[0], "dose (Gy/GBq)", "max")
    _bar(figure, axes[1], scales[1], "difference (Gy/GBq)", "both")
    return figure
