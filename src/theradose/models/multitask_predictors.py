"""Networks of dose and outcome from images and covariates; with one branch or one kind of head left out to compare."""

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from theradose.errors import DataError
from theradose.models.columns import Columns, learned
from theradose.models.multitask_baselines import (
    DOSES,
    OUTCOMES,
    MultiTask,
    PhysicsAndRates,
    RidgeAndLogistic,
    base_log_odds,
    event_columns,
    under,
)
from theradose.models.multitask_losses import multitask_loss
from theradose.models.multitask_network import Build, MultiTaskNetwork
from theradose.models.patch_examples import PatchExamples, subset
from theradose.models.predictors import Choice, FloatRange, History, OnEpoch, Predictor, Range, TrainingPlan
from theradose.models.training import Inputs, as_tensor, fit_network, from_arrays, predict, prepare_torch, to_arrays
from theradose.physics.nuclides import nuclide
from theradose.sections import POPULATION_T_EFF_H

HELD_BACK = 5  # one patient in five watches for the end of training, when there are ten
NETWORK = "network."
HALF_LIVES_OF = "Lu-177"  # the radionuclide of POPULATION_T_EFF_H
NO_COLUMNS = Columns((), {})
FREE, RESIDUAL, PHYSICS = "free", "residual", "physics"
SMALLEST_VARIANCE = 1e-3  # of log doses; a head's sigma starts at the spread of its labels, but not below 3 %


def t_bio_h(organ: str) -> float:
    """Return the biological half-life in h behind an organ's usual effective one: 1/T_bio = 1/T_eff - 1/T_phys."""
    return 1.0 / (1.0 / POPULATION_T_EFF_H[organ] - 1.0 / nuclide(HALF_LIVES_OF).half_life_h)


