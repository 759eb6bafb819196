"""The report's pages on the doses of the cohort and, for virtual patients, on planted against recovered."""

from typing import Any

import numpy as np
import pandas as pd

from theradose.evaluation.figures import as_svg, sort_organs, words
from theradose.evaluation.figures_doses import organ_doses
from theradose.evaluation.figures_recovery import GOAL_PERCENT, recovery
from theradose.evaluation.report_tables import Cell, Head, Sheet, median_range, percent, three
from theradose.evaluation.results import StudyResults


def doses_table(organs: pd.DataFrame) -> Sheet:
    """Return the doses of each organ over the patients, uncorrected beside corrected."""
    heads = [
        Head("Organ", number=False), Head("Patients"), Head("Mass", "g"), Head("Dose", "Gy/GBq"), Head("Dose", "Gy"),
        Head("uncorrected", "Gy"), Head("corrected / uncorrected", "1"), Head("Uncertainty", "%"),
    ]  # fmt: skip
    rows = []
    for organ in sort_organs(organs["voi"]):
        own = organs[organs["voi"] == organ]
        given = own[own["dose_gy"] > 0]
        seen = given[given["dose_uncorrected_gy"] > 0]
        rows.append([
            Cell(words(organ)), Cell(str(len(own))), median_range(own["mass_g"]), median_range(own["dose_gy_per_gbq"]),
            median_range(own["dose_gy"]), median_range(own["dose_uncorrected_gy"]),
            median_range(seen["dose_gy"] / seen["dose_uncorrected_gy"]),
            median_range(100 * given["dose_std_gy"] / given["dose_gy"]),
        ])  # fmt: skip
    return Sheet(
        heads,
        rows,
        "Median over the patients, below it lowest to highest. Uncertainty: one standard uncertainty over the dose.",
    )


def doses_section(study: StudyResults) -> dict[str, Any] | None:
    """Return what the page on organ doses shows, None without doses."""
    organs = study.organs
    if organs.empty:
        return None
    centres = study.table("patients").set_index("patient")["centre"]
    figure = None
    if len(set(organs["patient"])) > 1:
        figure = as_svg(
            organ_doses(organs, centres),
            "Absorbed dose per administered activity by organ",
            "Left of each pair: corrected for recovery and spill-in, coloured by centre. Right: as the images show "
            "it. Box: "
            "quartiles; line: median; whiskers reach 1.5 interquartile ranges. Logarithmic scale.",
        )
    engines = ", ".join(sorted(set(organs["engine"])))
    lead = f"Reference doses from the SPECT images, engine “{engines}”, {study.settings.radionuclide}."
    if study.settings.quantify.recovery == "none":
        lead += " No recovery correction was applied."
    if study.experiments:
        lead += " These are the labels that models learn from."
    return {"lead": lead, "figure": figure, "table": doses_table(organs)}


def recovery_frame(study: StudyResults) -> pd.DataFrame:
    """Return planted, recovered and uncorrected TIA of every VOI with organ, volume and the errors in %.

    Columns patient, voi, organ, volume_ml, truth, corrected, uncorrected, error_corrected, error_uncorrected.
    """
    names = {"truth_tia_mbq_h": "truth", "tia_mbq_h": "corrected", "tia_uncorrected_mbq_h": "uncorrected"}
    table = study.recovery.rename(columns=names)
    errors = {"error_corrected": table["tia_error"] * 100, "error_uncorrected": table["tia_error_uncorrected"] * 100}
    return table.assign(**errors)


def recovery_table(table: pd.DataFrame) -> Sheet:
    """Return bias and spread of the recovered TIA of each organ, uncorrected beside corrected."""
    heads = [
        Head("Organ", number=False), Head("VOIs"), Head("Volume", "mL"), Head("Mean error", "%"),
        Head("Spread (sd)", "%"),
        Head("Within ±10 %", "%"), Head("Mean error, uncorrected", "%"), Head("Spread, uncorrected", "%"),
    ]  # fmt: skip
    rows = []
    for organ in sort_organs(table["organ"]):
        own = table[table["organ"] == organ]
        error, plain = own["error_corrected"], own["error_uncorrected"]
        close = abs(float(error.mean())) <= GOAL_PERCENT
        rows.append([
            Cell(words(organ)), Cell(str(len(own))), median_range(own["volume_ml"]),
            Cell(percent(float(error.mean()), signed=True), "ok" if close else ""),
            Cell(percent(float(error.std(ddof=0)))),
            Cell(three(100 * float((error.abs() <= 10).mean()))),
            Cell(percent(float(plain.mean()), signed=True), "muted"), Cell(percent(float(plain.std(ddof=0))), "muted"),
        ])  # fmt: skip
    return Sheet(
        heads, rows, "Error: recovered TIA over planted TIA, minus one; the sign tells over- from underestimation."
    )


