"""What dense networks on prepared columns share: their training, their watching patients, and how they are stored."""

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

import numpy as np
from torch import nn

from theradose.models.columns import Columns
from theradose.models.losses import Loss
from theradose.models.networks import NETWORKS, initialise
from theradose.models.predictors import History, OnEpoch, Predictor, TrainingPlan
from theradose.models.training import Inputs, as_tensor, fit_network, from_arrays, predict, to_arrays

HELD_BACK = 5  # one patient in five watches for the end of training
PREFIX = "network."
Keep = Callable[[Any, Collection[str]], Any]


class ColumnNetwork(Predictor):
    """A network whose first output, times a spread, is added to a level; both stand in `scale`.

    A subclass learns `columns` and `scale` from the patients it learns from, says with `_target` what the network is
    to give, (n, outputs), and calls `_train`. `scale_name` is the name of the two numbers in stored models.
    """

    iterates: ClassVar[bool] = True
    scale_name: ClassVar[str] = "scale"
    columns: Columns
    scale: np.ndarray
    network: nn.Module

    def _train(
        self,
        learning: Any,
        watching: Any | None,
        loss: Loss,
        *,
        seed: int,
        training: TrainingPlan,
        on_epoch: OnEpoch | None,
    ) -> History:
        """Train the network that `_new` made; with `watching` patients it ends when their loss no longer falls."""
        return fit_network(
            self.network,
            self._inputs(learning),
            as_tensor(self._target(learning)),
            loss,
            learning_rate=self.parameters["learning_rate"],
            weight_decay=self.parameters["weight_decay"],
            plan=training,
            seed=seed,
            validation=None if watching is None else (self._inputs(watching), as_tensor(self._target(watching))),
            on_epoch=on_epoch,
        )

    @abstractmethod
    def _target(self, examples: Any) -> np.ndarray: ...

    def _new(self, seed: int) -> nn.Module:
        """Return the network as it is before training."""
        return initialise(self._build(), "default", seed)

    def _build(self) -> nn.Module:
        sizes = [self.parameters["hidden"]]
        return NETWORKS["mlp"](len(self.columns.names) + 1, sizes, self.parameters["dropout"])

    def _inputs(self, examples: Any) -> Inputs:
        """Return the prepared columns and a column of ones: a network without columns still learns a constant."""
        return (as_tensor(np.column_stack([self.columns.prepare(examples), np.ones(len(examples))])),)

    def _predict(self, examples: Any) -> np.ndarray:
        standardised = predict(self.network, self._inputs(examples))[:, 0].astype(float)
        return np.asarray(self.scale[0] + self.scale[1] * standardised)

    def _arrays(self) -> dict[str, np.ndarray]:
        weights = {PREFIX + name: values for name, values in to_arrays(self.network).items()}
        return {**self.columns.tensors(), **weights, self.scale_name: self.scale}

    def _notes(self) -> dict[str, Any]:
        return self.columns.notes() if self.is_fitted else {}

    def _restore(self, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        self.columns = Columns.restore(state, tensors)
        self.scale = tensors[self.scale_name]
        weights = {n.removeprefix(PREFIX): v for n, v in tensors.items() if n.startswith(PREFIX)}
        self.network = from_arrays(self._build(), weights)


def held_back(examples: Any, seed: int, keep: Keep) -> tuple[Any, Any | None]:
    """Split training examples by patient into those learned from and those that watch for the end of training.

    `keep` keeps the examples of some patients. With fewer than ten patients nobody is held back and all epochs run.
    """
    names = sorted(set(examples.patients))
    if len(names) < 2 * HELD_BACK:
        return examples, None
    watching = list(np.random.default_rng([seed, 2]).permutation(names)[: len(names) // HELD_BACK])
    return keep(examples, [n for n in names if n not in watching]), keep(examples, watching)
