"""What every predictor promises: fit on training patients only, predict, give back what it has learned as arrays."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from theradose.errors import DataError, LeakageError, SettingsError, Where
from theradose.experiment_sections import ExperimentSettings, HarmoniseSettings, SelectionSettings

VALIDATION, TEST = "validation", "test"
AS_THEY_ARE = HarmoniseSettings()


@dataclass(frozen=True)
class FloatRange:
    """A hyperparameter between two numbers, searched on a linear or logarithmic scale."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class IntRange:
    """A whole-number hyperparameter, both ends included."""

    low: int
    high: int


@dataclass(frozen=True)
class Choice:
    """A hyperparameter that takes one of a few values."""

    values: tuple[str | int | float | bool, ...]


Range = FloatRange | IntRange | Choice


@dataclass(frozen=True)
class TrainingPlan:
    """What an experiment asks of every fit, whatever the predictor.

    How long a network is trained (epochs at most, epochs without gain before it stops, examples a step), what is done
    to columns before anything is learned from them, where a training that is killed leaves what it has done, and the
    examples of validation patients that watch for its end in place of patients held back.
    """

    epochs: int = 200
    patience: int = 30
    batch_size: int = 32
    harmonise: HarmoniseSettings = AS_THEY_ARE
    selection: SelectionSettings | None = None
    checkpoints: Path | None = None
    watching: Any = field(default=None, compare=False)

    @classmethod
    def of(cls, settings: ExperimentSettings, checkpoints: Path | None = None, watching: Any = None) -> Self:
        """Return the plan of an experiment; without a folder for checkpoints a killed training begins anew."""
        training = settings.training
        bounds = (training.epochs, training.patience, training.batch_size)
        return cls(*bounds, settings.harmonise, settings.selection, checkpoints, watching)


class Examples(Protocol):
    """What predictors of every kind may rely on: one patient and one partition for each example."""

    @property
    def patients(self) -> Sequence[str]:
        """The patient of each example."""

    @property
    def partitions(self) -> Sequence[str]:
        """The partition (train, validation, test) of each example."""


OnEpoch = Callable[[int, dict[str, float]], None]
History = list[dict[str, Any]]


def require_no_test(examples: Examples) -> None:
    """Raise LeakageError when an example of a held-out patient is about to be fitted."""
    held = [p for p, partition in zip(examples.patients, examples.partitions, strict=True) if partition == TEST]
    if held:
        raise LeakageError(
            "a test patient entered a fit", where=Where(patient=held[0]), got=sorted(set(held)), expected="none"
        )


class Predictor(ABC):
    """A model of one kind of experiment. A subclass writes `_fit`, `_predict`, `_arrays` and `_restore`.

    `space` is what tuning may change, as data; a predictor with an empty space is fitted as it is. `words` are those
    that a hyperparameter may be. `iterates` says that a fit has epochs, and so costs what a network costs.
    """

    name: ClassVar[str]
    kind: ClassVar[str]
    space: ClassVar[dict[str, Range]] = {}
    defaults: ClassVar[dict[str, Any]] = {}
    words: ClassVar[Mapping[str, Collection[str]]] = {}
    iterates: ClassVar[bool] = False

    def __init__(self, **parameters: Any) -> None:
        unknown = sorted(set(parameters) - set(self.defaults))
        if unknown:
            raise SettingsError(
                f"predictor {self.name} has no such parameter", got=unknown, expected=sorted(self.defaults)
            )
        self.parameters: dict[str, Any] = {**self.defaults, **parameters}
        self.is_fitted = False

    def fit(self, examples: Any, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None = None) -> History:
        """Learn from examples of patients outside the test partition; return the history, empty when nothing iterates.

        LeakageError when a test patient is among them.
        """
        require_no_test(examples)
        history = self._fit(examples, seed=seed, training=training, on_epoch=on_epoch)
        self.is_fitted = True
        return history

    def predict(self, examples: Any) -> np.ndarray:
        """Return the prediction: organ_dose the mean log dose per activity (n,); dose_map Gy/GBq (n, h, w)."""
        self._require_fitted()
        return self._predict(examples)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what was learned as named arrays."""
        self._require_fitted()
        return self._arrays()

    def state(self) -> dict[str, Any]:
        """Return what is needed beside the arrays to build the same predictor again; JSON-like."""
        return {"parameters": dict(self.parameters), **self._notes()}

    @classmethod
    def restore(cls, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Self:
        """Build a fitted predictor from what `state` and `tensors` gave."""
        predictor = cls(**state["parameters"])
        predictor._restore(state, tensors)
        predictor.is_fitted = True
        return predictor

    def _require_fitted(self) -> None:
        if not self.is_fitted:
            raise DataError(f"predictor {self.name} is not fitted", remedy="call fit or restore first", code="THR-420")

    @abstractmethod
    def _fit(self, examples: Any, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None) -> History: ...

    @abstractmethod
    def _predict(self, examples: Any) -> np.ndarray: ...

    @abstractmethod
    def _arrays(self) -> dict[str, np.ndarray]: ...

    @abstractmethod
    def _restore(self, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None: ...

    def _notes(self) -> dict[str, Any]:
        """Return what `_restore` needs beside parameters and arrays (column names, sizes)."""
        return {}
