"""The numbers of one patient: every VOI's curve and dose, totals of the images, fits that were refused."""

from typing import Any

import pandas as pd

from theradose.evaluation.figures import sort_organs, words
from theradose.evaluation.figures_kinetics import refusal
from theradose.evaluation.report_tables import DASH, Cell, Head, Sheet, three, words_cell
from theradose.evaluation.results import StudyResults
from theradose.vocabulary import is_target

MODEL_NAMES = {"mono": "mono", "mono_uptake": "mono + uptake", "bi": "bi", "population": "population"}


def is_corrected(study: StudyResults) -> bool:
    """Tell whether activities were corrected for recovery and spill-in."""
    return study.settings.quantify.recovery != "none"


def dose_table(study: StudyResults, patient: str) -> Sheet | None:
    """Return TIA, half-life and dose of every VOI of a patient with its uncertainty and remarks; None without fits."""
    tiac, dose = study.table("tiac"), study.table("organ_dose")
    tiac = tiac[(tiac["patient"] == patient) & (tiac["cycle"] == 1) & tiac["voi"].map(is_target).astype(bool)]
    if tiac.empty:
        return None
    chosen = dose[(dose["patient"] == patient) & (dose["cycle"] == 1) & (dose["level"] == "voi")]
    doses = {str(row["voi"]): row for _, row in chosen.iterrows()}
    rows = []
    for voi in sort_organs(tiac["voi"]):
        fit = tiac[tiac["voi"] == voi].iloc[0]
        own = doses.get(voi)
        rows.append([Cell(words(voi), "nowrap"), *_fit_cells(fit), *_dose_cells(own), _remark(fit, own)])
    heads = [
        Head("VOI", number=False), Head("Model", number=False), Head("Eff. half-life", "h"), Head("TIA", "MBq·h"),
        Head("TIAC", "h"),
        Head("Volume", "mL"), Head("Dose", "Gy"), Head("uncorrected", "Gy"), Head("Dose", "Gy/GBq"),
        Head("Remarks", number=False),
    ]  # fmt: skip
    how = (
        "of the VOI, corrected; uncorrected: from activities as the images show them"
        if is_corrected(study)
        else "of the VOI"
    )
    text = (
        "± one standard uncertainty. Model: number of exponentials, with or without a fixed uptake phase; population: "
        f"the declared half-life. Dose: {how}."
    )
    return Sheet(heads, rows, text)


def _with_std(value: float, std: float) -> Cell:
    """Return a value with its standard uncertainty below it."""
    return Cell(three(value), "with-std", f"± {three(std, 2)}")


def _fit_cells(fit: "pd.Series[Any]") -> list[Cell]:
    """Return model, half-life, TIA and TIAC of a VOI."""
    refused = "warn" if fit["reason"] else ""
    return [
        Cell(MODEL_NAMES.get(fit["model"], words(fit["model"])), refused or "nowrap"),
        Cell(three(fit["t_eff_h"])),
        _with_std(fit["tia_mbq_h"], fit["tia_std_mbq_h"]),
        Cell(three(fit["tiac_h"])),
    ]


def _dose_cells(own: "pd.Series[Any] | None") -> list[Cell]:
    """Return volume and doses of a VOI, dashes for a region that gets no dose of its own."""
    if own is None:
        return [Cell(DASH, "muted")] * 4
    return [
        Cell(three(own["volume_ml"])),
        _with_std(own["dose_gy"], own["dose_std_gy"]),
        Cell(three(own["dose_uncorrected_gy"]), "muted"),
        Cell(three(own["dose_gy_per_gbq"])),
    ]


def _remark(fit: "pd.Series[Any]", own: "pd.Series[Any] | None") -> Cell:
    """Return why a fit was refused, and the flags of fit and dose."""
    flags = [] if own is None else str(own["flags"]).replace(";", ",").split(",")
    flags += str(fit["flags"]).replace(";", ",").split(",")
    parts = [f"fit refused: {refusal(str(fit['reason']))}"] if fit["reason"] else []
    parts += [words(flag.strip()) for flag in dict.fromkeys(flags) if flag.strip()]
    return words_cell("; ".join(dict.fromkeys(parts)), "warn")


def totals_table(study: StudyResults, patient: str) -> Sheet | None:
    """Return what the quality control measured on each image of a patient, a row an image; None without any."""
    qc = study.table("qc")
    own = qc[(qc["patient"] == patient) & (qc["step"] == "quantify")]
    if own.empty:
        return None
    units = dict(zip(own["name"], own["unit"], strict=True))
    rows = []
    for subject, image in own.groupby("subject", sort=False):
        values = dict(zip(image["name"], image["value"], strict=True))
        notes = "; ".join(dict.fromkeys(str(note) for note in image["note"] if str(note)))
        found = [Cell(three(float(values.get(name, float("nan"))))) for name in units]
        rows.append([Cell(str(subject), "nowrap"), *found, Cell(notes, "warn")])
    heads = [Head("SPECT", number=False), *(Head(words(name).capitalize(), unit) for name, unit in units.items())]
    if not any(row[-1].text for row in rows):
        return Sheet(heads, [row[:-1] for row in rows])
    return Sheet([*heads, Head("Remarks", number=False)], rows)


def refused_fits(study: StudyResults, patient: str) -> list[str]:
    """Return one sentence for each fit of a patient that was refused, with what took its place."""
    tiac = study.table("tiac")
    own = tiac[(tiac["patient"] == patient) & (tiac["cycle"] == 1) & (tiac["reason"] != "")]
    found = []
    for row in own[own["voi"].map(is_target).astype(bool)].to_dict("records"):
        rule, _, sentence = str(row["reason"]).partition(": ")
        told = sentence or words(rule)
        found.append(f"{words(str(row['voi']))}: {told}. Taken instead: effective half-life {three(row['t_eff_h'])} h.")
    return found
