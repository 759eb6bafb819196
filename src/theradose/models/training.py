"""Training of networks: seeded, one thread, early stopping; the same seed gives the same weights, bit for bit."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from theradose.errors import DataError
from theradose.models.checkpoints import Checkpoint, Training, arrays_of
from theradose.models.losses import Loss
from theradose.models.predictors import History, OnEpoch, TrainingPlan

Inputs = tuple[Tensor, ...]
PREDICTION_BATCH = 256


def prepare_torch(seed: int) -> None:
    """Fix threads, algorithms and seed of torch for this process; call it before any network is built."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(seed)


def as_tensor(values: np.ndarray) -> Tensor:
    """Return an array as a float32 tensor of its own memory."""
    return torch.from_numpy(np.array(values, dtype=np.float32, order="C"))


def _batches(n: int, size: int, shuffler: np.random.Generator) -> Iterator[Tensor]:
    """Yield the numbers of the examples of each mini-batch of one epoch, in random order, each once.

    A rest smaller than two joins the batch before it: batch norm cannot work on one row.
    """
    for part in np.split(shuffler.permutation(n), _cuts(n, size)):
        yield torch.from_numpy(part)


def _cuts(n: int, size: int) -> list[int]:
    """Return where an order of `n` examples is cut into batches."""
    return list(range(size, n - 1, size))


def _mean_loss(network: nn.Module, inputs: Inputs, targets: Tensor, loss: Loss) -> float:
    """Return the loss over all examples at once, weights at rest."""
    network.eval()
    with torch.no_grad():
        return float(loss(_outputs(network, inputs), targets))


def _outputs(network: nn.Module, inputs: Inputs) -> Tensor:
    """Return the network's outputs for all examples, computed in batches to bound memory."""
    starts = range(0, len(inputs[0]), PREDICTION_BATCH)
    parts = [network(*(x[start : start + PREDICTION_BATCH] for x in inputs)) for start in starts]
    return torch.cat(parts)


def _one_epoch(
    network: nn.Module,
    inputs: Inputs,
    targets: Tensor,
    *,
    loss: Loss,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler | None,
    batches: Iterator[Tensor],
) -> float:
    """Take one step for each batch and return the mean training loss over the examples."""
    network.train()
    total = 0.0
    for chosen in batches:
        optimiser.zero_grad(set_to_none=True)
        value = loss(network(*(x[chosen] for x in inputs)), targets[chosen])
        torch.autograd.backward(value)
        optimiser.step()
        if schedule is not None:
            schedule.step()
        total += float(value.detach()) * len(chosen)
    return total / len(targets)


def fit_network(
    network: nn.Module,
    inputs: Inputs,
    targets: Tensor,
    loss: Loss,
    *,
    learning_rate: float,
    weight_decay: float,
    plan: TrainingPlan,
    seed: int,
    validation: tuple[Inputs, Tensor] | None = None,
    decay: bool = False,
    on_epoch: OnEpoch | None = None,
) -> History:
    """Train a network in place with AdamW and return its history, one record an epoch.

    `network(*inputs)` must give the shape of `targets`; the first axis of every tensor counts examples. `plan` holds
    epochs, patience and batch size. With `validation` (inputs, targets) training ends when its loss has not fallen
    for `patience` epochs, and the best weights are put back; without, all epochs run and the last weights stay.
    With `decay` the learning rate falls to zero along a half cosine over all planned steps: a short training ends at
    rest. With `plan.checkpoints` a training that was killed goes on where it was, to the same result. A record holds
    `epoch` (from 1), `train_loss` (mean over the epoch, weights moving) and, with validation, `validation_loss`;
    `on_epoch(epoch, losses)` sees each as it appears and may end training by raising. DataError when a loss is no
    number.
    """
    torch.manual_seed(seed)
    shuffler = np.random.default_rng([seed, 1])
    optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate, weight_decay=weight_decay)
    steps = plan.epochs * (len(_cuts(len(targets), plan.batch_size)) + 1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps) if decay else None
    training = Training(network, optimiser, schedule, shuffler)
    data = (*inputs, targets, *(() if validation is None else (*validation[0], validation[1])))
    numbers = {"rate": learning_rate, "weight_decay": weight_decay, "seed": seed, "decay": decay}
    bounds = {"epochs": plan.epochs, "patience": plan.patience, "batch_size": plan.batch_size}
    checkpoint = Checkpoint.of(plan.checkpoints, network, data, numbers | bounds)
    for epoch in range(checkpoint.resume(training) + 1, plan.epochs + 1):
        if validation is not None and epoch - 1 - training.best_epoch >= plan.patience:
            break
        batches = _batches(len(targets), plan.batch_size, shuffler)
        moving = _one_epoch(
            network, inputs, targets, loss=loss, optimiser=optimiser, schedule=schedule, batches=batches
        )
        losses = {"train_loss": moving}
        if validation is not None:
            losses["validation_loss"] = _mean_loss(network, *validation, loss)
        _require_finite(epoch, losses)
        training.saw(epoch, losses)
        if on_epoch is not None:
            on_epoch(epoch, losses)
        checkpoint.offer(training)
    if validation is not None:
        from_arrays(network, training.best_weights)
    checkpoint.remove()
    network.eval()
    return training.history


def _require_finite(epoch: int, losses: dict[str, float]) -> None:
    """Raise DataError when training has run away."""
    if not np.isfinite(list(losses.values())).all():
        raise DataError(
            "training has run away: the loss is no number",
            got=f"{losses} in epoch {epoch}",
            remedy="lower the learning rate, or look for empty or infinite values in the inputs",
            code="THR-425",
        )


def predict(network: nn.Module, inputs: Inputs) -> np.ndarray:
    """Return the outputs of a trained network as an array, first axis the examples."""
    network.eval()
    with torch.no_grad():
        return np.asarray(_outputs(network, inputs).numpy())


def to_arrays(network: nn.Module) -> dict[str, np.ndarray]:
    """Return copies of all weights and buffers of a network by name, as safetensors stores them."""
    return arrays_of(network)


def from_arrays(network: nn.Module, arrays: Mapping[str, np.ndarray]) -> nn.Module:
    """Put stored weights into a network of the same build and return it; DataError when names or shapes differ."""
    try:
        network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in arrays.items()})
    except RuntimeError as error:
        raise DataError("stored weights do not fit the network", got=error, code="THR-427") from error
    return network
