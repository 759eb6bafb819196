"""Predictors of the latency of toxicity: a constant, five mechanistic covariates, ridge on all, and dense networks.

Each predicts the log of the median latency in months, (n,).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import nn

from theradose.models.aft import Aft, fit_aft
from theradose.models.aft_network import AFT_LOSSES, AftNetwork
from theradose.models.column_network import ColumnNetwork, held_back
from theradose.models.columns import Columns, LogSkewed, log_where
from theradose.models.dose_columns import COURSE_BED, column
from theradose.models.latency_examples import LatencyExamples, subset
from theradose.models.predictors import Choice, FloatRange, History, OnEpoch, Predictor, Range, TrainingPlan
from theradose.models.training import Inputs, as_tensor, prepare_torch

BED = column("kidneys", COURSE_BED)
MECHANISTIC = (BED, "clinical.age_y", "clinical.hypertension", "clinical.diabetes", "biological.egfr_ml_min")
NO_COLUMNS = Columns((), {})


def standardised(examples: LatencyExamples, names: Sequence[str], logged: Sequence[str] | None = None) -> Columns:
    """Return how to log, fill and standardise columns, learned from these examples alone.

    Logarithms of the columns `logged`, by default of those that are positive and skewed; medians go into gaps. A
    column that is empty or does not vary becomes zero.
    """
    raw = np.stack([examples.column(name) for name in names], axis=1)
    raw = np.where(np.isnan(raw).all(axis=0), 0.0, raw)
    chosen, floor = LogSkewed().fit(raw).logged_, np.nanmin(raw, axis=0) / 2.0
    if logged is not None:
        chosen = np.isin(list(names), list(logged)) & (floor > 0)
    values = log_where(raw, chosen, floor)
    median = np.nanmedian(values, axis=0)
    filled = np.where(np.isnan(values), median, values)
    mean, sd = filled.mean(axis=0), filled.std(axis=0)
    spread = np.where(sd > np.finfo(float).eps * np.abs(mean) * len(filled), sd, 1.0)
    arrays = {"logged": chosen.astype(np.uint8), "floor": np.where(chosen, floor, 0.0)}
    return Columns(tuple(names), {**arrays, "median": median, "mean": mean, "spread": spread})


def prepared(columns: Columns, examples: LatencyExamples) -> np.ndarray:
    """Return the columns of examples as they were learned to be logged, filled and standardised, (n, k)."""
    if not columns.names:
        return np.zeros((len(examples), 0))
    return columns.apply(np.stack([examples.column(name) for name in columns.names], axis=1))


class LinearLatency(Predictor):
    """ln(median) = b0 + b x by censored log-normal regression, penalty alpha |b|^2; a subclass chooses columns."""

    kind: ClassVar[str] = "latency"

    def choose(self, examples: LatencyExamples) -> Columns:
        """Return the columns and what is done to them, learned from training examples."""
        return standardised(examples, list(examples.covariates.columns))

    def _fit(self, examples: Any, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None) -> History:
        del seed, training, on_epoch
        self.columns = self.choose(examples)
        x = prepared(self.columns, examples)
        self.model = fit_aft(x, examples.log_months, examples.observed, self.parameters.get("alpha", 0.0))
        return []

    def _predict(self, examples: Any) -> np.ndarray:
        return np.asarray(self.model.intercept + (prepared(self.columns, examples) * self.model.slope).sum(axis=1))

    def _arrays(self) -> dict[str, np.ndarray]:
        level = np.array([self.model.intercept, self.model.log_sd])
        return {**self.columns.tensors(), "slope": self.model.slope, "level": level}

    def _notes(self) -> dict[str, Any]:
        return self.columns.notes() if self.is_fitted else {}

    def _restore(self, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        self.columns = Columns.restore(state, tensors)
        intercept, log_sd = tensors["level"].tolist()
        self.model = Aft(intercept, tensors["slope"], log_sd)


class ConstantLatency(LinearLatency):
    """The same for everyone: the median of a log-normal fit that knows of censoring."""

    name: ClassVar[str] = "latency_constant"

    def choose(self, examples: LatencyExamples) -> Columns:
        """Return no column."""
        del examples
        return NO_COLUMNS


class MechanisticLatency(LinearLatency):
    """What is known to bring it forward: the logarithm of the kidneys' predicted BED, age, vessels, sugar, function."""

    name: ClassVar[str] = "latency_mechanistic"
    space: ClassVar[dict[str, Range]] = {"alpha": FloatRange(0.1, 100.0, log=True)}
    defaults: ClassVar[dict[str, Any]] = {"alpha": 3.0}

    def choose(self, examples: LatencyExamples) -> Columns:
        """Return the five columns; DataError when one is not offered."""
        return standardised(examples, MECHANISTIC, logged=(BED,))


