"""Doses and BED of the organs at risk beside the limits of the table, NTCP and TCP; for the report alone."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from theradose.evaluation.figures import sort_organs, words
from theradose.evaluation.report_tables import Cell, Head, Sheet, median_range
from theradose.evaluation.results import StudyResults
from theradose.physics.complications import lkb_ntcp
from theradose.physics.limits import EXTERNAL_BEAM_WARNING, LIMITS, Constant, constant, has_constant
from theradose.physics.radiobiology import bed_gy, eqd2_gy, g_factor_single
from theradose.physics.tumour_control import poisson_tcp
from theradose.vocabulary import LESIONS, RESEARCH_USE_ONLY, organ_of

Array = NDArray[np.float64]
KINDS = {"bed": "BED", "dose": "dose"}
# Own choice: ten equal parts of an organ for each of the 100 bins that a histogram has unless told otherwise.
MIDDLES = (np.arange(1000) + 0.5) / 1000
NTCP = {"ntcp_td50_gy": "TD50 {:g} Gy", "ntcp_m": "m {:g}", "ntcp_n": "n {:g}"}
TCP = {"alpha_per_gy": "alpha {:g}/Gy", "alpha_std_per_gy": "spread {:g}/Gy", "clonogens_per_ml": "{:.0e} cells/mL"}
REPAIR = {"alpha_beta_gy": "alpha/beta {:g} Gy", "t_repair_h": "repair {:g} h"}
REPORT_ONLY = "report only, not for decisions"
CAUTION = "External-beam {} parameters do not transfer to radionuclide therapy (MIRD Pamphlet 20)"


def limits_frame(study: StudyResults) -> pd.DataFrame:
    """Return dose and BED in Gy of every patient and organ that has a limit, all cycles together.

    Columns patient, voi, dose_gy, bed_gy (missing where the table lacks alpha/beta or the repair half-time). The BED of
    a cycle takes the effective half-life of the organ's VOIs, weighted by their TIA, and no uptake.
    """
    doses, t_eff_h = study.table("organ_dose"), _half_lives_h(study)
    listed = [organ for organ in doses["voi"].unique() if any(has_constant(organ, name) for name in LIMITS.values())]
    rows = doses[(doses["level"] == "organ") & doses["voi"].isin(listed)]
    found = [
        {
            "patient": row["patient"], "voi": row["voi"], "dose_gy": row["dose_gy"],
            "bed_gy": float(_bed_gy(row["dose_gy"], t_eff_h, (row["patient"], row["cycle"], row["voi"]))),
        }
        for row in rows.to_dict("records")
    ]  # fmt: skip
    frame = pd.DataFrame(found, columns=["patient", "voi", "dose_gy", "bed_gy"])
    return frame.groupby(["patient", "voi"], as_index=False)[["dose_gy", "bed_gy"]].sum(min_count=1)


def _half_lives_h(study: StudyResults) -> "pd.Series[float]":
    """Return the effective half-life in h by patient, cycle and organ: mean over its VOIs, weighted by their TIA."""
    fits = study.table("tiac")
    fits = fits.assign(organ=[organ_of(voi) for voi in fits["voi"]], weighted=fits["t_eff_h"] * fits["tia_mbq_h"])
    sums = fits.groupby(["patient", "cycle", "organ"])[["weighted", "tia_mbq_h"]].sum()
    return sums["weighted"] / sums["tia_mbq_h"].where(sums["tia_mbq_h"] > 0)


def _has_bed(organ: str) -> bool:
    """Tell whether the table has what a BED of the organ needs."""
    return all(has_constant(organ, name) for name in REPAIR)


def _bed_gy(dose_gy: ArrayLike, t_eff_h: "pd.Series[float]", key: tuple[Any, Any, str]) -> Array:
    """Return the BED in Gy of a patient, cycle and organ (`key`), missing where a constant or the half-life is."""
    organ, half_life_h = key[-1], float(t_eff_h.get(key, 0.0))
    if not (_has_bed(organ) and half_life_h > 0):
        return np.full(np.shape(dose_gy), np.nan)
    g = g_factor_single(half_life_h, constant(organ, "t_repair_h").value)
    return bed_gy(dose_gy, g, constant(organ, "alpha_beta_gy").value)


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


def _parts_gy(curves: pd.DataFrame) -> Array:
    """Return the doses in Gy of equal parts of an organ in one cycle, coolest first.

    `curves` are the histograms of its VOIs, each scaled to its `dose_gy_whole` and weighted by its `volume_ml`.
    """
    doses, volumes = [], []
    for _, rows in curves.sort_values(["volume_fraction", "dose_gy"], ascending=[True, False]).groupby("voi"):
        parts = np.interp(MIDDLES, rows["volume_fraction"], rows["dose_gy"])
        doses.append(parts * float(rows["dose_gy_whole"].iloc[0]) / max(float(parts.mean()), np.finfo(float).tiny))
        volumes.append(np.full(parts.size, float(rows["volume_ml"].iloc[0])))
    order = np.argsort(np.concatenate(doses))
    dose, volume = np.concatenate(doses)[order], np.concatenate(volumes)[order]
    return np.interp(MIDDLES * volume.sum(), np.cumsum(volume) - volume / 2, dose)


def _assumed(organ: str) -> dict[Constant, str]:
    """Return an organ's external-beam parameters, then alpha/beta and repair, with their words; empty without."""
    names = TCP if organ == LESIONS else NTCP
    if not has_constant(organ, next(iter(names)), "external_beam"):
        return {}
    found = {constant(organ, name, "external_beam"): text for name, text in names.items()}
    return found | {constant(organ, name): text for name, text in REPAIR.items() if _has_bed(organ)}


