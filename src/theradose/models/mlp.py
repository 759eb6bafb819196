"""A small dense network on selected covariates, trained on the standardised log dose."""

from typing import Any, ClassVar

import numpy as np
from torch import nn

from theradose.models.column_network import ColumnNetwork, Keep, held_back
from theradose.models.columns import learned
from theradose.models.examples import NEEDED, subset
from theradose.models.predictors import Choice, FloatRange, History, IntRange, OnEpoch, Range, TrainingPlan
from theradose.models.training import prepare_torch


class MlpDose(ColumnNetwork):
    """log D by a network of one hidden layer; a fifth of the patients, drawn by the seed, ends the training."""

    name: ClassVar[str] = "mlp"
    kind: ClassVar[str] = "organ_dose"
    always: ClassVar[tuple[str, ...]] = NEEDED
    keep: ClassVar[Keep] = staticmethod(subset)
    space: ClassVar[dict[str, Range]] = {
        "hidden": Choice((4, 8, 16, 32)),
        "dropout": FloatRange(0.0, 0.4),
        "learning_rate": FloatRange(1e-3, 3e-2, log=True),
        "weight_decay": FloatRange(1e-3, 1.0, log=True),
        "k": IntRange(1, 20),
    }
    defaults: ClassVar[dict[str, Any]] = {
        "hidden": 8, "dropout": 0.1, "learning_rate": 1e-2, "weight_decay": 1e-2, "k": 8
    }  # fmt: skip

    def target(self, examples: Any) -> np.ndarray:
        """Return what is learned, (n,): the log dose per activity."""
        return np.asarray(examples.log_dose)

    def _fit(self, examples: Any, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None) -> History:
        prepare_torch(seed)
        learning, watching = held_back(examples, seed, type(self).keep)
        # Columns and scale come from the patients learned from alone: those who watch must not choose.
        target = self.target(learning)
        self.columns, _ = learned(learning, target, self.parameters["k"], training, self.always)
        self.scale = np.array([target.mean(), max(float(target.std()), 1e-6)])
        self.network = self._new(seed)
        return self._train(learning, watching, nn.functional.mse_loss, seed=seed, training=training, on_epoch=on_epoch)

    def _target(self, examples: Any) -> np.ndarray:
        return np.asarray((self.target(examples) - self.scale[0]) / self.scale[1])[:, None]
