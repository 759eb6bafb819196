"""What models of dose and outcome stand beside: physics with base rates, and ridge regressions of each target alone."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from sklearn.linear_model import LogisticRegression

from theradose.models.baselines import PetScaled
from theradose.models.columns import Columns, learned
from theradose.models.examples import subset as organ_subset
from theradose.models.linear import HybridDose
from theradose.models.patch_examples import PatchExamples
from theradose.models.predictors import FloatRange, History, IntRange, OnEpoch, Predictor, Range, TrainingPlan

DOSES, OUTCOMES = "doses", "outcomes"
HALF = 0.5  # added to both counts: Jeffreys' prior, so that an event nobody had keeps a finite log odds
FEWEST = 4  # patients with an organ below which its physics alone is fitted


def base_log_odds(events: np.ndarray) -> np.ndarray:
    """Return log((events + 1/2) / (others + 1/2)) of each outcome from (n, outcomes) 0, 1 or NaN, (outcomes,)."""
    happened, known = np.nansum(events, axis=0), np.isfinite(events).sum(axis=0)
    return np.asarray(np.log((happened + HALF) / (known - happened + HALF)))


def under(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Return the arrays whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}


def event_columns(
    examples: PatchExamples, number: int, k: int, training: TrainingPlan
) -> tuple[Columns, np.ndarray, np.ndarray]:
    """Choose at most k covariates of the patient for one outcome; return them, their values (m, k) and events (m,).

    Only the m patients whose outcome is known take part. Nothing is chosen when all of them had the same.
    """
    event = examples.events[:, number]
    known = np.isfinite(event)
    if len(np.unique(event[known])) < 2:
        return Columns((), {}), np.zeros((int(known.sum()), 0)), event[known]
    own = organ_subset(examples.person, [p for p, use in zip(examples.patients, known, strict=True) if use])
    columns, x = learned(own, event[known], k, training)
    return columns, x, event[known]


class MultiTask(Predictor):
    """A model of log doses, then log odds of outcomes, (n, organs + outcomes).

    NaN stands where it has no head (`heads`), where a patient lacks the organ, and for an organ that no training
    patient had.
    """

    kind: ClassVar[str] = "multitask"
    heads: ClassVar[tuple[str, ...]] = (DOSES, OUTCOMES)


class EachAlone(MultiTask):
    """One dose model for each organ and one for each outcome; a subclass says which."""

    def _fit(self, examples: Any, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None) -> History:
        del on_epoch
        self.doses: dict[str, Predictor] = {}
        for organ, part in examples.organs.items():
            if len(part):
                self.doses[organ] = self._dose_model(len(part))
                self.doses[organ].fit(part, seed=seed, training=training)
        self.log_odds = base_log_odds(examples.events)
        self._fit_outcomes(examples, training)
        return []

    @abstractmethod
    def _dose_model(self, n: int) -> Predictor:
        """Return the unfitted dose model of an organ with n training patients."""

    def _fit_outcomes(self, examples: PatchExamples, training: TrainingPlan) -> None:
        """Learn what outcomes depend on; base rates need nothing more."""
        del examples, training

    def _log_odds(self, examples: PatchExamples) -> np.ndarray:
        return np.tile(self.log_odds, (len(examples), 1))

    def _predict(self, examples: Any) -> np.ndarray:
        parts = examples.organs.items()
        doses = {o: self.doses[o].predict(x) if o in self.doses else np.full(len(x), np.nan) for o, x in parts}
        return np.column_stack([examples.spread(doses), self._log_odds(examples)])

    def _arrays(self) -> dict[str, np.ndarray]:
        own = {f"{organ}.{name}": x for organ, model in self.doses.items() for name, x in model.tensors().items()}
        return {**own, "log_odds": self.log_odds}

    def _notes(self) -> dict[str, Any]:
        if not self.is_fitted:
            return {}
        return {"doses": {organ: {"name": m.name, "state": m.state()} for organ, m in self.doses.items()}}

    def _restore(self, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        self.log_odds = tensors["log_odds"]
        self.doses = {
            organ: DOSE_MODELS[entry["name"]].restore(entry["state"], under(tensors, f"{organ}."))
            for organ, entry in state["doses"].items()
        }


DOSE_MODELS: dict[str, type[Predictor]] = {model.name: model for model in (PetScaled, HybridDose)}


class PhysicsAndRates(EachAlone):
    """D = k SUV / weight for each organ, and how often each event happened among the training patients."""

    name: ClassVar[str] = "multitask_physics"

    def _dose_model(self, n: int) -> Predictor:
        del n
        return PetScaled()


class RidgeAndLogistic(EachAlone):
    """`hybrid` for each organ, and for each outcome a logistic regression with a quadratic penalty.

    The covariates of an outcome are at most `k_outcome` of the patient's own and of the uptakes of the organs.
    """

    name: ClassVar[str] = "multitask_ridge"
    space: ClassVar[dict[str, Range]] = {
        "alpha": FloatRange(10.0, 1e5, log=True),
        "k": IntRange(1, 30),
        "alpha_outcome": FloatRange(1.0, 1e3, log=True),
        "k_outcome": IntRange(1, 10),
    }
    defaults: ClassVar[dict[str, Any]] = {"alpha": 1e3, "k": 10, "alpha_outcome": 10.0, "k_outcome": 3}

    def _dose_model(self, n: int) -> Predictor:
        return PetScaled() if n < FEWEST else HybridDose(alpha=self.parameters["alpha"], k=self.parameters["k"])

    def _fit_outcomes(self, examples: PatchExamples, training: TrainingPlan) -> None:
        self.columns: dict[str, Columns] = {}
        self.slopes: dict[str, np.ndarray] = {}
        for number, outcome in enumerate(examples.outcomes):
            columns, x, event = event_columns(examples, number, self.parameters["k_outcome"], training)
            self.columns[outcome], self.slopes[outcome] = columns, np.zeros(x.shape[1])
            if x.shape[1]:
                found = LogisticRegression(C=1.0 / self.parameters["alpha_outcome"]).fit(x, event)
                self.slopes[outcome], self.log_odds[number] = found.coef_[0], found.intercept_[0]

    def _log_odds(self, examples: PatchExamples) -> np.ndarray:
        learned = [(self.columns[o].prepare(examples.person) * self.slopes[o]).sum(axis=1) for o in examples.outcomes]
        return np.column_stack([self.log_odds[i] + x for i, x in enumerate(learned)] or [np.zeros((len(examples), 0))])

    def _arrays(self) -> dict[str, np.ndarray]:
        own = {f"{o}.{name}": x for o, columns in self.columns.items() for name, x in columns.tensors().items()}
        return {**super()._arrays(), **own, **{f"{o}.slope_of_event": x for o, x in self.slopes.items()}}

    def _notes(self) -> dict[str, Any]:
        own = {"outcomes": {o: columns.notes() for o, columns in self.columns.items()}} if self.is_fitted else {}
        return {**super()._notes(), **own}

    def _restore(self, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        super()._restore(state, tensors)
        self.columns = {o: Columns.restore(notes, under(tensors, f"{o}.")) for o, notes in state["outcomes"].items()}
        self.slopes = {outcome: tensors[f"{outcome}.slope_of_event"] for outcome in self.columns}
