"""Judge models of dose and outcome, each beside the same network with one branch or one kind of head left out."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from theradose.evaluation import outcome as outcome_evaluation
from theradose.evaluation.bootstrap import limits
from theradose.evaluation.organ_dose import doses_of, rows_of, true_doses
from theradose.evaluation.outcome import POSITIVE, planted_chances
from theradose.evaluation.score_table import ALL, REFERENCES, SELECTION, Scored, score_table, scored
from theradose.evaluation.sides import cells, sides
from theradose.experiment_sections import ExperimentSettings
from theradose.learning_schemas import OUTCOME_PREDICTIONS
from theradose.models.examples import OrganExamples
from theradose.models.examples import subset as organ_subset
from theradose.models.multitask import ALL as PART
from theradose.models.multitask import rate_name, residuals_of
from theradose.models.multitask_baselines import DOSES, OUTCOMES, MultiTask
from theradose.models.patch_examples import PatchExamples, subset
from theradose.models.store import Trained
from theradose.tables import METRICS, PREDICTIONS, write_table

LOG_LOSS = outcome_evaluation.DECIDES
SINGLE, IMAGES, NO_MAP = "single_task", "images", "no_dose_map"
# (predictor, the one it is compared with, metric, name of the comparison): what several tasks gain over one, what
# covariates give in place of images and add to them, and what a dose map among the images does.
COMPARISONS = (
    ("multitask", "multitask_dose", SELECTION, SINGLE),
    ("multitask", "multitask_outcome", LOG_LOSS, SINGLE),
    *((name, "multitask_images", metric, IMAGES) for name in ("multitask_vector", "multitask")
      for metric in (SELECTION, LOG_LOSS)),
    *(("multitask_dose_map", "multitask", metric, NO_MAP) for metric in (SELECTION, LOG_LOSS)),
)  # fmt: skip
ScoreOf = Callable[[pd.DataFrame, str], Scored]


def with_head(models: Mapping[str, Trained], head: str) -> dict[str, Trained]:
    """Return the models that have a head for doses, or for outcomes."""
    found = {}
    for name, model in models.items():
        predictor = model.predictors[PART]
        if isinstance(predictor, MultiTask) and head in predictor.heads:
            found[name] = model
    return found


def known(part: OrganExamples, log_dose: np.ndarray) -> tuple[OrganExamples, np.ndarray]:
    """Return the patients of an organ whose dose is predicted, and the log doses; a model may not have met an organ."""
    usable = np.isfinite(log_dose)
    return organ_subset(part, [p for p, use in zip(part.patients, usable, strict=True) if use]), log_dose[usable]


def dose_rows(
    settings: ExperimentSettings,
    examples: PatchExamples,
    models: Mapping[str, Trained],
    *,
    folds: Mapping[str, int],
    truth: Mapping[tuple[str, str], float],
) -> pd.DataFrame:
    """Return the doses (schema PREDICTIONS) of every model that has them, patient and organ, with intervals."""
    tables = []
    for name, model in with_head(models, DOSES).items():
        for side in sides(examples, model, PART, subset):
            for number, (organ, everyone) in enumerate(side.examples.organs.items()):
                part, log_dose = known(everyone, side.said[side.examples.place(organ), number])
                if not len(part):
                    continue
                residuals = model.calibration[PART][residuals_of(organ)]
                doses = doses_of(log_dose, side.own(part.log_dose), residuals, settings.interval)
                tables.append(rows_of(name, part, doses, folds=folds, truth=truth))
    return pd.concat(tables, ignore_index=True)


def outcome_rows(
    examples: PatchExamples,
    models: Mapping[str, Trained],
    *,
    folds: Mapping[str, int],
    truth: Mapping[tuple[str, str], float],
) -> pd.DataFrame:
    """Return probabilities (schema OUTCOME_PREDICTIONS and `positive`) of every model that has them.

    A patient is called positive when the probability is not below the rate of the training patients.
    """
    tables = []
    for name, model in with_head(models, OUTCOMES).items():
        for side, (number, outcome) in product(sides(examples, model, PART, subset), enumerate(examples.outcomes)):
            patients, log_odds = side.examples.patients, side.said[:, len(examples.organs) + number]
            probability = expit(log_odds)
            columns = {
                **cells(name, side.examples, folds), "outcome": outcome, "probability": probability,
                "observed": side.examples.events[:, number],
                "truth_probability": [truth.get((patient, outcome), np.nan) for patient in patients],
                POSITIVE: 1.0 * (probability >= float(model.calibration[PART][rate_name(outcome)][0])),
            }  # fmt: skip
            tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def difference_rows(
    rows: pd.DataFrame,
    *,
    metric: str,
    score_of: ScoreOf,
    vois: Sequence[str],
    columns: Mapping[str, str],
    base: Mapping[str, str],
    unit: str,
) -> list[dict[str, object]]:
    """Return what a predictor scores less than another one on the same patients, with limits resampled in pairs.

    `COMPARISONS` says which; `score_of(rows of one predictor and partition, reference)` gives a score of each VOI and
    their mean, `columns` the column of each reference.
    """
    records: list[dict[str, object]] = []
    for name, other, compared, word in COMPARISONS:
        if compared != metric or not {name, other} <= set(rows["predictor"]):
            continue
        for partition, both in rows[rows["predictor"].isin([name, other])].groupby("partition", sort=True):
            for reference in [r for r, column in columns.items() if both[column].notna().any()]:
                own, rival = (score_of(both[both["predictor"] == who], reference) for who in (name, other))
                for k, voi in enumerate([*vois, ALL]):
                    low, high = limits(own.samples[k] - rival.samples[k])
                    value = float(own.value[k] - rival.value[k])
                    cells = {"predictor": name, "reference": reference, "partition": str(partition), "voi": voi}
                    cells |= {"metric": f"{metric}_minus_{word}", "unit": unit, **base}
                    records.append({**cells, "value": value, "low": low, "high": high, "n": int(own.counts[k])})
    return records


def dose_scores(doses: pd.DataFrame, settings: ExperimentSettings, names: Sequence[str], seed: int) -> pd.DataFrame:
    """Return the dose scores (schema METRICS), and an empty deciding score for predictors without a dose."""
    table = score_table(
        doses, experiment=settings.name, organs=settings.organs, baselines=settings.baselines, predictors=names,
        seed=seed,
    )  # fmt: skip
    base = {"experiment": settings.name}
    apart = difference_rows(
        doses, metric=SELECTION, score_of=partial(scored, SELECTION, organs=settings.organs, seed=seed),
        vois=settings.organs, columns=REFERENCES, base=base, unit="%",
    )  # fmt: skip
    empty = {**base, "voi": ALL, "metric": SELECTION, "unit": "%", "value": np.nan, "low": np.nan, "high": np.nan}
    where = table[["reference", "partition"]].drop_duplicates().to_dict("records")
    silent = [name for name in names if name not in set(doses["predictor"])]
    none = [{**empty, **place, "predictor": name, "n": 0} for name in silent for place in where]
    return pd.concat([table, *(pd.DataFrame(rows) for rows in (apart, none) if rows)], ignore_index=True)


def outcome_scores(found: pd.DataFrame, settings: ExperimentSettings, names: Sequence[str], seed: int) -> pd.DataFrame:
    """Return the scores of outcomes (schema METRICS)."""
    table = outcome_evaluation.score_table(
        found, experiment=settings.name, outcomes=settings.outcomes, baselines=settings.baselines, predictors=names,
        seed=seed,
    )  # fmt: skip
    apart = difference_rows(
        found.assign(voi=found["outcome"]), metric=LOG_LOSS,
        score_of=partial(outcome_evaluation.scored, LOG_LOSS, outcomes=settings.outcomes, seed=seed),
        vois=settings.outcomes, columns=outcome_evaluation.REFERENCES, base={"experiment": settings.name}, unit="1",
    )  # fmt: skip
    return pd.concat([table, *([pd.DataFrame(apart)] if apart else [])], ignore_index=True)


def evaluate(
    *,
    settings: ExperimentSettings,
    parts: Mapping[str, PatchExamples],
    models: Mapping[str, Trained],
    folds: Mapping[str, int],
    truth: Path | None,
    seed: int,
    out: Path,
) -> None:
    """Write predictions.tsv, outcome_predictions.tsv (when outcomes are learned) and metrics.tsv into `out`.

    Rows of partition `train` are out-of-fold predictions; `folds` gives the fold of each patient. The deciding score is
    the MAPE of doses.
    """
    examples, names = parts[PART], list(models)
    doses = dose_rows(settings, examples, models, folds=folds, truth={} if truth is None else true_doses(truth))
    tables = [dose_scores(doses, settings, names, seed)]
    (out / "outcome_predictions.tsv").unlink(missing_ok=True)
    if settings.outcomes:
        chances = {} if truth is None else planted_chances(truth)
        found = outcome_rows(examples, models, folds=folds, truth=chances)
        tables.append(outcome_scores(found, settings, names, seed))
        write_table(found.drop(columns=POSITIVE), out / "outcome_predictions.tsv", OUTCOME_PREDICTIONS)
    scores = pd.concat(tables, ignore_index=True)
    order = {name: place for place, name in enumerate(names)}
    scores = scores.sort_values("predictor", key=lambda who: who.map(order), kind="stable", ignore_index=True)
    write_table(doses, out / "predictions.tsv", PREDICTIONS)
    write_table(scores[METRICS.names()], out / "metrics.tsv", METRICS)
