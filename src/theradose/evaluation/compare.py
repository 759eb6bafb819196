"""All experiments in one table, each beside its baselines; the best is chosen out of fold, never by the test."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from theradose.evaluation.score_table import ALL, best_of

# What decides between the predictors of a kind of experiment, computed out of fold; the lowest wins.
DECIDES = {
    "organ_dose": "mape",
    "dose_map": "rmse",
    "multitask": "mape",
    "outcome": "log_loss",
    "latency": "ipcw_brier",
    "tiac": "mape",
    "renal_slope": "rmse",
}
# Kinds whose predictions.tsv holds mean organ doses, as the oracle of a virtual study predicts them before therapy.
# That of dose_map has the same columns, but means of a map within the slices at hand; that of tiac holds no doses.
DOSE_KINDS = ("organ_dose", "multitask")
TRAIN, TEST, LABEL = "train", "test", "label"


def _score(table: pd.DataFrame, predictor: str, metric: str, partition: str) -> dict[str, Any]:
    """Return value, limits and n of a score over all organs against the label, empty when it is not there."""
    which = {"predictor": predictor, "metric": metric, "partition": partition, "reference": LABEL, "voi": ALL}
    rows = table
    for column, wanted in which.items():
        rows = rows[rows[column] == wanted]
    if rows.empty:
        return {}
    row = rows.iloc[0]
    numbers = {name: None if pd.isna(row[name]) else float(row[name]) for name in ("value", "low", "high")}
    return {**numbers, "unit": str(row["unit"]), "n": int(row["n"])}


def verdict(table: pd.DataFrame, experiment: Mapping[str, Any]) -> dict[str, Any]:
    """Return which predictor and which baseline are best out of fold, with their scores there and on the test.

    `table` holds the experiment's scores (schema METRICS), `experiment` its name, kind, baselines and predictors.
    """
    names: Sequence[str] = experiment["predictors"]
    metric = DECIDES[experiment["kind"]]
    first, standard = best_of(table, names, metric), best_of(table, experiment["baselines"], metric)
    return {
        "kind": experiment["kind"],
        "title": experiment["title"],
        "metric": metric,
        "chosen_by": "out-of-fold predictions of training patients",
        "best": first,
        "best_baseline": standard,
        "better_than_baselines": first not in experiment["baselines"],
        "out_of_fold": {name: _score(table, name, metric, TRAIN) for name in dict.fromkeys((first, standard))},
        "test": {name: _score(table, name, metric, TEST) for name in dict.fromkeys((first, standard))},
        "test_minus_best_baseline": _score(table, first, f"{metric}_minus_best_baseline", TEST),
    }


def with_roles(table: pd.DataFrame, experiment: Mapping[str, Any], chosen: str) -> pd.DataFrame:
    """Return the scores with the role of each predictor and whether it is the chosen one (schema EXPERIMENTS)."""
    role = table["predictor"].map(lambda name: "baseline" if name in experiment["baselines"] else "model")
    return table.assign(role=role, chosen=table["predictor"].map(lambda name: "yes" if name == chosen else "no"))
