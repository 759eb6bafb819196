"""Predictors of the change of eGFR in the year after therapy: those of organ doses, with a slope as what they learn."""

from typing import Any, ClassVar

import numpy as np

from theradose.models.column_network import Keep
from theradose.models.linear import RidgeDose
from theradose.models.mlp import MlpDose
from theradose.models.outcome_examples import CAUSES, OutcomeExamples, subset
from theradose.models.outcome_predictors import EVERY
from theradose.models.predictors import FloatRange, History, IntRange, OnEpoch, Predictor, Range, TrainingPlan

KIND = "renal_slope"


class SlopeRidge(RidgeDose):
    """Slope = b0 + b x with a penalty alpha |b|^2, x at most `k` standardised columns chosen in the fold."""

    name: ClassVar[str] = "slope_ridge"
    kind: ClassVar[str] = KIND
    always: ClassVar[tuple[str, ...]] = ()
    space: ClassVar[dict[str, Range]] = {"alpha": FloatRange(1.0, 1e5, log=True), "k": IntRange(1, 30)}
    defaults: ClassVar[dict[str, Any]] = {"alpha": 100.0, "k": 10}

    def target(self, examples: OutcomeExamples) -> np.ndarray:
        """Return what is learned, (n,): the slope."""
        return examples.observed


class SlopeMean(SlopeRidge):
    """The same for all: the mean slope of the training patients, which is the ridge without a column."""

    name: ClassVar[str] = "slope_mean"
    space: ClassVar[dict[str, Range]] = {}
    defaults: ClassVar[dict[str, Any]] = {"alpha": 1.0, "k": 0}


class SlopeMechanistic(SlopeRidge):
    """A line on what is known to bring it: the kidneys' predicted BED, age, vessels, sugar, and eGFR before.

    The penalty is small beside any number of patients and only keeps a column without spread from mattering.
    """

    name: ClassVar[str] = "slope_mechanistic"
    space: ClassVar[dict[str, Range]] = {}
    defaults: ClassVar[dict[str, Any]] = {"alpha": 1.0, "k": EVERY}

    def _fit(self, examples: Any, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None) -> History:
        cause = CAUSES[examples.outcome]
        few = examples.with_columns([cause.dose_column, *cause.others])
        return super()._fit(few, seed=seed, training=training, on_epoch=on_epoch)


class SlopeMlp(MlpDose):
    """The slope by a network of one hidden layer; a fifth of the patients, drawn by the seed, ends the training."""

    name: ClassVar[str] = "slope_mlp"
    kind: ClassVar[str] = KIND
    always: ClassVar[tuple[str, ...]] = ()
    keep: ClassVar[Keep] = staticmethod(subset)

    def target(self, examples: OutcomeExamples) -> np.ndarray:
        """Return what is learned, (n,): the slope."""
        return examples.observed


SLOPE_PREDICTORS: dict[str, type[Predictor]] = {
    predictor.name: predictor for predictor in (SlopeMean, SlopeMechanistic, SlopeRidge, SlopeMlp)
}
