"""The report's pages on who was studied and what became of their data."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from theradose.evaluation.figures import as_svg, series_style
from theradose.evaluation.figures_recovery import cohort_spread
from theradose.evaluation.report_tables import DASH, Cell, Head, Sheet, count, median_range, three, words_cell
from theradose.evaluation.results import StudyResults
from theradose.vocabulary import FLAGS, QUANTITIES

CLINICAL = {
    "age_y": ("Age", "y"),
    "weight_kg": ("Weight", "kg"),
    "egfr_ml_min": ("eGFR", QUANTITIES["egfr_ml_min"].unit.replace("m2", "m²")),
    "administered_mbq": ("Administered", "MBq"),
}
STATUS_KIND = {"ok": "ok", "flagged": "warn", "quarantined": "bad", "excluded": "muted"}
SEVERITY_KIND = {"ERROR": "bad", "WARN": "warn", "NOTE": "muted"}
FOLD_ROWS = 12
SHOWN_ROWS = 200


def _known_columns(people: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Return the clinical columns that hold any number."""
    numeric = {
        name for name in CLINICAL if name in people and pd.to_numeric(people[name], errors="coerce").notna().any()
    }
    return {name: label for name, label in CLINICAL.items() if name in numeric}


def cohort_table(people: pd.DataFrame) -> Sheet:
    """Return number, status and clinical values of each centre and of all patients."""
    columns = _known_columns(people)
    heads = [Head("Centre", number=False), Head("Patients"), *(Head(*columns[name]) for name in columns)]
    heads += [Head("ok"), Head("flagged"), Head("quarantined"), Head("excluded")]
    rows = []
    groups = [(str(centre), own) for centre, own in people.groupby("centre")]
    for name, own in [*groups, ("all", people)] if len(groups) > 1 else groups:
        status = own["status"].value_counts()
        counts = [Cell(str(n := int(status.get(s, 0))), STATUS_KIND[s] if n else "muted") for s in STATUS_KIND]
        values = [median_range(pd.to_numeric(own[column], errors="coerce")) for column in columns]
        rows.append([Cell(name), Cell(str(len(own))), *values, *counts])
    return Sheet(heads, rows, "Median, below it lowest to highest value.")


def status_table(people: pd.DataFrame) -> Sheet | None:
    """Return every patient who is not ok, with the reason; None when all are."""
    odd = people[people["status"] != "ok"].sort_values(["status", "patient"])
    if odd.empty:
        return None
    rows = [
        [
            Cell(str(r["patient"])),
            Cell(str(r["centre"])),
            Cell(str(r["status"]), STATUS_KIND[str(r["status"])]),
            words_or_dash(r["reason"]),
        ]
        for r in odd.to_dict("records")
    ]
    heads = [Head(name, number=False) for name in ("Patient", "Centre", "Status", "Reason")]
    fold = f"{count(len(rows), 'patient')} with a remark" if len(rows) > FOLD_ROWS else ""
    return Sheet(heads, rows, fold=fold)


def cohort_section(study: StudyResults) -> dict[str, Any]:
    """Return what the page on the cohort shows."""
    people = study.participants
    columns = _known_columns(people)
    figure = None
    if len(people) > 1 and columns:
        numbers = people.assign(**{name: pd.to_numeric(people[name], errors="coerce") for name in columns})
        labels = {name: f"{label} ({unit})" for name, (label, unit) in columns.items()}
        figure = as_svg(
            cohort_spread(numbers, labels, series_style(sorted(set(people["centre"])))),
            "Clinical values of the patients of each centre",
            "One mark a patient; the upright bar is the centre's median.",
        )
    status = people["status"].value_counts()
    parts = [f"{int(status[name])} {name}" for name in STATUS_KIND if name in status]
    lead = f"{count(len(people), 'patient')} of {count(people['centre'].nunique(), 'centre')}: {', '.join(parts)}."
    return {"lead": lead, "table": cohort_table(people), "figure": figure, "status": status_table(people)}


