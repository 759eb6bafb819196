"""The kind of experiment that predicts the change of eGFR in the year after therapy, in mL/min/1.73 m2 a year."""

from functools import partial
from typing import Any

import numpy as np

from theradose.models import outcome
from theradose.models.outcome_examples import OutcomeExamples, subset
from theradose.vocabulary import EGFR_SLOPE

__all__ = ["RESIDUALS", "calibrate", "card", "load", "score", "subset"]

RESIDUALS = "residuals_ml_min_per_y"
# The one part `egfr_slope`, from what experiments of kind outcome read; errors as there.
load = partial(outcome.load, learned=(EGFR_SLOPE,))


def score(examples: OutcomeExamples, prediction: np.ndarray) -> float:
    """Return the root mean square error of predicted slopes (n,)."""
    return float(np.sqrt(np.mean((prediction - examples.observed) ** 2)))


def calibrate(examples: OutcomeExamples, prediction: np.ndarray) -> dict[str, np.ndarray]:
    """Return the out-of-fold residuals in ascending order, without names: all that intervals need."""
    return {RESIDUALS: np.sort(examples.observed - prediction)}


def card(examples: OutcomeExamples) -> dict[str, Any]:
    """Return what the model was trained on: patients, those left out, ranges of slope and predicted dose."""
    ranges = {"slope_ml_min_per_y": examples.observed, "dose_gy": examples.dose}
    found = {name: [float(values.min()), float(values.max())] for name, values in ranges.items()}
    return {"patients": len(examples), "left_out": len(examples.left_out), **found}
