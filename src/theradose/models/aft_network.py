"""A dense network for the log median of a latency, with one learned spread; losses with and without censoring.

Output and target are (n, 2): log median and log of the log spread; log time and whether it was observed (1 or 0).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from theradose.models.aft import LOG_ROOT_2PI
from theradose.models.losses import Loss
from theradose.models.networks import NETWORKS

LEAST_SQUARE = 1e-12  # the root of zero has no gradient


class AftNetwork(nn.Module):
    """(n, n_in) -> (n, 2): what an MLP says of each row, and one log spread for all."""

    def __init__(self, n_in: int, hidden: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.median = NETWORKS["mlp"](n_in, hidden, dropout)
        self.log_spread = nn.Parameter(torch.zeros(1))

    def forward(self, rows: Tensor) -> Tensor:
        """Return log median and log spread of each row."""
        median: Tensor = self.median(rows)
        return torch.cat([median, self.log_spread.expand(len(rows), 1)], dim=1)


def aft(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean negative log-likelihood of log-normal times with right censoring.

    With z = (y - mu) / s: z^2 / 2 + ln s + ln(2 pi) / 2 where the time is observed, -ln Phi(-z) where it is censored.
    """
    log_sd, observed = output[:, 1], target[:, 1]
    z = (target[:, 0] - output[:, 0]) * torch.exp(-log_sd)
    seen = 0.5 * z.square() + log_sd + LOG_ROOT_2PI
    later = -torch.special.log_ndtr(-z)
    return torch.where(observed > 0, seen, later).mean()


def rmse_uncensored(output: Tensor, target: Tensor) -> Tensor:
    """Return the RMSE of the log median over observed times, 0 when none is: the source paper's loss, section 8."""
    squares = (output[:, 0] - target[:, 0]).square() * target[:, 1]
    return torch.sqrt(squares.sum() / target[:, 1].sum().clamp(min=1.0) + LEAST_SQUARE)


AFT_LOSSES: dict[str, Loss] = {"aft": aft, "rmse_uncensored": rmse_uncensored}
