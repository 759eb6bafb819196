import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from theradose.errors import SettingsError
from theradose.models.losses import (
    DVH_LEVELS,
    LOSSES,
    R_S_FORMS,
    dvh_distance,
    gradient_distance,
    loss_named,
    soft_volumes,
)


def test_by_hand():
    output, target = torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 0.0]])
    assert float(LOSSES["mse"](output, target)) == pytest.approx(5.0)
    assert float(LOSSES["r_s"](output, target, eta=0.5)) == pytest.approx(5.0 + 0.5 * 4.0)
    assert float(LOSSES["r_s_raw"](output, target, eta=0.5)) == pytest.approx(5.0 + 0.5 * 16.0)
    assert float(loss_named("r_s", 0.5)(output, target)) == pytest.approx(7.0)
    assert float(loss_named("r_s_raw", 0.5)(output, target)) == pytest.approx(13.0)
    assert float(loss_named("mse", 0.5)(output, target)) == pytest.approx(5.0)


@pytest.mark.parametrize("name", sorted(R_S_FORMS))
def test_default_eta_is_the_papers(name):
    rng = np.random.default_rng(3)
    output, target = (torch.from_numpy(rng.uniform(size=(2, 4, 5))) for _ in range(2))
    assert float(LOSSES[name](output, target)) == float(LOSSES[name](output, target, eta=0.01))
    assert float(LOSSES[name](output, target)) != float(LOSSES[name](output, target, eta=0.02))


@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=20), st.integers(1, 5))
def test_no_loss_grows_with_the_number_of_examples(values, times):
    output = torch.tensor(values)
    for loss in LOSSES.values():
        once = float(loss(output, torch.zeros_like(output)))
        many = output.repeat(times)
        assert float(loss(many, torch.zeros_like(many))) == pytest.approx(once, rel=1e-4, abs=1e-5)
        assert float(loss(output, output)) == 0.0


def test_only_the_printed_form_grows_with_the_image():
    growth = {}
    for name, loss in LOSSES.items():
        small, large = (float(loss(torch.full((3, s, s), 1.5), torch.ones(3, s, s))) for s in (4, 8))
        growth[name] = large / small
    assert growth.pop("r_s_raw") == pytest.approx((0.25 + 0.01 * 32.0**2) / (0.25 + 0.01 * 8.0**2))
    assert growth == pytest.approx(dict.fromkeys(growth, 1.0))


def test_the_printed_form_is_of_each_image():
    # One image 2 too high, the other 2 too low: the sums of a batch would cancel, those of images do not.
    output, target = torch.tensor([[2.0, 0.0], [-2.0, 0.0]]), torch.zeros(2, 2)
    assert float(LOSSES["r_s_raw"](output, target, eta=1.0)) == pytest.approx(2.0 + 4.0)
    assert float(LOSSES["r_s"](output, target, eta=1.0)) == pytest.approx(2.0)


def test_underestimates_of_hot_voxels_weigh_more():
    target = torch.tensor([[4.0, 1.0, 0.0]])
    loss = LOSSES["r_s_asymmetric"]

    def at(voxel, off):
        return float(loss(target + off * torch.eye(3)[voxel], target, eta=0.0))

    assert at(0, -1.0) == pytest.approx(4.0 / 3)
    assert at(1, -1.0) == pytest.approx((1.0 + 3.0 / 4) / 3)
    assert at(2, -1.0) == pytest.approx(1.0 / 3)
    assert at(0, 1.0) == at(1, 1.0) == pytest.approx(1.0 / 3)


def test_dvh_by_hand():
    dose = torch.tensor([[1.0, 2.0]])
    expected = [np.mean([1 / (1 + np.exp(-(d - b) / (b / 4))) for d in (1.0, 2.0)]) for b in DVH_LEVELS]
    assert soft_volumes(dose)[0].tolist() == pytest.approx(expected, rel=1e-6)
    assert float(dvh_distance(dose, dose.flip(1))) == pytest.approx(0.0, abs=1e-7)  # where the dose lies is not seen
    zero = soft_volumes(torch.zeros(1, 2))[0]
    apart = np.abs(np.array(expected) - zero.numpy()).mean()
    assert float(dvh_distance(dose, torch.zeros(1, 2))) == pytest.approx(apart, rel=1e-5)


def test_gradient_by_hand():
    output = torch.tensor([[[0.0, 1.0], [0.0, 3.0]]])
    zero = torch.zeros_like(output)
    # Down: 0 and 2, mean 1; across: 1 and 3, mean 2.
    assert float(gradient_distance(output, zero)) == pytest.approx(3.0)
    assert float(gradient_distance(output + 5.0, output)) == pytest.approx(0.0, abs=1e-6)
    assert float(gradient_distance(output[:, :1, :1], zero[:, :1, :1] + 1.0)) == 0.0


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_gradients_are_those_of_finite_differences(name):
    rng = np.random.default_rng(1)
    output = torch.from_numpy(rng.uniform(0.2, 3.0, (2, 3, 4))).requires_grad_()
    target = torch.from_numpy(rng.uniform(0.2, 3.0, (2, 3, 4)))
    assert torch.autograd.gradcheck(lambda x: LOSSES[name](x, target), (output,), eps=1e-6, atol=1e-6)


def test_unknown_loss_is_refused():
    with pytest.raises(SettingsError, match="loss is unknown"):
        loss_named("hinge")
