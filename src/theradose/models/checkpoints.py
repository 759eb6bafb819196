"""Checkpoints of trainings: one that was killed goes on where it was and ends with the same weights, bit for bit."""

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors
from torch import Tensor, nn

from theradose.provenance import write_atomically

EVERY_S = 15.0
"""Own choice: what a kill costs at most, beside the time of one epoch."""
NETWORK, BEST, OPTIMISER, RANDOM = "network.", "best.", "optimiser.", "random"


def fingerprint(network: nn.Module, data: Sequence[Tensor], numbers: Mapping[str, Any]) -> str:
    """Return a digest of what decides a training: first weights, examples, and what `numbers` says (JSON-like)."""
    found = hashlib.sha256(json.dumps(numbers, sort_keys=True).encode())
    for tensor in (*network.state_dict().values(), *data):
        found.update(str((tuple(tensor.shape), tensor.dtype)).encode())
        found.update(np.ascontiguousarray(tensor.detach().numpy()).tobytes())
    return found.hexdigest()


class Training:
    """All that changes while a network is trained, as bytes and back.

    `history` has a record an epoch, `best` is the lowest validation loss, from epoch `best_epoch` with `best_weights`.
    """

    def __init__(
        self,
        network: nn.Module,
        optimiser: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler | None,
        shuffler: np.random.Generator,
    ) -> None:
        self.network, self.optimiser, self.schedule, self.shuffler = network, optimiser, schedule, shuffler
        self.history: list[dict[str, Any]] = []
        self.best, self.best_epoch, self.best_weights = np.inf, 0, arrays_of(network)

    def saw(self, epoch: int, losses: Mapping[str, float]) -> None:
        """Note the losses of an epoch, and the weights when its validation loss is the lowest so far."""
        self.history.append({"epoch": epoch, **losses})
        if losses.get("validation_loss", np.inf) < self.best:
            self.best, self.best_epoch, self.best_weights = losses["validation_loss"], epoch, arrays_of(self.network)

    def to_bytes(self) -> bytes:
        """Return weights, optimiser, random states and history as safetensors."""
        slots = self.optimiser.state_dict()["state"]
        arrays = {NETWORK + name: values for name, values in arrays_of(self.network).items()}
        arrays |= {BEST + name: values for name, values in self.best_weights.items()}
        arrays |= {f"{OPTIMISER}{i}.{n}": v.numpy().copy() for i, slot in slots.items() for n, v in slot.items()}
        arrays[RANDOM] = torch.get_rng_state().numpy()
        notes = {
            "rates": [{n: g[n] for n in ("lr", "initial_lr") if n in g} for g in self.optimiser.param_groups],
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "shuffler": self.shuffler.bit_generator.state, "history": self.history,
            "best": self.best if np.isfinite(self.best) else None, "best_epoch": self.best_epoch,
        }  # fmt: skip
        return bytes(save_tensors(arrays, metadata={"notes": json.dumps(notes)}))

    def restore(self, content: bytes) -> None:
        """Take up what `to_bytes` wrote; ValueError, KeyError or SafetensorError when it is damaged."""
        length = int.from_bytes(content[:8], "little")
        notes = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["notes"])
        arrays = {name: torch.from_numpy(np.array(values)) for name, values in load_tensors(content).items()}
        state = self.optimiser.state_dict()
        for name in (n.removeprefix(OPTIMISER) for n in arrays if n.startswith(OPTIMISER)):
            number, slot = name.split(".", 1)
            state["state"].setdefault(int(number), {})[slot] = arrays[OPTIMISER + name]
        for group, rates in zip(state["param_groups"], notes["rates"], strict=True):
            group.update(rates)
        self.network.load_state_dict(_under(arrays, NETWORK))
        self.optimiser.load_state_dict(state)
        if self.schedule is not None:
            self.schedule.load_state_dict(notes["schedule"])
        torch.set_rng_state(arrays[RANDOM])
        self.shuffler.bit_generator.state = notes["shuffler"]
        self.history, self.best_epoch = notes["history"], notes["best_epoch"]
        self.best = np.inf if notes["best"] is None else notes["best"]
        self.best_weights = {name: values.numpy() for name, values in _under(arrays, BEST).items()}


class Checkpoint:
    """The file of one training, written at most every `EVERY_S` seconds; without a folder nothing is written."""

    def __init__(self, file: Path | None) -> None:
        self.file, self.written_s = file, time.monotonic()

    @classmethod
    def of(cls, folder: Path | None, network: nn.Module, data: Sequence[Tensor], numbers: Mapping[str, Any]) -> Self:
        """Return the checkpoint of a training below `folder`, named by its `fingerprint`."""
        return cls(None if folder is None else folder / f"{fingerprint(network, data, numbers)}.safetensors")

    def resume(self, training: Training) -> int:
        """Bring a training to where it was and return how many epochs it has behind it, 0 without a usable file."""
        if self.file is None or not self.file.is_file():
            return 0
        before = training.to_bytes()
        try:
            training.restore(self.file.read_bytes())
        except (SafetensorError, ValueError, KeyError, RuntimeError):
            # A damaged file costs time, never a result.
            training.restore(before)
            return 0
        return len(training.history)

    def offer(self, training: Training) -> None:
        """Write the training when the last time is long enough ago."""
        if self.file is not None and time.monotonic() - self.written_s >= EVERY_S:
            write_atomically(self.file, training.to_bytes())
            self.written_s = time.monotonic()

    def remove(self) -> None:
        """Remove the file: the training has come to its end."""
        if self.file is not None:
            self.file.unlink(missing_ok=True)


def arrays_of(network: nn.Module) -> dict[str, np.ndarray]:
    """Return copies of all weights and buffers of a network by name."""
    return {name: value.detach().cpu().numpy().copy() for name, value in network.state_dict().items()}


def _under(arrays: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
