"""The `theradose timepoints` command."""

import json

import pytest
from typer.testing import CliRunner

from theradose.cli.main import app
from theradose.physics.timepoints import CANDIDATES_H, Target, schedule, schedules
from theradose.vocabulary import RESEARCH_USE_ONLY

PSMA = "timepoints --organ kidneys --ligand psma"


def call(words: str):
    return CliRunner().invoke(app, words.split())


def answer(words: str) -> dict:
    done = call(f"{words} --json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_answer_is_what_the_functions_give() -> None:
    report = answer("timepoints --t-eff-h 32 --t-eff-sd 0.16 --noise 0.08")
    assert [row["scans"] for row in report["schedules"]] == [1, 2]
    for row in report["schedules"]:
        found = schedules(row["scans"], Target(32.0, 0.16, 0.08))
        assert row["best"]["times_h"] == list(found[0].times_h)
        assert row["best"]["floor_percent"] == pytest.approx(100 * found[0].floor)
        assert row["best"]["log_tia_sd"] == pytest.approx(found[0].log_tia_sd)
        assert [r["times_h"] for r in row["runners_up"]] == [list(one.times_h) for one in found[1:4]]
    assert [row["best_late"]["times_h"] for row in report["schedules"]] == [[48.0], [24.0, 72.0]]
    assert report["candidate_h"] == list(CANDIDATES_H)
    assert report["measured_only"] is None
    assert report["notice"] == RESEARCH_USE_ONLY


@pytest.mark.parametrize(
    ("name", "best_h"), [("--organ kidneys --ligand PSMA", 48), ("--organ kidneys --ligand dotatate", 72)]
)
def test_the_best_single_scan_of_named_kidneys(name: str, best_h: float) -> None:
    assert answer(f"timepoints {name} --max 1")["schedules"][0]["best"]["times_h"] == [best_h]


def test_named_numbers_are_defaults() -> None:
    named = answer(f"{PSMA} --max 1")
    assert (named["t_eff_h"], named["t_eff_sd"], named["noise"]) == (32.0, 0.16, 0.09)
    assert named == answer("timepoints --t-eff-h 32 --t-eff-sd 0.16 --max 1")
    own = answer(f"{PSMA} --t-eff-sd 0.3 --max 1")
    assert (own["t_eff_h"], own["t_eff_sd"]) == (32.0, 0.3)


def test_scans_done_count_and_candidates_are_chosen_among() -> None:
    report = answer(f"{PSMA} --max 1 --candidate-h 4 72 96 --measured-h 24 --uptake-half-time-h 0.5")
    target = Target(32.0, 0.16, 0.09, 0.5)
    (row,) = report["schedules"]
    assert row["best"]["times_h"] == [72.0]
    assert row["best"]["floor_percent"] == pytest.approx(100 * schedule((24, 72), target).floor)
    assert [r["times_h"] for r in row["runners_up"]] == [[96.0]]  # 4 h is over
    assert report["measured_only"]["floor_percent"] == pytest.approx(100 * schedule((24,), target).floor)


def test_page_for_people() -> None:
    page = call(f"{PSMA} --max 3 --candidate-h 4 24 72 96").stdout
    assert page.startswith(RESEARCH_USE_ONLY)
    assert "4/96 h" in page
    assert "2 from 24 h on, where no uptake phase shows: 24/72 h" in page
    assert "3 from 24 h on, where no uptake phase shows: 24/72/96 h" in page
    assert "1 from 24 h" not in page  # the best one is late enough
    assert "scans done" not in page
    assert "scans done at 24 h leave 9.3 %" in call(f"{PSMA} --max 1 --measured-h 24").stdout


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        ("timepoints --t-eff-h 32", "population_missing", "--t-eff-sd"),
        ("timepoints --organ liver --t-eff-h 32 --t-eff-sd 0.2", "population_missing", "got liver"),
        ("timepoints --organ kidneys", "population_missing", "kidneys dotatate"),
        (f"{PSMA} --max 0", "impossible_value", "number of scans"),
        (f"{PSMA} --max 2 --candidate-h 24", "impossible_value", "1 to 1"),
        (f"{PSMA} --noise 8", "impossible_value", "noise"),
        (f"{PSMA} --candidate-h -4 24", "impossible_value", "times of scans"),
        (f"{PSMA} --uptake-half-time-h 0.5 --candidate-h 0 24", "impossible_value", "activity of the fastest"),
    ],
)
def test_refusals(words: str, code: str, reason: str) -> None:
    done = call(f"{words} --json")
    found = json.loads(done.stdout)
    assert done.exit_code == 2
    assert found["refused"] == code
    assert reason in found["reason"]
