"""Figures that others have published, for orientation beside a study's scores and never among them."""

from pathlib import Path

import pandas as pd

from theradose.evaluation.report_tables import Cell, Head, Sheet
from theradose.evaluation.results import ExperimentResults, StudyResults

TABLE = Path(__file__).parent / "data" / "published.csv"
TITLE = "Published figures, for orientation; other patients, other definitions"
CAPTION = (
    "Nothing here was measured in this study, and no score of it is comparable without more ado: these are people, "
    "their doses are known from scans alone, and how the figures were defined is told in part or not at all."
)


def published() -> pd.DataFrame:
    """Return the table, a row a figure: `percent`, `bound` (`<` or empty), `what`, `site`, `source`."""
    return pd.read_csv(TABLE, comment="#", keep_default_na=False)


def published_sheets(study: StudyResults, experiment: ExperimentResults) -> list[tuple[str, Sheet]]:
    """Return the titled table where it belongs: with the first experiment on organ doses of a study."""
    first = next((one.name for one in study.experiments if one.about["kind"] == "organ_dose"), "")
    return [(TITLE, published_sheet())] if experiment.name == first else []


def published_sheet() -> Sheet:
    """Return the figures as a table of the report, those that share their meaning in one row."""
    rows = []
    for (what, site, source), own in published().groupby(["what", "site", "source"], sort=False):
        figures = ", ".join(f"{bound} {percent:g}".strip() for bound, percent in own[["bound", "percent"]].to_numpy())
        rows.append([Cell(figures), Cell(str(what)), Cell(str(site)), Cell(str(source))])
    heads = [Head("Figure", "%"), *(Head(name, number=False) for name in ("What it is", "Where", "Source"))]
    return Sheet(heads, rows, CAPTION)
