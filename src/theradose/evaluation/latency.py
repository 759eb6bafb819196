"""Judge models of the latency of toxicity: on held-out patients, and on training patients out of fold."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from theradose.evaluation.bootstrap import draws
from theradose.evaluation.score_table import Scored, compared, in_order
from theradose.evaluation.sides import TRAIN, cells, sides
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
from theradose.models.latency_examples import LatencyExamples, subset
from theradose.models.store import Trained
from theradose.tables import METRICS, read_table, write_table
from theradose.truth_schemas import TRUTH_OUTCOME

TRUTH, LOG_MONTHS = "truth", "ln(months)"
REFERENCES = {"label": "latency_months", TRUTH: "truth_months"}
DECIDES = "ipcw_brier"
AT_MONTHS = (12.0, 24.0)
LAST_MONTHS = (
    24  # the integrated score ends here, or with the last whole month in which a training patient was followed
)


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


def predict_all(
    examples: LatencyExamples, models: Mapping[str, Trained], *, folds: Mapping[str, int], truth: Mapping[str, float]
) -> pd.DataFrame:
    """Return what every model predicts for every patient (schema LATENCY_PREDICTIONS).

    Out of fold in training, by the final model elsewhere; `truth` holds planted medians in months.
    """
    tables = []
    for name, model in models.items():
        for side in sides(examples, model, ORGAN, subset):
            own = side.examples
            kept = np.full(len(own), model.calibration[ORGAN][LOG_SD][0])
            spreads = out_of_fold_spreads(own.log_months - side.said, own.observed) if side.out_of_fold else kept
            columns = {
                **cells(name, own, folds), "predicted_months": np.exp(side.said), "log_sd": spreads,
                "latency_months": np.exp(own.log_months), "latency_observed": own.observed.astype(int),
                "truth_months": [truth.get(patient, np.nan) for patient in own.patients],
            }  # fmt: skip
            tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def horizons(left: KaplanMeier, last_months: int = LAST_MONTHS) -> Array:
    """Return the whole months from 0 on over which the integrated Brier score goes: those with somebody under view."""
    grid = np.arange(last_months + 1.0)
    return grid[left.at(grid) > 0]


def _twice(values: Array, count: int) -> Scored:
    """Return a score (its value, then its resamples) of the only VOI and, the same, of all of them."""
    return Scored(np.repeat(values[0], 2), np.tile(values[1:], (2, 1)), np.repeat(count, 2))


def scores(rows: pd.DataFrame, reference: str, left: KaplanMeier, seed: int) -> Iterator[tuple[str, str, Scored]]:
    """Yield (metric, unit, score) of one predictor and partition; patients are resampled with `seed`."""
    rows = rows.sort_values("patient")
    names = ("predicted_months", "log_sd", "latency_months", "latency_observed", "truth_months")
    predicted, log_sd, months, observed, truth = (rows[name].to_numpy(float) for name in names)
    mu, seen, n = np.log(predicted), observed > 0, len(rows)
    weights = np.vstack([np.ones(n), weights_of(draws(n, seed))])
    if reference == TRUTH:
        planted = np.isfinite(truth)
        log_truth = np.log(np.where(planted, truth, 1.0))
        yield "rmse_log", LOG_MONTHS, _twice(rmse_log(mu, log_truth, planted, weights), int(planted.sum()))
        return
    grid = horizons(left)

    def free(t: float) -> Array:
        return survival(mu, log_sd, t)

    yield "rmse_log", LOG_MONTHS, _twice(rmse_log(mu, np.log(months), seen, weights), int(seen.sum()))
    yield "c_index", "1", _twice(c_index(predicted, months, seen, weights), n)
    for t in AT_MONTHS:
        values = brier(free(t), months, seen, weights, at_months=t, left=left)
        yield f"{DECIDES}_{t:.0f}m", "1", _twice(values, n)
    curves = np.stack([free(t) for t in grid])
    values = integrated_brier(curves, months, seen, weights, grid_months=grid, left=left)
    yield DECIDES, "1", _twice(values, n)


def metrics_table(
    predictions: pd.DataFrame, *, experiment: str, baselines: Sequence[str], predictors: Sequence[str], seed: int
) -> pd.DataFrame:
    """Return the scores (schema METRICS) of predictions (schema LATENCY_PREDICTIONS), with 95 % limits.

    Rows stand for the VOI `kidneys` and again for `all`, of which it is the only one. Censoring is estimated in the
    training patients. As `score_table.compared` gives them, by the integrated Brier score.
    """
    training = predictions[(predictions["partition"] == TRAIN) & (predictions["predictor"] == baselines[0])]
    left = censoring(training["latency_months"], training["latency_observed"])
    records = compared(
        predictions,
        partial(scores, left=left, seed=seed),
        references=REFERENCES,
        vois=[ORGAN],
        experiment=experiment,
        baselines=baselines,
        decides=DECIDES,
    )
    return in_order(records, predictors)


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
