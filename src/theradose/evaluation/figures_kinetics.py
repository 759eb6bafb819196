"""Time-activity curves: what was measured, what was fitted, how sure the fit is, and physical decay alone."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from theradose.evaluation.figures import (
    INK,
    MUTED,
    PAPER,
    WIDTH_IN,
    canvas,
    empty_axis,
    organ_colour,
    sort_organs,
    styled,
    words,
)
from theradose.physics.kinetic_models import curve_mbq
from theradose.vocabulary import is_target, organ_of

PER_ROW = 4
MODELS = {"mono_uptake": "mono + uptake"}
CURVE_POINTS = 160
SHOWN_LESIONS = 4
STEP = 1e-4
SIDE_STYLES = (("-", "o"), ("--", "s"), (":", "^"), ("-.", "D"))


def fit_band(
    parameters: Mapping[str, float], covariance: np.ndarray, time_h: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return a fitted curve (MBq) at times (h) and its standard uncertainty, sqrt(g^T C g) with g by differences.

    `covariance` follows the order (A.., lambda..) of the TIAC table.
    """
    fitted = [name for name in parameters if name.startswith("a") or name[6:7].isdigit()]
    curve = curve_mbq(parameters, time_h)
    gradient = []
    for name in fitted:
        step = STEP * (abs(parameters[name]) or 1.0)
        above, below = ({**parameters, name: parameters[name] + sign * step} for sign in (1, -1))
        gradient.append((curve_mbq(above, time_h) - curve_mbq(below, time_h)) / (2 * step))
    g = np.stack(gradient)
    return curve, np.sqrt(np.clip(np.einsum("it,ij,jt->t", g, covariance, g), 0.0, None))


def _curve(axes: Axes, row: "pd.Series[Any]", last_h: float, line: str, colour: str) -> None:
    """Draw the fitted curve of a VOI with its band of one standard uncertainty."""
    time = np.linspace(0.0, last_h, CURVE_POINTS)
    parameters = json.loads(str(row["parameters"]))
    curve, std = fit_band(parameters, np.array(json.loads(str(row["covariance"])), float), time)
    axes.fill_between(time, np.clip(curve - std, 0, None), curve + std, color=colour, alpha=0.16, linewidth=0)
    axes.plot(time, curve, line, color=colour)


def _points(axes: Axes, rows: pd.DataFrame, marker: str, colour: str) -> None:
    """Draw the measured points: corrected with error bars, uncorrected as open marks."""
    uncorrected = rows["activity_uncorrected_mbq"]
    if not np.allclose(uncorrected, rows["activity_mbq"]):
        axes.plot(rows["time_h"], uncorrected, marker, mfc="none", mec=MUTED, mew=0.8, ms=4)
    axes.errorbar(
        rows["time_h"], rows["activity_mbq"], rows["activity_std_mbq"], fmt=marker, color=colour, mec=PAPER, mew=0.6,
        ms=5.5, elinewidth=1.2, capsize=2, zorder=3,
    )  # fmt: skip


def _decay(axes: Axes, rows: pd.DataFrame, half_life_h: float, last_h: float) -> None:
    """Draw how the highest point would fall by physical decay alone."""
    highest = rows.iloc[int(rows["activity_mbq"].argmax())]
    time = np.array([highest["time_h"], last_h])
    axes.plot(
        time, highest["activity_mbq"] * np.exp(-math.log(2) / half_life_h * (time - highest["time_h"])),
        color=INK, linewidth=0.9, dashes=(5, 3), alpha=0.7,
    )  # fmt: skip


def _note(row: "pd.Series[Any]") -> str:
    """Return model and effective half-life of a fit, and why a fit was refused."""
    text = f"{MODELS.get(str(row['model']), words(str(row['model'])))} · $T_{{eff}}$ {row['t_eff_h']:.3g} h"
    return f"{text}\nfit refused: {refusal(str(row['reason']))}" if row["reason"] else text


def refusal(reason: str) -> str:
    """Return the rule that refused a fit, without the sentence that may follow it.

    >>> refusal("rising_activity: THR-300 activity rises over all points")
    'rising activity'
    """
    return words(reason.split(":")[0])


def _side(voi: str) -> str:
    """Return `left`, `right` or the short name that tells a VOI from the others of its organ."""
    return voi.rsplit("_", 1)[-1] if voi.endswith(("_left", "_right")) else words(voi)


def _panel(axes: Axes, organ: str, tac: pd.DataFrame, tiac: pd.DataFrame, half_life_h: float) -> None:
    """Draw one organ with all its VOIs (of the lesions, those with most activity)."""
    last_h = float(tac["time_h"].max()) * 1.08
    vois = list(tac.groupby("voi")["activity_mbq"].max().sort_values(ascending=False).index[:SHOWN_LESIONS])
    vois = sorted(vois) if len(vois) == tac["voi"].nunique() else vois
    notes = []
    for index, (voi, (line, marker)) in enumerate(zip(vois, SIDE_STYLES, strict=False)):
        rows = tac[tac["voi"] == voi].sort_values("time_h")
        fit = tiac[tiac["voi"] == voi]
        if index == 0:
            _decay(axes, rows, half_life_h, last_h)
        if not fit.empty:
            _curve(axes, fit.iloc[0], last_h, line, organ_colour(organ))
            notes.append(f"{_side(voi)}: {_note(fit.iloc[0])}" if len(vois) > 1 else _note(fit.iloc[0]))
        _points(axes, rows, marker, organ_colour(organ))
    hidden = tac["voi"].nunique() - len(vois)
    title = words(organ) + (f" ({len(vois)} of {len(vois) + hidden})" if hidden else "")
    axes.set_title(title)
    axes.set_xlim(0, last_h)
    refused = sum("refused" in note for note in notes)
    # Room for the notes: a line of them is about 6 % of a panel, and refused fits have points under the note.
    axes.set_ylim(0, axes.get_ylim()[1] * (1.0 + 0.06 * max(len(notes) - 2, 0) + 0.16 * refused))
    axes.text(
        0.98, 0.97, "\n".join(notes), transform=axes.transAxes, ha="right", va="top", fontsize=7, color=MUTED,
        linespacing=1.4, bbox={"facecolor": PAPER, "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
    )  # fmt: skip


@styled
def time_activity(tac: pd.DataFrame, tiac: pd.DataFrame, half_life_h: float) -> Figure:
    """Return the time-activity curves of one patient, a panel an organ, from rows of the TAC and TIAC tables.

    Regions that are no target of dosimetry (remainder, lungs, bladder) are not drawn.
    """
    tac = tac[tac["voi"].map(is_target)]
    tac = tac.assign(organ=tac["voi"].map(organ_of))
    organs = sort_organs(tac["organ"])
    columns = min(PER_ROW, len(organs))
    rows = math.ceil(len(organs) / columns)
    figure = canvas(
        WIDTH_IN * (columns + 0.35) / (PER_ROW + 0.35) if columns < PER_ROW else WIDTH_IN, 2.35 * rows + 0.35
    )
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes, organ in zip(panels.flat, organs, strict=False):
        own = tac[tac["organ"] == organ]
        _panel(axes, organ, own, tiac[tiac["voi"].isin(own["voi"])], half_life_h)
    for axes in panels.flat[len(organs) :]:
        empty_axis(axes)
    figure.supxlabel("time after administration (h)", fontsize=8.5)
    figure.supylabel("activity in the VOI (MBq)", fontsize=8.5)
    return figure
