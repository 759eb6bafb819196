"""A training that is killed at any epoch ends, when it is begun again, with the weights of one that was not."""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from theradose.models import checkpoints
from theradose.models.losses import mse
from theradose.models.networks import cnn2d, initialise, mlp
from theradose.models.predictors import TrainingPlan
from theradose.models.training import as_tensor, fit_network, prepare_torch, to_arrays

EPOCHS, SLEEP = 12, 30


class KilledError(Exception):
    """Stands for the end of a process."""


@pytest.fixture(autouse=True)
def every_epoch(monkeypatch):
    monkeypatch.setattr(checkpoints, "EVERY_S", 0.0)


def network_of(kind):
    """Return a network with dropout and one with batch norm whose weights lie channels last."""
    if kind == "mlp":
        return initialise(mlp(3, (16,), 0.2), "default", 1), (40, 3), (40, 1)
    return initialise(cnn2d(2, 4, 0.2), "normal", 1).to(memory_format=torch.channels_last), (10, 2, 8, 8), (10, 1, 8, 8)


def fit(kind, folder, *, watched=False, decay=False, on_epoch=None, epochs=EPOCHS):
    """Train one network and return its weights and history."""
    prepare_torch(1)
    network, x_shape, y_shape = network_of(kind)
    rng = np.random.default_rng(0)
    x, y = as_tensor(rng.normal(size=x_shape)), as_tensor(rng.normal(size=y_shape))
    validation = ((x[:5] + 0.1,), y[:5]) if watched else None
    history = fit_network(
        network, (x,), y, mse, learning_rate=0.02, weight_decay=1e-3,
        plan=TrainingPlan(epochs, 4, 8, checkpoints=folder), seed=7, validation=validation, decay=decay,
        on_epoch=on_epoch,
    )  # fmt: skip
    return to_arrays(network), history


def dying_after(last):
    def on_epoch(epoch, losses):
        del losses
        if epoch == last:
            raise KilledError

    return on_epoch


def same(first, second):
    return first[1] == second[1] and all(first[0][n].tobytes() == second[0][n].tobytes() for n in first[0])


@pytest.mark.parametrize("kind", ["mlp", "cnn2d"])
@pytest.mark.parametrize(("watched", "decay"), [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("last", [2, 7])
def test_a_killed_training_ends_with_the_same_weights(tmp_path, kind, watched, decay, last):
    whole = fit(kind, None, watched=watched, decay=decay)
    if len(whole[1]) > last:
        with pytest.raises(KilledError):
            fit(kind, tmp_path, watched=watched, decay=decay, on_epoch=dying_after(last))
        assert len(list(tmp_path.iterdir())) == 1
    seen = []
    again = fit(kind, tmp_path, watched=watched, decay=decay, on_epoch=lambda epoch, losses: seen.append(epoch))
    assert same(whole, again)
    # The epoch in which it died was lost, those before it were not.
    assert seen == list(range(last, len(whole[1]) + 1)) or len(whole[1]) <= last
    assert list(tmp_path.iterdir()) == []


def test_another_training_does_not_take_it_up(tmp_path):
    with pytest.raises(KilledError):
        fit("mlp", tmp_path, on_epoch=dying_after(5))
    assert same(fit("mlp", tmp_path, epochs=EPOCHS + 1), fit("mlp", None, epochs=EPOCHS + 1))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("damage", [lambda b: b[:-40], lambda b: b"", lambda b: b"x" * len(b), lambda b: b[:300]])
def test_a_damaged_file_costs_time_and_changes_nothing(tmp_path, damage):
    with pytest.raises(KilledError):
        fit("mlp", tmp_path, on_epoch=dying_after(5))
    file = next(tmp_path.iterdir())
    file.write_bytes(damage(file.read_bytes()))
    assert same(fit("mlp", tmp_path), fit("mlp", None))


def test_nothing_is_written_before_its_time(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "EVERY_S", 1000.0)
    with pytest.raises(KilledError):
        fit("mlp", tmp_path, on_epoch=dying_after(8))
    assert list(tmp_path.iterdir()) == []


def test_the_fingerprint_sees_weights_data_and_numbers():
    network, data = nn.Linear(2, 1), (torch.zeros(3, 2), torch.zeros(3, 1))
    found = {checkpoints.fingerprint(network, data, {"seed": seed}) for seed in (1, 2)}
    found.add(checkpoints.fingerprint(network, (data[0] + 1, data[1]), {"seed": 1}))
    found.add(checkpoints.fingerprint(nn.Linear(2, 1), data, {"seed": 1}))
    assert len(found) == 4


PROGRAM = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import test_checkpoints as t
t.checkpoints.EVERY_S = 0.0
def slow(epoch, losses):
    print(epoch, flush=True)
    if epoch == 6:
        time.sleep({sleep})
t.fit("cnn2d", Path({folder!r}), decay=True, on_epoch=slow)
"""


def test_kill_9_in_another_process(tmp_path):
    code = PROGRAM.format(tests=str(Path(__file__).parent), sleep=SLEEP, folder=str(tmp_path))
    run = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    for line in run.stdout:
        if line.strip() == "6":
            run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    assert same(fit("cnn2d", tmp_path, decay=True), fit("cnn2d", None, decay=True))
