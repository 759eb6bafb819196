"""Judge models of the latency of toxicity: on held-out patients, and on training patients out of fold."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from theradose.evaluation.bootstrap import draws, limits
from theradose.evaluation.survival import (
    Array,
    KaplanMeier,
    brier,
    c_index,
    censoring,
    integrated_brier,
    rmse_log,
    weights_of,
)
from theradose.experiment_sections import ExperimentSettings
from theradose.features.manifest import ORGAN
from theradose.learning_schemas import LATENCY_PREDICTIONS
from theradose.models.aft import spread, survival
from theradose.models.latency import LOG_SD
from theradose.models.latency_examples import LatencyExamples
from theradose.models.store import Trained
from theradose.tables import METRICS, read_table, write_table
from theradose.truth_schemas import TRUTH_OUTCOME

TRAIN, NOT_IN_A_FOLD = "train", -1
ALL, LABEL, TRUTH = "all", "label", "truth"
DECIDES = "ipcw_brier"
DIFFERENCE = f"{DECIDES}_minus_best_baseline"
AT_MONTHS = (12.0, 24.0)
LAST_MONTHS = (
    24  # the integrated score ends here, or with the last whole month in which a training patient was followed
)
UNITS = {"rmse_log": "ln(months)"}


@dataclass(frozen=True)
class Scored:
    """One score of one predictor: its value, its resamples (b,), and how many patients it rests on."""

    value: float
    samples: Array
    n: int


def true_months(truth: Path) -> dict[str, float]:
    """Return the planted median latency of patients, months."""
    table = read_table(truth / "truth_outcome.parquet", TRUTH_OUTCOME)
    return dict(zip(table["patient"], np.exp(table["log_latency"]).tolist(), strict=True))


def out_of_fold_spreads(residual: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return the log spread for each training patient, (n,), from the out-of-fold residuals of all others."""
    if observed.sum() < 2:
        return np.full(len(residual), spread(residual, observed))
    others = (np.arange(len(residual)) != i for i in range(len(residual)))
    return np.array([spread(residual[chosen], observed[chosen]) for chosen in others])


def _rows(predictor: str, examples: LatencyExamples, log_median: np.ndarray, log_sd: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "predictor": predictor, "patient": list(examples.patients), "partition": list(examples.partitions),
            "predicted_months": np.exp(log_median), "log_sd": log_sd,
            "latency_months": np.exp(examples.log_months), "latency_observed": examples.observed.astype(int),
        }
    )  # fmt: skip


def predict_all(
    examples: LatencyExamples, models: Mapping[str, Trained], *, folds: Mapping[str, int], truth: Mapping[str, float]
) -> pd.DataFrame:
    """Return what every model predicts for every patient (schema LATENCY_PREDICTIONS).

    Out of fold in training, by the final model elsewhere; `truth` holds planted medians in months.
    """
    training = np.array(examples.partitions) == TRAIN
    inside, outside = examples.pick(training), examples.pick(~training)
    tables = []
    for name, model in models.items():
        own = model.out_of_fold[ORGAN]
        tables.append(_rows(name, inside, own, out_of_fold_spreads(inside.log_months - own, inside.observed)))
        if len(outside):
            log_sd = np.full(len(outside), model.calibration[ORGAN][LOG_SD][0])
            tables.append(_rows(name, outside, model.predictors[ORGAN].predict(outside), log_sd))
    found = pd.concat(tables, ignore_index=True)
    found["fold"] = [folds.get(patient, NOT_IN_A_FOLD) for patient in found["patient"]]
    found["truth_months"] = [truth.get(patient, np.nan) for patient in found["patient"]]
    return found


def horizons(left: KaplanMeier, last_months: int = LAST_MONTHS) -> Array:
    """Return the whole months from 0 on over which the integrated Brier score goes: those with somebody under view."""
    grid = np.arange(last_months + 1.0)
    return grid[left.at(grid) > 0]


