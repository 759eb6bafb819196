"""The kind of experiment that predicts the months to a toxicity: its examples, its scale, and what tuning lowers."""

from pathlib import Path
from typing import Any

import numpy as np

from theradose.errors import SettingsError, Where
from theradose.experiment_sections import ExperimentSettings
from theradose.features.covariates import PRE_THERAPY
from theradose.features.manifest import ORGAN, OUT_OF_FOLD
from theradose.models.aft import negative_log_likelihood, spread
from theradose.models.examples import allowed_columns
from theradose.models.latency_examples import LatencyExamples, latency_examples, subset
from theradose.tables import COVARIATE_MANIFEST, COVARIATES, OUTCOMES, SPLITS, read_table

__all__ = ["LOG_SD", "calibrate", "card", "load", "score", "subset"]

LOG_SD = "log_sd"


def load(
    *,
    splits: Path,
    covariates: Path | None,
    covariate_manifest: Path | None,
    outcomes: Path | None,
    settings: ExperimentSettings,
    **unused: object,
) -> dict[str, LatencyExamples]:
    """Read the one part `kidneys` from the tables of `assemble_latency` and the outcomes; SettingsError without them.

    Columns that models made are allowed here, since that step takes predictions of patients not trained on only.
    """
    del unused
    if covariates is None or covariate_manifest is None or outcomes is None:
        raise SettingsError(
            "a latency experiment needs the covariates of assemble_latency, their manifest and outcomes",
            where=Where(field=settings.name),
            got={"covariates": covariates, "covariate_manifest": covariate_manifest, "outcomes": outcomes},
        )
    manifest = read_table(covariate_manifest, COVARIATE_MANIFEST)
    known = manifest.assign(leak_class=manifest["leak_class"].replace(OUT_OF_FOLD, PRE_THERAPY))
    examples = latency_examples(
        read_table(covariates, COVARIATES),
        read_table(outcomes, OUTCOMES),
        read_table(splits, SPLITS),
        allowed_columns(known, settings.features),
    )
    return {ORGAN: examples}


def score(examples: LatencyExamples, prediction: np.ndarray) -> float:
    """Return the mean negative log-likelihood of log-normal latencies around the predicted log medians (n,).

    The spread is the likeliest one of these residuals; censored patients count as longer than seen.
    """
    residual = examples.log_months - prediction
    return negative_log_likelihood(residual, examples.observed, spread(residual, examples.observed))


def calibrate(examples: LatencyExamples, prediction: np.ndarray) -> dict[str, np.ndarray]:
    """Return the spread of the log latency around out-of-fold predictions, (1,), censoring taken into account."""
    return {LOG_SD: np.array([spread(examples.log_months - prediction, examples.observed)])}


def card(examples: LatencyExamples) -> dict[str, Any]:
    """Return what the model was trained on: patients, observed latencies, months, and columns that hold something."""
    filled = int(examples.covariates.notna().any().sum())
    months = np.exp(examples.log_months)
    return {
        "patients": len(examples),
        "observed": int(examples.observed.sum()),
        "months": [float(months.min()), float(months.max())],
        "columns": {"offered": examples.covariates.shape[1], "filled": filled},
        "left_out": len(examples.left_out),
    }
