"""The picture of a plan: the risk of exceeding each limit against the activity of a cycle."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from theradose.evaluation.figures import INK, MUTED, canvas, organ_colour, styled, words
from theradose.physics.planning import OrganRisk, any_exceedance

UP_TO, STEPS = 2.0, 200  # in parts of the planned activity
DASHES = {"bed": "-", "dose": (0, (5, 2))}


@styled
def risk_against_activity(
    risks: Sequence[OrganRisk], *, activity_gbq: float, cycles: int, probability: float
) -> Figure:
    """Return P(limit exceeded) in % of each organ with a limit, and the most it can be for any, against GBq a cycle."""
    figure = canvas(9.0, 2.3)
    axes = figure.subplots()
    grid = np.linspace(0.0, UP_TO * activity_gbq, STEPS + 1)[1:]
    limited = [risk for risk in risks if np.isfinite(risk.limit_gy)]
    for risk in limited:
        label = f"{words(risk.organ)}, {'BED' if risk.kind == 'bed' else 'dose'} {risk.limit_gy:g} Gy"
        values = [100.0 * risk.exceedance(float(gbq), cycles) for gbq in grid]
        axes.plot(grid, values, color=organ_colour(risk.organ), linestyle=DASHES[risk.kind], label=label)
    total = [100.0 * any_exceedance(limited, float(gbq), cycles) for gbq in grid]
    axes.plot(grid, total, color=INK, linewidth=1.0, linestyle=":", label="any of them, at most")
    axes.axhline(100.0 * probability, color=MUTED, linewidth=0.8)
    axes.annotate(f"{100.0 * probability:g} %", (0.0, 100.0 * probability), xytext=(3, 3), textcoords="offset points")
    axes.axvline(activity_gbq, color=INK, linewidth=0.8)
    axes.annotate(
        f"{activity_gbq:.2f} GBq", (activity_gbq, 98.0), xytext=(4, 0), textcoords="offset points", va="top", color=INK
    )
    axes.set(xlim=(0.0, grid[-1]), ylim=(0.0, 100.0), xlabel=f"Activity in each of {cycles} cycles, GBq")
    axes.set_ylabel("P(limit exceeded), %")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
