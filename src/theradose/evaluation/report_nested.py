"""The report's tables of nested cross-validation: scores of everyone, of each VOI and of each centre."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd

from theradose.evaluation.figures import words
from theradose.evaluation.report_tables import Cell, Head, Sheet, count, interval, three, three_signed
from theradose.evaluation.score_table import ALL

MINUS_BASELINE = "_minus_best_baseline"
NAMES = {
    "mape": "MAPE", "bias": "Mean error", "coverage": "Coverage", "log_width": "Log width", "log_loss": "Log loss",
    "brier": "Brier score", "auc": "AUC",
}  # fmt: skip
CAPTION = (
    "Every patient outside the test partition is predicted by models that were tuned and fitted without him, scaling "
    "and selection of columns included; the test patients take no part. Mean over the repeats, below it 95 % limits "
    "from drawing patients and the standard deviation between repeats."
)
BY_CENTRE = "Patients of a centre on their own. With scheme `centre` none of them taught the model that predicts them."


def _named(metric: str) -> str:
    """Return a metric in words."""
    bare = metric.removesuffix(MINUS_BASELINE)
    name = NAMES.get(bare, words(bare))
    return name if metric == bare else f"{name} less that of the best baseline"


def _cell(row: Mapping[Hashable, Any]) -> Cell:
    """Return a score with its limits and the scatter between repeats."""
    number, scatter, low, high = (float(row[name]) for name in ("value", "sd_between_repeats", "low", "high"))
    notes = [interval(low, high), "" if pd.isna(scatter) else f"SD {three(scatter)}"]
    signed = str(row["metric"]).endswith(MINUS_BASELINE) and pd.notna(number)
    shown = three_signed(number) if signed else three(number)
    return Cell(shown, "", ", ".join(note for note in notes if note))


def _sheet(rows: pd.DataFrame, column: str, heads: Sequence[Head], baselines: Sequence[str], caption: str) -> Sheet:
    """Return a table with a row for each predictor and the values of `column` side by side."""
    across = list(dict.fromkeys(rows[column]))
    scored = {(str(row["predictor"]), row[column]): row for row in rows.to_dict("records")}
    lines = []
    for name in dict.fromkeys(rows["predictor"]):
        found = [scored.get((str(name), one)) for one in across]
        note = "baseline" if name in baselines else "model"
        lines.append([Cell(words(str(name)), "", note), *(Cell(three(None)) if r is None else _cell(r) for r in found)])
    return Sheet([Head("Predictor", number=False), *heads], lines, caption)


def _across(table: pd.DataFrame, column: str, metric: str, baselines: Sequence[str], caption: str) -> Sheet | None:
    """Return one metric by VOI or by group, None when there is but one of them."""
    other = "group" if column == "voi" else "voi"
    rows = table[(table["metric"] == metric) & (table[other] == ALL) & (table[column] != ALL)]
    names = list(dict.fromkeys(rows[column]))
    if len(names) < 2:
        return None
    unit = str(rows["unit"].iloc[0])
    return _sheet(rows, column, [Head(words(str(name)), unit) for name in names], baselines, caption)


def nested_sheets(table: pd.DataFrame, baselines: Sequence[str]) -> list[tuple[str, Sheet]]:
    """Return titled tables of the scores of nested cross-validation (schema NESTED); none without rows."""
    if table.empty:
        return []
    whole = table[(table["voi"] == ALL) & (table["group"] == ALL)]
    units = whole.drop_duplicates("metric").set_index("metric")["unit"]
    heads = [Head(_named(str(metric)), str(unit)) for metric, unit in units.items()]
    title = f"Nested cross-validation: {count(int(whole['n'].max()), 'patient')}"
    found = [(title, _sheet(whole, "metric", heads, baselines, CAPTION))]
    first = str(whole["metric"].iloc[0])
    for column, title, caption in (("voi", "by target", ""), ("group", "by centre", BY_CENTRE)):
        sheet = _across(table, column, first, baselines, caption)
        if sheet is not None:
            found.append((f"Nested cross-validation: {_named(first)} {title}", sheet))
    return found