def held_back(
    examples: PatchExamples, seed: int, *, early_stopping: bool
) -> tuple[PatchExamples, PatchExamples | None]:
    """Split training patients into those learned from and those that watch for the end of training (or None)."""
    names = sorted(examples.patients)
    if not early_stopping or len(names) < 2 * HELD_BACK:
        return examples, None
    watching = set(np.random.default_rng([seed, 2]).permutation(names)[: len(names) // HELD_BACK].tolist())
    return subset(examples, [name for name in names if name not in watching]), subset(examples, watching)


class MultiTaskModel(MultiTask):
    """A network over the patches and covariates of all organs, with a head for each organ and each outcome.

    Its heads begin at what needs no network: outcomes at their base rate; doses with `dose_head` residual or physics at
    k SUV / weight of the organ, with free at the organ's mean dose. `physics` lets the network change uptake and
    biological half-life instead of the dose. Covariates are chosen by the training patients, at most `k` of each organ
    for what the start leaves open and `k_outcome` of the patient for each outcome.
    """

    iterates: ClassVar[bool] = True
    looks_at_images: ClassVar[bool] = True
    sees_dose_map: ClassVar[bool] = False
    has_columns: ClassVar[bool] = True
    space: ClassVar[dict[str, Range]] = {
        "learning_rate": FloatRange(5e-4, 1e-2, log=True),
        "dropout": FloatRange(0.0, 0.5),
        "weight_decay": FloatRange(1e-3, 1.0, log=True),
        "dose_head": Choice((RESIDUAL, PHYSICS, FREE)),
    }
    defaults: ClassVar[dict[str, Any]] = {
        "learning_rate": 1e-3, "dropout": 0.2, "weight_decay": 1e-1, "dose_head": RESIDUAL, "width": 16, "k": 3,
        "k_outcome": 3,
    }  # fmt: skip
    words: ClassVar[Mapping[str, Collection[str]]] = {"dose_head": (RESIDUAL, PHYSICS, FREE)}

    def _fit(self, examples: Any, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None) -> History:
        prepare_torch(seed)
        learning, watching = held_back(examples, seed, early_stopping=training.patience < training.epochs)
        self.organs, self.outcomes = list(examples.organs), list(examples.outcomes)
        self.half_life_h = float(examples.half_life_h)
        self._learn_starts(learning)
        self._choose_columns(learning, training)
        self.network = self._build()
        targets = self._targets(learning)
        self._start_variances(targets)
        return fit_network(
            self.network,
            self._inputs(learning),
            targets,
            partial(multitask_loss, log_variance=self.network.log_variance, n_doses=len(self.organs)),
            learning_rate=self.parameters["learning_rate"],
            weight_decay=self.parameters["weight_decay"],
            plan=training,
            seed=seed,
            validation=None if watching is None else (self._inputs(watching), self._targets(watching)),
            decay=True,
            on_epoch=on_epoch,
        )

    def _build(self) -> MultiTaskNetwork:
        has, settings = self.has_columns, self.parameters
        physics = settings["dose_head"] == PHYSICS
        return MultiTaskNetwork(
            Build(
                n_organs=len(self.organs),
                n_outcomes=len(self.outcomes),
                n_columns=settings["k"] if has else 0,
                n_person=settings["k_outcome"] if has else 0,
                images=self.looks_at_images,
                dose_map=self.sees_dose_map,
                width=settings["width"],
                dropout=settings["dropout"],
                half_life_h=self.half_life_h,
                t_bio_h=tuple(t_bio_h(organ) for organ in self.organs) if physics else (),
            )
        )

    def _offset(self, examples: PatchExamples) -> np.ndarray:
        """Return the part of the log doses that is not learned, (n, organs): log(SUV / weight), or zero."""
        return examples.log_uptake * (0.0 if self.parameters["dose_head"] == FREE else 1.0)

    def _learn_starts(self, examples: PatchExamples) -> None:
        """Learn where heads begin, (organs + outcomes,): log k or mean log dose (NaN when nobody has it), log odds."""
        apart = examples.log_dose - self._offset(examples)
        log_k = [float(x[np.isfinite(x)].mean()) if np.isfinite(x).any() else np.nan for x in apart.T]
        self.start = np.append(log_k, base_log_odds(examples.events))

    def _choose_columns(self, examples: PatchExamples, training: TrainingPlan) -> None:
        """Choose covariates of each organ for what its start leaves of the log dose, of the patient for each outcome.

        An organ that nobody has gets none.
        """
        self.columns: dict[str, Columns] = {}
        if not self.has_columns:
            return
        left = examples.log_dose - self._base(examples)[:, : len(self.organs)]
        for number, (organ, part) in enumerate(examples.organs.items()):
            target = left[examples.place(organ), number]
            usable = len(part) > 1
            self.columns[organ] = (
                learned(part, target, self.parameters["k"], training)[0] if usable else Columns((), {})
            )
        for number, outcome in enumerate(self.outcomes):
            self.columns[outcome] = event_columns(examples, number, self.parameters["k_outcome"], training)[0]

    def _base(self, examples: PatchExamples) -> np.ndarray:
        """Return what the heads add to, (n, organs + outcomes), NaN where there is no organ."""
        return np.column_stack([self._offset(examples), np.zeros((len(examples), len(self.outcomes)))]) + self.start

    def _vectors(self, examples: PatchExamples) -> tuple[np.ndarray, np.ndarray]:
        """Return covariates of organs (n, organs, k) and of the patient for each outcome (n, outcomes, k_outcome).

        Zero, the mean of training, where there is nothing.
        """
        n, has = len(examples), self.has_columns
        of_organs = np.zeros((n, len(self.organs), self.parameters["k"] if has else 0))
        of_person = np.zeros((n, len(self.outcomes), self.parameters["k_outcome"] if has else 0))
        for number, organ in enumerate(self.organs if has else ()):
            values = self.columns[organ].prepare(examples.organs[organ])
            of_organs[examples.place(organ), number, : values.shape[1]] = values
        for number, outcome in enumerate(self.outcomes if has else ()):
            values = self.columns[outcome].prepare(examples.person)
            of_person[:, number, : values.shape[1]] = values
        return of_organs, of_person

    def _inputs(self, examples: PatchExamples) -> Inputs:
        base, present = self._base(examples), np.isfinite(examples.log_uptake)
        patches = np.zeros((len(examples), 0), np.float16)
        if self.looks_at_images:
            patches = np.stack([examples.patches[patient] for patient in examples.patients])
        columns, person = self._vectors(examples)
        filled = np.nan_to_num(base, nan=0.0)
        return as_tensor(filled), as_tensor(present), as_tensor(patches), as_tensor(columns), as_tensor(person)

    def _targets(self, examples: PatchExamples) -> Tensor:
        """Return log doses and events, (n, organs + outcomes), NaN where not known or where there is no head."""
        doses = examples.log_dose if DOSES in self.heads else np.full((len(examples), len(self.organs)), np.nan)
        events = examples.events if OUTCOMES in self.heads else np.full(examples.events.shape, np.nan)
        return as_tensor(np.column_stack([doses, events]))

    def _start_variances(self, targets: Tensor) -> None:
        """Begin each dose head's sigma^2 at the variance of its labels about their mean."""
        for number, values in enumerate(targets.T[: len(self.organs)]):
            known = values[~torch.isnan(values)]
            variance = float(known.var(correction=0)) if len(known) else 1.0
            self.network.log_variance.data[number] = float(np.log(max(variance, SMALLEST_VARIANCE)))

    def _predict(self, examples: Any) -> np.ndarray:
        if (list(examples.organs), list(examples.outcomes)) != (self.organs, self.outcomes):
            got, expected = [*examples.organs, *examples.outcomes], [*self.organs, *self.outcomes]
            raise DataError("model has learned other organs or outcomes", got=got, expected=expected, code="THR-421")
        torch.set_num_threads(1)
        found = predict(self.network, self._inputs(examples)).astype(float)
        found[np.isnan(self._base(examples))] = np.nan
        n = len(self.organs)
        found[:, :n] = found[:, :n] if DOSES in self.heads else np.nan
        found[:, n:] = found[:, n:] if OUTCOMES in self.heads else np.nan
        return found

    def _arrays(self) -> dict[str, np.ndarray]:
        weights = {NETWORK + name: values for name, values in to_arrays(self.network).items()}
        own = {f"{part}.{name}": x for part, columns in self.columns.items() for name, x in columns.tensors().items()}
        return {**weights, **own, "start": self.start}

    def _notes(self) -> dict[str, Any]:
        if not self.is_fitted:
            return {}
        chosen = {part: columns.notes() for part, columns in self.columns.items()}
        return {
            "organs": self.organs, "outcomes": self.outcomes, "half_life_h": self.half_life_h, "chosen": chosen,
            "columns": sorted({name for columns in self.columns.values() for name in columns.names}),
        }  # fmt: skip

    def _restore(self, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        self.organs, self.outcomes = list(state["organs"]), list(state["outcomes"])
        self.half_life_h, self.start = float(state["half_life_h"]), tensors["start"]
        self.columns = {part: Columns.restore(n, under(tensors, f"{part}.")) for part, n in state["chosen"].items()}
        self.network = self._build()
        from_arrays(self.network, under(tensors, NETWORK))


class WholeModel(MultiTaskModel):
    """Images and covariates, doses and outcomes."""

    name = "multitask"


class DoseAlone(MultiTaskModel):
    """The same network, learning doses alone."""

    name = "multitask_dose"
    heads = (DOSES,)


class OutcomeAlone(MultiTaskModel):
    """The same network, learning outcomes alone."""

    name = "multitask_outcome"
    heads = (OUTCOMES,)


class ImagesAlone(MultiTaskModel):
    """The same network without covariates: a CNN."""

    name = "multitask_images"
    has_columns = False


class VectorAlone(MultiTaskModel):
    """The same network without images: a perceptron on radiomic and clinical covariates."""

    name = "multitask_vector"
    looks_at_images = False


class WithDoseMap(MultiTaskModel):
    """All branches: PET, CT, mask, the dose map that scaling the PET gives, and covariates."""

    name = "multitask_dose_map"
    sees_dose_map = True


MULTITASK_PREDICTORS: dict[str, type[Predictor]] = {
    predictor.name: predictor
    for predictor in (
        PhysicsAndRates, RidgeAndLogistic, WholeModel, DoseAlone, OutcomeAlone, ImagesAlone, VectorAlone,
        WithDoseMap,
    )
}  # fmt: skip