def _respond(organ: str, dose_gy: Array, total_bed_gy: Array, volume_ml: float) -> float:
    """Return the TCP of lesions on the BED of their parts (Gy), the NTCP of others on EQD2, else on plain dose."""
    a, b, c, *repair = (number.value for number in _assumed(organ))
    if organ == LESIONS:
        return poisson_tcp(total_bed_gy, c * volume_ml / MIDDLES.size, a, b)
    return lkb_ntcp(eqd2_gy(total_bed_gy, repair[0]) if repair else dose_gy, a, b, c)


def risk_frame(study: StudyResults) -> pd.DataFrame:
    """Return NTCP of the organs and TCP of all lesions together of every patient, all cycles together.

    Columns patient, voi, probability (1). The histograms of `dvh` are scaled to the doses of `organ_dose`; the coolest
    part of one cycle is taken for the coolest of all. No row where `limits.csv` has no parameters, or a BED that is
    needed is not known.
    """
    place, t_eff_h = ["patient", "cycle", "voi"], _half_lives_h(study)
    whole = study.table("organ_dose").drop_duplicates(place)[[*place, "dose_gy", "volume_ml"]]
    curves = study.table("dvh").merge(whole, on=place, suffixes=("", "_whole")).sort_values("cycle")
    curves["organ"] = [voi if voi == LESIONS else organ_of(voi) for voi in curves["voi"]]
    found = []
    for (patient, organ), own in curves.groupby(["patient", "organ"]):
        organ = str(organ)
        keys = [(patient, cycle, organ) for cycle in own["cycle"].unique()]
        parts = [_parts_gy(own[own["cycle"] == key[1]]) for key in keys]
        beds = [_bed_gy(dose, t_eff_h, key) for dose, key in zip(parts, keys, strict=True)]
        if _assumed(organ) and (np.isfinite(beds).all() or not _has_bed(organ)):
            volume_ml = float(own.drop_duplicates("voi")["volume_ml"].sum())
            found.append((patient, organ, _respond(organ, np.sum(parts, axis=0), np.sum(beds, axis=0), volume_ml)))
    return pd.DataFrame(found, columns=["patient", "voi", "probability"])


def risk_table(frame: pd.DataFrame) -> Sheet:
    """Return NTCP or TCP of each organ, beside it the caution that belongs to it, its parameters and their sources."""
    heads = [Head("Organ", number=False), Head("Patients"), Head("Response", number=False), Head("Probability", "%")]
    heads += [Head("Caution", number=False), Head("Assumed parameters", number=False)]
    rows = []
    for organ in sort_organs(frame["voi"]):
        own, assumed, kind = frame[frame["voi"] == organ], _assumed(organ), "TCP" if organ == LESIONS else "NTCP"
        basis = "BED" if organ == LESIONS else "EQD2" if _has_bed(organ) else "absorbed dose"
        rows.append([
            Cell(words(organ)), Cell(str(len(own))), Cell(f"{kind} on {basis}", note=next(iter(assumed)).validity),
            median_range((100 * own["probability"]).round(1)), Cell(CAUTION.format(kind), "warn", REPORT_ONLY),
            Cell(", ".join(text.format(number.value) for number, text in assumed.items()),
                 note="; ".join(dict.fromkeys(number.source for number in assumed))),
        ])  # fmt: skip
    note = "Median to 0.1 %, below it lowest to highest. At zero dose Lyman's curve is Phi(-1/m), 0.6 % for m 0.4."
    return Sheet(heads, rows, note)


def risk_section(study: StudyResults) -> dict[str, Any] | None:
    """Return what the page shows of NTCP and TCP, None when no organ has parameters and a histogram."""
    frame = risk_frame(study)
    lead = (
        f"{'Virtual patients. ' if study.virtual else ''}{REPORT_ONLY.capitalize()}. {RESEARCH_USE_ONLY} Complications "
        "of organs (NTCP, Lyman-Kutcher-Burman) and control of all lesions together (TCP, Poisson, part by part), all "
        "cycles, by dose-volume histograms scaled to organ doses; the coolest part of one cycle is taken for that of "
        "all. Organs without a repair half-time go by absorbed dose. Parameters are assumptions: a table to edit."
    )
    return None if frame.empty else {"lead": lead, "table": risk_table(frame)}


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
