"""Doses and BED of the organs at risk beside the limits of the table, for the report alone."""

from typing import Any

import pandas as pd

from theradose.evaluation.figures import sort_organs, words
from theradose.evaluation.report_tables import Cell, Head, Sheet, median_range
from theradose.evaluation.results import StudyResults
from theradose.physics.limits import EXTERNAL_BEAM_WARNING, LIMITS, constant, has_constant
from theradose.physics.radiobiology import bed_gy, g_factor_single
from theradose.vocabulary import organ_of

KINDS = {"bed": "BED", "dose": "dose"}


def limits_frame(study: StudyResults) -> pd.DataFrame:
    """Return dose and BED in Gy of every patient and organ that has a limit, all cycles together.

    Columns patient, voi, dose_gy, bed_gy (missing where the table lacks alpha/beta or the repair half-time). The BED of
    a cycle takes the effective half-life of the organ's VOIs, weighted by their TIA, and no uptake.
    """
    doses, fits = study.table("organ_dose"), study.table("tiac")
    listed = [organ for organ in doses["voi"].unique() if any(has_constant(organ, name) for name in LIMITS.values())]
    rows = doses[(doses["level"] == "organ") & doses["voi"].isin(listed)]
    fits = fits.assign(organ=[organ_of(voi) for voi in fits["voi"]], weighted=fits["t_eff_h"] * fits["tia_mbq_h"])
    sums = fits.groupby(["patient", "cycle", "organ"])[["weighted", "tia_mbq_h"]].sum()
    t_eff_h = sums["weighted"] / sums["tia_mbq_h"].where(sums["tia_mbq_h"] > 0)
    found = [
        {
            "patient": row["patient"], "voi": row["voi"], "dose_gy": row["dose_gy"],
            "bed_gy": _bed(row["voi"], row["dose_gy"], t_eff_h.get((row["patient"], row["cycle"], row["voi"]), 0.0)),
        }
        for row in rows.to_dict("records")
    ]  # fmt: skip
    frame = pd.DataFrame(found, columns=["patient", "voi", "dose_gy", "bed_gy"])
    return frame.groupby(["patient", "voi"], as_index=False)[["dose_gy", "bed_gy"]].sum(min_count=1)


def _bed(organ: str, dose_gy: float, t_eff_h: float) -> float:
    """Return the BED of a cycle in Gy, missing where a constant or the half-life is."""
    if not (has_constant(organ, "alpha_beta_gy") and has_constant(organ, "t_repair_h") and t_eff_h > 0):
        return float("nan")
    g = g_factor_single(t_eff_h, constant(organ, "t_repair_h").value)
    return float(bed_gy(dose_gy, g, constant(organ, "alpha_beta_gy").value))


def limits_table(frame: pd.DataFrame) -> Sheet:
    """Return each organ's dose and BED beside its limits, with the number of patients above and the source."""
    heads = [
        Head("Organ", number=False), Head("Patients"), Head("Dose, all cycles", "Gy"), Head("BED, all cycles", "Gy"),
        Head("Limit", "Gy"), Head("Patients above"), Head("Source of the limit", number=False),
    ]  # fmt: skip
    rows = []
    for organ in sort_organs(frame["voi"]):
        own = frame[frame["voi"] == organ]
        for kind, name in LIMITS.items():
            if not has_constant(organ, name):
                continue
            limit = constant(organ, name)
            above = int((own[f"{kind}_gy"] > limit.value).sum())
            rows.append([
                Cell(words(organ)), Cell(str(len(own))), median_range(own["dose_gy"]),
                median_range(own["bed_gy"]) if own["bed_gy"].notna().any() else Cell("-"),
                Cell(f"{KINDS[kind]} {limit.value:g}"), Cell(str(above), "warn" if above else ""),
                Cell(limit.source, note=limit.validity),
            ])  # fmt: skip
    return Sheet(heads, rows, "Median over the patients, below it lowest to highest. The limits are a table to edit.")


def limits_section(study: StudyResults) -> dict[str, Any] | None:
    """Return what the page shows of limits, None when no organ has one."""
    frame = limits_frame(study)
    if frame.empty:
        return None
    lead = (
        "Organs at risk beside published limits; nothing in the study depends on them. BED by linear-quadratic theory "
        "with the effective half-life of the organ and repair of one half-time. Limits from external-beam therapy are "
        f"a habit, not a fact: {EXTERNAL_BEAM_WARNING}."
    )
    return {"lead": lead, "table": limits_table(frame)}
