"""How models came to be: loss by epoch, and the trials of the search; a panel a predictor, a colour a part.

And what more patients would be worth: a panel a part, a colour a predictor.
"""

import itertools
import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from theradose.evaluation.figures import (
    MUTED,
    PAPER,
    SERIES_COLOURS,
    WIDTH_IN,
    canvas,
    empty_axis,
    organ_colour,
    sort_organs,
    styled,
    words,
)

PER_ROW = 3
ALL = "all"


def _grid(count: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` panels in rows of three."""
    columns = min(PER_ROW, count)
    rows = math.ceil(count / columns)
    figure = canvas(min(WIDTH_IN, 3.1 * columns + 1.7), 2.3 * rows + 0.25)
    panels = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in panels[count:]:
        empty_axis(axes)
    return figure, panels[:count]


def _colour(part: str) -> str:
    """Return the colour of an organ, or of the only part."""
    return SERIES_COLOURS[0] if part == ALL else organ_colour(part)


def _parts(tables: Mapping[str, pd.DataFrame]) -> list[Line2D]:
    """Return a legend entry for each organ in any of the tables."""
    parts = sort_organs({str(part) for table in tables.values() for part in table["part"]} - {ALL})
    return [Line2D([], [], color=organ_colour(part), linewidth=2, label=words(part)) for part in parts]


@styled
def learning_curves(histories: Mapping[str, pd.DataFrame]) -> Figure:
    """Return loss by epoch from tables of schema HISTORY with `train_loss` and, where kept, `validation_loss`."""
    figure, panels = _grid(len(histories))
    validated = False
    for axes, (predictor, history) in zip(panels, histories.items(), strict=True):
        for part, own in history.groupby("part"):
            colour = _colour(str(part))
            has_validation = "validation_loss" in own and bool(own["validation_loss"].notna().any())
            axes.plot(own["epoch"], own["train_loss"], color=colour, linewidth=0.8, alpha=0.55 if has_validation else 1)
            if has_validation:
                validated = True
                axes.plot(own["epoch"], own["validation_loss"], color=colour, linewidth=1.6)
                best = own.iloc[int(own["validation_loss"].argmin())]
                axes.plot(best["epoch"], best["validation_loss"], "o", color=colour, mec=PAPER, ms=5, zorder=4)
        axes.set_title(words(predictor))
        losses = [name for name in ("train_loss", "validation_loss") if name in history]
        if float(history[losses].min().min()) > 0:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
    figure.supxlabel("epoch", fontsize=8.5)
    figure.supylabel("loss", fontsize=8.5)
    kinds = [Line2D([], [], color=MUTED, linewidth=0.8, label="training")]
    kinds += (
        [Line2D([], [], color=MUTED, linewidth=1.6, marker="o", mec=PAPER, label="validation, kept epoch")]
        if validated
        else []
    )
    figure.legend(handles=[*_parts(histories), *kinds], loc="outside right center")
    return figure


@styled
def scores_by_patients(curve: pd.DataFrame) -> Figure:
    """Return scores by patients learned from (schema LEARNING_CURVE): mean of the draws, and from lowest to highest."""
    panels = sort_organs(set(curve["voi"]) - {ALL}) or [ALL]
    figure, grid = _grid(len(panels))
    predictors = list(dict.fromkeys(curve["predictor"]))
    colours = dict(zip(predictors, itertools.cycle(SERIES_COLOURS), strict=False))
    for axes, part in zip(grid, panels, strict=True):
        own = curve[curve["voi"] == part]
        for predictor, rows in own.groupby("predictor", sort=False):
            drawn = rows.groupby("patients")["score"].agg(["mean", "min", "max"])
            colour = colours[str(predictor)]
            axes.fill_between(drawn.index, drawn["min"], drawn["max"], color=colour, alpha=0.15, linewidth=0)
            axes.plot(drawn.index, drawn["mean"], "o-", color=colour, mec=PAPER, mew=0.4, ms=4, linewidth=1.3)
        axes.set_title(words(part))
        axes.set_xscale("log")
        axes.set_xticks(sorted(set(own["patients"])), [str(n) for n in sorted(set(own["patients"]))])
        axes.minorticks_off()
    figure.supxlabel("patients learned from", fontsize=8.5)
    figure.supylabel("score on test patients (lower is better)", fontsize=8.5)
    lines = [Line2D([], [], color=colours[name], marker="o", mec=PAPER, label=words(name)) for name in predictors]
    figure.legend(handles=lines, loc="outside right center")
    return figure


@styled
def tuning_trials(trials: Mapping[str, pd.DataFrame]) -> Figure:
    """Return the score of every trial and the best so far from tables of schema TRIALS."""
    figure, panels = _grid(len(trials))
    for axes, (predictor, table) in zip(panels, trials.items(), strict=True):
        for part, own in table.groupby("part"):
            value = own.sort_values("number")["value"].to_numpy(float)
            number, colour = np.arange(1, len(value) + 1), _colour(str(part))
            axes.plot(number, value, "o", color=colour, alpha=0.35, mec=PAPER, mew=0.4, ms=4)
            axes.step(number, np.fmin.accumulate(value), where="post", color=colour, linewidth=1.4)
            best = int(np.nanargmin(value))
            axes.plot(best + 1, value[best], "*", color=colour, ms=9, mec=PAPER, mew=0.5, zorder=4)
        axes.set_title(words(predictor))
        axes.set_xlim(0.5, table.groupby("part")["number"].count().max() + 0.5)
        axes.locator_params(axis="x", integer=True, nbins=6)
    figure.supxlabel("trial", fontsize=8.5)
    figure.supylabel("score on inner folds (lower is better)", fontsize=8.5)
    marks = [
        Line2D([], [], color=MUTED, marker="o", linestyle="none", mec=PAPER, label="trial"),
        Line2D([], [], color=MUTED, label="best so far"),
        Line2D([], [], color=MUTED, marker="*", ms=9, linestyle="none", mec=PAPER, label="taken"),
    ]
    figure.legend(handles=[*_parts(trials), *marks], loc="outside right center")
    return figure
