"""The `theradose nuclide` command."""

import json

import pytest
from typer.testing import CliRunner

from theradose.cli.main import app
from theradose.physics.chains import chain_energy
from theradose.vocabulary import RESEARCH_USE_ONLY


def call(words: str):
    return CliRunner().invoke(app, words.split())


def test_alone():
    report = json.loads(call("nuclide Lu-177 --json").stdout)
    assert report["half_life_h"] == 159.528
    assert report["electron_kev"] == pytest.approx(147.92, abs=0.005)
    assert report["photon_kev"] == pytest.approx(35.10, abs=0.005)
    assert report["alpha_kev"] == 0.0
    assert report["dose_gy"] == report["dose_rbe_gy"] == pytest.approx(0.08532, abs=5e-6)
    assert report["notice"] == RESEARCH_USE_ONLY


@pytest.mark.parametrize("name", ["Ac-225", "Pb-212", "At-211"])
def test_chain(name):
    alone, chain = (json.loads(call(f"nuclide {name}{more} --json").stdout) for more in ("", " --chain"))
    for kind in ("electron_kev", "photon_kev", "alpha_kev"):
        by_hand = alone[kind] + sum(d["yield"] * d[kind] for d in chain["daughters"])
        assert chain[kind] == pytest.approx(by_hand)
        assert chain[kind] == getattr(chain_energy(name), kind) > alone[kind]
    assert chain["half_life_h"] == alone["half_life_h"]
    assert alone["daughters"] == []
    assert alone["progeny"] == [d["name"] for d in chain["daughters"]]
    assert chain["dose_rbe_gy"] > 4.5 * chain["dose_gy"]


def test_page_for_people():
    page = call("nuclide At-211 --chain").stdout
    assert page.startswith(RESEARCH_USE_ONLY)
    assert "Po-211" in page
    assert "0.582" in page
    assert "not counted, outlives At-211: Bi-207" in page
    assert "after a recoil they may not" in page


def test_the_trap_of_the_sum_is_named_only_where_there_is_a_sum():
    page = call("nuclide Ac-225").stdout
    assert "The sum" not in page
    assert "Progeny are not counted (Fr-221, " in page
    assert "use --chain" in page
    chain = call("nuclide Ac-225 --chain").stdout
    assert "The sum holds" in chain
    assert "Progeny are not counted" not in chain
    assert "Progeny" not in call("nuclide Lu-177").stdout


def test_unknown_is_refused():
    done = call("nuclide Lu177 --json")
    report = json.loads(done.stdout)
    assert done.exit_code == 2
    assert report["refused"] == "unknown_nuclide"
    assert "did you mean Lu-177?" in report["reason"]


def test_another_mass_number_is_no_slip():
    reason = json.loads(call("nuclide I-124 --json").stdout)["reason"]
    assert "did you mean" not in reason
    assert "one of Lu-177, Y-90" in reason