class RidgeLatency(LinearLatency):
    """All columns together, strongly shrunk."""

    name: ClassVar[str] = "latency_ridge"
    space: ClassVar[dict[str, Range]] = {"alpha": FloatRange(1.0, 1e4, log=True)}
    defaults: ClassVar[dict[str, Any]] = {"alpha": 100.0}


class MlpLatency(ColumnNetwork):
    """A dense network on all columns that learns by the log-normal likelihood, so that censored patients count too.

    A fifth of the patients, drawn by the seed, ends the training. With `loss` rmse_uncensored only observed latencies
    are learned from.
    """

    name: ClassVar[str] = "latency_mlp"
    kind: ClassVar[str] = "latency"
    space: ClassVar[dict[str, Range]] = {
        "hidden": Choice(("4", "8", "16", "32", "16-8", "32-16", "64-32")),
        "dropout": FloatRange(0.0, 0.5),
        "learning_rate": FloatRange(3e-4, 3e-2, log=True),
        "weight_decay": FloatRange(1e-3, 3.0, log=True),
    }
    defaults: ClassVar[dict[str, Any]] = {
        "hidden": "8", "dropout": 0.2, "learning_rate": 3e-3, "weight_decay": 0.1, "loss": "aft"
    }  # fmt: skip
    words: ClassVar[Mapping[str, Collection[str]]] = {"loss": AFT_LOSSES}

    def _fit(self, examples: Any, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None) -> History:
        prepare_torch(seed)
        usable = examples if self.parameters["loss"] == "aft" else examples.pick(examples.observed)
        learning, watching = held_back(usable, seed, subset)
        # Columns and scale come from the patients learned from alone: those who watch must not choose.
        self.columns = standardised(learning, list(learning.covariates.columns))
        level = fit_aft(np.zeros((len(learning), 0)), learning.log_months, learning.observed)
        self.scale = np.array([level.intercept, level.log_sd])
        self.network, loss = self._new(seed), AFT_LOSSES[self.parameters["loss"]]
        return self._train(learning, watching, loss, seed=seed, training=training, on_epoch=on_epoch)

    def _build(self) -> nn.Module:
        hidden = [int(size) for size in self.parameters["hidden"].split("-")]
        return AftNetwork(len(self.columns.names), hidden, self.parameters["dropout"])

    def _inputs(self, examples: LatencyExamples) -> Inputs:
        return (as_tensor(prepared(self.columns, examples)),)

    def _target(self, examples: LatencyExamples) -> np.ndarray:
        return np.column_stack([(examples.log_months - self.scale[0]) / self.scale[1], examples.observed])


class LiteralMlpLatency(MlpLatency):
    """The source paper's network: RMSE of the log latency of those in whom it was seen, section 8.

    It learns from the early ones alone, and so expects the toxicity too soon.
    """

    name: ClassVar[str] = "latency_mlp_literal"
    defaults: ClassVar[dict[str, Any]] = {**MlpLatency.defaults, "loss": "rmse_uncensored"}


LATENCY_PREDICTORS: dict[str, type[Predictor]] = {
    predictor.name: predictor
    for predictor in (ConstantLatency, MechanisticLatency, RidgeLatency, MlpLatency, LiteralMlpLatency)
}
