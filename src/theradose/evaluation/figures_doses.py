"""Doses in numbers: cumulative dose-volume histograms of a patient, organ doses of the cohort."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from theradose.evaluation.figures import (
    FAINT,
    INK,
    MUTED,
    PAPER,
    WIDTH_IN,
    canvas,
    organ_colour,
    series_style,
    sort_organs,
    styled,
    words,
)
from theradose.vocabulary import LESION_PREFIX, LESIONS, organ_of

SIDE_LINES: dict[str, Literal["solid", "dashed"]] = {"left": "solid", "right": "dashed"}
JITTER = 0.10
CORRECTED, UNCORRECTED = -0.17, 0.17
BOX_WIDTH = 0.26
HALF = 0.5


def d50_gy(rows: pd.DataFrame) -> float:
    """Return the dose in Gy that half of the VOI gets at least, from its rows of the DVH table."""
    return float(rows.loc[rows["volume_fraction"] >= HALF, "dose_gy"].max())


def _dvh_lines(axes: Axes, dvh: pd.DataFrame, vois: Sequence[str]) -> None:
    """Draw the curves of some VOIs with a mark where half the volume is reached."""
    for voi in vois:
        rows = dvh[dvh["voi"] == voi].sort_values(["dose_gy", "volume_fraction"], ascending=[True, False])
        dose = np.append(rows["dose_gy"], rows["dose_gy"].iloc[-1])
        volume = np.append(100 * rows["volume_fraction"], 0.0)
        line = SIDE_LINES.get(voi.rsplit("_", 1)[-1], "solid")
        thin = voi.startswith(LESION_PREFIX)
        axes.plot(
            dose,
            volume, linestyle=line, color=organ_colour(voi),
            linewidth=0.9 if thin else 1.6, alpha=0.75 if thin else 1,
        )  # fmt: skip
        axes.plot(d50_gy(rows), 50, "o", color=organ_colour(voi), mec=PAPER, mew=0.6, ms=4.5, zorder=4)
    axes.set_ylim(0, 104)
    axes.set_xlim(0, None)
    axes.set_xlabel("absorbed dose (Gy)")


@styled
def dose_volume(dvh: pd.DataFrame) -> Figure:
    """Return the cumulative histograms of one patient from rows of the DVH table, organs and lesions apart."""
    vois = sort_organs(dvh["voi"])
    lesions = [voi for voi in vois if voi.startswith(LESION_PREFIX) or voi == LESIONS]
    groups = {"Organs": [voi for voi in vois if voi not in lesions], "Lesions": lesions}
    groups = {name: members for name, members in groups.items() if members}
    figure = canvas(WIDTH_IN if len(groups) > 1 else 6.6, 3.0)
    panels = np.atleast_1d(figure.subplots(1, len(groups), sharey=True))
    for axes, (name, members) in zip(panels, groups.items(), strict=True):
        _dvh_lines(axes, dvh, members)
        axes.set_title("All lesions together" if members == [LESIONS] else f"{name}, {len(members)} VOIs")
    panels[0].set_ylabel("volume that gets at least the dose (%)")
    organs = sort_organs({organ_of(voi) if voi != LESIONS else LESIONS for voi in vois})
    handles = [Line2D([], [], color=organ_colour(organ), linewidth=2, label=words(organ)) for organ in organs]
    if any(voi.endswith("_right") for voi in vois):
        handles.append(Line2D([], [], color=MUTED, linestyle=SIDE_LINES["right"], label="right side"))
    handles.append(Line2D([], [], color=MUTED, marker="o", linestyle="none", label="D50"))
    figure.legend(handles=handles, loc="outside right center")
    return figure


def _box(axes: Axes, values: np.ndarray, place: float, edge: str, face: str) -> None:
    """Draw a box (median, quartiles, whiskers to 1.5 interquartile ranges) without marks of its own for outliers."""
    axes.boxplot(
        [values], positions=[place], widths=BOX_WIDTH, showfliers=False, manage_ticks=False, patch_artist=True,
        boxprops={"facecolor": face, "edgecolor": edge, "linewidth": 0.8},
        medianprops={"color": INK, "linewidth": 1.6}, whiskerprops={"color": edge, "linewidth": 0.8},
        capprops={"color": edge, "linewidth": 0.8},
    )  # fmt: skip


def spread(n: int, width: float = JITTER) -> np.ndarray:
    """Return n sideways shifts that keep points apart, the same for every run."""
    golden = 0.6180339887498949
    return width * (2 * ((np.arange(n) * golden) % 1) - 1)


@styled
def organ_doses(organs: pd.DataFrame, centres: "pd.Series[str]") -> Figure:
    """Return dose per administered activity by organ, corrected beside uncorrected; `centres`: patient to centre."""
    table = organs.assign(centre=organs["patient"].map(centres))
    table["uncorrected"] = table["dose_gy_per_gbq"] * table["dose_uncorrected_gy"] / table["dose_gy"]
    names, styles = sort_organs(table["voi"]), series_style(sorted(set(centres)))
    figure = canvas(WIDTH_IN, 3.9)
    axes = figure.subplots()
    for index, organ in enumerate(names):
        rows = table[(table["voi"] == organ) & (table["dose_gy_per_gbq"] > 0)].sort_values("patient")
        _box(axes, rows["uncorrected"].dropna().to_numpy(), index + UNCORRECTED, "#b4bcc5", "#f1f3f5")
        _box(axes, rows["dose_gy_per_gbq"].to_numpy(), index + CORRECTED, MUTED, "#ffffff")
        shift = spread(len(rows))
        axes.plot(index + UNCORRECTED + shift, rows["uncorrected"], "o", mfc="none", mec="#9aa4af", mew=0.7, ms=3)
        for centre, (colour, marker) in styles.items():
            own = (rows["centre"] == centre).to_numpy()
            axes.plot(
                index + CORRECTED + shift[own], rows["dose_gy_per_gbq"][own], marker, color=colour, mec=PAPER, mew=0.4,
                ms=4.5, zorder=3,
            )  # fmt: skip
    for edge in range(len(names) - 1):
        axes.axvline(edge + 0.5, color=FAINT, linewidth=0.6)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(False, axis="x")
    axes.set_xticks(range(len(names)), [words(name) for name in names], color=INK)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylabel("absorbed dose per administered activity (Gy/GBq)")
    handles = [Line2D([], [], color=c, marker=m, linestyle="none", label=f"centre {n}") for n, (c, m) in styles.items()]
    handles.append(
        Line2D([], [], mec="#9aa4af", mfc="none", marker="o", linestyle="none", label="without recovery correction")
    )
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles))
    return figure
