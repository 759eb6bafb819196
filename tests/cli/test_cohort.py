"""`theradose simulate` and `theradose limit`: numbers for programs, lines for people, refusals by name."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from theradose.cli.main import app
from theradose.vocabulary import RESEARCH_USE_ONLY


def call(*words: str) -> tuple[int, str]:
    found = CliRunner().invoke(app, list(words))
    return found.exit_code, found.stdout


def test_many_patients_are_written_and_summed_up(tmp_path) -> None:
    file = tmp_path / "many.parquet"
    code, text = call("simulate", "--n", "500", "--to", str(file), "--json")
    report = json.loads(text)
    assert code == 0
    assert report["virtual"]
    assert report["patients"] == 500
    table = pd.read_parquet(file)
    assert len(table) == 500 * len(report["organs"])
    kidneys = table.loc[table["voi"] == "kidneys", "dose_gy_per_gbq"]
    assert report["organs"]["kidneys"]["dose_gy_per_gbq"] == pytest.approx(kidneys.mean())


def test_the_first_patients_do_not_depend_on_how_many_follow(tmp_path) -> None:
    few, many = tmp_path / "few.parquet", tmp_path / "many.parquet"
    for n, file in ((20, few), (50, many)):
        assert call("simulate", "--n", str(n), "--to", str(file), "--ligand", "dotatate")[0] == 0
    longer = pd.read_parquet(many)
    assert pd.read_parquet(few).equals(longer[longer["patient"] < 20].reset_index(drop=True))


def test_patients_with_images_are_a_data_set(tmp_path) -> None:
    code, _ = call("simulate", "--n", "1", "--tier", "2", "--to", str(tmp_path / "mine"), "--spacing-mm", "10")
    assert code == 0
    assert (tmp_path / "mine/manifest.tsv").is_file()
    assert (tmp_path / "mine/outcomes.tsv").is_file()
    assert (tmp_path / "mine-truth/PLANTED_TRUTH").is_file()


def test_limit_for_people_and_programs() -> None:
    words = ("limit", "--organ", "kidneys", "--patients", "1500")
    code, text = call(*words)
    assert code == 0
    assert RESEARCH_USE_ONLY in text
    assert "VIRTUAL" in text
    report = json.loads(call(*words, "--json")[1])
    image = next(row for row in report["limits"] if row["way"] == "resimulated")
    assert image["mape"] == pytest.approx(13.6, abs=1.0)
    assert report["budget"]["drift"] == pytest.approx(0.12)
    wider = json.loads(call(*words, "--reference", "label", "--label-log-sd", "0.13", "--json")[1])
    assert next(r for r in wider["limits"] if r["way"] == "resimulated")["mape"] > image["mape"] + 2


@pytest.mark.parametrize(
    "words",
    [("--organ", "kidney"), ("--ligand", "fapi"), ("--difficulty", "easy"), ("--target", "cure"), ("--centre", "x")],
)
def test_unknown_names_are_refused_with_what_is_known(words: tuple[str, str]) -> None:
    code, text = call("limit", *words, "--json")
    report = json.loads(text)
    assert code == 2
    assert report["refused"].startswith("unknown_")
    assert "one of" in report["reason"]
