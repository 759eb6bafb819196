"""How well predictors do: scores with intervals beside baselines, predicted against true, and how training went."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator

from theradose.evaluation.figures import (
    INK,
    MINUS,
    MUTED,
    PAPER,
    WIDTH_IN,
    canvas,
    corner,
    empty_axis,
    organ_colour,
    series_style,
    signed,
    sort_organs,
    styled,
    words,
)
from theradose.evaluation.risk_coverage import ordered_ape

Z_95 = 1.96
PER_ROW = 4
BASELINE_COLOUR = "#8a949f"
TOGETHER = {"all": "mean over organs"}
WIDEST = 3.0
LEAST_KEPT = 50.0  # in %: below, a mean over few patients is mostly chance
DASHES = ((1, 0), (5, 2), (2, 1.5), (6, 2, 1.5, 2))


def predictor_styles(predictors: Sequence[str], baselines: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return a colour and a marker for each predictor: baselines grey, the others coloured."""
    marks = dict(zip(baselines, ("o", "s", "^", "D"), strict=False))
    learned = series_style(name for name in predictors if name not in baselines)
    return {name: learned.get(name, (BASELINE_COLOUR, marks.get(name, "o"))) for name in predictors}


@styled
def scores(metrics: pd.DataFrame, baselines: Sequence[str], unit: str) -> Figure:
    """Return one metric of all predictors with 95 % intervals: a panel a VOI, label (open) and truth (filled) apart.

    `metrics` holds rows of one metric and partition (schema METRICS).
    """
    vois = sorted(sort_organs(metrics["voi"]), key=lambda voi: voi not in TOGETHER)
    predictors = list(dict.fromkeys(metrics["predictor"]))
    styles = predictor_styles(predictors, baselines)
    columns = min(PER_ROW, len(vois))
    rows = math.ceil(len(vois) / columns)
    height = 0.30 * len(predictors) + 0.45
    figure = canvas(WIDTH_IN if columns > 1 else 6.4, rows * height + 0.6)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes, voi in zip(panels.flat, vois, strict=False):
        _score_panel(axes, metrics[metrics["voi"] == voi], predictors, styles)
        axes.set_title(TOGETHER.get(voi, words(voi)))
    for axes in panels.flat[len(vois) :]:
        empty_axis(axes)
    figure.supxlabel(unit, fontsize=8.5)
    references = list(dict.fromkeys(metrics["reference"]))
    handles = [
        Line2D(
            [],
            [],
            marker="o",
            linestyle="none",
            color=MUTED,
            mfc=MUTED if name == "truth" else PAPER,
            label=f"against {name}",
        )
        for name in references
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))
    return figure


