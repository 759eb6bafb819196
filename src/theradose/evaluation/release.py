"""The few numbers of a study that are kept in git and compared between versions."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from theradose.evaluation.score_table import ALL

DIGITS = 6
RECOVERED = ("mean", "sd", "n")


def _short(value: float) -> float:
    """Return a number with six significant digits, so that the file reads well."""
    return float(f"{value:.{DIGITS}g}")


def recovered_numbers(recovery: Mapping[str, Any]) -> dict[str, Any]:
    """Return {organ: {corrected | uncorrected: {mean, sd, n}}} of the relative error of the TIA, from recovery.json."""
    return {
        organ: {
            kind: {name: _short(numbers[name]) for name in RECOVERED} for kind, numbers in found["tia_mbq_h"].items()
        }
        for organ, found in recovery.get("organ", {}).items()
    }


def study_numbers(
    table: pd.DataFrame, best: Mapping[str, Mapping[str, Any]], recovery: Mapping[str, Any]
) -> dict[str, Any]:
    """Return {experiment: {best, test: {predictor: {reference: {metric: value}}}}} and the recovery of the labels.

    `table` has schema EXPERIMENTS; only scores over all organs on test patients are kept. `recovery` is what
    evaluate_labels wrote, empty for real patients.
    """
    rows = table[(table["partition"] == "test") & (table["voi"] == ALL) & table["value"].notna()]
    found: dict[str, Any] = {name: {"best": verdict["best"], "test": {}} for name, verdict in best.items()}
    for row in rows.to_dict("records"):
        scores = found[row["experiment"]]["test"].setdefault(row["predictor"], {}).setdefault(row["reference"], {})
        scores[row["metric"]] = _short(row["value"])
    return {"experiments": found, "tia_relative_error": recovered_numbers(recovery)}
