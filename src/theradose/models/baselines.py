"""The predictions every model stands beside: the population's mean dose, that by PET uptake, the last cycle's."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from theradose.features.cycles import LAST_DOSE
from theradose.models.examples import SUV, WEIGHT, OrganExamples
from theradose.models.predictors import History, OnEpoch, Predictor, TrainingPlan


def log_uptake_per_weight(examples: OrganExamples) -> np.ndarray:
    """Return log(SUV_mean / weight), (n,), SUV in g/mL and weight in kg.

    SUV / weight is activity concentration per injected activity: what the dose of a self-irradiated organ per
    administered activity is proportional to, when the half-life is the same for all.
    """
    return np.asarray(np.log(examples.column(SUV) / examples.column(WEIGHT)))


def log_last_dose(examples: OrganExamples) -> np.ndarray:
    """Return the log of the dose per activity (Gy/GBq) of the cycle before, (n,); DataError in a first cycle."""
    return np.asarray(np.log(examples.column(LAST_DOSE)))


class PopulationMean(Predictor):
    """The same for all: the geometric mean dose per activity of the training patients."""

    name: ClassVar[str] = "population_mean"
    kind: ClassVar[str] = "organ_dose"

    def _fit(self, examples: Any, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None) -> History:
        del seed, training, on_epoch
        self.log_mean = np.mean(examples.log_dose)
        return []

    def _predict(self, examples: Any) -> np.ndarray:
        return np.full(len(examples), float(self.log_mean))

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"log_mean": np.array([self.log_mean])}

    def _restore(self, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        del state
        self.log_mean = tensors["log_mean"][0]


class PetScaled(Predictor):
    """Physics alone: D = k SUV / weight with k the geometric mean of D weight / SUV over the training patients."""

    name: ClassVar[str] = "pet_scaled"
    kind: ClassVar[str] = "organ_dose"

    def _fit(self, examples: Any, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None) -> History:
        del seed, training, on_epoch
        self.log_k = np.mean(examples.log_dose - log_uptake_per_weight(examples))
        return []

    def _predict(self, examples: Any) -> np.ndarray:
        return np.asarray(self.log_k + log_uptake_per_weight(examples))

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"log_k": np.array([self.log_k])}

    def _restore(self, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        del state
        self.log_k = tensors["log_k"][0]


class LastCycle(Predictor):
    """The dose per activity of the cycle before once more; nothing is learned."""

    name: ClassVar[str] = "last_cycle"
    kind: ClassVar[str] = "organ_dose"

    def _fit(self, examples: Any, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None) -> History:
        del seed, training, on_epoch
        log_last_dose(examples)  # refuses examples of a first cycle before anything is stored
        return []

    def _predict(self, examples: Any) -> np.ndarray:
        return log_last_dose(examples)

    def _arrays(self) -> dict[str, np.ndarray]:
        return {}

    def _restore(self, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        del state, tensors
