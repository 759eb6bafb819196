"""What models of dose and outcome minimise: every head on its own labels, weighed by what it can be sure of."""

import torch
from torch import Tensor, nn

# Bounds of log sigma^2: a head that fits its few labels without error must not outweigh all others.
LOG_VARIANCE_LIMIT = 6.0


def masked_errors(output: Tensor, target: Tensor, n_doses: int) -> Tensor:
    """Return the error of every head for every patient, (n, heads), zero and without gradient where a label is NaN.

    The first `n_doses` heads are log doses, half the squared error; the others log odds of events, cross entropy.
    """
    known = ~torch.isnan(target)
    wanted = torch.where(known, target, torch.zeros_like(target))
    doses = (output[:, :n_doses] - wanted[:, :n_doses]).square() / 2.0
    events = nn.functional.binary_cross_entropy_with_logits(output[:, n_doses:], wanted[:, n_doses:], reduction="none")
    return torch.where(known, torch.cat([doses, events], dim=1), torch.zeros_like(target))


def multitask_loss(output: Tensor, target: Tensor, *, log_variance: Tensor, n_doses: int) -> Tensor:
    """Return the sum over heads of mean error / sigma^2 + log sigma, with sigma^2 learned (Kendall, CVPR 2018, eq. 10).

    `output` and `target` (n, heads), missing labels NaN; `log_variance` (heads,) is log sigma^2. A head without a label
    in the batch counts nothing, its log sigma neither.
    """
    counts = (~torch.isnan(target)).sum(dim=0)
    mean = masked_errors(output, target, n_doses).sum(dim=0) / counts.clamp(min=1)
    bounded = log_variance.clamp(-LOG_VARIANCE_LIMIT, LOG_VARIANCE_LIMIT)
    weighed = mean * torch.exp(-bounded) + bounded / 2.0
    return torch.where(counts > 0, weighed, torch.zeros_like(weighed)).sum()
