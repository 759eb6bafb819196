"""A small dense network on selected covariates, trained on the standardised log dose."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

import numpy as np
from torch import nn

from theradose.models.columns import Columns, learned
from theradose.models.examples import NEEDED, subset
from theradose.models.networks import NETWORKS, initialise
from theradose.models.predictors import Choice, FloatRange, History, IntRange, OnEpoch, Predictor, Range, TrainingPlan
from theradose.models.training import Inputs, as_tensor, fit_network, from_arrays, predict, prepare_torch, to_arrays

HELD_BACK = 5  # one patient in five watches for the end of training
PREFIX = "network."
Keep = Callable[[Any, Collection[str]], Any]


class MlpDose(Predictor):
    """log D by a network of one hidden layer; a fifth of the patients, drawn by the seed, ends the training."""

    name: ClassVar[str] = "mlp"
    kind: ClassVar[str] = "organ_dose"
    iterates: ClassVar[bool] = True
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
        self.network = initialise(self._build(), "default", seed)
        return fit_network(
            self.network,
            self._inputs(learning),
            as_tensor(self._standard(learning)),
            nn.functional.mse_loss,
            learning_rate=self.parameters["learning_rate"],
            weight_decay=self.parameters["weight_decay"],
            plan=training,
            seed=seed,
            validation=None if watching is None else (self._inputs(watching), as_tensor(self._standard(watching))),
            on_epoch=on_epoch,
        )

    def _build(self) -> nn.Module:
        sizes = [self.parameters["hidden"]]
        return NETWORKS["mlp"](len(self.columns.names) + 1, sizes, self.parameters["dropout"])

    def _inputs(self, examples: Any) -> Inputs:
        """Return the prepared columns and a column of ones, so that a network without columns still learns a mean."""
        return (as_tensor(np.column_stack([self.columns.prepare(examples), np.ones(len(examples))])),)

    def _standard(self, examples: Any) -> np.ndarray:
        return np.asarray((self.target(examples) - self.scale[0]) / self.scale[1])[:, None]

    def _predict(self, examples: Any) -> np.ndarray:
        standardised = predict(self.network, self._inputs(examples))[:, 0].astype(float)
        return np.asarray(self.scale[0] + self.scale[1] * standardised)

    def _arrays(self) -> dict[str, np.ndarray]:
        weights = {PREFIX + name: values for name, values in to_arrays(self.network).items()}
        return {**self.columns.tensors(), **weights, "scale": self.scale}

    def _notes(self) -> dict[str, Any]:
        return self.columns.notes() if self.is_fitted else {}

    def _restore(self, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        self.columns = Columns.restore(state, tensors)
        self.scale = tensors["scale"]
        weights = {n.removeprefix(PREFIX): v for n, v in tensors.items() if n.startswith(PREFIX)}
        self.network = from_arrays(self._build(), weights)


def held_back(examples: Any, seed: int, keep: Keep = subset) -> tuple[Any, Any | None]:
    """Split training examples by patient into those learned from and those that watch for the end of training.

    `keep` keeps the examples of some patients. With fewer than ten patients nobody is held back and all epochs run.
    """
    names = sorted(set(examples.patients))
    if len(names) < 2 * HELD_BACK:
        return examples, None
    watching = list(np.random.default_rng([seed, 2]).permutation(names)[: len(names) // HELD_BACK])
    return keep(examples, [n for n in names if n not in watching]), keep(examples, watching)
