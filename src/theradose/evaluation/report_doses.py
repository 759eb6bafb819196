"""The report's pages on the doses of the cohort and, for virtual patients, on planted against recovered."""

import math
from typing import Any

import numpy as np
import pandas as pd

from theradose.evaluation.figures import as_svg, signed, sort_organs, words
from theradose.evaluation.figures_doses import organ_doses
from theradose.evaluation.figures_recovery import GOAL_PERCENT, recovery
from theradose.evaluation.report_budget import budget_section
from theradose.evaluation.report_limits import limits_section, risk_section
from theradose.evaluation.report_tables import DASH, MINUS, Cell, Head, Sheet, count, median_range, percent, three
from theradose.evaluation.results import StudyResults
from theradose.physics.engines import absorbed_fraction
from theradose.vocabulary import organ_of

AGREEMENT_PERCENT = 3.0  # organ means from voxels and from scaled S agree within it, or the report says why


def doses_table(organs: pd.DataFrame) -> Sheet:
    """Return the doses of each organ over the patients, uncorrected beside corrected."""
    heads = [
        Head("Organ", number=False), Head("Patients"), Head("Mass", "g"), Head("Dose", "Gy/GBq"), Head("Dose", "Gy"),
        Head("uncorrected", "Gy"), Head("corrected / uncorrected", "1"), Head("Cross-dose", "%"),
        Head("Uncertainty", "%"),
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
            median_range(100 * given["dose_cross_gy"] / given["dose_gy"]),
            median_range(100 * given["dose_std_gy"] / given["dose_gy"]),
        ])  # fmt: skip
    return Sheet(
        heads,
        rows,
        "Median over the patients, below it lowest to highest. Cross-dose: the part of the dose that comes from "
        "outside the VOI. Uncertainty: one standard uncertainty of the whole chain over the dose.",
    )


def map_frame(study: StudyResults) -> pd.DataFrame:
    """Return the organ doses of the first cycle with the dose map's mean against them.

    Adds difference_percent (dose_voxel_gy less the dose of the same correction, over it, NaN without a dose) and
    voi_ml, the median volume of the organ's VOIs in the patient.
    """
    table = study.table("organ_dose")
    vois = table[(table["level"] == "voi") & (table["cycle"] == 1)]
    ml = vois.groupby(["patient", vois["voi"].map(organ_of)])["volume_ml"].median().rename("voi_ml").reset_index()
    organs = study.organs.merge(ml, on=["patient", "voi"], how="left")
    recovered = study.settings.quantify.voxel_recovery != "none"
    plain = organs["dose_gy" if recovered else "dose_uncorrected_gy"]
    return organs.assign(difference_percent=100 * (organs["dose_voxel_gy"] / plain.where(plain > 0) - 1))


def _signed_range(percents: "pd.Series[float]") -> Cell:
    """Return the median of differences in % with its sign and, below it, their range."""
    low, middle, high = (float(percents.quantile(q)) for q in (0.0, 0.5, 1.0))
    note = f"{signed(low)} to {signed(high)}" if signed(low) != signed(high) else ""
    return Cell(signed(middle), "", note) if math.isfinite(middle) else Cell(DASH, "muted")


def map_table(frame: pd.DataFrame) -> Sheet:
    """Return the mean of the dose map of each organ beside the dose by its scaled S value."""
    heads = [
        Head("Organ", number=False), Head("Patients"), Head("Volume of a VOI", "mL"), Head("Scaled S", "Gy"),
        Head("Dose map, mean", "Gy"), Head(f"Map / S {MINUS} 1", "%"),
        Head(f"Within ±{AGREEMENT_PERCENT:g} %", "% of patients"),
    ]  # fmt: skip
    rows = []
    for organ in sort_organs(frame["voi"]):
        own = frame[frame["voi"] == organ].dropna(subset="difference_percent")
        within = float((own["difference_percent"].abs() <= AGREEMENT_PERCENT).mean())
        rows.append([
            Cell(words(organ)), Cell(str(len(own))), median_range(own["voi_ml"]),
            median_range(own["dose_uncorrected_gy"]), median_range(own["dose_voxel_gy"]),
            _signed_range(own["difference_percent"]), Cell(three(100 * within), "ok" if within == 1 else "warn"),
        ])  # fmt: skip
    return Sheet(
        heads,
        rows,
        "Median over the patients, below it lowest to highest. Both without recovery correction, since the dose map is "
        "made from the activity that the images show; both with cross-dose.",
    )


def _why_map_differs(organ: str, own: pd.DataFrame) -> str:
    """Return why the map's mean lies off the dose by scaled S in these patients, by organ and sign."""
    share = absorbed_fraction(organ)
    if share < 1:
        return (
            f"the S value of {words(organ)} keeps {three(share, 2)} of the electrons' energy; the map knows no such "
            f"fraction and keeps all of it ({percent(100 / share - 100, signed=True)} for electrons alone)"
        )
    if float(own["difference_percent"].median()) < 0:
        return (
            f"on voxels the surface of a VOI (median {three(float(own['voi_ml'].median()))} mL) is a staircase, larger "
            "than that of a sphere of its mass, the more so the smaller or less round it is, and more energy leaves"
        )
    return (
        "spill: the map follows the pattern of the image within a VOI, and where the blur heaps it away from the "
        "edge less energy leaves than from even activity; a hotter neighbour's activity lies closer than even"
    )


def map_words(frame: pd.DataFrame) -> list[str]:
    """Return a sentence on the organs whose map agrees with scaled S, and one for each other with the reason."""
    bar = f"{AGREEMENT_PERCENT:g} %"
    known = frame.dropna(subset="difference_percent")
    groups = {str(organ): own for organ, own in known.groupby("voi")}
    beyond = {o: own[own["difference_percent"].abs() > AGREEMENT_PERCENT] for o, own in groups.items()}
    fine = [words(organ) for organ in sort_organs(beyond) if beyond[organ].empty]
    found = [f"Voxels and scaled S agree within {bar} in every patient: {', '.join(fine)}."] if fine else []
    for organ in sort_organs(organ for organ, off in beyond.items() if not off.empty):
        off, all_of = beyond[organ], count(len(groups[organ]), "patient")
        middle = percent(float(off["difference_percent"].median()), signed=True)
        found.append(
            f"Beyond {bar}: {words(organ)}, in {len(off)} of {all_of}, there {middle} (median). "
            f"Why: {_why_map_differs(organ, off)}."
        )
    return found


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
    frame = map_frame(study)
    return {
        "lead": lead, "figure": figure, "table": doses_table(organs), "map": map_table(frame),
        "map_why": map_words(frame), "budget": budget_section(study), "limits": limits_section(study),
        "risk": risk_section(study),
    }  # fmt: skip


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
            f"{count(kidneys['patient'].nunique(), 'patient')} after recovery correction, "
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
