"""Predictors of TIACs: two predictors of organ doses under one name, one of the uptake and one of the half-life."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from theradose.models.baselines import PetScaled, PopulationMean
from theradose.models.examples import VOLUME, OrganExamples
from theradose.models.linear import HybridDose, RidgeDose
from theradose.models.multitask_baselines import under
from theradose.models.predictors import History, OnEpoch, Predictor, Range, TrainingPlan
from theradose.models.tiac_examples import TiacExamples
from theradose.models.tiac_network import TiacMlp

UPTAKE, T_BIO = "uptake", "t_bio"


def prefixed(uptake: Mapping[str, Any], t_bio: Mapping[str, Any]) -> dict[str, Any]:
    """Return hyperparameters of both predictors under names that say whose they are, `uptake_alpha`."""
    both = {UPTAKE: uptake, T_BIO: t_bio}
    return {f"{part}_{name}": value for part, values in both.items() for name, value in values.items()}


class TwoPredictors(Predictor):
    """Log uptake fraction by one predictor and log T_bio by another, each on its own; prediction (n, 2).

    With `per_volume` the first one learns the fraction per mL of the organ (the volume is seen before therapy), as
    predictors do that begin at SUV / weight.
    """

    kind: ClassVar[str] = "tiac"
    uptake: ClassVar[type[Predictor]]
    t_bio: ClassVar[type[Predictor]]
    per_volume: ClassVar[bool] = False

    def _fit(self, examples: Any, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None) -> History:
        del on_epoch
        self.heads = self._unfitted()
        self.heads[UPTAKE].fit(self._of_uptake(examples), seed=seed, training=training)
        self.heads[T_BIO].fit(examples.with_target(examples.t_bio_h), seed=seed, training=training)
        return []

    def _unfitted(self) -> dict[str, Predictor]:
        kinds = {UPTAKE: self.uptake, T_BIO: self.t_bio}
        return {
            part: kind(**{name: self.parameters[f"{part}_{name}"] for name in kind.defaults})
            for part, kind in kinds.items()
        }

    def _volume_ml(self, examples: TiacExamples) -> np.ndarray | float:
        """Return what the first predictor's target is divided by: the volume (n,) in mL, or one."""
        return examples.base.column(VOLUME) if self.per_volume else 1.0

    def _of_uptake(self, examples: TiacExamples) -> OrganExamples:
        return examples.with_target(examples.uptake_fraction / self._volume_ml(examples))

    def _predict(self, examples: Any) -> np.ndarray:
        log_uptake = self.heads[UPTAKE].predict(examples.base) + np.log(self._volume_ml(examples))
        return np.column_stack([log_uptake, self.heads[T_BIO].predict(examples.base)])

    def _arrays(self) -> dict[str, np.ndarray]:
        return {f"{part}.{name}": x for part, head in self.heads.items() for name, x in head.tensors().items()}

    def _notes(self) -> dict[str, Any]:
        if not self.is_fitted:
            return {}
        states = {part: head.state() for part, head in self.heads.items()}
        names = {name for state in states.values() for name in state.get("columns", [])}
        return {"heads": states, "columns": sorted(names | ({VOLUME} if self.per_volume else set()))}

    def _restore(self, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        kinds = {UPTAKE: self.uptake, T_BIO: self.t_bio}
        self.heads = {
            part: kind.restore(state["heads"][part], under(tensors, f"{part}.")) for part, kind in kinds.items()
        }


class TiacMean(TwoPredictors):
    """The same for all: geometric means of uptake fraction and biological half-life of the training patients."""

    name: ClassVar[str] = "tiac_mean"
    uptake = PopulationMean
    t_bio = PopulationMean


class TiacPetScaled(TwoPredictors):
    """Physics alone: f = k SUV volume / weight, and the mean biological half-life of the training patients."""

    name: ClassVar[str] = "tiac_pet_scaled"
    uptake = PetScaled
    t_bio = PopulationMean
    per_volume = True


class TiacRidge(TwoPredictors):
    """Ridge regressions on selected covariates of log f and of log T_bio."""

    name: ClassVar[str] = "tiac_ridge"
    uptake = RidgeDose
    t_bio = RidgeDose
    space: ClassVar[dict[str, Range]] = prefixed(RidgeDose.space, RidgeDose.space)
    defaults: ClassVar[dict[str, Any]] = prefixed(RidgeDose.defaults, RidgeDose.defaults)


class TiacHybrid(TwoPredictors):
    """f by `tiac_pet_scaled` and a strongly shrunk ridge of what it leaves, T_bio by ridge."""

    name: ClassVar[str] = "tiac_hybrid"
    uptake = HybridDose
    t_bio = RidgeDose
    per_volume = True
    space: ClassVar[dict[str, Range]] = prefixed(HybridDose.space, RidgeDose.space)
    defaults: ClassVar[dict[str, Any]] = prefixed(HybridDose.defaults, RidgeDose.defaults)


TIAC_PREDICTORS: dict[str, type[Predictor]] = {
    predictor.name: predictor for predictor in (TiacMean, TiacPetScaled, TiacRidge, TiacHybrid, TiacMlp)
}
