"""Judge predictions of events on patients not learned from: the test partition, and training patients out of fold."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from theradose.evaluation.bootstrap import draws, quiet, resampled
from theradose.evaluation.classification import METRICS as SCORES
from theradose.evaluation.score_table import Scored, compared, cube, in_order, with_mean
from theradose.evaluation.sides import cells, sides
from theradose.experiment_sections import ExperimentSettings
from theradose.learning_schemas import OUTCOME_PREDICTIONS
from theradose.models.outcome import RATE
from theradose.models.outcome_examples import OutcomeExamples, subset
from theradose.models.store import Trained
from theradose.tables import METRICS, read_table, write_table
from theradose.truth_schemas import TRUTH_OUTCOME
from theradose.vocabulary import OUTCOME_EVENTS, RENAL_IMPAIRMENT

DECIDES = "log_loss"
REFERENCES = {"label": "observed", "truth": "truth_probability"}
EVENTS, POSITIVE = "events", "positive"
# What the planted truth calls the outcomes.
PLANTED = {**{name: name for name in OUTCOME_EVENTS}, RENAL_IMPAIRMENT: "impairment"}


def planted_chances(truth: Path) -> dict[tuple[str, str], float]:
    """Return the planted probability of every patient and outcome."""
    table = read_table(truth / "truth_outcome.parquet", TRUTH_OUTCOME)
    chances = {name: zip(table["patient"], table[own].to_numpy(float), strict=True) for name, own in PLANTED.items()}
    return {(str(who), name): float(p) for name, pairs in chances.items() for who, p in pairs}


def rows_of(
    predictor: str,
    examples: OutcomeExamples,
    log_odds: np.ndarray,
    *,
    threshold: float,
    folds: Mapping[str, int],
    truth: Mapping[tuple[str, str], float],
) -> pd.DataFrame:
    """Return the rows of the prediction table for one predictor, outcome and partition, and who is called positive."""
    probability = expit(log_odds)
    return pd.DataFrame(
        {
            **cells(predictor, examples, folds),
            "outcome": examples.outcome,
            "probability": probability,
            "observed": examples.observed,
            "truth_probability": [truth.get((p, examples.outcome), np.nan) for p in examples.patients],
            POSITIVE: 1.0 * (probability >= threshold),
        }
    )


def predict_all(
    parts: Mapping[str, OutcomeExamples],
    models: Mapping[str, Trained],
    *,
    folds: Mapping[str, int],
    truth: Mapping[tuple[str, str], float],
) -> pd.DataFrame:
    """Return what every model says of every patient: out of fold in training, by the final model elsewhere."""
    tables = []
    for name, model in models.items():
        for outcome, examples in parts.items():
            threshold = float(model.calibration[outcome][RATE][0])
            for side in sides(examples, model, outcome, subset):
                tables.append(rows_of(name, side.examples, side.said, threshold=threshold, folds=folds, truth=truth))
    return pd.concat(tables, ignore_index=True)


def scored(name: str, rows: pd.DataFrame, reference: str, *, outcomes: Sequence[str], seed: int) -> Scored:
    """Compute one score of one predictor against `label` or `truth`, resampling its patients."""
    metric = SCORES[name]
    patients = sorted(set(rows["patient"]))
    said, wanted = (
        cube(rows, column, outcomes, patients)
        for column in (POSITIVE if metric.of_call else "probability", REFERENCES[reference])
    )
    samples = resampled(metric.score, (said, wanted), draws(len(patients), seed))
    there = np.isfinite(said) & np.isfinite(wanted)
    counts = np.append(there.sum(axis=1), there.any(axis=0).sum())
    return Scored(with_mean(quiet(metric.score, said, wanted)), with_mean(samples), counts)


def events(predictions: pd.DataFrame, experiment: str) -> list[dict[str, object]]:
    """Return how many events stand behind the scores of each outcome: with few of them no interval can be trusted."""
    records: list[dict[str, object]] = []
    for (predictor, partition, outcome), rows in predictions.groupby(["predictor", "partition", "outcome"], sort=True):
        base = {"experiment": experiment, "predictor": predictor, "partition": partition, "voi": outcome}
        for reference, column in REFERENCES.items():
            known = rows[column].dropna()
            cells = {"reference": reference, "metric": EVENTS, "unit": "1", "low": np.nan, "high": np.nan}
            records += [{**base, **cells, "value": float(known.sum()), "n": len(known)}] if len(known) else []
    return records


def score_table(
    predictions: pd.DataFrame,
    *,
    experiment: str,
    outcomes: Sequence[str],
    baselines: Sequence[str],
    predictors: Sequence[str],
    seed: int,
) -> pd.DataFrame:
    """Return the scores (schema METRICS) of predictions (schema OUTCOME_PREDICTIONS with `positive`).

    As `score_table.compared` gives them, by log loss; `all` is the mean over outcomes. Events are counted beside them.
    """

    def scores_of(rows: pd.DataFrame, reference: str) -> Iterator[tuple[str, str, Scored]]:
        for name in SCORES:
            yield name, "1", scored(name, rows, reference, outcomes=outcomes, seed=seed)

    records = compared(
        predictions.assign(voi=predictions["outcome"]),
        scores_of,
        references=REFERENCES,
        vois=outcomes,
        experiment=experiment,
        baselines=baselines,
        decides=DECIDES,
    )
    return in_order([*records, *events(predictions, experiment)], predictors)


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
    """Write predictions.tsv (schema OUTCOME_PREDICTIONS) and metrics.tsv; `folds` gives the fold of each patient.

    Against `truth`, the planted probabilities of virtual patients, scores are those expected over events.
    """
    planted = {} if truth is None else planted_chances(truth)
    predictions = predict_all(parts, models, folds=folds, truth=planted)
    scores = score_table(
        predictions,
        experiment=settings.name,
        outcomes=settings.outcomes,
        baselines=settings.baselines,
        predictors=list(models),
        seed=seed,
    )
    write_table(predictions.drop(columns=POSITIVE), out / "predictions.tsv", OUTCOME_PREDICTIONS)
    write_table(scores, out / "metrics.tsv", METRICS)