def scores(rows: pd.DataFrame, left: KaplanMeier, seed: int) -> Iterator[tuple[str, str, Scored]]:
    """Yield (metric, reference, score) of one predictor and partition; patients are resampled with `seed`."""
    rows = rows.sort_values("patient")
    names = ("predicted_months", "log_sd", "latency_months", "latency_observed", "truth_months")
    predicted, log_sd, months, observed, truth = (rows[name].to_numpy(float) for name in names)
    mu, seen, n = np.log(predicted), observed > 0, len(rows)
    weights = np.vstack([np.ones(n), weights_of(draws(n, seed))])
    grid = horizons(left)

    def free(t: float) -> Array:
        return survival(mu, log_sd, t)

    def scored(values: Array, count: int) -> Scored:
        return Scored(float(values[0]), values[1:], count)

    yield "rmse_log", LABEL, scored(rmse_log(mu, np.log(months), seen, weights), int(seen.sum()))
    yield "c_index", LABEL, scored(c_index(predicted, months, seen, weights), n)
    for t in AT_MONTHS:
        values = brier(free(t), months, seen, weights, at_months=t, left=left)
        yield f"{DECIDES}_{t:.0f}m", LABEL, scored(values, n)
    curves = np.stack([free(t) for t in grid])
    values = integrated_brier(curves, months, seen, weights, grid_months=grid, left=left)
    yield DECIDES, LABEL, scored(values, n)
    planted = np.isfinite(truth)
    if planted.any():
        log_truth = np.log(np.where(planted, truth, 1.0))
        yield "rmse_log", TRUTH, scored(rmse_log(mu, log_truth, planted, weights), int(planted.sum()))


def best_baseline(found: Mapping[tuple[str, str, str, str], Scored], baselines: Sequence[str]) -> str:
    """Return the baseline of the lowest out-of-fold integrated Brier score, the first of equals."""
    return min(baselines, key=lambda name: (found[name, TRAIN, DECIDES, LABEL].value, baselines.index(name)))


def metrics_table(
    predictions: pd.DataFrame, *, experiment: str, baselines: Sequence[str], predictors: Sequence[str], seed: int
) -> pd.DataFrame:
    """Return the scores (schema METRICS) of predictions (schema LATENCY_PREDICTIONS), with 95 % limits.

    Rows stand for the VOI `kidneys` and again for `all`, of which it is the only one. Censoring is estimated in the
    training patients. The rows `ipcw_brier_minus_best_baseline` compare, in pairs, with the best baseline out of fold.
    """
    training = predictions[(predictions["partition"] == TRAIN) & (predictions["predictor"] == baselines[0])]
    left = censoring(training["latency_months"], training["latency_observed"])
    found: dict[tuple[str, str, str, str], Scored] = {}
    for (predictor, partition), rows in predictions.groupby(["predictor", "partition"]):
        for metric, reference, own in scores(rows, left, seed):
            found[str(predictor), str(partition), metric, reference] = own
    standard = best_baseline(found, baselines)
    for (predictor, partition, metric, reference), own in list(found.items()):
        if metric == DECIDES:
            other = found[standard, partition, metric, reference]
            apart = Scored(own.value - other.value, own.samples - other.samples, own.n)
            found[predictor, partition, DIFFERENCE, reference] = apart
    records = [
        {
            "experiment": experiment, "predictor": predictor, "voi": voi, "reference": reference,
            "partition": partition, "metric": metric, "unit": UNITS.get(metric, "1"), "value": own.value,
            **dict(zip(("low", "high"), limits(own.samples), strict=True)), "n": own.n,
        }
        for (predictor, partition, metric, reference), own in found.items()
        for voi in (ORGAN, ALL)
    ]  # fmt: skip
    order = {name: place for place, name in enumerate(predictors)}
    table = pd.DataFrame(records, columns=METRICS.names())
    return table.sort_values("predictor", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def evaluate(
    *,
    settings: ExperimentSettings,
    parts: Mapping[str, LatencyExamples],
    models: Mapping[str, Trained],
    folds: Mapping[str, int],
    truth: Path | None,
    seed: int,
    out: Path,
) -> None:
    """Write predictions.tsv (schema LATENCY_PREDICTIONS) and metrics.tsv; `folds` gives the fold of each patient."""
    planted = {} if truth is None else true_months(truth)
    predictions = predict_all(parts[ORGAN], models, folds=folds, truth=planted)
    table = metrics_table(
        predictions, experiment=settings.name, baselines=settings.baselines, predictors=list(models), seed=seed
    )
    write_table(predictions, out / "predictions.tsv", LATENCY_PREDICTIONS)
    write_table(table, out / "metrics.tsv", METRICS)
