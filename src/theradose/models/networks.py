"""Networks, small enough to read: each is built by one function of the registry `NETWORKS`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from theradose.errors import SettingsError

PAPER_INIT_SD = 0.1  # the source paper's N(0, 0.01), section 8.2, read as a variance


def mlp(n_in: int, hidden: Sequence[int], dropout: float = 0.0, n_out: int = 1) -> nn.Module:
    """Return a dense network (n, n_in) -> (n, n_out): ReLU and dropout after each hidden layer, linear output."""
    layers: list[nn.Module] = []
    for wide, narrow in pairwise((n_in, *hidden)):
        layers += [nn.Linear(wide, narrow), nn.ReLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear((n_in, *hidden)[-1], n_out))


@dataclass(frozen=True)
class Layers:
    """The layers of a network over images of two or three dimensions."""

    convolution: type[nn.Conv2d] | type[nn.Conv3d]
    norm: type[nn.BatchNorm2d] | type[nn.BatchNorm3d]
    dropout: type[nn.Dropout2d] | type[nn.Dropout3d]
    upwards: type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]
    halve: type[nn.MaxPool2d] | type[nn.MaxPool3d]


FLAT = Layers(nn.Conv2d, nn.BatchNorm2d, nn.Dropout2d, nn.ConvTranspose2d, nn.MaxPool2d)
SOLID = Layers(nn.Conv3d, nn.BatchNorm3d, nn.Dropout3d, nn.ConvTranspose3d, nn.MaxPool3d)


def _convolution(n_in: int, n_out: int, dropout: float, layers: Layers = FLAT) -> list[nn.Module]:
    """Return a convolution of side 3, batch norm, ReLU and dropout of channels; the norm makes a bias needless."""
    return [
        layers.convolution(n_in, n_out, 3, padding=1, bias=False),
        layers.norm(n_out),
        nn.ReLU(),
        layers.dropout(dropout),
    ]


def _block(n_in: int, n_out: int, dropout: float, layers: Layers) -> nn.Sequential:
    """Return two convolutions in a row."""
    return nn.Sequential(*_convolution(n_in, n_out, dropout, layers), *_convolution(n_out, n_out, 0.0, layers))


class UNet(nn.Module):
    """A U-Net of three levels: (n, in_channels, [d,] h, w) -> (n, 1, [d,] h, w); each side must be divisible by 4.

    About 29 700 weights for two channels and 8 features in two dimensions, 22 000 for 4 features in three. The output
    is linear; what it means is for the caller.
    """

    def __init__(self, in_channels: int, features: int, dropout: float, layers: Layers) -> None:
        super().__init__()
        f = features
        self.fine = _block(in_channels, f, 0.0, layers)
        self.middle = _block(f, 2 * f, dropout, layers)
        self.coarse = _block(2 * f, 4 * f, dropout, layers)
        self.to_middle = layers.upwards(4 * f, 2 * f, 2, stride=2)
        self.middle_up = _block(4 * f, 2 * f, dropout, layers)
        self.to_fine = layers.upwards(2 * f, f, 2, stride=2)
        self.fine_up = _block(2 * f, f, 0.0, layers)
        self.last = layers.convolution(f, 1, 1)
        self.halve = layers.halve(2)

    def forward(self, images: Tensor) -> Tensor:
        """Return one map for each image."""
        fine = self.fine(images)
        middle = self.middle(self.halve(fine))
        coarse = self.coarse(self.halve(middle))
        middle = self.middle_up(torch.cat([self.to_middle(coarse), middle], dim=1))
        fine = self.fine_up(torch.cat([self.to_fine(middle), fine], dim=1))
        return self.last(fine)


def unet2d(in_channels: int = 2, features: int = 8, dropout: float = 0.0) -> nn.Module:
    """Return a 2-D U-Net, (n, in_channels, h, w) -> (n, 1, h, w)."""
    return UNet(in_channels, features, dropout, FLAT)


def unet3d(in_channels: int = 2, features: int = 4, dropout: float = 0.0) -> nn.Module:
    """Return a 3-D U-Net, (n, in_channels, d, h, w) -> (n, 1, d, h, w)."""
    return UNet(in_channels, features, dropout, SOLID)


def cnn2d(in_channels: int = 2, features: int = 8, dropout: float = 0.0) -> nn.Module:
    """Return three 3 x 3 convolutions with batch norm, ReLU and dropout, then one 1 x 1: it sees 7 x 7 pixels."""
    layers = _convolution(in_channels, features, 0.0)
    layers += _convolution(features, 2 * features, dropout) + _convolution(2 * features, features, dropout)
    return nn.Sequential(*layers, nn.Conv2d(features, 1, 1))


NETWORKS: dict[str, Callable[..., nn.Module]] = {"mlp": mlp, "unet2d": unet2d, "cnn2d": cnn2d, "unet3d": unet3d}
WEIGHTED = nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Conv3d | nn.ConvTranspose3d


def _normal(network: nn.Module) -> None:
    """Draw all weights of linear maps and convolutions from N(0, 0.1^2), biases zero, as the source paper."""
    for layer in network.modules():
        if isinstance(layer, WEIGHTED):
            nn.init.normal_(layer.weight, 0.0, PAPER_INIT_SD)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _default(network: nn.Module) -> None:
    """Draw weights and biases as each layer of torch does by itself (uniform, by fan-in)."""
    for layer in network.modules():
        if isinstance(layer, WEIGHTED):
            layer.reset_parameters()


INITIALISATIONS: dict[str, Callable[[nn.Module], None]] = {"default": _default, "normal": _normal}


def initialise(network: nn.Module, how: str, seed: int) -> nn.Module:
    """Draw the weights of a network anew from `seed` and return it; SettingsError when `how` is unknown."""
    if how not in INITIALISATIONS:
        raise SettingsError("initialisation is unknown", got=how, expected=sorted(INITIALISATIONS))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        INITIALISATIONS[how](network)
    return network
