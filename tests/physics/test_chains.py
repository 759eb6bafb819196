"""Decay chains against an independent sum over the packages' own files and against the decay equations themselves."""

import importlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import expm

from theradose.physics.chains import (
    RBE_ALPHA,
    chain_energy,
    dose_columns_gy,
    equilibrium_ratios,
    long_lived,
    progeny_yields,
    rbe_weighted_kev,
)
from theradose.physics.nuclides import nuclide, nuclide_table

HEADS = ("Lu-177", "Y-90", "I-131", "Tb-161", "Cu-67", "Cu-64", "Sm-153", "Ho-166", "Re-188", "Ga-68", "F-18", "Zr-89",
         "Tc-99m", "In-111", "Ac-225", "Pb-212", "At-211")  # fmt: skip
KINDS = {
    "electron_kev": ("beta-", "beta+", "IE", "auger"),
    "photon_kev": ("gamma", "X", "annihilation"),
    "alpha_kev": ("alpha",),
}


def icrp_kev(name: str) -> dict[str, float]:
    """Read one nuclide's energies per decay from the data package, keV, with nothing of the project's own code."""
    folder = Path(importlib.util.find_spec("icrp107_database").origin).parent / "icrp107"
    emissions = json.loads(json.loads((folder / f"{name}.json").read_text()))["emissions"]
    return {k: 1e3 * float(np.sum([e * y for x in kinds for e, y in emissions[x]])) for k, kinds in KINDS.items()}


def slow_chain_kev(name: str, longest_h: float, rd) -> dict[str, float]:
    """Sum a chain by recursion: a nuclide's own energy plus that of each daughter times its branching fraction."""
    node, total = rd.Nuclide(name), icrp_kev(name)
    for child, branch in zip(node.progeny(), node.branching_fractions(), strict=True):
        if rd.Nuclide(child).half_life("h") < longest_h:
            for kind, kev in slow_chain_kev(child, longest_h, rd).items():
                total[kind] += branch * kev
    return total


@pytest.mark.parametrize("name", HEADS)
def test_chain_is_within_a_thousandth_of_an_independent_sum(name):
    importlib.import_module("icrp107_database")
    rd = importlib.import_module("radioactivedecay")
    expected = slow_chain_kev(name, rd.Nuclide(name).half_life("h"), rd)
    found = chain_energy(name)
    for kind, kev in expected.items():
        assert getattr(found, kind) == pytest.approx(kev, rel=1e-3, abs=1e-6), kind


@pytest.mark.parametrize("name", list(nuclide_table()))
def test_every_row_is_what_icrp_has(name):
    importlib.import_module("icrp107_database")
    for kind, kev in icrp_kev(name).items():
        assert getattr(nuclide(name), kind) == pytest.approx(kev, rel=1e-3, abs=1e-6), kind


# Alpha energies of the chains, MeV per decay of the parent, as the literature on these emitters rounds them:
# four alphas of Ac-225 (5.8, 6.3, 7.1, 8.4), one of Pb-212 (36 % 6.1, 64 % 8.8), one of At-211 (42 % 5.9, 58 % 7.5).
@pytest.mark.parametrize(("name", "mev"), [("Ac-225", 27.5), ("Pb-212", 7.8), ("At-211", 6.8)])
def test_alpha_energy_of_the_chains(name, mev):
    assert chain_energy(name).alpha_kev / 1e3 == pytest.approx(mev, abs=0.05)


@pytest.mark.parametrize("name", list(nuclide_table()))
def test_yields_name_the_progeny_of_the_table(name):
    assert tuple(progeny_yields(name)) == nuclide(name).progeny


def bateman(name: str) -> tuple[list[str], np.ndarray]:
    """Return the members of a chain and the matrix of dN/dt = M N, per hour: the decay equations, written out."""
    members = [name, *progeny_yields(name)]
    matrix = np.zeros((len(members), len(members)))
    for column, member in enumerate(members):
        matrix[column, column] = -nuclide(member).lambda_per_h
        for child, branch in nuclide(member).daughters:
            if child in members:
                matrix[members.index(child), column] = branch * nuclide(member).lambda_per_h
    return members, matrix


@pytest.mark.parametrize("name", ["Ac-225", "Pb-212", "At-211"])
def test_yields_are_the_decays_of_all_time(name):
    members, matrix = bateman(name)
    start = np.eye(len(members))[0]
    decays = -np.diag(matrix) * np.linalg.solve(-matrix, start)  # lambda times the integral of N
    assert decays[0] == pytest.approx(1.0)
    assert dict(zip(members[1:], decays[1:], strict=True)) == pytest.approx(progeny_yields(name), rel=1e-9)


def test_equilibrium_is_what_the_decay_equations_tend_to():
    # Long after separation; Po-212 (0.3 us) is left out, since its matrix is too stiff for an exponential.
    lambdas = {n: nuclide(n).lambda_per_h for n in ("Pb-212", "Bi-212", "Tl-208")}
    a, b, c = lambdas.values()
    matrix = np.array([[-a, 0, 0], [a, -b, 0], [0, 0.3594 * b, -c]])
    late = np.array([a, b, c]) * (expm(matrix * 30.0) @ [1.0, 0.0, 0.0])
    ratios = equilibrium_ratios("Pb-212")
    assert late[1] / late[0] == pytest.approx(ratios["Bi-212"], rel=1e-6)
    assert late[2] / late[0] == pytest.approx(ratios["Tl-208"], rel=1e-6)
    assert ratios["Bi-212"] == pytest.approx(10.64 / (10.64 - 60.55 / 60.0), rel=1e-9)


def test_both_ways_to_lead_are_added():
    # Pb-209 comes from Po-213 and from Tl-209; 0.99988 of the decays of At-217 lead to Bi-213.
    assert progeny_yields("Ac-225")["Pb-209"] == pytest.approx(0.99988, rel=1e-9)


def test_a_daughter_that_outlives_its_parent_is_named_and_left_out():
    assert long_lived("At-211") == ("Bi-207",)
    assert long_lived("I-131") == ("Xe-131m",)
    assert long_lived("Tc-99m") == ("Tc-99",)
    assert long_lived("Lu-177") == ()
    assert chain_energy("I-131").electron_kev == nuclide("I-131").electron_kev


@pytest.mark.parametrize("name", ["Ac-225", "Pb-212", "At-211"])
def test_the_sum_has_nothing_left_to_add(name):
    whole = chain_energy(name)
    assert (whole.progeny, whole.daughters) == ((), ())
    assert (whole.name, whole.half_life_h) == (name, nuclide(name).half_life_h)
    assert whole.local_kev > 2.0 * nuclide(name).local_kev


def test_physical_and_weighted_dose_are_two_numbers():
    beta, alpha = chain_energy("Lu-177"), chain_energy("Ac-225")
    assert dose_columns_gy(10.0, 2.0, beta)[0] == dose_columns_gy(10.0, 2.0, beta)[1]
    physical, weighted = dose_columns_gy(10.0, 2.0, alpha)
    extra = (RBE_ALPHA - 1.0) * (alpha.alpha_kev + alpha.recoil_kev) / alpha.local_kev
    assert weighted / physical == pytest.approx(1.0 + extra)
    assert rbe_weighted_kev(alpha, 1.0) == pytest.approx(alpha.local_kev)
    # Without its progeny Ac-225 would show a fifth of its dose.
    assert nuclide("Ac-225").local_kev / alpha.local_kev == pytest.approx(0.206, abs=0.001)
