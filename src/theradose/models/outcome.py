"""The kind of experiment that predicts events after therapy, one predictor an outcome: its examples and its score."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from theradose.errors import SettingsError, Where
from theradose.experiment_sections import ExperimentSettings
from theradose.models.dose_columns import courses_of, dose_columns
from theradose.models.examples import allowed_columns
from theradose.models.logistic import log_loss, rate_of
from theradose.models.outcome_examples import OutcomeExamples, examples_of, observed_outcomes, subset
from theradose.tables import COVARIATE_MANIFEST, COVARIATES, OUTCOMES, PARTICIPANTS, PREDICTIONS, SPLITS, read_table
from theradose.vocabulary import LEARNED_OUTCOMES

__all__ = ["RATE", "calibrate", "card", "load", "score", "subset"]

RATE = "rate"


def load(
    *,
    splits: Path,
    covariates: Path | None,
    covariate_manifest: Path | None,
    outcomes: Path | None,
    doses: Path | None,
    participants: Path | None,
    settings: ExperimentSettings,
    learned: Collection[str] = LEARNED_OUTCOMES,
    **unused: object,
) -> dict[str, OutcomeExamples]:
    """Read the examples of each outcome of an experiment; `learned` are those that its kind learns.

    SettingsError when a table is not given or an outcome is unknown; LeakageError when a training patient's predicted
    dose is not out of fold.
    """
    del unused
    if covariates is None or covariate_manifest is None or outcomes is None or doses is None or participants is None:
        given = {"covariates": covariates, "outcomes": outcomes, "doses": doses, "participants": participants}
        raise SettingsError(
            "an outcome experiment needs covariates, outcomes, participants and predicted doses",
            where=Where(field=settings.name),
            got={**given, "covariate_manifest": covariate_manifest},
            remedy=f"give outcomes.tsv, and run experiment {settings.doses} in the same study",
        )
    unknown = sorted(set(settings.outcomes) - set(learned))
    if unknown or not settings.outcomes:
        where = Where(field="outcomes")
        raise SettingsError("outcomes unknown or none", where=where, got=unknown, expected=list(learned))
    people = read_table(participants, PARTICIPANTS)
    own = dose_columns(
        read_table(doses, PREDICTIONS),
        predictor=settings.dose_predictor,
        courses=courses_of(people),
        t_eff_h=settings.t_eff_h,
    )
    columns = allowed_columns(read_table(covariate_manifest, COVARIATE_MANIFEST), settings.features)
    table, who = read_table(covariates, COVARIATES), read_table(splits, SPLITS)
    observed = observed_outcomes(read_table(outcomes, OUTCOMES), people)
    return {
        outcome: examples_of(outcome, covariates=table, columns=columns, doses=own, observed=observed, splits=who)
        for outcome in settings.outcomes
    }


def score(examples: OutcomeExamples, prediction: np.ndarray) -> float:
    """Return the mean log loss of predicted log-odds (n,)."""
    return log_loss(examples.observed, prediction)


def calibrate(examples: OutcomeExamples, prediction: np.ndarray) -> dict[str, np.ndarray]:
    """Return the part of training patients with the event: from this probability on a patient counts as at risk."""
    del prediction
    return {RATE: np.array([rate_of(examples.observed)])}


def card(examples: OutcomeExamples) -> dict[str, Any]:
    """Return what the model of an outcome was trained on: patients, events, those left out, range of the dose."""
    dose = examples.dose
    return {
        "patients": len(examples),
        "events": int(examples.observed.sum()),
        "left_out": len(examples.left_out),
        "dose_gy": [float(dose.min()), float(dose.max())],
    }
