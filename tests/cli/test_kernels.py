"""The `theradose kernel` and `theradose sphere` commands."""

import json
import sys

import pytest
from typer.testing import CliRunner

from theradose.cli.main import app, run
from theradose.physics.kernels import sphere_s_gy_per_mbq_h
from theradose.physics.units import mgy_per_mbq_s_from_gy_per_mbq_h
from theradose.vocabulary import RESEARCH_USE_ONLY

KERNEL = "kernel --nuclide Lu-177 --spacing-mm 4.8 4.8 4.8 --density 1.04"
SPHERE = "sphere --nuclide Lu-177 --mass-g 10 --density 1.04"


def call(words: str):
    return CliRunner().invoke(app, words.split())


def answer(words: str) -> dict:
    done = call(f"{words} --json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_voxel_s_values_by_offset() -> None:
    found = answer(KERNEL)
    assert found["unit"] == "mGy/(MBq.s)"
    assert found["notice"] == RESEARCH_USE_ONLY
    assert len(found["values"]) == 4**3
    # The design's golden numbers and the tolerances of tests/physics/test_voxel_s.py.
    for place, printed, tolerance in (("0,0,0", 1.926e-1, 0.01), ("0,0,1", 2.457e-3, 0.02), ("1,1,1", 2.29e-5, 0.05)):
        assert found["values"][place] == pytest.approx(printed, rel=tolerance)
    assert len(answer(f"{KERNEL} --offsets 1")["values"]) == 2**3


def test_density_is_soft_tissue_unless_said() -> None:
    assert answer(KERNEL.removesuffix(" --density 1.04")) == answer(KERNEL)
    # Electrons stay in the voxel: over twice the mass their dose is half, and a little more stays.
    dense, usual = (answer(f"kernel --nuclide Lu-177 --spacing-mm 4.8 4.8 4.8 --density {d}") for d in (2.08, 1.04))
    assert 0.5 < dense["values"]["0,0,0"] / usual["values"]["0,0,0"] < 0.53


def test_offsets_go_along_the_axes_as_the_edges_were_given() -> None:
    """A neighbour across the short edge is nearer, so it gets more; other order, other keys."""
    one, other = (
        answer(f"kernel --nuclide Y-90 --offsets 1 --spacing-mm {edges}")["values"] for edges in ("8 4 2", "2 4 8")
    )
    assert one["0,0,1"] > one["0,1,0"] > one["1,0,0"]
    for key, value in one.items():
        assert other[",".join(reversed(key.split(",")))] == pytest.approx(value, rel=1e-3)


def test_sphere() -> None:
    found = answer(SPHERE)
    exact = mgy_per_mbq_s_from_gy_per_mbq_h(sphere_s_gy_per_mbq_h("Lu-177", 10.0, 1.04))
    assert found["s_mgy_per_mbq_s"] == pytest.approx(exact, rel=1e-12)
    assert found["s_mgy_per_mbq_s"] == pytest.approx(2.37e-3, rel=0.005)  # the design's golden number
    kept_j = (found["electron_mev"] + found["photon_mev"]) * 1.602176634e-13
    assert found["s_mgy_per_mbq_s"] == pytest.approx(kept_j * 1e6 * 1e3 / 0.010, rel=1e-6)


def test_several_masses_make_lists() -> None:
    found = answer("sphere --nuclide Lu-177 --mass-g 1 10 100")
    assert found["mass_g"] == [1.0, 10.0, 100.0]
    assert found["s_mgy_per_mbq_s"][1] == answer(SPHERE)["s_mgy_per_mbq_s"]
    assert sorted(found["electron_mev"]) == found["electron_mev"]


def test_pages_for_people() -> None:
    page = call(KERNEL).stdout
    assert page.startswith(RESEARCH_USE_ONLY)
    assert "Voxel S of Lu-177, 4.8 x 4.8 x 4.8 mm, 1.04 g/mL, in mGy/(MBq.s)" in page
    assert "1,1,1" in page
    page = call(SPHERE).stdout
    assert page.startswith(RESEARCH_USE_ONLY)
    assert "S mGy/(MBq.s)" in page


REFUSED = [
    (KERNEL.replace("Lu-177", "Lu177"), "unknown_nuclide", "did you mean Lu-177?"),
    (KERNEL.replace("4.8 4.8 4.8", "4.8 4.8"), "not_three_edges", "three edges"),
    (KERNEL.replace("4.8 4.8 4.8", "4.8 4.8 0"), "spacing_not_positive", "spacing_mm"),
    (KERNEL.replace("4.8 4.8 4.8", "nan 4.8 4.8"), "spacing_not_positive", "spacing_mm"),
    (KERNEL.replace("1.04", "0"), "density_not_positive", "density"),
    (SPHERE.replace("Lu-177", "Lu177"), "unknown_nuclide", "did you mean Lu-177?"),
    (SPHERE.replace("--mass-g 10", "--mass-g 0"), "mass_not_positive", "mass_g"),
    (SPHERE.replace("--mass-g 10", "--mass-g 10 -1"), "mass_not_positive", "mass_g"),
    (SPHERE.replace("--mass-g 10", "--mass-g inf"), "mass_not_positive", "mass_g"),
    (SPHERE.replace("1.04", "0"), "density_not_positive", "density"),
]


@pytest.mark.parametrize(("words", "code", "sentence"), REFUSED)
def test_refusals(words: str, code: str, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    done = call(f"{words} --json")
    found = json.loads(done.stdout)
    assert done.exit_code == 2
    assert set(found) == {"refused", "reason"}
    assert found["refused"] == code
    assert sentence in found["reason"]
    # Without --json the same in one line, and nothing on stdout.
    monkeypatch.setattr(sys, "argv", ["theradose", *words.split()])
    with pytest.raises(SystemExit) as ended:
        run()
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.out == ""
    assert said.err.startswith("theradose: ")
    assert sentence in said.err
    assert "Traceback" not in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("words", [KERNEL.replace("4.8 4.8 4.8", "a b c"), f"{KERNEL} --offsets 99", "sphere --json"])
def test_bad_options_are_said_not_thrown(words: str) -> None:
    done = call(words)
    assert done.exit_code == 2
    assert isinstance(done.exception, SystemExit)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("sphere --nuclide Lu-177 --mass-g 10 --density 1040", "density_out_of_range"),
        ("kernel --nuclide Lu-177 --spacing-mm 4.8 4.8 4.8 --density 1040", "density_out_of_range"),
        ("kernel --nuclide Y-90 --spacing-mm 0.5 0.5 0.5", "voxel_out_of_range"),
        ("kernel --nuclide Lu-177 --spacing-mm 20000 4 4", "voxel_out_of_range"),
    ],
)
def test_other_units_are_noticed(words: str, code: str) -> None:
    done = call(f"{words} --json")
    assert done.exit_code == 2
    assert json.loads(done.stdout)["refused"] == code
