"""Judge predictions of events on patients not learned from: the test partition, and training patients out of fold."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from theradose.evaluation.bootstrap import draws, limits, quiet, resampled
from theradose.evaluation.classification import METRICS as SCORES
from theradose.evaluation.score_table import ALL, Scored, best_of, cube
from theradose.experiment_sections import ExperimentSettings
from theradose.learning_schemas import OUTCOME_PREDICTIONS
from theradose.models.outcome import RATE
from theradose.models.outcome_examples import OutcomeExamples, subset
from theradose.models.store import Trained
from theradose.tables import METRICS, read_table, write_table
from theradose.truth_schemas import TRUTH_OUTCOME
from theradose.vocabulary import OUTCOME_EVENTS, RENAL_IMPAIRMENT

TRAIN, NOT_IN_A_FOLD = "train", -1
DECIDES = "log_loss"
DIFFERENCE = f"{DECIDES}_minus_best_baseline"
REFERENCES = {"label": "observed", "truth": "truth_probability"}
EVENTS, POSITIVE = "events", "positive"
# What the planted truth calls the outcomes.
PLANTED = {**{name: name for name in OUTCOME_EVENTS}, RENAL_IMPAIRMENT: "impairment"}
Key = tuple[str, str, str]


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
            "predictor": predictor,
            "patient": list(examples.patients),
            "outcome": examples.outcome,
            "partition": list(examples.partitions),
            "fold": [folds.get(p, NOT_IN_A_FOLD) for p in examples.patients],
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
            apart = [p for p, where in zip(examples.patients, examples.partitions, strict=True) if where != TRAIN]
            inside, outside = subset(examples, set(examples.patients) - set(apart)), subset(examples, apart)
            said = [(inside, model.out_of_fold[outcome])]
            said += [(outside, model.predictors[outcome].predict(outside))] if len(outside) else []
            tables += [rows_of(name, own, x, threshold=threshold, folds=folds, truth=truth) for own, x in said]
    return pd.concat(tables, ignore_index=True)


def _with_mean(scores: np.ndarray) -> np.ndarray:
    """Return scores (outcomes, ...) with the mean over outcomes that have one behind them."""
    return np.concatenate([scores, quiet(lambda x: np.nanmean(x, axis=0), scores)[None]])


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
    return Scored(_with_mean(quiet(metric.score, said, wanted)), _with_mean(samples), counts)


def _records(found: Scored, outcomes: Sequence[str], base: Mapping[str, str], metric: str) -> list[dict[str, object]]:
    """Return the rows of one score: each outcome, and their mean."""
    records = []
    for k, outcome in enumerate([*outcomes, ALL]):
        low, high = limits(found.samples[k])
        record = {"voi": outcome, "metric": metric, "unit": "1", "value": float(found.value[k])}
        records.append({**base, **record, "low": low, "high": high, "n": int(found.counts[k])})
    return records


def _events(
    rows: pd.DataFrame, column: str, outcomes: Sequence[str], base: Mapping[str, str]
) -> list[dict[str, object]]:
    """Return how many events stand behind the scores of each outcome: with few of them no interval can be trusted."""
    bare = {"metric": EVENTS, "unit": "1", "low": np.nan, "high": np.nan}
    known = {outcome: rows.loc[rows["outcome"] == outcome, column].dropna() for outcome in outcomes}
    return [
        {**base, **bare, "voi": outcome, "value": float(own.sum()), "n": len(own)}
        for outcome, own in known.items()
        if len(own)
    ]


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

    Every predictor, partition and reference that is there; `all` is the mean over outcomes. The rows `{DIFFERENCE}`
    give a predictor's log loss less that of the best baseline (chosen out of fold), resampled in pairs.
    """
    records: list[dict[str, object]] = []
    decisive: dict[Key, Scored] = {}
    for key, rows in predictions.assign(voi=predictions["outcome"]).groupby(["predictor", "partition"], sort=True):
        predictor, partition = (str(part) for part in key)
        for reference, column in REFERENCES.items():
            if rows[column].isna().all():
                continue
            base = {"experiment": experiment, "predictor": predictor, "reference": reference, "partition": partition}
            for name in SCORES:
                found = scored(name, rows, reference, outcomes=outcomes, seed=seed)
                records += _records(found, outcomes, base, name)
                if name == DECIDES:
                    decisive[predictor, partition, reference] = found
            records += _events(rows, column, outcomes, base)
    standard = best_of(pd.DataFrame(records), baselines, DECIDES)
    for (predictor, partition, reference), own in decisive.items():
        other = decisive[standard, partition, reference]
        apart = Scored(own.value - other.value, own.samples - other.samples, own.counts)
        base = {"experiment": experiment, "predictor": predictor, "reference": reference, "partition": partition}
        records += _records(apart, outcomes, base, DIFFERENCE)
    order = {name: place for place, name in enumerate(predictors)}
    table = pd.DataFrame(records)
    return table.sort_values("predictor", key=lambda names: names.map(order), kind="stable", ignore_index=True)


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
