import math

import pytest
import torch

from theradose.models.multitask_network import PATCHES_AT_ONCE, Build, MultiTaskNetwork, log_t_eff, with_dose_map


def build(**changes):
    torch.manual_seed(1)
    said = {"n_organs": 2, "n_outcomes": 3, "n_columns": 4, "n_person": 2, "images": True, "width": 8, "dropout": 0.0}
    return MultiTaskNetwork(Build(**{**said, "half_life_h": 160.0, **changes}))


def inputs(n=5):
    torch.manual_seed(2)
    return (
        torch.randn(n, 5),
        torch.ones(n, 2),
        torch.rand(n, 2, 3, 8, 8, 8),
        torch.randn(n, 2, 4),
        torch.randn(n, 3, 2),
    )


def moved(network, sd=0.3):
    """Return the network with every weight away from zero."""
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in network.parameters():
            weight += sd * torch.randn_like(weight)
    return network.eval()


def test_the_dose_map_has_the_mean_that_the_head_starts_from_and_follows_the_pet():
    patches = inputs()[2]
    patches[:, :, 2] = (patches[:, :, 2] > 0.5).float()
    log_dose = torch.log(torch.tensor([[0.5, 2.0]])).expand(5, 2)
    dose = torch.expm1(with_dose_map(patches, log_dose)[:, :, 3])
    mask, suv = patches[:, :, 2], torch.expm1(patches[:, :, 0])
    mean = (dose * mask).sum(dim=(2, 3, 4)) / mask.sum(dim=(2, 3, 4))
    assert torch.allclose(mean, torch.exp(log_dose), rtol=1e-5)
    assert torch.allclose((dose / suv)[0, 0], (dose / suv)[0, 0, 0, 0, 0], rtol=1e-3)
    assert torch.isfinite(with_dose_map(torch.zeros_like(patches), log_dose)).all()


def test_the_dose_map_is_a_branch_of_its_own():
    given = inputs()
    plain, seeing = (moved(build(dose_map=sees)) for sees in (False, True))
    assert [next(n.encoder.parameters()).shape[1] for n in (plain, seeing)] == [3, 4]
    base = given[0].clone()
    base[:, :2] += 1.0  # a hotter start shifts the dose by one, and what the map branch says of it too
    with torch.no_grad():
        shifts = [(network(base, *given[1:]) - network(*given))[:, :2] for network in (plain, seeing)]
    assert torch.allclose(shifts[0], torch.ones_like(shifts[0]), atol=1e-5)
    assert not torch.allclose(shifts[1], shifts[0], atol=1e-3)


@pytest.mark.parametrize("t_bio_h", [(), (40.0, 30.0)])
def test_an_untrained_network_gives_what_its_heads_start_from(t_bio_h):
    given = inputs()
    assert torch.allclose(build(t_bio_h=t_bio_h).eval()(*given), given[0], atol=1e-6)


def test_effective_half_life():
    assert float(log_t_eff(torch.tensor(math.log(40.0)), 160.0).exp()) == pytest.approx(32.0)
    assert float(log_t_eff(torch.tensor(50.0), 160.0).exp()) == pytest.approx(160.0)


def test_physics_layer_never_holds_longer_than_decay():
    network = build(t_bio_h=(40.0, 40.0))
    with torch.no_grad():
        network.dose_bias[:, 1] = 50.0  # no washout at all
    given = inputs()
    gain = network.eval()(*given)[:, :2] - given[0][:, :2]
    assert torch.allclose(gain, torch.full_like(gain, math.log(160.0 / 32.0)), atol=1e-4)


@pytest.mark.parametrize(("branch", "place"), [("images", 2), ("n_columns", 3), ("n_person", 4)])
def test_a_branch_that_is_left_out_is_not_looked_at(branch, place):
    given, other = inputs(), list(inputs())
    other[place] = other[place] + 1.0
    network = moved(build())
    assert not torch.equal(network(*given), network(*other))
    without = moved(build(**{branch: 0}))
    assert torch.equal(without(*given), without(*other))


def test_an_organ_that_is_absent_tells_nothing_about_outcomes():
    base, present, patches, columns, person = inputs()
    present[:, 1] = 0.0
    network = moved(build())
    other = patches.clone()
    other[:, 1] += 1.0
    first, second = (network(base, present, x, columns, person) for x in (patches, other))
    assert torch.equal(first[:, 2:], second[:, 2:])
    assert torch.equal(first[:, 0], second[:, 0])
    assert not torch.equal(first[:, 1], second[:, 1])


def test_many_patients_are_encoded_in_pieces_alike():
    n = PATCHES_AT_ONCE // 2 + 3
    network, given = moved(build()), inputs(n)
    whole = network(*given)
    alone = torch.cat([network(*(x[i : i + 1] for x in given)) for i in range(n)])
    assert torch.allclose(whole, alone, atol=1e-5)


def test_every_weight_learns():
    network = moved(build(t_bio_h=(40.0, 30.0))).train()
    network(*inputs()).square().sum().backward()
    dead = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert dead == ["log_variance"]  # it weighs the loss, not the output
