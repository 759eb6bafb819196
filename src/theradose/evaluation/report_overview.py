"""The report's first table of experiments: what each one is, what was chosen, what it earns over the best baseline."""

import math
from typing import Any

from theradose.evaluation.figures import words
from theradose.evaluation.metric_names import METRIC_NAMES
from theradose.evaluation.report_plans import plan_line
from theradose.evaluation.report_tables import DASH, Cell, Head, Sheet, interval, three, three_signed
from theradose.evaluation.results import ExperimentResults, StudyResults

CAPTION = (
    "Chosen by out-of-fold predictions of training patients, scored on test patients against the label, all targets "
    "together; below each value its 95 % interval, for differences from pairs. Systems are those of the review that "
    "this project follows, by its sections. Smallest possible, for organ doses of virtual patients: the error against "
    "the planted doses of one who knows everything before therapy, all patients; below it that of the chosen one on "
    "the same patients, out of fold and test. Labels err by themselves, and what they err by can be learned."
)


def _score(found: dict[str, Any] | None, *, signed: bool = False) -> Cell:
    """Return a score with its interval, a dash when there is none."""
    if not found or found.get("value") is None:
        return Cell(DASH, "muted")
    unit = "" if found["unit"] == "1" else f" {found['unit']}"
    low, high = (math.nan if found.get(name) is None else float(found[name]) for name in ("low", "high"))
    kind = "ok" if signed and high < 0 else "warn" if signed and low > 0 else ""
    number = three_signed(float(found["value"])) if signed else three(float(found["value"]))
    return Cell(number + unit, kind, interval(low, high))


def _smallest(study: StudyResults, experiment: str, predictor: str) -> Cell:
    """Return the mean over organs of the error that nobody can beat before therapy, a dash when it is not known.

    Below it stands the predictor's own on the same patients: scores of the test partition are those of others.
    """
    table = study.table("limit_scores")
    rows = table[(table["experiment"] == experiment) & (table["predictor"] == predictor)] if len(table) else table
    rows = rows[rows["reference"] == "truth"] if len(rows) else rows
    if rows.empty:
        return Cell(DASH, "muted")
    least, own = (f"{three(float(rows[name].mean()))} %" for name in ("oracle_mape", "mape"))
    return Cell(least, "", f"chosen: {own}")


def _row(study: StudyResults, experiment: ExperimentResults) -> list[Cell]:
    """Return the line of one experiment."""
    found = study.verdicts[experiment.name]
    best, baseline, metric = found["best"], found["best_baseline"], found["metric"]
    only = best == baseline
    return [
        Cell(experiment.title, "", f"{experiment.name}: {METRIC_NAMES.get(metric, metric)}"),
        Cell(str(experiment.about.get("system") or DASH)),
        Cell(words(best), "", "no model beats this baseline" if only else ""),
        _score(found["test"].get(best)), Cell(words(baseline)), _score(found["test"].get(baseline)),
        Cell(DASH, "muted") if only else _score(found.get("test_minus_best_baseline"), signed=True),
        _smallest(study, experiment.name, best),
    ]  # fmt: skip


def overview_section(study: StudyResults) -> Sheet | None:
    """Return a line for every experiment that was compared, None when there is none."""
    compared = [one for one in study.experiments if one.name in study.verdicts]
    planned = [one for one in compared if (one.plans["partition"] == "test").any()]
    rows = [*(_row(study, one) for one in compared), *(plan_line(study, one) for one in planned)]
    heads = [
        Head("Experiment", number=False), Head("System", number=False),
        Head("Chosen", number=False), Head("On test patients"), Head("Best baseline", number=False),
        Head("On test patients"), Head("Difference"), Head("Smallest possible"),
    ]  # fmt: skip
    return Sheet(heads, rows, CAPTION) if rows else None
