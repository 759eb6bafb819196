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
            median_range(seen["dose_gy"] / seen["dose_uncorrected_gy"]), median_range(100 * given["dose_std_gy"] / given["dose_gy"]),
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
            "Left of each pair: corrected for recovery and spill-in, coloured by centre. Right: as the images show it. Box: "
            "quartiles; line: median; whiskers reach 1.5 interquartile ranges. Logarithmic scale.",
        )
    engines = ", ".join(sorted(set(organs["engine"])))
    lead = f"Reference doses from the SPECT images, engine “{engines}”, {study.settings.radionuclide}. These are the labels that models learn from."
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
        Head("Organ", number=False), Head("VOIs"), Head("Volume", "mL"), Head("Mean error", "%"), Head("Spread (sd)", "%"),
        Head("Within ±10 %", "%"), Head("Mean error, uncorrected", "%"), Head("Spread, uncorrected", "%"),
    ]  # fmt: skip
    rows = []
    for organ in sort_organs(table["organ"]):
        own = table[table["organ"] == organ]
        error, plain = own["error_corrected"], own["error_uncorrected"]
        close = abs(float(error.mean())) <= GOAL_PERCENT
        rows.append([
            Cell(words(organ)), Cell(str(len(own))), median_range(own["volume_ml"]),
            Cell(percent(float(error.mean()), signed=True), "ok" if close else ""), Cell(percent(float(error.std(ddof=0)))),
            Cell(three(100 * float((error.abs() <= 10).mean()))),
            Cell(percent(float(plain.mean()), signed=True), "muted"), Cell(percent(float(plain.std(ddof=0))), "muted"),
        ])  # fmt: skip
    return Sheet(
        heads, rows, "Error: recovered TIA over planted TIA, minus one; the sign tells over- from underestimation."
    )


def explained_spread(table: pd.DataFrame) -> list[str]:
    """Return sentences on what the errors come from: partial volume by volume thirds, noise, and what is left."""
    known = table.dropna(subset=["error_corrected", "error_uncorrected", "volume_ml"])
    small, large = known["volume_ml"].quantile([1 / 3, 2 / 3])
    first, last = known[known["volume_ml"] <= small], known[known["volume_ml"] >= large]
    logs = np.log(known["volume_ml"].to_numpy(float))
    rank = float(pd.Series(logs).corr(known["error_uncorrected"].reset_index(drop=True), method="spearman"))
    return [
        f"Partial volume: the camera's blur takes activity out of small VOIs. Without correction the mean error is "
        f"{percent(float(first['error_uncorrected'].mean()), signed=True)} in the smallest third of the VOIs (up to {three(float(small))} mL) and "
        f"{percent(float(last['error_uncorrected'].mean()), signed=True)} in the largest third (from {three(float(large))} mL); rank correlation of error "
        f"and volume {three(rank)}. Recovery correction leaves {percent(float(first['error_corrected'].mean()), signed=True)} and "
        f"{percent(float(last['error_corrected'].mean()), signed=True)}.",
        f"Noise and fit: what correction cannot remove is the spread. Its standard deviation is "
        f"{percent(float(first['error_corrected'].std(ddof=0)))} in the smallest third and {percent(float(last['error_corrected'].std(ddof=0)))} in the "
        "largest: few counts, divided by a small recovery coefficient, and few time points for the tail.",
    ]


def recovery_section(study: StudyResults) -> dict[str, Any] | None:
    """Return what the page on planted against recovered shows, None for real patients."""
    table = recovery_frame(study)
    if table.empty:
        return None
    kidneys = table[table["organ"] == "kidneys"]
    lead = "What the measuring chain makes of a known truth."
    if not kidneys.empty:
        lead = (
            f"Kidney TIA lies {percent(float(kidneys['error_corrected'].mean()), signed=True)} from the planted one on average over "
            f"{kidneys['patient'].nunique()} patients after recovery correction, {percent(float(kidneys['error_uncorrected'].mean()), signed=True)} without it."
        )
    figure = as_svg(
        recovery(table),
        "Planted against recovered time-integrated activity",
        "One mark a VOI. Left: identity line dashed. Middle: error by organ, uncorrected (grey) beside corrected, bar: mean. "
        "Right: error against volume; 99 % of the errors lie inside the axis.",
    )
    return {"lead": lead, "figure": figure, "table": recovery_table(table), "why": explained_spread(table)}
