"""From predictions to the table of scores: per organ and over all, against label and truth, with 95 % limits."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from theradose.evaluation.bootstrap import draws, limits, quiet, resampled
from theradose.evaluation.metrics import (
    COVERAGE,
    METRICS,
    WIDTH,
    Score,
    interval_coverage,
    interval_log_width,
    mean_absolute_percentage_error,
    mean_error,
)

ALL = "all"
REFERENCES = {"label": "label_gy_per_gbq", "truth": "truth_gy_per_gbq"}
POINT, MEDIAN, LOW, HIGH = "predicted_gy_per_gbq", "median_gy_per_gbq", "low_gy_per_gbq", "high_gy_per_gbq"
SELECTION = "mape"
DIFFERENCE = f"{SELECTION}_minus_best_baseline"

# name: unit, function, columns it takes (the reference is put in place of None)
SCORES: dict[str, tuple[str, Score, tuple[str | None, ...]]] = {
    **{name: (metric.unit, metric.score, (POINT, None)) for name, metric in METRICS.items()},
    "mape_of_median": ("%", mean_absolute_percentage_error, (MEDIAN, None)),
    "bias_of_median": ("Gy/GBq", mean_error, (MEDIAN, None)),
    COVERAGE: ("%", interval_coverage, (LOW, HIGH, None)),
    WIDTH: ("1", interval_log_width, (LOW, HIGH)),
}


@dataclass(frozen=True)
class Scored:
    """One score: of each organ and their mean, with resamples; `value` (organs + 1,), `samples` (organs + 1, b)."""

    value: np.ndarray
    samples: np.ndarray
    counts: np.ndarray


ScoresOf = Callable[[pd.DataFrame, str], Iterable[tuple[str, str, Scored]]]


def cube(rows: pd.DataFrame, column: str, organs: Sequence[str], patients: Sequence[str]) -> np.ndarray:
    """Return a column of one predictor's predictions as (organs, patients), NaN where there is no row."""
    wide = rows.set_index(["voi", "patient"])[column]
    return wide.reindex(pd.MultiIndex.from_product([organs, patients])).to_numpy(float).reshape(len(organs), -1)


def with_mean(scores: np.ndarray) -> np.ndarray:
    """Return scores (organs, ...) with the mean over organs behind them."""
    return np.concatenate([scores, quiet(lambda x: np.nanmean(x, axis=0), scores)[None]])


def scored(name: str, rows: pd.DataFrame, reference: str, *, organs: Sequence[str], seed: int) -> Scored:
    """Compute one score of one predictor against `label` or `truth`, resampling its patients."""
    _, function, columns = SCORES[name]
    patients = sorted(set(rows["patient"]))
    arrays = tuple(cube(rows, REFERENCES[reference] if c is None else c, organs, patients) for c in columns)
    usable = np.logical_and.reduce([np.isfinite(values) for values in arrays])
    arrays = tuple(np.where(usable, values, np.nan) for values in arrays)
    samples = resampled(function, arrays, draws(len(patients), seed))
    counts = usable.sum(axis=1)
    return Scored(with_mean(quiet(function, *arrays)), with_mean(samples), np.append(counts, usable.any(axis=0).sum()))


def score_rows(
    found: Scored, organs: Sequence[str], base: dict[str, str], metric: str, unit: str
) -> list[dict[str, object]]:
    """Return the rows of one score, one an organ and one of their mean, with 95 % limits; `base` are further cells."""
    records = []
    for k, organ in enumerate([*organs, ALL]):
        low, high = limits(found.samples[k])
        record = {
            "voi": organ,
            "metric": metric,
            "unit": unit,
            "value": float(found.value[k]),
            "low": low,
            "high": high,
        }
        records.append({**base, **record, "n": int(found.counts[k])})
    return records


def best_of(table: pd.DataFrame, names: Sequence[str], metric: str = SELECTION) -> str:
    """Return the predictor with the lowest out-of-fold score over all organs; the test partition plays no part."""
    chosen = (
        (table["partition"] == "train")
        & (table["reference"] == "label")
        & (table["voi"] == ALL)
        & (table["metric"] == metric)
    )
    scores = table[chosen].set_index("predictor")["value"].to_dict()
    return min(names, key=lambda name: (scores[name], names.index(name)))


def in_order(records: list[dict[str, object]], predictors: Sequence[str]) -> pd.DataFrame:
    """Return rows of scores as a table, the predictors in a given order."""
    order = {name: place for place, name in enumerate(predictors)}
    table = pd.DataFrame(records)
    return table.sort_values("predictor", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def compared(
    predictions: pd.DataFrame,
    scores_of: ScoresOf,
    *,
    references: Mapping[str, str],
    vois: Sequence[str],
    experiment: str,
    baselines: Sequence[str],
    decides: str = SELECTION,
) -> list[dict[str, object]]:
    """Return rows (schema METRICS) of every predictor, partition and reference that is there.

    `scores_of(rows of one predictor and partition, reference)` yields (metric, unit, score); `references` names the
    column of each reference. Behind them stand rows `<decides>_minus_best_baseline`: the deciding score less that of
    the best baseline (chosen out of fold), resampled in pairs.
    """
    records: list[dict[str, object]] = []
    deciding: dict[tuple[str, str, str], tuple[Scored, str]] = {}
    for key, rows in predictions.groupby(["predictor", "partition"], sort=True):
        predictor, partition = (str(part) for part in key)
        for reference in [name for name, column in references.items() if rows[column].notna().any()]:
            base = {"experiment": experiment, "predictor": predictor, "reference": reference, "partition": partition}
            for metric, unit, found in scores_of(rows, reference):
                records += score_rows(found, vois, base, metric, unit)
                if metric == decides:
                    deciding[predictor, partition, reference] = (found, unit)
    standard = best_of(pd.DataFrame(records), baselines, decides)
    for (predictor, partition, reference), (own, unit) in deciding.items():
        other, _ = deciding[standard, partition, reference]
        apart = Scored(own.value - other.value, own.samples - other.samples, own.counts)
        base = {"experiment": experiment, "predictor": predictor, "reference": reference, "partition": partition}
        records += score_rows(apart, vois, base, f"{decides}_minus_best_baseline", unit)
    return records


def score_table(
    predictions: pd.DataFrame,
    *,
    experiment: str,
    organs: Sequence[str],
    baselines: Sequence[str],
    predictors: Sequence[str],
    seed: int,
) -> pd.DataFrame:
    """Return the scores (schema METRICS) of predictions (schema PREDICTIONS with `median_gy_per_gbq`).

    As `compared` gives them, by MAPE; `all` is the mean over organs.
    """

    def scores_of(rows: pd.DataFrame, reference: str) -> Iterator[tuple[str, str, Scored]]:
        for name, (unit, _, _) in SCORES.items():
            yield name, unit, scored(name, rows, reference, organs=organs, seed=seed)

    records = compared(
        predictions, scores_of, references=REFERENCES, vois=organs, experiment=experiment, baselines=baselines
    )
    return in_order(records, predictors)
