"""Planted against recovered: what the measuring chain makes of virtual patients, with and without correction."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from theradose.evaluation.figures import (
    FAINT,
    INK,
    MUTED,
    PAPER,
    WIDTH_IN,
    canvas,
    organ_colour,
    sort_organs,
    styled,
    words,
)
from theradose.evaluation.figures_doses import spread

GREY = "#a6afb9"
GOAL_PERCENT = 5.0
"""The mean kidney TIA is asked to lie this close to the truth."""


def _identity(axes: Axes, table: pd.DataFrame) -> None:
    """Draw recovered against planted TIA on one logarithmic scale with the line of identity."""
    values = table[["truth", "corrected", "uncorrected"]].to_numpy(float)
    values = values[np.isfinite(values) & (values > 0)]
    low, high = float(values.min()) / 1.6, float(values.max()) * 1.6
    axes.plot([low, high], [low, high], color=INK, linewidth=0.9, dashes=(5, 3))
    axes.plot(table["truth"], table["uncorrected"], "o", mfc="none", mec=GREY, mew=0.8, ms=3.5)
    for organ in sort_organs(table["organ"]):
        rows = table[table["organ"] == organ]
        axes.plot(rows["truth"], rows["corrected"], "o", color=organ_colour(organ), mec=PAPER, mew=0.3, ms=4.2)
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.set_xlabel("planted TIA (MBq·h)")
    axes.set_ylabel("recovered TIA (MBq·h)")
    axes.set_title("Recovered against planted")


def _errors(axes: Axes, table: pd.DataFrame) -> None:
    """Draw the error of every VOI by organ, uncorrected beside corrected, with mean and goal."""
    organs, window = sort_organs(table["organ"]), _window(table)
    axes.axhspan(-GOAL_PERCENT, GOAL_PERCENT, color="#e6f4f1", linewidth=0, zorder=0)
    axes.axhline(0, color=MUTED, linewidth=0.8)
    for index, organ in enumerate(organs):
        rows = table[table["organ"] == organ]
        shift = spread(len(rows), 0.13)
        for name, place, colour in (("error_uncorrected", -0.2, GREY), ("error_corrected", 0.2, organ_colour(organ))):
            _clipped(
                axes, index + place + shift, rows[name], window, color=colour, alpha=0.55, mec=PAPER, mew=0.2, ms=3.5
            )
            mean = float(rows[name].mean())
            axes.plot([index + place - 0.17, index + place + 0.17], [mean, mean], color=INK, linewidth=1.6, zorder=4)
    axes.set_xticks(range(len(organs)), [words(organ) for organ in organs], color=INK, rotation=30, ha="right")
    axes.set_xlim(-0.5, len(organs) - 0.5)
    axes.set_ylim(*window)
    axes.grid(False, axis="x")
    axes.set_ylabel("error of the TIA (%)")
    axes.set_title("Error by organ")


def _window(table: pd.DataFrame) -> tuple[float, float]:
    """Return axis limits that show all corrected errors but the last per cent and most of the uncorrected ones."""
    corrected = np.nanpercentile(table["error_corrected"], [1, 99])
    uncorrected = np.nanpercentile(table["error_uncorrected"], [2, 90])
    low, high = min(corrected[0], uncorrected[0]), max(corrected[1], uncorrected[1])
    room = 0.08 * (high - low) + 1.0
    return float(low - room), float(high + room)


def _clipped(axes: Axes, x: ArrayLike, error: ArrayLike, window: tuple[float, float], **style: Any) -> None:
    """Draw errors as points; those beyond the window stand at its edge as triangles that point outwards."""
    x, error = np.asarray(x, float), np.asarray(error, float)
    edge = 0.015 * (window[1] - window[0])
    for marker, chosen, place in (
        ("o", (error >= window[0]) & (error <= window[1]), error),
        ("^", error > window[1], np.full_like(error, window[1] - edge)),
        ("v", error < window[0], np.full_like(error, window[0] + edge)),
    ):
        axes.plot(x[chosen], place[chosen], marker, **style)


def _volume(axes: Axes, table: pd.DataFrame) -> None:
    """Draw the error against the VOI's volume, the cause of most of the spread."""
    axes.axhspan(-GOAL_PERCENT, GOAL_PERCENT, color="#e6f4f1", linewidth=0, zorder=0)
    axes.axhline(0, color=MUTED, linewidth=0.8)
    window = _window(table)
    _clipped(axes, table["volume_ml"], table["error_uncorrected"], window, mfc="none", mec=GREY, mew=0.7, ms=3.5)
    for organ in sort_organs(table["organ"]):
        rows = table[table["organ"] == organ]
        _clipped(
            axes,
            rows["volume_ml"],
            rows["error_corrected"],
            window,
            color=organ_colour(organ),
            mec=PAPER,
            mew=0.3,
            ms=4,
        )
    axes.set_xscale("log")
    axes.set_ylim(*window)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("volume of the VOI (mL)")
    axes.set_ylabel("error of the TIA (%)")
    axes.set_title("Error against volume")


@styled
def recovery(table: pd.DataFrame) -> Figure:
    """Return planted against recovered TIA: identity plot, error by organ, error against volume.

    `table` has a row a VOI with organ, volume_ml, truth, corrected, uncorrected (MBq.h) and the errors in %.
    """
    figure = canvas(WIDTH_IN, 3.9)
    axes = figure.subplots(1, 3, width_ratios=(1, 1.45, 1))
    _identity(axes[0], table)
    _errors(axes[1], table)
    _volume(axes[2], table)
    handles = [
        Line2D([], [], marker="o", linestyle="none", mfc="none", mec=GREY, label="as the image shows it"),
        Line2D(
            [], [], marker="o", linestyle="none", color=MUTED, mec=PAPER, label="recovery-corrected (colour: organ)"
        ),
        Line2D([], [], color=INK, linewidth=1.6, label="mean"),
        Line2D([], [], color="#cfe9e3", linewidth=6, label=f"within {GOAL_PERCENT:g} %"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=4)
    return figure


@styled
def cohort_spread(people: pd.DataFrame, columns: Mapping[str, str], centres: Mapping[str, tuple[str, str]]) -> Figure:
    """Return the patients of each centre as points, a panel a column of the table; `columns`: name to label."""
    figure = canvas(WIDTH_IN, 1.9)
    panels = np.atleast_1d(figure.subplots(1, len(columns)))
    for axes, (column, label) in zip(panels, columns.items(), strict=True):
        for index, (centre, (colour, marker)) in enumerate(centres.items()):
            values = people.loc[people["centre"] == centre, column].dropna().to_numpy(float)
            axes.plot(values, index + spread(len(values), 0.2), marker, color=colour, mec=PAPER, mew=0.4, ms=4.5)
            if len(values):
                axes.plot([np.median(values)] * 2, [index - 0.34, index + 0.34], color=INK, linewidth=1.6)
        axes.set_yticks(range(len(centres)), list(centres), color=INK)
        axes.set_ylim(len(centres) - 0.5, -0.5)
        axes.grid(False, axis="y")
        axes.spines["left"].set_color(FAINT)
        axes.set_xlabel(label)
        if axes is not panels[0]:
            axes.set_yticklabels([])
    return figure
