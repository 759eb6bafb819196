"""Predictors of dose maps: PET scaled by one number, and networks that start from it or from nothing."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from theradose.errors import DataError, Where
from theradose.models.image_examples import CT_CHANNEL, ImageExamples
from theradose.models.losses import ETA, loss_named
from theradose.models.networks import NETWORKS, initialise
from theradose.models.predictors import (
    Choice,
    FloatRange,
    History,
    OnEpoch,
    Predictor,
    Range,
    TrainingPlan,
)
from theradose.models.training import Inputs, as_tensor, fit_network, from_arrays, predict, prepare_torch, to_arrays

HELD_BACK = 5  # one patient in five watches for the end of training


def fit_scale(examples: ImageExamples) -> float:
    """Return k of dose = k C inside the body, Gy/GBq per Bq/mL per MBq: the geometric mean over patients.

    Each patient's own k is the least-squares line through zero, sum(C D) / sum(C^2), so its hot voxels weigh most; the
    mean over their logarithms lets every patient count alike, where one line through all voxels would follow the few
    patients with the hottest lesions. Augmented copies are left out. DataError when a PET or a dose is empty.
    """
    slopes = []
    for patient in dict.fromkeys(examples.patients):
        own = examples.pick(np.asarray(examples.table["patient"] == patient) & examples.originals)
        pet = own.concentration()[own.mask].astype(np.float64)
        shared = float(pet @ own.dose[own.mask].astype(np.float64))
        if not shared > 0:
            raise DataError(
                "PET and dose share no activity inside the body", where=Where(patient=patient), expected="some activity"
            )
        slopes.append(shared / float(pet @ pet))
    return float(np.exp(np.mean(np.log(slopes))))


def scaled_map(examples: ImageExamples, k: float) -> np.ndarray:
    """Return k times the PET concentration per injected activity inside the body, never negative, (n, h, w) Gy/GBq."""
    return np.asarray(np.maximum(k * examples.concentration(), 0.0) * examples.mask, dtype=np.float32)


class PetScaledMap(Predictor):
    """Dose = k x PET concentration per injected activity, with one k for all patients and organs.

    It assumes that therapy goes where the PET tracer went and that all tissue clears alike; k holds the energy per
    decay, the common residence time and the resolution of the two scanners.
    """

    name = "pet_scaled_map"
    kind = "dose_map"

    def _fit(self, examples: ImageExamples, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None) -> History:
        del seed, training, on_epoch
        self.k = fit_scale(examples)
        return []

    def _predict(self, examples: ImageExamples) -> np.ndarray:
        return scaled_map(examples, self.k)

    def _arrays(self) -> dict[str, np.ndarray]:
        return {"k": np.array([self.k])}

    def _restore(self, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        del state
        self.k = float(tensors["k"][0])


class MapNetwork(nn.Module):
    """A network of two channels that gives a map inside the body: added to the PET-scaled map, or by itself.

    Inputs: the PET-scaled map (n, h, w) over the unit of dose, the CT (n, h, w) and the body (n, h, w) as 0 and 1.
    By itself the output goes through softplus, as a dose is never negative. Outside the body it is zero.
    """

    def __init__(self, inner: nn.Module, residual: bool) -> None:
        super().__init__()
        self.inner, self.residual = inner, residual

    def forward(self, scaled: Tensor, ct: Tensor, body: Tensor) -> Tensor:
        """Return the dose over its unit, (n, h, w)."""
        output = self.inner(torch.stack([scaled, ct], dim=1))[:, 0]
        return (scaled + output if self.residual else nn.functional.softplus(output)) * body


class NetworkMap(Predictor):
    """A 2-D network over PET and CT slices; subclasses name the network.

    The PET enters as PET-scaled map (k fitted on the training patients), in units of the root mean square dose, so that
    inputs and targets are of the order of one. With `residual` (default) the network learns what to add to that map
    and starts from it: its last layer begins at zero. Without, it must find the dose by itself.
    """

    kind = "dose_map"
    network: ClassVar[str]
    space: ClassVar[dict[str, Range]] = {
        "learning_rate": FloatRange(3e-3, 2e-2, log=True),
        "residual": Choice((True, False)),
        "eta": Choice((0.0, ETA, 0.1)),
    }
    defaults: ClassVar[dict[str, Any]] = {
        "features": 8,
        "dropout": 0.0,
        "residual": True,
        "loss": "r_s",
        "eta": ETA,
        "initialisation": "default",
        "learning_rate": 1e-2,
        "weight_decay": 1e-4,
    }

    def _build(self, seed: int) -> MapNetwork:
        settings = self.parameters
        inner = NETWORKS[self.network](2, settings["features"], settings["dropout"])
        network = MapNetwork(initialise(inner, settings["initialisation"], seed), settings["residual"])
        if settings["residual"]:
            last = [layer for layer in inner.modules() if isinstance(layer, nn.Conv2d)][-1]
            nn.init.zeros_(last.weight)
            if last.bias is not None:
                nn.init.zeros_(last.bias)
        # Channels last: a third faster on a CPU, here and when a stored model predicts.
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _inputs(self, examples: ImageExamples) -> Inputs:
        scaled = scaled_map(examples, self.k) / np.float32(self.unit_gy_per_gbq)
        ct = examples.inputs[:, CT_CHANNEL] * examples.mask
        return as_tensor(scaled), as_tensor(ct), as_tensor(examples.mask)

    def _targets(self, examples: ImageExamples) -> Tensor:
        return as_tensor(examples.dose * examples.mask / np.float32(self.unit_gy_per_gbq))

    def _fit(self, examples: ImageExamples, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None) -> History:
        prepare_torch(seed)
        settings = self.parameters
        learned, watched = hold_back(examples, seed, early_stopping=training.patience < training.epochs)
        self.k = fit_scale(learned)
        self.unit_gy_per_gbq = float(np.sqrt(np.mean(learned.dose[learned.mask].astype(np.float64) ** 2)))
        self.fitted = self._build(seed)
        return fit_network(
            self.fitted,
            self._inputs(learned),
            self._targets(learned),
            loss_named(settings["loss"], settings["eta"]),
            learning_rate=settings["learning_rate"],
            weight_decay=settings["weight_decay"],
            plan=training,
            seed=seed,
            validation=None if watched is None else (self._inputs(watched), self._targets(watched)),
            decay=True,
            on_epoch=on_epoch,
        )

    def _predict(self, examples: ImageExamples) -> np.ndarray:
        torch.set_num_threads(1)
        output = predict(self.fitted, self._inputs(examples)) * np.float32(self.unit_gy_per_gbq)
        return np.maximum(output, np.float32(0.0))

    def _arrays(self) -> dict[str, np.ndarray]:
        numbers = {"k": np.array([self.k]), "unit_gy_per_gbq": np.array([self.unit_gy_per_gbq])}
        return {**numbers, **{f"network.{name}": value for name, value in to_arrays(self.fitted).items()}}

    def _restore(self, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        del state
        self.k, self.unit_gy_per_gbq = float(tensors["k"][0]), float(tensors["unit_gy_per_gbq"][0])
        weights = {name.removeprefix("network."): x for name, x in tensors.items() if name.startswith("network.")}
        self.fitted = self._build(0)
        from_arrays(self.fitted, weights)


class UNet2dMap(NetworkMap):
    """The U-Net of three levels."""

    name = "unet2d"
    network = "unet2d"


class Cnn2dMap(NetworkMap):
    """The plain CNN without levels: it sees 7 x 7 pixels."""

    name = "cnn2d"
    network = "cnn2d"


def hold_back(
    examples: ImageExamples, seed: int, *, early_stopping: bool
) -> tuple[ImageExamples, ImageExamples | None]:
    """Split training pairs by patient into those learned from and those that watch for the end of training.

    One patient in five is held back, unaugmented pairs only, with all copies out of the learning part. With fewer than
    five patients, or without early stopping, nobody is.
    """
    names = sorted(set(examples.patients))
    if not early_stopping or len(names) < HELD_BACK:
        return examples, None
    watching = np.random.default_rng([seed, 2]).permutation(names)[: len(names) // HELD_BACK]
    held = np.asarray(examples.table["patient"].isin(watching))
    return examples.pick(~held), examples.pick(held & examples.originals)


IMAGE_PREDICTORS: dict[str, type[Predictor]] = {
    predictor.name: predictor for predictor in (PetScaledMap, UNet2dMap, Cnn2dMap)
}
