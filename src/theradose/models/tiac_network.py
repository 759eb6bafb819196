"""One network with heads for uptake and biological half-life, behind which the physics of decay gives the TIAC."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from theradose.models.baselines import log_uptake_per_weight
from theradose.models.column_network import held_back
from theradose.models.columns import Columns, learned
from theradose.models.examples import SUV, VOLUME, WEIGHT
from theradose.models.multitask_baselines import under
from theradose.models.networks import initialise, mlp
from theradose.models.predictors import Choice, FloatRange, History, IntRange, OnEpoch, Predictor, Range, TrainingPlan
from theradose.models.tiac_examples import TiacExamples, subset
from theradose.models.training import Inputs, as_tensor, fit_network, from_arrays, predict, prepare_torch, to_arrays
from theradose.physics.decay import decay_constant_per_h

NETWORK = "network."
PARTS = ("uptake.", "t_bio.")  # of the columns: those chosen for each head
PET, MEAN = "pet", "mean"
SMALLEST_SPREAD = 1e-3  # of a log target that does not vary


class Heads(nn.Module):
    """(columns (n, p), start (n, 2)) -> log uptake fraction and log T_bio/h, (n, 2): the start and what is learned.

    `spread` (2,) is that of the targets about the start, so that the network's own outputs are of order one.
    """

    spread: Tensor

    def __init__(self, n_in: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.body = mlp(n_in, [hidden], dropout, n_out=2)
        self.register_buffer("spread", torch.ones(2))

    def forward(self, columns: Tensor, start: Tensor) -> Tensor:
        """Return both heads."""
        return start + self.spread * self.body(columns)


class TiacNetwork(nn.Module):
    """The heads with the physics layer: log TIAC/h and log T_eff/h of one radionuclide, (n, 2), in spreads of each.

    log lambda_eff = log(ln 2/T_bio + lambda_phys), log TIAC = log f - log lambda_eff, log T_eff = log ln 2 - the same.
    """

    log_lambda_phys: Tensor
    unit: Tensor

    def __init__(self, n_in: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads = Heads(n_in, hidden, dropout)
        self.register_buffer("log_lambda_phys", torch.zeros(1))
        self.register_buffer("unit", torch.ones(2))

    def forward(self, columns: Tensor, start: Tensor) -> Tensor:
        """Return log TIAC and log T_eff, divided by `unit`."""
        log_uptake, log_t_bio = self.heads(columns, start).unbind(dim=1)
        log_rate = torch.logaddexp(math.log(math.log(2.0)) - log_t_bio, self.log_lambda_phys)
        return torch.stack([log_uptake - log_rate, math.log(math.log(2.0)) - log_rate], dim=1) / self.unit


def spread_of(values: np.ndarray) -> np.ndarray:
    """Return the standard deviation of each column of (n, p), never zero."""
    return np.maximum(values.std(axis=0), SMALLEST_SPREAD)


class TiacMlp(Predictor):
    """Log f and log T_bio by one network of one hidden layer; the loss is on log TIAC and log T_eff, equally weighted.

    With `start` pet the uptake head begins at k SUV volume / weight, with mean at the mean of the training patients.
    Columns are chosen for each head, at most `k`, and both heads see all of them. A fifth of the patients, drawn by the
    seed, ends the training.
    """

    name: ClassVar[str] = "tiac_mlp"
    kind: ClassVar[str] = "tiac"
    space: ClassVar[dict[str, Range]] = {
        "hidden": Choice((4, 8, 16, 32)),
        "dropout": FloatRange(0.0, 0.4),
        "learning_rate": FloatRange(1e-3, 3e-2, log=True),
        "weight_decay": FloatRange(1e-3, 1.0, log=True),
        "k": IntRange(1, 20),
        "start": Choice((PET, MEAN)),
    }
    defaults: ClassVar[dict[str, Any]] = {
        "hidden": 8, "dropout": 0.1, "learning_rate": 1e-2, "weight_decay": 1e-2, "k": 8, "start": PET,
    }  # fmt: skip

    def _fit(self, examples: Any, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None) -> History:
        prepare_torch(seed)
        learning, watching = held_back(examples, seed, subset)
        offset, target = self._offset(learning), self._heads_target(learning)
        self.start = (target - offset).mean(axis=0)
        left, k = target - offset - self.start, self.parameters["k"]
        # Columns and scale come from the patients learned from alone: those who watch must not choose.
        self.columns = {
            part: learned(learning.base, left[:, number], k, training)[0] for number, part in enumerate(PARTS)
        }
        self.network = self._build()
        initialise(self.network, "default", seed)
        unit = spread_of(self._target(learning))
        self.network.heads.spread.copy_(as_tensor(spread_of(left)))
        self.network.unit.copy_(as_tensor(unit))
        self.network.log_lambda_phys.fill_(math.log(decay_constant_per_h(learning.half_life_h)))
        seen = None if watching is None else (self._inputs(watching), as_tensor(self._target(watching) / unit))
        return fit_network(
            self.network,
            self._inputs(learning),
            as_tensor(self._target(learning) / unit),
            nn.functional.mse_loss,
            learning_rate=self.parameters["learning_rate"],
            weight_decay=self.parameters["weight_decay"],
            plan=training,
            seed=seed,
            validation=seen,
            on_epoch=on_epoch,
        )

    def _build(self) -> TiacNetwork:
        n_in = sum(len(columns.names) for columns in self.columns.values()) + 1
        return TiacNetwork(n_in, self.parameters["hidden"], self.parameters["dropout"])

    def _offset(self, examples: TiacExamples) -> np.ndarray:
        """Return what the heads add to beside the mean, (n, 2): log(SUV volume / weight) or zero, and zero."""
        zero = np.zeros(len(examples))
        if self.parameters["start"] == MEAN:
            return np.column_stack([zero, zero])
        return np.column_stack([log_uptake_per_weight(examples.base) + np.log(examples.base.column(VOLUME)), zero])

    def _heads_target(self, examples: TiacExamples) -> np.ndarray:
        return np.log(np.column_stack([examples.uptake_fraction, examples.t_bio_h]))

    def _target(self, examples: TiacExamples) -> np.ndarray:
        """Return log TIAC and log T_eff with the study's radionuclide, (n, 2), h."""
        return np.log(np.column_stack([examples.base.dose, examples.t_eff_h]))

    def _inputs(self, examples: TiacExamples) -> Inputs:
        """Return columns, with one of ones so that a network without any still learns, and where the heads start."""
        chosen = [columns.prepare(examples.base) for columns in self.columns.values()]
        columns = np.column_stack([*chosen, np.ones(len(examples))])
        return as_tensor(columns), as_tensor(self._offset(examples) + self.start)

    def _predict(self, examples: Any) -> np.ndarray:
        return predict(self.network.heads, self._inputs(examples)).astype(float)

    def _arrays(self) -> dict[str, np.ndarray]:
        weights = {NETWORK + name: values for name, values in to_arrays(self.network).items()}
        own = {part + name: x for part, columns in self.columns.items() for name, x in columns.tensors().items()}
        return {**weights, **own, "start": self.start}

    def _notes(self) -> dict[str, Any]:
        if not self.is_fitted:
            return {}
        physics = {SUV, VOLUME, WEIGHT} if self.parameters["start"] == PET else set()
        names = {name for columns in self.columns.values() for name in columns.names}
        chosen = {part: columns.notes() for part, columns in self.columns.items()}
        return {"chosen": chosen, "columns": sorted(names | physics)}

    def _restore(self, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        self.start = tensors["start"]
        # In the order of the inputs: a stored state may name its parts in another one.
        chosen = state["chosen"]
        self.columns = {part: Columns.restore(chosen[part], under(tensors, part)) for part in PARTS}
        self.network = self._build()
        from_arrays(self.network, under(tensors, NETWORK))
