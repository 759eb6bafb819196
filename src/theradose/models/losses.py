"""What networks minimise; every loss takes (output, target) tensors of one shape and returns a scalar tensor.

The first axis counts images; maps are in units of the root mean square dose of the training patients.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from theradose.errors import SettingsError

Loss = Callable[[Tensor, Tensor], Tensor]

ETA = 0.01  # weight of the sum term in the source paper, section 8.2
# The project's own choices: an underestimate of an image's hottest voxel counts 1 + 3 times; the DVH is read at these
# levels, from a tenth of the RMS dose to hot lesions, each smeared by a quarter of itself; weights of the added terms.
HOT_UNDERESTIMATE = 3.0
DVH_LEVELS = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
DVH_SMEAR = 0.25
DVH_WEIGHT, GRADIENT_WEIGHT = 0.1, 0.1


def mse(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error over all elements."""
    return (output - target).square().mean()


def r_s(output: Tensor, target: Tensor, eta: float = ETA) -> Tensor:
    """Return the source paper's R(S) with its sum term normalised: MSE + eta ((sum O - sum Y) / n)^2.

    `n` is the number of elements of the batch, so the second term is the squared error of the mean and does not grow
    with image or batch size. As printed (not divided by n, see `r_s_raw`) it outweighs the MSE by up to n eta.
    """
    return mse(output, target) + eta * (output - target).mean().square()


def r_s_raw(output: Tensor, target: Tensor, eta: float = ETA) -> Tensor:
    """Return R(S) as printed: MSE + eta (sum O - sum Y)^2, sums over each image, mean over images.

    The second term grows with the square of the number of voxels; at some thousand voxels little else is learned.
    """
    sums = (output - target).flatten(1).sum(dim=1) if output.ndim > 1 else output - target
    return mse(output, target) + eta * sums.square().mean()


def r_s_asymmetric(output: Tensor, target: Tensor, eta: float = ETA) -> Tensor:
    """Return the normalised R(S) whose MSE weighs an underestimate by 1 + 3 Y / (highest Y of the image).

    Overestimates, and voxels without dose, keep the weight 1: what the MSE alone smooths away is the hottest voxels.
    """
    axes = tuple(range(1, target.ndim))
    highest = target.amax(dim=axes, keepdim=True) if axes else target
    hot = target.clamp_min(0.0) / highest.clamp_min(torch.finfo(target.dtype).tiny)
    weights = 1.0 + HOT_UNDERESTIMATE * hot * (output < target)
    return (weights * (output - target).square()).mean() + eta * (output - target).mean().square()


def huber(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean Huber loss: half the squared error up to one unit of the target, beyond it the error less a half.

    A few voxels of very hot lesions then weigh by their error, not by its square.
    """
    return nn.functional.huber_loss(output, target)


def soft_volumes(dose: Tensor) -> Tensor:
    """Return the soft cumulative DVH of each image, (n, levels): the mean of sigmoid((d - b) / tau), tau = b / 4."""
    levels = torch.tensor(DVH_LEVELS, dtype=dose.dtype)
    over = (dose.reshape(len(dose), -1, 1) - levels) / (DVH_SMEAR * levels)
    return torch.sigmoid(over).mean(dim=1)


def dvh_distance(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute difference of volumes between soft DVHs; it does not see where the dose lies."""
    return (soft_volumes(output) - soft_volumes(target)).abs().mean()


def gradient_distance(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute difference of steps between neighbours, summed over the axes of an image.

    It does not see a constant added to a map; zero for images of one voxel.
    """
    apart = output - target
    steps = [apart.diff(dim=axis).abs() for axis in range(1, apart.ndim) if apart.shape[axis] > 1]
    return torch.stack([step.mean() for step in steps]).sum() if steps else 0.0 * apart.sum()


def r_s_dvh(output: Tensor, target: Tensor, eta: float = ETA) -> Tensor:
    """Return the normalised R(S) plus 0.1 of the distance between DVHs."""
    return r_s(output, target, eta) + DVH_WEIGHT * dvh_distance(output, target)


def r_s_gradient(output: Tensor, target: Tensor, eta: float = ETA) -> Tensor:
    """Return the normalised R(S) plus 0.1 of the distance between gradients."""
    return r_s(output, target, eta) + GRADIENT_WEIGHT * gradient_distance(output, target)


# R(S) in its forms, all with the weight `eta`; the two distances stand only beside it: alone they fix no map.
R_S_FORMS: dict[str, Callable[..., Tensor]] = {
    "r_s": r_s,
    "r_s_raw": r_s_raw,
    "r_s_asymmetric": r_s_asymmetric,
    "r_s_dvh": r_s_dvh,
    "r_s_gradient": r_s_gradient,
}
LOSSES: dict[str, Callable[..., Tensor]] = {"mse": mse, "huber": huber, **R_S_FORMS}


def loss_named(name: str, eta: float | None = None) -> Loss:
    """Return a loss by name, with the weight `eta` of its sum term where it has one; SettingsError when unknown."""
    if name not in LOSSES:
        raise SettingsError("loss is unknown", got=name, expected=sorted(LOSSES))
    return LOSSES[name] if eta is None or name not in R_S_FORMS else partial(LOSSES[name], eta=eta)
