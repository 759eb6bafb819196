"""What networks minimise; every loss takes (output, target) tensors of one shape and returns a scalar tensor."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from theradose.errors import SettingsError

Loss = Callable[[Tensor, Tensor], Tensor]

ETA = 0.01  # weight of the sum term in the source paper, section 8.2


def mse(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error over all elements."""
    return (output - target).square().mean()


def r_s(output: Tensor, target: Tensor, eta: float = ETA) -> Tensor:
    """Return the source paper's R(S) with its sum term normalised: MSE + eta ((sum O - sum Y) / n)^2.

    `n` is the number of elements of the batch, so the second term is the squared error of the mean and does not grow
    with image or batch size. As printed (not divided by n) it outweighs the MSE by n eta and destroys training.
    """
    return mse(output, target) + eta * (output - target).mean().square()


def huber(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean Huber loss: half the squared error up to one unit of the target, beyond it the error less a half.

    A few voxels of very hot lesions then weigh by their error, not by its square.
    """
    return nn.functional.huber_loss(output, target)


LOSSES: dict[str, Callable[..., Tensor]] = {"mse": mse, "r_s": r_s, "huber": huber}


def loss_named(name: str, eta: float | None = None) -> Loss:
    """Return a loss by name, with the weight `eta` of its sum term where it has one; SettingsError when unknown."""
    if name not in LOSSES:
        raise SettingsError("loss is unknown", got=name, expected=sorted(LOSSES))
    return LOSSES[name] if eta is None or name != "r_s" else partial(LOSSES[name], eta=eta)
