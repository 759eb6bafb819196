"""Training of our networks beside a bare loop of torch on the same batches: `make benchmark-training`.

The bare loop holds what no training can do without: zero the gradients, forward, loss, backward, step. Ours adds order
by seed, finite losses, history, progress and checkpoints. Both take the same examples in the same order on one thread,
in turns; printed are the least seconds per epoch of all turns, as what disturbs a machine only adds, their ratio,
examples per second, and whether the weights are equal. Bar: at most 10 % slower. `--quick` takes fewer epochs.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from theradose.models.losses import r_s
from theradose.models.networks import NETWORKS, initialise
from theradose.models.predictors import TrainingPlan
from theradose.models.training import as_tensor, fit_network, prepare_torch, to_arrays

BAR, SEED, RATE, DECAY = 1.10, 1, 1e-2, 1e-4
# name: how the network is built, shape of the inputs and of the targets, batch size
CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], tuple[int, ...], int]] = {
    "mlp": (lambda: NETWORKS["mlp"](130, (64, 32), 0.2), (165, 130), (165, 1), 32),
    "unet2d": (lambda: NETWORKS["unet2d"](2, 8, 0.0), (245, 2, 48, 64), (245, 1, 48, 64), 16),
    "cnn2d": (lambda: NETWORKS["cnn2d"](2, 8, 0.0), (245, 2, 48, 64), (245, 1, 48, 64), 16),
}


def bare(network: nn.Module, x: Tensor, y: Tensor, size: int, epochs: int) -> None:
    """Train without anything around it."""
    torch.manual_seed(SEED)
    shuffler = np.random.default_rng([SEED, 1])
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    for _ in range(epochs):
        network.train()
        order = shuffler.permutation(len(y))
        for chosen in np.split(order, list(range(size, len(y) - 1, size))):
            rows = torch.from_numpy(chosen)
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(r_s(network(x[rows]), y[rows]))
            optimiser.step()


def ours(network: nn.Module, x: Tensor, y: Tensor, size: int, epochs: int) -> None:
    """Train as every experiment does, checkpoints included."""
    with tempfile.TemporaryDirectory() as folder:
        plan = TrainingPlan(epochs, epochs, size, checkpoints=Path(folder))
        fit_network(network, (x,), y, r_s, learning_rate=RATE, weight_decay=DECAY, plan=plan, seed=SEED)


def measured(name: str, epochs: int, turns: int) -> tuple[float, float, bool]:
    """Return the least seconds per epoch of the bare loop and of ours, and whether all weights are equal."""
    build, x_shape, y_shape, size = CASES[name]
    rng = np.random.default_rng(0)
    x, y = as_tensor(rng.normal(size=x_shape)), as_tensor(rng.normal(size=y_shape))
    seconds: dict[Callable[..., None], list[float]] = {bare: [], ours: []}
    weights = []
    for _ in range(turns):
        for train, found in seconds.items():
            prepare_torch(SEED)
            network = initialise(build(), "default", SEED)
            started = time.process_time()
            train(network, x, y, size, epochs)
            found.append((time.process_time() - started) / epochs)
            weights.append(b"".join(values.tobytes() for values in to_arrays(network).values()))
    first, second = (min(found) for found in seconds.values())
    return first, second, len(set(weights)) == 1


def main() -> int:
    """Print a line a network; 1 when a bar is missed or weights differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    missed = False
    for name, (_, x_shape, _, _) in CASES.items():
        slow = name != "mlp"
        plain_s, own_s, equal = measured(
            name, (2 if slow else 20) if quick else (6 if slow else 200), 3 if quick else 7
        )
        ratio = own_s / plain_s
        missed |= ratio > BAR or not equal
        print(
            f"{name:<8} bare {plain_s * 1e3:8.1f} ms an epoch, ours {own_s * 1e3:8.1f} ms"
            f" ({x_shape[0] / own_s:.0f} examples/s): {ratio:.3f} times (bar {BAR:.2f}),"
            f" weights {'equal' if equal else 'DIFFER'}: {'kept' if ratio <= BAR and equal else 'MISSED'}",
            flush=True,
        )
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
