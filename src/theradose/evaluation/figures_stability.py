"""Which features survive small changes of image and outline, and which say the same as another."""

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from theradose.evaluation.figures import FAINT, INK, MUTED, PAPER, SERIES_COLOURS, WIDTH_IN, canvas, empty_axis, styled
from theradose.evaluation.figures_doses import spread

PER_ROW = 3
LOG_NAME = re.compile(r"log-sigma-(\d+)-(\d+)-mm-3D")
CLASSES = {
    "firstorder": "intensity", "shape": "shape", "glcm": "GLCM", "glrlm": "GLRLM", "glszm": "GLSZM", "gldm": "GLDM",
    "ngtdm": "NGTDM", "local": "local",
}  # fmt: skip
# From clay to teal through a pale middle: told apart by lightness too.
SHARE = LinearSegmentedColormap.from_list("share", ["#b5543a", "#f2dcc8", "#d9ece8", "#0f766e"])
DARK_BELOW, DARK_ABOVE = 0.12, 0.75


def filter_words(name: str) -> str:
    """Return a filter for readers.

    >>> filter_words("log-sigma-4-0-mm-3D"), filter_words("original")
    ('LoG 4 mm', 'original')
    """
    found = LOG_NAME.fullmatch(name)
    return f"LoG {float('.'.join(found.groups())):g} mm" if found else name.replace("_", " ").replace("-", " ")


def class_words(name: str) -> str:
    """Return a feature class for readers, `GLCM` for `glcm`."""
    return CLASSES.get(name, name)


def _order(names: pd.Series) -> list[str]:
    """Return names once each, in the order of a table."""
    return list(dict.fromkeys(names))


def _heat(axes: Axes, table: pd.DataFrame, filters: Sequence[str], classes: Sequence[str]) -> None:
    """Draw the share of stable features by class and filter with its counts; without features a cell stays empty."""
    shares = np.full((len(classes), len(filters)), np.nan)
    for (kind, name), own in table.groupby(["feature_class", "filter"]):
        row, column = classes.index(str(kind)), filters.index(str(name))
        stable, n = int((own["stable"] == "yes").sum()), len(own)
        shares[row, column] = stable / n
        dark = not DARK_BELOW < stable / n < DARK_ABOVE
        colour = PAPER if dark else INK
        axes.text(column, row, f"{stable}/{n}", ha="center", va="center", fontsize=7.5, color=colour)
    axes.imshow(np.ma.masked_invalid(shares), cmap=SHARE, vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(filters)), [filter_words(name) for name in filters], color=INK)
    axes.set_yticks(range(len(classes)), [class_words(name) for name in classes], color=INK)
    axes.tick_params(length=0)
    axes.grid(False)
    axes.set_frame_on(False)


def _dots(axes: Axes, table: pd.DataFrame, filters: Sequence[str], classes: Sequence[str], threshold: float) -> None:
    """Draw the lower bound of every feature by class, a colour a filter; hollow where it is under the threshold."""
    band = 0.8 / len(filters)
    for row, kind in enumerate(classes):
        for number, name in enumerate(filters):
            own = table[(table["feature_class"] == kind) & (table["filter"] == name)]
            low = own["icc_low"].dropna().clip(lower=0.0).sort_values().to_numpy(float)
            y = row + (number - (len(filters) - 1) / 2) * band + spread(len(low), 0.3 * band)
            colour = SERIES_COLOURS[number % len(SERIES_COLOURS)]
            axes.scatter(
                low, y, s=13, linewidths=0.8, edgecolors=colour, zorder=3, alpha=0.8,
                facecolors=[colour if value >= threshold else PAPER for value in low],
            )  # fmt: skip
    axes.axvline(threshold, color=INK, linewidth=0.9, dashes=(5, 3))
    axes.set_yticks(range(len(classes)), [class_words(name) for name in classes], color=INK)
    axes.set_ylim(len(classes) - 0.5, -0.5)
    axes.set_xlim(max(0.0, np.nan_to_num(float(table["icc_low"].min())) - 0.03) - 0.01, 1.01)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    for row in range(1, len(classes)):
        axes.axhline(row - 0.5, color=FAINT, linewidth=0.7)
    axes.set_xlabel("lower bound of ICC(2,1), below 0 drawn at 0")


@styled
def stability(panels: Mapping[str, pd.DataFrame], dots: pd.DataFrame, threshold: float) -> Figure:
    """Return shares of stable features by class and filter, a panel each, above the lower bound of every feature.

    All tables have the columns of STABILITY; `threshold` is the lower bound from which a feature is stable.
    """
    filters, classes = _order(dots["filter"]), _order(dots["feature_class"])
    columns = min(PER_ROW, len(panels))
    rows = -(-len(panels) // columns)
    height = 0.24 * len(classes) + 0.55
    below = 0.13 * len(classes) * len(filters) + 0.6
    figure = canvas(WIDTH_IN, rows * height + below + 0.3)
    halves: Any = figure.subfigures(2, 1, height_ratios=(rows * height, below + 0.3))
    heats = halves[0].subplots(rows, columns, squeeze=False, sharey=True)
    for axes, (title, table) in zip(heats.flat, panels.items(), strict=False):
        _heat(axes, table, filters, classes)
        axes.set_title(title)
    for axes in heats.flat[len(panels) :]:
        empty_axis(axes)
    _dots(halves[1].subplots(), dots, filters, classes, threshold)
    handles = [
        Line2D([], [], marker="o", linestyle="none", color=SERIES_COLOURS[i % len(SERIES_COLOURS)],
               label=filter_words(name))
        for i, name in enumerate(filters)
    ]  # fmt: skip
    handles.append(Line2D([], [], marker="o", linestyle="none", color=MUTED, mfc=PAPER, label=f"below {threshold:g}"))
    halves[1].legend(handles=handles, loc="outside upper right", ncols=len(handles))
    return figure


@styled
def correlation(values: pd.DataFrame, kept: Sequence[bool], blocks: Sequence[str]) -> Figure:
    """Return |Spearman correlation| of all features (columns of `values`, a row a patient), kept ones marked.

    `blocks` names the filter of each column; lines part them.
    """
    n = len(values.columns)
    figure = canvas(8.2, 6.6)
    axes = figure.subplots()
    shown = axes.imshow(values.corr(method="spearman").abs(), cmap="magma_r", vmin=0, vmax=1, interpolation="nearest")
    edges = [0, *(i for i in range(1, n) if blocks[i] != blocks[i - 1]), n]
    for edge in edges[1:-1]:
        axes.axhline(edge - 0.5, color=PAPER, linewidth=1.0)
        axes.axvline(edge - 0.5, color=PAPER, linewidth=1.0)
    places = np.flatnonzero(kept)
    axes.plot(np.full(len(places), n + 0.012 * n), places, "_", color=INK, ms=6, clip_on=False)
    middles = [(first + last - 1) / 2 for first, last in pairwise(edges)]
    for (first, last), middle in zip(pairwise(edges), middles, strict=True):
        said = f"{sum(kept[first:last])} of {last - first}\nkept"
        axes.text(n * 1.035, middle, said, va="center", fontsize=8, color=INK)
    names = [filter_words(blocks[first]) for first in edges[:-1]]
    axes.set_xticks(middles, names, color=INK)
    axes.set_yticks(middles, names, color=INK, rotation=90, va="center")
    axes.tick_params(length=0)
    axes.grid(False)
    figure.colorbar(shown, ax=axes, label="|Spearman correlation|", shrink=0.7, pad=0.13)
    return figure
