"""Judge predictions of the change of eGFR in the year after therapy: on held-out patients, and out of fold."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from theradose.cohort.virtual.outcome_scores import measured_egfr_12m
from theradose.evaluation.bootstrap import draws, quiet, resampled
from theradose.evaluation.metrics import COVERAGE, Score, interval_coverage, root_mean_square_error
from theradose.evaluation.metrics import METRICS as OF_DOSES
from theradose.evaluation.score_table import Scored, compared, in_order, with_mean
from theradose.evaluation.sides import Side, cells, sides
from theradose.experiment_sections import ExperimentSettings
from theradose.learning_schemas import SLOPE_PREDICTIONS
from theradose.models.conformal import half_width_or_nan
from theradose.models.outcome_examples import OutcomeExamples, subset
from theradose.models.renal_slope import RESIDUALS
from theradose.models.store import Trained
from theradose.tables import METRICS, read_table, write_table
from theradose.truth_schemas import LATENTS, TRUTH_OUTCOME
from theradose.vocabulary import EGFR_SLOPE, QUANTITIES

UNIT, DECIDES = f"{QUANTITIES['egfr_ml_min'].unit}/y", "rmse"
POINT, LOW, HIGH = "predicted_ml_min_per_y", "low_ml_min_per_y", "high_ml_min_per_y"
REFERENCES = {"label": "label_ml_min_per_y", "truth": "truth_ml_min_per_y"}
NOISE = "noise_ml_min_per_y"
# name: unit, function, columns it takes (the reference is put in place of None)
SCORES: dict[str, tuple[str, Score, tuple[str | None, ...]]] = {
    **{name: (UNIT, OF_DOSES[name].score, (POINT, None)) for name in (DECIDES, "mae", "bias")},
    **{name: ("1", OF_DOSES[name].score, (POINT, None)) for name in ("r2", "ccc")},
    COVERAGE: ("%", interval_coverage, (LOW, HIGH, None)),
}
# What no model can go below, since the label is drawn: against the label alone.
LIMIT: dict[str, tuple[str, Score, tuple[str | None, ...]]] = {
    "rmse_limit": (UNIT, partial(root_mean_square_error, np.zeros(1)), (NOISE,))
}


def planted(truth: Path) -> pd.DataFrame:
    """Return, by patient, the planted mean slope of the true eGFR, and how far measured slopes scatter by chance."""
    outcome = read_table(truth / "truth_outcome.parquet", TRUTH_OUTCOME).set_index("patient")
    latents = read_table(truth / "latents.parquet", LATENTS)
    before = latents[latents["name"] == "egfr_true_ml_min"].set_index("patient")["value"].reindex(outcome.index)
    mean, sd = measured_egfr_12m(before, outcome["log_latency"], outcome["kidney_toxicity"])
    return pd.DataFrame({REFERENCES["truth"]: mean - before, NOISE: sd}, outcome.index)


def half_widths(side: Side[OutcomeExamples], residuals: np.ndarray, level: float) -> np.ndarray:
    """Return the half width of every interval, (n,): of training patients from the residuals of all others."""
    observed = side.own(side.examples.observed)
    if observed is None:
        return np.full(len(side.examples), half_width_or_nan(residuals, level))
    own = observed - side.said
    return np.array([half_width_or_nan(np.delete(own, i), level) for i in range(len(own))])


def predict_all(
    settings: ExperimentSettings,
    examples: OutcomeExamples,
    models: Mapping[str, Trained],
    *,
    folds: Mapping[str, int],
    truth: pd.DataFrame,
) -> pd.DataFrame:
    """Return what every model predicts for every patient (schema SLOPE_PREDICTIONS).

    Out of fold in training, by the final model elsewhere; `truth` as `planted` gives it, empty for real patients.
    """
    tables = []
    for name, model in models.items():
        for side in sides(examples, model, EGFR_SLOPE, subset):
            width = half_widths(side, model.calibration[EGFR_SLOPE][RESIDUALS], settings.interval)
            said = {POINT: side.said, LOW: side.said - width, HIGH: side.said + width}
            own = {**cells(name, side.examples, folds), **said, REFERENCES["label"]: side.examples.observed}
            tables.append(pd.DataFrame(own))
    return pd.concat(tables, ignore_index=True).join(truth, on="patient")


def scores(rows: pd.DataFrame, reference: str, seed: int) -> Iterator[tuple[str, str, Scored]]:
    """Yield (metric, unit, score) of one predictor and partition; patients are resampled with `seed`."""
    rows = rows[rows[REFERENCES[reference]].notna()].sort_values("patient")
    for name, (unit, score, columns) in (SCORES | (LIMIT if reference == "label" else {})).items():
        arrays = tuple(rows[column or REFERENCES[reference]].to_numpy(float)[None] for column in columns)
        n = int(np.isfinite(arrays).all(axis=0).sum())
        if not n:  # no planted truth, or too few patients for an interval
            continue
        samples = resampled(score, arrays, draws(len(rows), seed))
        yield name, unit, Scored(with_mean(quiet(score, *arrays)), with_mean(samples), np.repeat(n, 2))


def evaluate(
    *,
    settings: ExperimentSettings,
    parts: Mapping[str, OutcomeExamples],
    models: Mapping[str, Trained],
    folds: Mapping[str, int],
    truth: Path | None,
    seed: int,
    out: Path,
) -> None:
    """Write predictions.tsv (schema SLOPE_PREDICTIONS) and metrics.tsv; `folds` gives the fold of each patient.

    Scores stand for the VOI `egfr_slope` and again for `all`, of which it is the only one.
    """
    nothing = pd.DataFrame(columns=[REFERENCES["truth"], NOISE], index=pd.Index([], dtype="str"), dtype=float)
    known = nothing if truth is None else planted(truth)
    predictions = predict_all(settings, parts[EGFR_SLOPE], models, folds=folds, truth=known)
    records = compared(
        predictions,
        partial(scores, seed=seed),
        references=REFERENCES,
        vois=[EGFR_SLOPE],
        experiment=settings.name,
        baselines=settings.baselines,
        decides=DECIDES,
    )
    write_table(predictions, out / "predictions.tsv", SLOPE_PREDICTIONS)
    write_table(in_order(records, list(models)), out / "metrics.tsv", METRICS)
