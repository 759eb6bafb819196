import pytest
import torch

from theradose.errors import SettingsError
from theradose.models.networks import INITIALISATIONS, NETWORKS, initialise

ARGUMENTS = {"mlp": (5, (8, 4), 0.1), "unet2d": (2, 8, 0.1), "cnn2d": (2, 8, 0.1), "unet3d": (2, 4, 0.1)}


def n_weights(network):
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


def test_every_network_has_arguments_here():
    assert set(ARGUMENTS) == set(NETWORKS)


def test_unet_has_the_published_size():
    # A U-Net (8, 16, 32) on two channels: about 30 000 weights.
    assert 27_000 < n_weights(NETWORKS["unet2d"](2, 8, 0.0)) < 32_000


@pytest.mark.parametrize("name", ["unet2d", "cnn2d"])
def test_maps_keep_their_shape(name):
    network = NETWORKS[name](2, 4, 0.0).eval()
    assert network(torch.rand(3, 2, 24, 32)).shape == (3, 1, 24, 32)


def test_volumes_keep_their_shape_and_the_network_is_small():
    network = NETWORKS["unet3d"](2, 4, 0.0).eval()
    assert network(torch.rand(2, 2, 8, 16, 24)).shape == (2, 1, 8, 16, 24)
    assert 20_000 < n_weights(network) < 24_000


def test_a_volume_network_sees_the_slices_beside_it():
    network = NETWORKS["unet3d"](1, 4, 0.0).eval()
    plain = torch.zeros(1, 1, 8, 8, 8)
    marked = plain.clone()
    marked[0, 0, 3] = 1.0
    assert not torch.allclose(network(plain)[0, 0, 4], network(marked)[0, 0, 4])


def test_mlp_shapes():
    assert NETWORKS["mlp"](5, (8, 4), 0.0)(torch.rand(7, 5)).shape == (7, 1)
    assert NETWORKS["mlp"](5, (), 0.0, n_out=3)(torch.rand(7, 5)).shape == (7, 3)


@pytest.mark.parametrize("name", sorted(NETWORKS))
@pytest.mark.parametrize("how", sorted(INITIALISATIONS))
def test_same_seed_same_weights(name, how):
    first, again, other = (initialise(NETWORKS[name](*ARGUMENTS[name]), how, seed) for seed in (3, 3, 4))
    pairs = list(zip(first.parameters(), again.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert any(not torch.equal(a, c) for a, _, c in pairs)


def test_paper_initialisation_has_its_width_and_leaves_the_global_seed_alone():
    network = NETWORKS["mlp"](200, (200,), 0.0)
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    initialise(network, "normal", 5)
    assert torch.equal(torch.rand(1), expected)
    weights = network[0].weight.detach()
    assert abs(float(weights.std()) - 0.1) < 0.002
    assert float(network[0].bias.detach().abs().max()) == 0.0


def test_unknown_initialisation_is_refused():
    with pytest.raises(SettingsError, match="initialisation is unknown"):
        initialise(NETWORKS["mlp"](2, (2,), 0.0), "zeros", 1)
