"""The kind of experiment that predicts doses of all organs and what comes after therapy, by one model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from theradose.errors import SettingsError, Where
from theradose.experiment_sections import ExperimentSettings
from theradose.models.multitask_baselines import base_log_odds
from theradose.models.organ_dose import RESIDUALS
from theradose.models.organ_dose import card as organ_card
from theradose.models.patch_examples import PatchExamples, load_patients, subset
from theradose.vocabulary import OUTCOME_EVENTS

__all__ = ["ALL", "calibrate", "card", "load", "rate_name", "residuals_of", "score", "subset"]

ALL = "all"


def load(
    *,
    splits: Path,
    covariates: Path | None,
    covariate_manifest: Path | None,
    labels: Path | None,
    images: Sequence[Path] | None,
    settings: ExperimentSettings,
    outcomes: Path | None = None,
    participants: Path | None = None,
    **unused: object,
) -> dict[str, PatchExamples]:
    """Read the patients of an experiment as the one part `all`; SettingsError when a table is not given."""
    del unused
    if covariates is None or covariate_manifest is None or labels is None or not images:
        raise SettingsError(
            "a multitask experiment needs covariates, their manifest, labels and normalised images",
            where=Where(field=settings.name),
        )
    unknown = sorted(set(settings.outcomes) - set(OUTCOME_EVENTS))
    if unknown or (settings.outcomes and outcomes is None):
        raise SettingsError(
            "outcomes are unknown or the cohort has no table of them",
            where=Where(field=f"{settings.name}.outcomes"),
            got=unknown or "no outcomes.tsv",
            expected=list(OUTCOME_EVENTS),
        )
    return {
        ALL: load_patients(
            splits=splits, covariates=covariates, covariate_manifest=covariate_manifest, labels=labels, images=images,
            outcomes=outcomes, participants=participants, organs=settings.organs, events=settings.outcomes,
            patterns=settings.features,
        )
    }  # fmt: skip


def column_means(values: np.ndarray) -> list[float]:
    """Return the mean of each column of (n, p) over its finite values, columns without any left out."""
    return [float(x[np.isfinite(x)].mean()) for x in values.T if np.isfinite(x).any()]


def score(examples: PatchExamples, prediction: np.ndarray) -> float:
    """Return the mean absolute error of the log dose over organs plus the mean log loss over outcomes, of those it has.

    Log loss is in nats. Both are about 0.1 to 0.5, so that neither rules alone.
    """
    n = len(examples.organs)
    errors = column_means(np.abs(prediction[:, :n] - examples.log_dose))
    against = (1.0 - 2.0 * examples.events) * prediction[:, n:]
    known = np.isfinite(against)
    losses = column_means(np.where(known, np.logaddexp(0.0, np.where(known, against, 0.0)), np.nan))
    return float(sum(np.mean(found) for found in (errors, losses) if found))


def residuals_of(organ: str) -> str:
    """Return the name of the out-of-fold log residuals of an organ among the arrays of calibration."""
    return f"{organ}.{RESIDUALS}"


def rate_name(outcome: str) -> str:
    """Return the name of the rate of an outcome among the arrays of calibration."""
    return f"{outcome}.rate"


def calibrate(examples: PatchExamples, prediction: np.ndarray) -> dict[str, np.ndarray]:
    """Return each organ's out-of-fold log residuals in ascending order, without names, and each outcome's rate."""
    apart = examples.log_dose - prediction[:, : len(examples.organs)]
    found = {residuals_of(o): np.sort(x[np.isfinite(x)]) for o, x in zip(examples.organs, apart.T, strict=True)}
    rates = expit(base_log_odds(examples.events))
    return found | {rate_name(outcome): rates[[number]] for number, outcome in enumerate(examples.outcomes)}


def card(examples: PatchExamples) -> dict[str, Any]:
    """Return what the model was trained on: patients, ranges of each organ, and how many had each event."""
    organs = {organ: organ_card(part) for organ, part in examples.organs.items() if len(part)}
    known = np.isfinite(examples.events)
    counts = {
        outcome: {"known": int(known[:, i].sum()), "events": int(np.nansum(examples.events[:, i]))}
        for i, outcome in enumerate(examples.outcomes)
    }
    return {"patients": len(examples), "organs": organs, "outcomes": counts, "left_out": len(examples.left_out)}
