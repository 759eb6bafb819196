import itertools

import numpy as np
import pytest
import torch

from theradose.errors import DataError
from theradose.models.losses import mse
from theradose.models.networks import initialise, mlp
from theradose.models.predictors import TrainingPlan
from theradose.models.training import as_tensor, fit_network, from_arrays, predict, prepare_torch, to_arrays


def problem(n=65, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    return as_tensor(x), as_tensor((x @ [1.0, -2.0, 0.5])[:, None])


def trained(seed=1, dropout=0.2, **changes):
    prepare_torch(seed)
    network = initialise(mlp(3, (16,), dropout), "default", seed)
    x, y = problem()
    options = {"learning_rate": 0.01, "weight_decay": 1e-4, "plan": TrainingPlan(20, 5, 16), "seed": seed, **changes}
    return network, fit_network(network, (x,), y, mse, **options)


def test_same_seed_same_bits_whatever_ran_before():
    first, history = trained()
    torch.rand(17)
    second, again = trained()
    assert history == again
    for name, weights in to_arrays(first).items():
        assert weights.tobytes() == to_arrays(second)[name].tobytes()
    assert trained(seed=2)[1] != history


def test_training_learns_a_line():
    network, history = trained(dropout=0.0, plan=TrainingPlan(200, 200, 16))
    x, y = problem(seed=9)
    assert history[-1]["train_loss"] < 0.02 * history[0]["train_loss"]
    assert float(np.mean((predict(network, (x,)) - y.numpy()) ** 2)) < 0.1 * float(y.var())


def test_early_stopping_puts_the_best_weights_back():
    x, y = problem(seed=9)
    validation = ((x,), -y)  # the opposite of what is learned: the loss soon rises
    network, history = trained(dropout=0.0, validation=validation, plan=TrainingPlan(50, 4, 16))
    losses = [record["validation_loss"] for record in history]
    assert len(history) == int(np.argmin(losses)) + 1 + 4
    found = float(np.mean((predict(network, (x,)) + y.numpy()) ** 2))
    assert found == pytest.approx(min(losses), rel=1e-5)


def test_a_decaying_learning_rate_ends_at_rest():
    seen = []
    plan = TrainingPlan(10, 10, 16)
    network = mlp(3, (16,), 0.0)

    def keep(epoch, losses):
        seen.append(to_arrays(network)["0.weight"])

    x, y = problem()
    fit_network(
        network, (x,), y, mse, learning_rate=0.01, weight_decay=0.0, plan=plan, seed=1, decay=True, on_epoch=keep
    )
    steps = [float(np.abs(after - before).max()) for before, after in itertools.pairwise(seen)]
    assert steps[-1] < 0.1 * steps[0]


def test_without_validation_all_epochs_run():
    assert [record["epoch"] for record in trained(plan=TrainingPlan(7, 1, 16))[1]] == list(range(1, 8))


def test_on_epoch_sees_losses_and_may_end_training():
    seen = []

    def stop(epoch, losses):
        seen.append((epoch, losses["train_loss"]))
        if epoch == 3:
            raise StopIteration

    with pytest.raises(StopIteration):
        trained(on_epoch=stop)
    assert [epoch for epoch, _ in seen] == [1, 2, 3]


@pytest.mark.parametrize("n", [1, 2, 16, 17, 18, 33])
def test_every_example_is_seen_once_an_epoch_and_no_batch_is_a_single_row(n):
    from theradose.models.training import _batches

    parts = list(_batches(n, 16, np.random.default_rng(0)))
    assert sorted(torch.cat(parts).tolist()) == list(range(n))
    assert n == 1 or min(len(part) for part in parts) > 1


def test_a_loss_that_runs_away_is_an_error():
    with pytest.raises(DataError, match="run away"):
        trained(learning_rate=1e30)


def test_weights_travel_as_arrays_and_wrong_ones_are_refused():
    network, _ = trained()
    other = from_arrays(mlp(3, (16,), 0.2), to_arrays(network))
    x, _ = problem(seed=4)
    assert predict(network, (x,)).tobytes() == predict(other, (x,)).tobytes()
    with pytest.raises(DataError, match="do not fit"):
        from_arrays(mlp(4, (16,), 0.2), to_arrays(network))
