"""Predictors of dose maps that see more than one slice: neighbours as channels (2.5-D), or the whole stack (3-D)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from theradose.models.image_examples import ImageExamples, stacks_of
from theradose.models.image_predictors import IMAGE_PREDICTORS, NetworkMap
from theradose.models.predictors import Predictor, TrainingPlan
from theradose.models.training import Inputs, as_tensor, predict

BLOCK = 16  # slices the 3-D network learns from at once (the project's choice): 128 mm at 8 mm
LEVELS = 4  # a U-Net of three levels halves each side twice


class UNet25dMap(NetworkMap):
    """The 2-D U-Net with the slices above and below as further channels; beyond the stack its last slice goes on."""

    name = "unet25d"
    network = "unet2d"
    channels: ClassVar[int] = 6

    def _channels(self, examples: ImageExamples) -> np.ndarray:
        """Return PET-scaled map and CT of each slice, then those of its two neighbours, (n, 6, h, w)."""
        own = super()._channels(examples)
        above, below = np.empty(len(own), int), np.empty(len(own), int)
        for stack in stacks_of(examples):
            above[stack] = np.append(stack[1:], stack[-1])
            below[stack] = np.append(stack[:1], stack[:-1])
        return np.concatenate([own, own[above], own[below]], axis=1)


def _filled(values: np.ndarray) -> np.ndarray:
    """Return a stack (slices, ...) with empty slices behind it, for a U-Net: a block at least, a multiple of four."""
    length = max(BLOCK, -(-len(values) // LEVELS) * LEVELS)
    return np.concatenate([values, np.zeros((length - len(values), *values.shape[1:]), values.dtype)])


def _blocks(length: int) -> Iterator[slice]:
    """Yield blocks of 16 slices, evenly spaced, that hold every slice of a stack."""
    for start in np.rint(np.linspace(0, length - BLOCK, -(-length // BLOCK))).astype(int):
        yield slice(start, start + BLOCK)


class UNet3dMap(NetworkMap):
    """A 3-D U-Net of four features: it learns from blocks of 16 slices and predicts each patient's stack as a whole.

    A batch holds as many slices as one of the 2-D networks.
    """

    name = "unet3d"
    network = "unet3d"
    defaults: ClassVar[dict[str, Any]] = {**NetworkMap.defaults, "features": 4}

    def _plan(self, training: TrainingPlan) -> TrainingPlan:
        return replace(training, batch_size=max(1, training.batch_size // BLOCK))

    def _lessons(self, examples: ImageExamples) -> tuple[Inputs, Tensor]:
        values = self._channels(examples), examples.mask, self._targets(examples)
        whole = [[_filled(x[stack]) for x in values] for stack in stacks_of(examples)]
        cuts = [[x[block] for x in parts] for parts in whole for block in _blocks(len(parts[0]))]
        channels, mask, targets = (np.stack(parts) for parts in zip(*cuts, strict=True))
        return (as_tensor(channels.swapaxes(1, 2)), as_tensor(mask)), as_tensor(targets)

    def _outputs(self, examples: ImageExamples) -> np.ndarray:
        channels, found = self._channels(examples), np.zeros_like(examples.dose)
        for stack in stacks_of(examples):
            inputs = _filled(channels[stack]).swapaxes(0, 1)[None], _filled(examples.mask[stack])[None]
            found[stack] = predict(self.fitted, tuple(as_tensor(x) for x in inputs))[0, : len(stack)]
        return found


MAP_PREDICTORS: dict[str, type[Predictor]] = {
    **IMAGE_PREDICTORS,
    **{predictor.name: predictor for predictor in (UNet25dMap, UNet3dMap)},
}
