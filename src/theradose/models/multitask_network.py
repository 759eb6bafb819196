"""The network of dose and outcome: one small encoder for the patches of all organs, a shared trunk, a head a target."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from theradose.models.patch_examples import CHANNELS

FEATURES = (8, 16, 32)  # channels of the three convolutions
IDENTITY = 4  # numbers that tell the trunk which organ it looks at
PATCHES_AT_ONCE = 64  # encoded together when predicting, to bound memory
LEAST_SUV = 1e-3  # g/mL; below, an organ has no uptake to share a dose out by


@dataclass(frozen=True)
class Build:
    """What a network is built from.

    `n_columns` covariates of each organ and `n_person` of the patient for each outcome (0: the branch is left out),
    `images` whether patches are looked at, `dose_map` whether a dose map of each is a channel beside them. `t_bio_h`
    (organs,), the biological half-lives that a physics layer starts from, and the physical half-life of the therapy;
    without them the dose head adds to the log dose itself.
    """

    n_organs: int
    n_outcomes: int
    n_columns: int
    n_person: int
    images: bool
    width: int
    dropout: float
    half_life_h: float
    t_bio_h: Sequence[float] = ()
    dose_map: bool = False


def with_dose_map(patches: Tensor, log_dose: Tensor) -> Tensor:
    """Return patches (n, organs, 3, s, s, s) with log(1 + D) as a fourth channel, D in Gy/GBq by scaling the PET.

    The mean of D over the organ's mask is exp(log_dose), (n, organs): what the dose head starts from.
    """
    suv, mask = torch.expm1(patches[:, :, 0]), patches[:, :, 2]
    mean = (suv * mask).sum(dim=(2, 3, 4)) / mask.sum(dim=(2, 3, 4)).clamp(min=1.0)
    gy_per_gbq = suv * (torch.exp(log_dose) / mean.clamp(min=LEAST_SUV))[:, :, None, None, None]
    return torch.cat([patches, torch.log1p(gy_per_gbq)[:, :, None]], dim=2)


def encoder(dropout: float, channels: int) -> nn.Module:
    """Return three 3-D convolutions of stride two with batch norm, ReLU, dropout: (n, channels, s, s, s) -> (n, 32)."""
    layers: list[nn.Module] = []
    for n_in, n_out in zip((channels, *FEATURES[:-1]), FEATURES, strict=True):
        convolution = nn.Conv3d(n_in, n_out, 3, stride=2, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm3d(n_out), nn.ReLU(), nn.Dropout3d(dropout)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool3d(1), nn.Flatten())


def log_t_eff(log_t_bio: Tensor, half_life_h: float) -> Tensor:
    """Return log T_eff of 1 / T_eff = 1 / T_bio + 1 / T_phys, T in h: never longer than the physical half-life."""
    return -torch.log(torch.exp(-log_t_bio) + 1.0 / half_life_h)


class MultiTaskNetwork(nn.Module):
    """Patches and covariates of every organ -> trunk -> log doses and log odds, (n, organs + outcomes).

    Inputs: `base` (n, organs + outcomes), what the heads add to; `present` (n, organs) 0 or 1; `patches`
    (n, organs, 3, s, s, s); `columns` (n, organs, n_columns); `person` (n, outcomes, n_person). A branch that is left
    out ignores its input. All heads begin at zero, so that an untrained network gives `base`.

    The trunk has the same weights for every organ. An outcome looks at a mean over the patient's organs, with weights
    of its own that begin equal. With a physics layer the dose head gives two numbers, the change of log uptake u and of
    log T_bio: log D = base + u + log T_eff(T_bio) - log T_eff(T_bio at the start).
    """

    def __init__(self, build: Build) -> None:
        super().__init__()
        self.build, width = build, build.width
        self.identity = nn.Parameter(torch.randn(build.n_organs, IDENTITY) / 2.0)
        inside = IDENTITY
        if build.images:
            self.encoder = encoder(build.dropout, CHANNELS + build.dose_map)
            inside += FEATURES[-1]
        if build.n_columns:
            spread = 1.0 / math.sqrt(build.n_columns)
            self.columns = nn.Parameter(torch.randn(build.n_organs, build.n_columns, width) * spread)
            inside += width
        self.trunk = nn.Sequential(nn.Linear(inside, width), nn.ReLU(), nn.Dropout(build.dropout))
        physics = len(build.t_bio_h) > 0
        self.dose_weight = nn.Parameter(torch.zeros(build.n_organs, width, 2 if physics else 1))
        self.dose_bias = nn.Parameter(torch.zeros(build.n_organs, 2 if physics else 1))
        self.register_buffer("log_t_bio", torch.log(torch.tensor(list(build.t_bio_h))), persistent=False)
        self.attention = nn.Parameter(torch.zeros(build.n_outcomes, build.n_organs))
        self.outcome_weight = nn.Parameter(torch.zeros(build.n_outcomes, width + build.n_person))
        self.outcome_bias = nn.Parameter(torch.zeros(build.n_outcomes))
        self.log_variance = nn.Parameter(torch.zeros(build.n_organs + build.n_outcomes))

    def _encoded(self, patches: Tensor) -> Tensor:
        """Return what the encoder says of each patch, (n, organs, 32); in training all at once, for batch norm."""
        flat = patches.flatten(0, 1)
        pieces = (flat,) if self.training else flat.split(PATCHES_AT_ONCE)
        return torch.cat([self.encoder(piece) for piece in pieces]).unflatten(0, patches.shape[:2])

    def _hidden(self, patches: Tensor, columns: Tensor) -> Tensor:
        """Return the trunk's view of each organ, (n, organs, width)."""
        parts = [self.identity.expand(len(columns), -1, -1)]
        if self.build.images:
            parts.append(self._encoded(patches))
        if self.build.n_columns:
            parts.append(torch.einsum("nok,okw->now", columns, self.columns))
        return torch.as_tensor(self.trunk(torch.cat(parts, dim=2)))

    def _log_dose(self, base: Tensor, hidden: Tensor) -> Tensor:
        """Return the log dose of each organ, (n, organs)."""
        out = torch.einsum("now,owc->noc", hidden, self.dose_weight) + self.dose_bias
        if not self.build.t_bio_h:
            return base + out[:, :, 0]
        start = torch.as_tensor(self.log_t_bio)
        longer = log_t_eff(start + out[:, :, 1], self.build.half_life_h) - log_t_eff(start, self.build.half_life_h)
        return base + out[:, :, 0] + longer

    def _log_odds(self, base: Tensor, hidden: Tensor, present: Tensor, person: Tensor) -> Tensor:
        """Return the log odds of each outcome, (n, outcomes)."""
        weight = torch.softmax(self.attention, dim=1)[None] * present[:, None]
        weight = weight / weight.sum(dim=2, keepdim=True).clamp(min=1e-6)
        seen = torch.einsum("nto,now->ntw", weight, hidden)
        inside = torch.cat([seen, person], dim=2) if self.build.n_person else seen
        return base + (inside * self.outcome_weight).sum(dim=2) + self.outcome_bias

    def forward(self, base: Tensor, present: Tensor, patches: Tensor, columns: Tensor, person: Tensor) -> Tensor:
        """Return log doses, then log odds, (n, organs + outcomes)."""
        n = self.build.n_organs
        patches = with_dose_map(patches, base[:, :n]) if self.build.dose_map else patches
        hidden = self._hidden(patches, columns)
        doses = self._log_dose(base[:, :n], hidden)
        return torch.cat([doses, self._log_odds(base[:, n:], hidden, present, person)], dim=1)
