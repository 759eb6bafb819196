"""Predictors of dose maps: PET scaled by one number, and networks that start from it or from nothing."""

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from theradose.errors import DataError, Where
from theradose.models.calibration_head import Head, fit_head
from theradose.models.image_examples import CT_CHANNEL, ImageExamples, join
from theradose.models.losses import ETA, LOSSES, loss_named
from theradose.models.networks import INITIALISATIONS, NETWORKS, initialise
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
from theradose.models.watching import watched_by

CALIBRATION_FOLDS = 3


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
    """A network that gives a map inside the body: added to the PET-scaled map, or by itself.

    Inputs: channels (n, c, ...), of which the first is the PET-scaled map over the unit of dose, and the body (n, ...)
    as 0 and 1. By itself the output goes through softplus, as a dose is never negative. Outside the body it is zero.
    """

    def __init__(self, inner: nn.Module, residual: bool) -> None:
        super().__init__()
        self.inner, self.residual = inner, residual

    def forward(self, channels: Tensor, body: Tensor) -> Tensor:
        """Return the dose over its unit, (n, ...)."""
        output = self.inner(channels)[:, 0]
        return (channels[:, 0] + output if self.residual else nn.functional.softplus(output)) * body


class NetworkMap(Predictor):
    """A network over PET and CT slices; subclasses name the network and may give it more than two channels.

    The PET enters as PET-scaled map (k fitted on the training patients), in units of the root mean square dose, so that
    inputs and targets are of the order of one. With `residual` (default) the network learns what to add to that map
    and starts from it: its last layer begins at zero. Without, it must find the dose by itself. With `calibrated` a
    head of a few numbers follows, fitted by Nelder-Mead on maps of training patients by fits without them.
    """

    kind = "dose_map"
    iterates = True
    network: ClassVar[str]
    channels: ClassVar[int] = 2
    space: ClassVar[dict[str, Range]] = {
        "learning_rate": FloatRange(3e-3, 2e-2, log=True),
        "residual": Choice((True, False)),
        "eta": Choice((0.0, ETA, 0.1)),
    }
    defaults: ClassVar[dict[str, Any]] = {
        "features": 8, "dropout": 0.0, "residual": True, "loss": "r_s", "eta": ETA, "initialisation": "default",
        "learning_rate": 1e-2, "weight_decay": 1e-4, "calibrated": False,
    }  # fmt: skip
    words: ClassVar[Mapping[str, Collection[str]]] = {"loss": LOSSES, "initialisation": INITIALISATIONS}

    def _build(self, seed: int) -> MapNetwork:
        settings = self.parameters
        inner = NETWORKS[self.network](self.channels, settings["features"], settings["dropout"])
        network = MapNetwork(initialise(inner, settings["initialisation"], seed), settings["residual"])
        layers = [layer for layer in inner.modules() if isinstance(layer, nn.Conv2d | nn.Conv3d)]
        if settings["residual"]:
            nn.init.zeros_(layers[-1].weight)
            if layers[-1].bias is not None:
                nn.init.zeros_(layers[-1].bias)
        # Channels last: a third faster on a CPU, here and when a stored model predicts.
        flat = isinstance(layers[-1], nn.Conv2d)
        return network.to(memory_format=torch.channels_last if flat else torch.channels_last_3d)  # type: ignore[call-overload]

    def _channels(self, examples: ImageExamples) -> np.ndarray:
        """Return the PET-scaled map over the unit of dose and the CT in the body, (n, 2, h, w)."""
        scaled = scaled_map(examples, self.k) / np.float32(self.unit_gy_per_gbq)
        return np.stack([scaled, examples.inputs[:, CT_CHANNEL] * examples.mask], axis=1)

    def _targets(self, examples: ImageExamples) -> np.ndarray:
        return np.asarray(examples.dose * examples.mask / np.float32(self.unit_gy_per_gbq))

    def _lessons(self, examples: ImageExamples) -> tuple[Inputs, Tensor]:
        """Return what the network is trained on."""
        inputs = as_tensor(self._channels(examples)), as_tensor(examples.mask)
        return inputs, as_tensor(self._targets(examples))

    def _outputs(self, examples: ImageExamples) -> np.ndarray:
        """Return the network's maps over the unit of dose, (n, h, w)."""
        return predict(self.fitted, (as_tensor(self._channels(examples)), as_tensor(examples.mask)))

    def _plan(self, training: TrainingPlan) -> TrainingPlan:
        """Return the plan in terms of what the network counts as one example."""
        return training

    def _fit(self, examples: ImageExamples, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None) -> History:
        settings = self.parameters
        self.head = self._calibrate(examples, seed, training) if settings["calibrated"] else None
        prepare_torch(seed)
        learned, watched = watched_by(examples, seed, training)
        self.k = fit_scale(learned)
        self.unit_gy_per_gbq = float(np.sqrt(np.mean(learned.dose[learned.mask].astype(np.float64) ** 2)))
        self.fitted = self._build(seed)
        return fit_network(
            self.fitted,
            *self._lessons(learned),
            loss_named(settings["loss"], settings["eta"]),
            learning_rate=settings["learning_rate"],
            weight_decay=settings["weight_decay"],
            plan=self._plan(training),
            seed=seed,
            validation=None if watched is None else self._lessons(watched),
            decay=True,
            on_epoch=on_epoch,
        )

    def _calibrate(self, examples: ImageExamples, seed: int, training: TrainingPlan) -> Head:
        """Fit the head to unaugmented maps of each third of the training patients by a fit on the others."""
        names = np.random.default_rng([seed, 3]).permutation(sorted(set(examples.patients)))
        if len(names) < CALIBRATION_FOLDS:
            raise DataError("too few patients to calibrate on", got=len(names), expected=f">= {CALIBRATION_FOLDS}")
        parts, maps = [], []
        for held in np.array_split(names, CALIBRATION_FOLDS):
            inside = np.asarray(examples.table["patient"].isin(held))
            model = type(self)(**{**self.parameters, "calibrated": False})
            model.fit(examples.pick(~inside), seed=seed, training=training)
            parts.append(examples.pick(inside & examples.originals))
            maps.append(model.predict(parts[-1]))
        whole = join(parts)
        return fit_head(np.concatenate(maps), whole.dose, whole.mask, whole.patients)

    def _predict(self, examples: ImageExamples) -> np.ndarray:
        torch.set_num_threads(1)
        output = np.maximum(self._outputs(examples) * np.float32(self.unit_gy_per_gbq), np.float32(0.0))
        return output if self.head is None else self.head.apply(output)

    def _arrays(self) -> dict[str, np.ndarray]:
        numbers = {"k": np.array([self.k]), "unit_gy_per_gbq": np.array([self.unit_gy_per_gbq])}
        head = {} if self.head is None else {"head.knots": self.head.knots, "head.gains": self.head.gains}
        return {**numbers, **head, **{f"network.{name}": value for name, value in to_arrays(self.fitted).items()}}

    def _restore(self, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        del state
        self.k, self.unit_gy_per_gbq = float(tensors["k"][0]), float(tensors["unit_gy_per_gbq"][0])
        self.head = Head(tensors["head.knots"], tensors["head.gains"]) if "head.knots" in tensors else None
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


class UNet2dCalibrated(NetworkMap):
    """The U-Net trained by gradients, then a head of four numbers by Nelder-Mead (the source paper, section 8.2)."""

    name = "unet2d_calibrated"
    network = "unet2d"
    defaults: ClassVar[dict[str, Any]] = {**NetworkMap.defaults, "calibrated": True}


class PrintedMap(NetworkMap):
    """The U-Net as the source paper's section 8.2 trains it: all weights from N(0, 0.01), the dose by itself, R(S).

    Nothing is searched; subclasses say which form of R(S). The PET is scaled as for all networks here.
    """

    network = "unet2d"
    space: ClassVar[dict[str, Range]] = {}
    defaults: ClassVar[dict[str, Any]] = {**NetworkMap.defaults, "residual": False, "initialisation": "normal"}


class PrintedRaw(PrintedMap):
    """With the sum term as printed, sums over each image."""

    name = "unet2d_raw"
    defaults: ClassVar[dict[str, Any]] = {**PrintedMap.defaults, "loss": "r_s_raw"}


class PrintedNormalised(PrintedMap):
    """With the sum term divided by the number of voxels."""

    name = "unet2d_normalised"


class PrintedWithoutSum(PrintedMap):
    """Without the sum term."""

    name = "unet2d_eta0"
    defaults: ClassVar[dict[str, Any]] = {**PrintedMap.defaults, "eta": 0.0}


IMAGE_PREDICTORS: dict[str, type[Predictor]] = {
    predictor.name: predictor
    for predictor in (
        PetScaledMap,
        UNet2dMap,
        Cnn2dMap,
        UNet2dCalibrated,
        PrintedRaw,
        PrintedNormalised,
        PrintedWithoutSum,
    )
}