def images_table(manifest: pd.DataFrame) -> Sheet:
    """Return how many images of each kind there are, at which times and how large."""
    heads = [
        Head("Images", number=False),
        Head("Files"),
        Head("Patients"),
        Head("Time points", "h", number=False),
        Head("Size", "MB"),
    ]
    rows = []
    for modality, own in manifest.groupby("modality"):
        times = sorted({round(float(t), 1) for t in own["time_h"].dropna()})
        shown = ", ".join(f"{t:g}" for t in times) if len(times) <= 8 else f"{times[0]:g} to {times[-1]:g}"
        rows.append([
            Cell(str(modality).upper() if modality != "mask" else "Masks"), Cell(str(len(own))),
            Cell(str(own["patient"].nunique())), words_cell(shown), Cell(three(own["n_bytes"].sum() / 1e6)),
        ])  # fmt: skip
    return Sheet(heads, rows, "Each file's SHA-256 is in manifest.tsv and is checked on every read.")


def faults_table(faults: pd.DataFrame) -> Sheet | None:
    """Return every fault that was found before any work, None when there was none."""
    if faults.empty:
        return None
    rank = {"ERROR": 0, "WARN": 1, "NOTE": 2}
    ordered = faults.sort_values("severity", key=lambda s: s.map(rank), kind="stable").head(SHOWN_ROWS)
    rows = [
        [
            Cell(str(r["severity"]), SEVERITY_KIND[str(r["severity"])]),
            Cell(str(r["code"]), "nowrap"),
            words_or_dash(r["patient"]),
            Cell(str(r["message"])),
        ]
        for r in ordered.to_dict("records")
    ]
    heads = [Head(name, number=False) for name in ("Severity", "Code", "Patient", "What, where, got, expected, remedy")]
    return Sheet(heads, rows, fold=f"{len(faults)} faults" if len(rows) > FOLD_ROWS else "")


def words_or_dash(value: object) -> Cell:
    """Return a cell with an identifier as it is, a dash when it is empty."""
    return Cell(str(value)) if str(value) else Cell(DASH, "muted")


def flags_table(frames: Mapping[str, pd.DataFrame]) -> Sheet | None:
    """Return how often each flag stands beside a number, by table; None when none does."""
    found = []
    for name, frame in frames.items():
        for flag, n in (
            frame["flags"].str.split(r"[;,]\s*|\s+", regex=True).explode().value_counts().sort_index().items()
        ):
            if flag:
                found.append(
                    [Cell(name), words_cell(flag), Cell(FLAGS.get(str(flag), "")), Cell(str(n)), Cell(str(len(frame)))]
                )
    heads = [
        Head("Table", number=False),
        Head("Flag", number=False),
        Head("Meaning", number=False),
        Head("Rows"),
        Head("of"),
    ]
    return Sheet(heads, found) if found else None


def notes_table(qc: pd.DataFrame) -> Sheet | None:
    """Return the remarks of the quality control, None when there are none."""
    noted = qc[qc["note"].astype(str) != ""].head(SHOWN_ROWS)
    if noted.empty:
        return None
    rows = [
        [words_or_dash(r["patient"]), words_cell(r["step"]), words_cell(r["subject"]), words_cell(r["name"]),
         Cell(f"{three(r['value'])} {r['unit'] if r['unit'] != '1' else ''}".strip()), Cell(str(r["note"]))]
        for r in noted.to_dict("records")
    ]  # fmt: skip
    heads = [Head(name, number=False) for name in ("Patient", "Step", "Subject", "Quantity", "Value", "Note")]
    return Sheet(heads, rows, fold=count(len(noted), "remark of the quality control", "remarks of the quality control"))


def data_section(study: StudyResults) -> dict[str, Any]:
    """Return what the page on data and checks shows."""
    faults, people = study.table("faults"), study.table("patients")
    severities = faults["severity"].value_counts()
    parts = [
        count(int(severities[name]), word)
        for name, word in (("ERROR", "error"), ("WARN", "warning"), ("NOTE", "note"))
        if name in severities
    ]
    found = ", ".join(parts) if parts else "no fault"
    worked = people["status"].isin(["ok", "flagged"]).sum()
    left = len(people) - worked
    lead = (
        f"Every file was checked before any work: {found}. Patients found {len(people)} = "
        f"worked on {worked} + quarantined or excluded {left}."
    )
    frames = {
        name: study.table(key) for name, key in (("activity", "tac"), ("kinetics", "tiac"), ("dose", "organ_dose"))
    }
    return {
        "lead": lead,
        "images": images_table(study.manifest),
        "faults": faults_table(faults),
        "flags": flags_table({name: frame for name, frame in frames.items() if not frame.empty}),
        "notes": notes_table(study.table("qc")),
    }
