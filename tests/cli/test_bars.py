"""The `theradose bars` command."""

import json

import pytest
from typer.testing import CliRunner

from theradose.cli.main import app
from theradose.cohort.virtual import bars as module
from theradose.cohort.virtual.bars import ANY, BY_ITSELF, TUNED, Bar
from theradose.vocabulary import RESEARCH_USE_ONLY

HELD = Bar("kidneys: mean dose, Gy/GBq", 0.4881, 0.40, 0.55, "0.40 to 0.55", BY_ITSELF, 1500, 7)
OPEN = Bar("kidneys: LoG lowers s by", 0.0203, 0.012, float("inf"), "at least 0.012", BY_ITSELF, 1500, 7)
FREE = Bar("marrow: mean dose, Gy/GBq", 0.017, *ANY, "label 0.035", TUNED, 1500, 7)
WRONG = Bar("kidneys: CV of dose", 0.61, 0.30, 0.45, "0.30 to 0.45", BY_ITSELF, 1500, 7)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Stand in for the patients: one figure of each kind, the wrong one for DOTATATE."""
    calls: list[tuple[str, int]] = []

    def given(ligand: str, patients: int) -> list[Bar]:
        calls.append((ligand, patients))
        return [HELD, OPEN, FREE, *([WRONG] if ligand == "dotatate" else [])]

    monkeypatch.setattr(module, "bars", given)
    return calls


def call(words: str):
    return CliRunner().invoke(app, words.split())


def test_page_for_people(asked: list[tuple[str, int]]) -> None:
    done = call("bars --patients 1500")
    assert (done.exit_code, asked) == (0, [("psma", 1500)])
    lines = done.stdout.splitlines()
    assert lines[0] == RESEARCH_USE_ONLY
    assert lines[1].strip() == "virtual patients: psma, 1500 without images, seed 7"
    assert lines[3].split() == [
        "kidneys:",
        "mean",
        "dose,",
        "Gy/GBq",
        *["0.4881", "0.4", "to", "0.55", "held", "by", "itself", "0.40", "to", "0.55"],
    ]
    assert lines[4].split()[5:10] == ["0.0203", "0.012", "to", "...", "held"]
    assert lines[5].split()[4:] == ["0.017", "tuned", "label", "0.035"]
    assert lines[-1].strip() == "2 of 2 bars held"


def test_a_missed_bar_ends_with_one(asked: list[tuple[str, int]]) -> None:
    done = call("bars --ligand dotatate")
    assert (done.exit_code, asked) == (1, [("dotatate", 20000)])
    assert "MISSED" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["  2 of 3 bars held", "  missed: kidneys: CV of dose"]


@pytest.mark.parametrize(("ligand", "code", "missed"), [("psma", 0, []), ("dotatate", 1, ["kidneys: CV of dose"])])
def test_json(asked: list[tuple[str, int]], ligand: str, code: int, missed: list[str]) -> None:
    done = call(f"bars --ligand {ligand} --json")
    report = json.loads(done.stdout)
    assert (done.exit_code, report["missed"]) == (code, missed)
    assert report["bars"][0] == {
        "name": HELD.name, "value": 0.4881, "low": 0.40, "high": 0.55, "published": "0.40 to 0.55", "how": "by itself",
        "patients": 1500, "seed": 7, "judged": True, "held": True,
    }  # fmt: skip
    assert (report["bars"][1]["high"], report["bars"][2]["low"], report["bars"][2]["judged"]) == (None, None, False)
    assert report["notice"] == RESEARCH_USE_ONLY


def test_what_cannot_be_is_refused() -> None:
    done = call("bars --ligand fapi --json")
    assert done.exit_code == 2
    assert "psma, dotatate" in json.loads(done.stdout)["reason"]
    assert call("bars --patients 10").exit_code == 2


def test_the_command_is_listed_with_the_virtual_patients() -> None:
    assert "bars" in call("--help").stdout
