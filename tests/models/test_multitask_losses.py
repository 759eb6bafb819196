import math

import pytest
import torch

from theradose.models.multitask_losses import LOG_VARIANCE_LIMIT, masked_errors, multitask_loss

NAN = math.nan


def test_loss_by_hand():
    output = torch.tensor([[1.0, 0.0], [3.0, 0.0]])
    target = torch.tensor([[0.0, 1.0], [NAN, 0.0]])
    log_variance = torch.tensor([math.log(4.0), 0.0])
    # dose: (1/2) / 4 + log 2 of one patient; event: log 2 of two, sigma 1
    expected = 0.125 + math.log(2.0) + math.log(2.0)
    loss = multitask_loss(output, target, log_variance=log_variance, n_doses=1)
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_missing_labels_give_no_gradient():
    output = torch.tensor([[0.3, 0.2, -1.0], [0.1, -0.4, 2.0]], requires_grad=True)
    log_variance = torch.zeros(3, requires_grad=True)
    target = torch.tensor([[0.5, NAN, NAN], [NAN, NAN, 1.0]])
    multitask_loss(output, target, log_variance=log_variance, n_doses=2).backward()
    known = torch.isfinite(target)
    assert (output.grad[~known] == 0).all()
    assert (output.grad[known] != 0).all()
    assert log_variance.grad[1] == 0
    assert (log_variance.grad[[0, 2]] != 0).all()


def test_what_stands_in_place_of_a_missing_label_does_not_matter():
    target = torch.tensor([[NAN, 1.0]])
    near, far = torch.tensor([[0.0, 0.5]]), torch.tensor([[1e6, 0.5]])
    assert torch.equal(masked_errors(near, target, 1), masked_errors(far, target, 1))


def test_a_batch_without_any_label_is_no_loss():
    output = torch.ones(2, 2, requires_grad=True)
    loss = multitask_loss(output, torch.full((2, 2), NAN), log_variance=torch.ones(2), n_doses=1)
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert (output.grad == 0).all()


def test_best_sigma_is_the_spread_of_the_errors():
    """d/ds (e / exp(s) + s / 2) = 0 at exp(s) = 2 e: for a dose, where e is half the squared error, the variance."""
    errors = torch.tensor([[0.1], [0.3], [-0.2]])
    log_variance = torch.tensor([float(errors.square().mean().log())], requires_grad=True)
    multitask_loss(errors, torch.zeros(3, 1), log_variance=log_variance, n_doses=1).backward()
    assert float(log_variance.grad) == pytest.approx(0.0, abs=1e-6)


def test_a_head_without_error_has_bounded_weight():
    zero, target = torch.zeros(2, 1), torch.zeros(2, 1)
    losses = [
        float(multitask_loss(zero, target, log_variance=torch.tensor([s]), n_doses=1))
        for s in (-LOG_VARIANCE_LIMIT, -100.0)
    ]
    assert losses[0] == losses[1] == pytest.approx(-LOG_VARIANCE_LIMIT / 2)