def half_width(errors: "pd.Series[float]") -> float:
    """Return half the range of the middle 68 %, the standard deviation of normal errors, untouched by outliers."""
    low, high = np.nanpercentile(errors.to_numpy(float), [16, 84])
    return float(high - low) / 2


def explained_spread(table: pd.DataFrame, tiac: pd.DataFrame) -> list[str]:
    """Return sentences on what the errors come from: partial volume, spill-in, noise and fit."""
    size, plain, error = table["volume_ml"], table["error_uncorrected"], table["error_corrected"]
    small, large = (float(v) for v in size.quantile([1 / 3, 2 / 3]))
    first, last = size <= small, size >= large
    rank = float(size.corr(plain, method="spearman"))
    found = [
        "Partial volume. The camera's blur takes activity out of small VOIs: without correction the median error is "
        f"{_middle(plain[first])} in the smallest third "
        f"(up to {three(small)} mL) and {_middle(plain[last])} in the largest third (from {three(large)} mL); the "
        f"rank correlation of error and volume is {three(rank)}. "
        f"Recovery correction leaves {_middle(error[first])} and {_middle(error[last])}."
    ]
    by_organ = plain.groupby(table["organ"]).mean()
    gained = [
        f"{words(str(organ))} {percent(float(v), signed=True)}"
        for organ, v in by_organ[by_organ > GOAL_PERCENT].items()
    ]
    if gained:
        found.append(
            "Spill-in. The same blur carries activity into VOIs that lie beside hotter ones; without correction "
            f"they are overestimated: {', '.join(gained)}."
        )
    both = table.merge(tiac[["patient", "cycle", "voi", "tia_std_mbq_h"]], on=["patient", "cycle", "voi"], how="left")
    declared = 100 * both["tia_std_mbq_h"] / both["corrected"]
    spreads = error.groupby(table["organ"]).apply(half_width).sort_values()
    found.append(
        "Noise and fit. What correction cannot remove is the spread (half of the middle 68 % of the errors): "
        f"{percent(half_width(error[first]))} in the smallest third, "
        f"{percent(half_width(error[last]))} in the largest, largest for {words(str(spreads.index[-1]))} "
        f"({percent(float(spreads.iloc[-1]))}). Counting noise is divided by "
        "the recovery coefficient, which weighs on small VOIs; what neighbours spill in and the curve after the last "
        "scan weigh on cool VOIs beside hot ones. "
        "The fits themselves declare a standard uncertainty of "
        f"{percent(float(declared[both['volume_ml'] <= small].median()))} "
        f"and {percent(float(declared[both['volume_ml'] >= large].median()))} (medians)."
    )
    return found


def _middle(errors: "pd.Series[float]") -> str:
    """Return a median error in words."""
    return percent(float(errors.median()), signed=True)


BEST_CASE = (
    "This is the best case: the virtual camera blurs with the very Gaussian, mask and uptake phases that the "
    "correction and the fits assume."
)


def recovery_section(study: StudyResults) -> dict[str, Any] | None:
    """Return what the page on planted against recovered shows, None for real patients."""
    table = recovery_frame(study)
    if table.empty:
        return None
    kidneys = table[table["organ"] == "kidneys"]
    lead = "What the measuring chain makes of a known truth."
    if not kidneys.empty:
        lead = (
            f"Kidney TIA lies {percent(float(kidneys['error_corrected'].mean()), signed=True)} from the planted one "
            "on average over "
            f"{kidneys['patient'].nunique()} patients after recovery correction, "
            f"{percent(float(kidneys['error_uncorrected'].mean()), signed=True)} without it."
        )
    lead += " " + BEST_CASE
    figure = as_svg(
        recovery(table),
        "Planted against recovered time-integrated activity",
        "One mark a VOI. Left: identity line dashed. Middle: error by organ, uncorrected (grey) beside corrected, "
        "bar: mean. "
        "Right: error against volume. Triangles at the edge: errors beyond the axis.",
    )
    return {
        "lead": lead,
        "figure": figure,
        "table": recovery_table(table),
        "why": explained_spread(table, study.table("tiac")),
    }