def _score_panel(
    axes: Axes, rows: pd.DataFrame, predictors: Sequence[str], styles: Mapping[str, tuple[str, str]]
) -> None:
    """Draw one VOI: a line a predictor, the interval as a bar."""
    for row in rows.to_dict("records"):
        colour, marker = styles[str(row["predictor"])]
        place = predictors.index(str(row["predictor"])) + (0.16 if row["reference"] == "truth" else -0.16)
        if np.isfinite([row["low"], row["high"]]).all():
            axes.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=1.3, alpha=0.75)
        filled = colour if row["reference"] == "truth" else PAPER
        axes.plot(row["value"], place, marker, color=colour, mfc=filled, mew=1.1, ms=5, zorder=3)
    axes.set_yticks(range(len(predictors)), [words(name) for name in predictors], color=INK)
    axes.set_ylim(len(predictors) - 0.5, -0.5)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(min(0.0, float(rows[["value", "low"]].min().min())), None)


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Return common limits for both axes of a log-log plot around positive values."""
    return float(values.min()) / 1.12, float(values.max()) * 1.12


def _extent(rows: pd.DataFrame, reference: str) -> np.ndarray:
    """Return all values to be seen: points, and ends of intervals up to three times beyond the points."""
    points = rows[[reference, "predicted_gy_per_gbq"]].to_numpy(float)
    points = points[points > 0]
    ends = rows[["low_gy_per_gbq", "high_gy_per_gbq"]].to_numpy(float)
    ends = np.clip(ends[np.isfinite(ends)], points.min() / WIDEST, points.max() * WIDEST)
    return np.concatenate([points, ends])


def _identity(axes: Axes, values: np.ndarray) -> None:
    """Draw the identity line and the band of +-20 %, both axes alike and logarithmic."""
    low, high = _limits(values)
    line = np.array([low, high])
    axes.fill_between(line, 0.8 * line, 1.2 * line, color="#f1f3f5", linewidth=0, zorder=0)
    axes.plot(line, line, color=INK, linewidth=0.9, dashes=(5, 3), zorder=1)
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.grid(False)
    ticks = log_ticks(low, high)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(ticks))
        axis.set_major_formatter(lambda value, _: f"{value:.3g}")
        axis.set_minor_locator(FixedLocator([]))


def log_ticks(low: float, high: float) -> list[float]:
    """Return three or four round ticks on a logarithmic scale.

    >>> log_ticks(0.2, 1.1)
    [0.2, 0.5, 1.0]
    """
    for steps in ((1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0), tuple(np.arange(1.0, 10.0, 0.5))):
        decades = 10.0 ** np.arange(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        ticks = sorted(float(f"{d * s:.6g}") for d in decades for s in steps)
        inside = [tick for tick in ticks if low <= tick <= high]
        if len(inside) >= 3:
            return inside[:: math.ceil(len(inside) / 4)]
    return inside


def scatter_predictions(axes: Axes, rows: pd.DataFrame, reference: str, colour: str, marker: str) -> None:
    """Draw predicted against a reference (Gy/GBq) with the prediction intervals as bars."""
    x, y = rows[reference], rows["predicted_gy_per_gbq"]
    known = np.isfinite(rows["low_gy_per_gbq"]) & np.isfinite(rows["high_gy_per_gbq"])
    axes.vlines(
        x[known], rows["low_gy_per_gbq"][known].clip(lower=1e-9), rows["high_gy_per_gbq"][known], color=colour,
        linewidth=0.8, alpha=0.45,
    )  # fmt: skip
    axes.plot(x, y, marker, color=colour, mec=PAPER, mew=0.4, ms=5, zorder=3)


@styled
def predicted_against_true(predictions: pd.DataFrame, voi: str, baselines: Sequence[str], reference: str) -> Figure:
    """Return predicted against reference dose of the test patients for one VOI, a panel a predictor, on one scale.

    `reference` is `label_gy_per_gbq` or `truth_gy_per_gbq` (schema PREDICTIONS).
    """
    rows = predictions[(predictions["voi"] == voi) & (predictions["predicted_gy_per_gbq"] > 0)]
    predictors = list(dict.fromkeys(rows["predictor"]))
    styles = predictor_styles(predictors, baselines)
    seen = _extent(rows, reference)
    columns = min(5, len(predictors))
    lines = math.ceil(len(predictors) / columns)
    figure = canvas(min(WIDTH_IN, 2.6 * columns + 0.5), 2.25 * lines + 0.35)
    panels = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for axes, name in zip(panels.flat, predictors, strict=False):
        _identity(axes, seen)
        scatter_predictions(axes, rows[rows["predictor"] == name], reference, *styles[name])
        axes.set_title(words(name), fontsize=8.5)
    for axes in panels.flat[len(predictors) :]:
        empty_axis(axes)
    source = "planted truth" if reference.startswith("truth") else "label from SPECT"
    figure.supxlabel(f"{words(voi)}: {source} (Gy/GBq)", fontsize=8.5)
    figure.supylabel("predicted (Gy/GBq)", fontsize=8.5)
    return figure


@styled
def bland_altman(predictions: pd.DataFrame, vois: Sequence[str], reference: str) -> Figure:
    """Return relative difference against mean of prediction and reference for one predictor, a panel a VOI.

    Lines: mean difference and limits of agreement, mean +- 1.96 sd (Bland and Altman 1986, doi
    10.1016/S0140-6736(86)90837-8).
    """
    shown = list(vois)[: 2 * PER_ROW]
    columns = min(PER_ROW, len(shown))
    lines = math.ceil(len(shown) / columns)
    figure = canvas(WIDTH_IN if columns > 2 else 7.0, 2.2 * lines + 0.35)
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for axes, voi in zip(panels.flat, shown, strict=False):
        rows = predictions[predictions["voi"] == voi]
        mean = (rows["predicted_gy_per_gbq"] + rows[reference]) / 2
        difference = 100 * (rows["predicted_gy_per_gbq"] - rows[reference]) / mean
        centre, sd = float(difference.mean()), float(difference.std(ddof=1)) if len(rows) > 1 else 0.0
        axes.axhspan(centre - Z_95 * sd, centre + Z_95 * sd, color=organ_colour(voi), alpha=0.10, linewidth=0)
        axes.axhline(0, color=MUTED, linewidth=0.8)
        axes.axhline(centre, color=organ_colour(voi), linewidth=1.1, dashes=(5, 3))
        axes.plot(mean, difference, "o", color=organ_colour(voi), mec=PAPER, mew=0.4, ms=5)
        axes.set_title(words(voi))
        corner(axes, f"{signed(centre)} ± {Z_95 * sd:.1f} %", right=True)
        axes.margins(x=0.12, y=0.22)
        axes.locator_params(axis="x", nbins=5)
    for axes in panels.flat[len(shown) :]:
        empty_axis(axes)
    figure.supxlabel("mean of prediction and reference (Gy/GBq)", fontsize=8.5)
    figure.supylabel(f"prediction {MINUS} reference\n(% of their mean)", fontsize=8.5)
    return figure


@styled
def risk_curves(predictions: pd.DataFrame, baselines: Sequence[str], reference: str) -> Figure:
    """Return MAPE against the share of patients kept, most alike first: a panel a VOI, a line a predictor.

    `predictions`: schema PREDICTIONS and `domain_score`; `reference` as in `predicted_against_true`.
    """
    vois, predictors = sort_organs(predictions["voi"]), list(dict.fromkeys(predictions["predictor"]))
    styles, columns = predictor_styles(predictors, baselines), min(PER_ROW, len(vois))
    lines = math.ceil(len(vois) / columns)
    figure = canvas(WIDTH_IN if columns > 2 else 7.0, 2.0 * lines + 0.6)
    panels = figure.subplots(lines, columns, squeeze=False)
    for axes, voi in zip(panels.flat, vois, strict=False):
        for (name, (colour, marker)), dashes in zip(styles.items(), DASHES * len(styles), strict=False):
            ape = ordered_ape(predictions[(predictions["voi"] == voi) & (predictions["predictor"] == name)], reference)
            share, mape = 100.0 * np.arange(1, ape.size + 1) / ape.size, np.cumsum(ape) / np.arange(1, ape.size + 1)
            shown = share >= LEAST_KEPT
            look: dict[str, Any] = {"color": colour, "dashes": dashes, "marker": marker, "markevery": [-1]}
            axes.plot(share[shown], mape[shown], **look, label=words(name))
        axes.set_title(words(voi))
        axes.set(xlim=(LEAST_KEPT, 102.0), ylim=(0.0, None))
    for axes in panels.flat[len(vois) :]:
        empty_axis(axes)
    figure.supxlabel("patients kept (%)", fontsize=8.5)
    figure.supylabel("MAPE (%)", fontsize=8.5)
    handles, labels = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(handles))
    return figure
