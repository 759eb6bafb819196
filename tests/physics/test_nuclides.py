"""The nuclide table against printed numbers, an independent package, and the script that makes it."""

import importlib
import importlib.util
from pathlib import Path

import pytest

from theradose.errors import SettingsError
from theradose.physics.nuclides import TABLE, nuclide, nuclide_table
from theradose.physics.units import gy_g_per_mbq_h

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "make_nuclide_table.py"
ASKED = "Lu-177 Y-90 I-131 Tb-161 Cu-67 Cu-64 Sm-153 Ho-166 Re-188 Ga-68 F-18 Zr-89 Tc-99m In-111 Ac-225 Pb-212 At-211"


# ICRP Publication 107: electrons and photons in keV per decay, half-life in h, local dose factor in g.Gy/(GBq.h).
@pytest.mark.parametrize(
    ("name", "half_life_h", "electron_kev", "photon_kev", "factor"),
    [
        ("Lu-177", 6.647 * 24, 147.92, 35.10, 85.32),
        ("Y-90", 64.1, 933.11, None, 538.20),
        ("I-131", 8.0207 * 24, 191.85, 382.76, 110.66),
    ],
)
def test_published_numbers(
    name: str, half_life_h: float, electron_kev: float, photon_kev: float | None, factor: float
) -> None:
    known = nuclide(name)
    assert known.half_life_h == pytest.approx(half_life_h, rel=1e-9)
    assert known.electron_kev == pytest.approx(electron_kev, abs=0.0051)
    # Printed factors were made from printed energies: half a unit in the last place of each.
    assert 1000 * gy_g_per_mbq_h(known.local_kev) == pytest.approx(factor, abs=0.005 + 0.005 * 0.5768)
    if photon_kev is not None:
        assert known.photon_kev == pytest.approx(photon_kev, abs=0.0051)


def test_all_radionuclides_are_there() -> None:
    assert list(nuclide_table())[: len(ASKED.split())] == ASKED.split()
    # Every daughter that anything decays to has a row of its own.
    assert {child for known in nuclide_table().values() for child, _ in known.daughters} <= set(nuclide_table())


def test_conversion_electrons_are_counted() -> None:
    # The beta particles of Lu-177 alone carry 133.3 keV; a table without conversion electrons is 10 % short.
    assert nuclide("Lu-177").electron_kev / 133.27 == pytest.approx(1.11, abs=0.005)


def test_minutes_are_not_months() -> None:
    assert nuclide("Ga-68").half_life_h == pytest.approx(67.71 / 60)
    assert nuclide("Bi-213").half_life_h == pytest.approx(45.59 / 60)


@pytest.mark.parametrize("name", list(nuclide_table()))
def test_half_lives_agree_with_an_independent_package(name: str) -> None:
    radioactivedecay = importlib.import_module("radioactivedecay")
    assert nuclide(name).half_life_h == pytest.approx(radioactivedecay.Nuclide(name).half_life("h"), rel=1e-6)


def test_alpha_emitters_name_their_progeny() -> None:
    assert nuclide("Ac-225").progeny[0] == "Fr-221"
    assert "Po-212" in nuclide("Pb-212").progeny
    assert nuclide("Lu-177").progeny == ()


def test_unknown_radionuclide_lists_the_known_and_guesses() -> None:
    with pytest.raises(SettingsError, match=r"Lu177.*one of Lu-177, Y-90.*did you mean Lu-177\?"):
        nuclide("Lu177")
    for spelling in ("177Lu", "lu-177", "LU 177"):
        with pytest.raises(SettingsError, match=r"did you mean Lu-177\?"):
            nuclide(spelling)
    with pytest.raises(SettingsError, match=r"one of Lu-177, Y-90(?!.*did you mean)"):
        nuclide("I-124")


def test_table_is_what_the_script_makes() -> None:
    importlib.import_module("icrp107_database")
    spec = importlib.util.spec_from_file_location("make_nuclide_table", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.table() == TABLE.read_text(encoding="utf-8")
