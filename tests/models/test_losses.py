import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from theradose.errors import SettingsError
from theradose.models.losses import LOSSES, loss_named


def test_by_hand():
    output, target = torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 0.0]])
    assert float(LOSSES["mse"](output, target)) == pytest.approx(5.0)
    assert float(LOSSES["r_s"](output, target, eta=0.5)) == pytest.approx(5.0 + 0.5 * 4.0)
    assert float(loss_named("r_s", 0.5)(output, target)) == pytest.approx(7.0)
    assert float(loss_named("mse", 0.5)(output, target)) == pytest.approx(5.0)


def test_default_eta_is_the_papers():
    output, target = torch.ones(4), torch.zeros(4)
    assert float(LOSSES["r_s"](output, target)) == pytest.approx(1.01)


@given(st.lists(st.floats(-10, 10, width=32), min_size=1, max_size=20), st.integers(1, 5))
def test_no_loss_grows_with_the_number_of_examples(values, times):
    output = torch.tensor(values)
    for loss in LOSSES.values():
        once = float(loss(output, torch.zeros_like(output)))
        many = output.repeat(times)
        assert float(loss(many, torch.zeros_like(many))) == pytest.approx(once, rel=1e-4, abs=1e-5)
        assert float(loss(output, output)) == 0.0


def test_unknown_loss_is_refused():
    with pytest.raises(SettingsError, match="loss is unknown"):
        loss_named("hinge")
