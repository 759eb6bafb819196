"""The report's chapter on planned activities: how high they are, what holds them, how often limits are exceeded."""

import math
from typing import Any

import pandas as pd
from scipy.stats import binomtest

from theradose.evaluation.figures import words
from theradose.evaluation.report_tables import DASH, Cell, Head, Sheet, count, interval, percent, three
from theradose.evaluation.results import ExperimentResults, StudyResults

SYSTEM = "H9 (12.2)"
WHO = {"test": "test patients", "validation": "validation patients", "train": "training patients, out of fold"}
CAPTION = (
    "Exceeded: the limit that held the plan, by the dose that the patient got per activity, with the half-life of the "
    "plan; 95 % interval of so many patients (Wilson), not of another training set. Planned over allowed: 1 would be "
    "to know the dose before therapy."
)


def asked(experiment: ExperimentResults) -> dict[str, Any]:
    """Return what was asked of the plans of an experiment: cycles, probability, joint, case."""
    return dict(experiment.record("plans", "provenance.json")["settings"]["planning"])


def exceeded(rows: pd.DataFrame, reference: str) -> Cell:
    """Return how often plans exceed the limit they were held by; a dash where no dose is known."""
    known = rows[f"exceeded_{reference}"].dropna()
    if known.empty:
        return Cell(DASH, "muted")
    found = binomtest(int(known.sum()), len(known)).proportion_ci(method="wilson")
    limits = interval(100.0 * found.low, 100.0 * found.high)
    return Cell(percent(100.0 * float(known.mean())), "", f"{int(known.sum())} of {len(known)}, {limits}")


def _held(rows: pd.DataFrame) -> Cell:
    """Return which organs hold the plans, the most frequent first."""
    shares = rows["binding_organ"].value_counts(normalize=True)
    return Cell(", ".join(f"{words(str(organ))} {percent(100.0 * share)}" for organ, share in shares.items()))


def _line(name: str, rows: pd.DataFrame, references: list[str]) -> list[Cell]:
    """Return the line of one predictor."""
    planned = rows[rows["activity_gbq"].notna()]
    if planned.empty:
        return [Cell(words(name)), Cell(f"0 of {len(rows)}"), *[Cell(DASH, "muted")] * (2 + 2 * len(references))]
    low, middle, high = planned["activity_gbq"].quantile([0.1, 0.5, 0.9])
    over = [planned["activity_gbq"] / planned[f"allowed_{one}_gbq"] for one in references]
    return [
        Cell(words(name)), Cell(f"{len(planned)} of {len(rows)}"),
        Cell(three(middle), "", f"{three(low)} to {three(high)}"), _held(planned),
        *(exceeded(planned, one) for one in references),
        *(Cell(three(float(one.median()) if one.notna().any() else math.nan)) for one in over),
    ]  # fmt: skip


def _sheet(experiment: ExperimentResults, partition: str) -> Sheet:
    """Return the plans of one experiment for the patients of a partition, a line for each predictor."""
    own = experiment.plans[experiment.plans["partition"] == partition]
    references = [one for one in ("label", "truth") if own[f"exceeded_{one}"].notna().any()]
    against = {"label": "by the label", "truth": "by the planted dose"}
    heads = [
        Head("Predictor", number=False), Head("Planned"), Head("Activity per cycle", "GBq, 10th to 90th percentile"),
        Head("Held by", number=False), *(Head(f"Exceeded {against[one]}") for one in references),
        *(Head(f"Planned over allowed {against[one]}", "median") for one in references),
    ]  # fmt: skip
    rows = [_line(name, own[own["predictor"] == name], references) for name in experiment.predictors]
    return Sheet(heads, rows, CAPTION, "" if partition == "test" else WHO[partition].capitalize())


def _words(experiment: ExperimentResults) -> str:
    """Return what was planned, in a sentence."""
    what = asked(experiment)
    of = "any limit, organs together" if what["joint"] else "each organ's limit by itself"
    cycles = count(what["cycles"], "cycle")
    return (
        f"{experiment.title}: {cycles} of equal activity, the highest whose chance to exceed {of} is at most "
        f"{percent(100.0 * what['probability'])}, case {what['case']}. Who is unlike those learned from gets no plan."
    )


def plans_section(study: StudyResults) -> list[dict[str, Any]]:
    """Return the plans of every experiment that made some."""
    return [
        {
            "lead": _words(one),
            "sheets": [_sheet(one, name) for name in WHO if (one.plans["partition"] == name).any()],
        }
        for one in study.experiments
        if len(one.plans)
    ]


def plan_line(study: StudyResults, experiment: ExperimentResults) -> list[Cell]:
    """Return the line of the first table of experiments: how often plans for test patients exceed their limit."""
    found, what = study.verdicts[experiment.name], asked(experiment)
    own = experiment.plans[experiment.plans["partition"] == "test"].set_index("predictor")
    reference = "truth" if own["exceeded_truth"].notna().any() else "label"
    cells = {name: exceeded(own.loc[[name]], reference) for name in (found["best"], found["best_baseline"])}
    asks = f"{experiment.name}: limit of the binding organ exceeded, stated {percent(100.0 * what['probability'])}"
    nothing = Cell(DASH, "muted")
    return [
        Cell(f"Activity for {count(what['cycles'], 'cycle')}", "", asks), Cell(SYSTEM),
        Cell(words(found["best"])), cells[found["best"]], Cell(words(found["best_baseline"])),
        cells[found["best_baseline"]], nothing, nothing,
    ]  # fmt: skip
