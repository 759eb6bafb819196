"""The `theradose features` command."""

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from theradose.cli.features import features
from theradose.errors import DataError, SettingsError, UnitError
from theradose.features.presets import read_preset
from theradose.features.radiomics import extract
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import write_volume
from theradose.imaging.volume import Volume

SHAPE = (10, 12, 14)
GRID = Grid(SHAPE, (4.0, 4.0, 4.0))
PRESET = "featureClass: {firstorder: [Mean, Energy], shape: }\nsetting: {binWidth: 0.5}\n"
app = typer.Typer()
app.command()(features)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    labels = np.zeros(SHAPE, np.int16)
    labels[2:7, 3:8, 4:9] = 7
    labels[8, 9, 10] = 77
    write_volume(Volume(labels, GRID, "label"), tmp_path / "mask.nii.gz")
    values = np.random.default_rng(0).gamma(9.0, 0.5, SHAPE).astype(np.float32)
    write_volume(Volume(values, GRID, "g/mL"), tmp_path / "pet.nii.gz")
    write_volume(Volume(values, GRID, "Bq/mL"), tmp_path / "becquerel.nii.gz")
    (tmp_path / "preset.yaml").write_text(PRESET)
    return {name: str(tmp_path / name) for name in ("mask.nii.gz", "pet.nii.gz", "becquerel.nii.gz", "preset.yaml")}


def call(files: dict[str, str], *more: str, image: str = "pet.nii.gz"):
    arguments = [files[image], files["mask.nii.gz"], "--preset", files["preset.yaml"], *more]
    return CliRunner().invoke(app, arguments)


def test_the_table_is_what_the_function_gives(files, tmp_path):
    done = call(files, "--label", "7")
    assert done.exit_code == 0
    table = pd.read_csv(StringIO(done.stdout), sep="\t")
    values = np.random.default_rng(0).gamma(9.0, 0.5, SHAPE).astype(np.float32)
    mask = np.zeros(SHAPE, bool)
    mask[2:7, 3:8, 4:9] = True
    expected = extract(Volume(values, GRID, "g/mL"), {"liver": mask}, read_preset(tmp_path / "preset.yaml", "pet"))
    pd.testing.assert_frame_equal(table, expected, check_dtype=False)


def test_json_holds_every_label_and_null_where_there_is_no_value(files):
    rows = json.loads(call(files, "--json").stdout)
    assert {row["voi"] for row in rows} == {"liver", "label_77"}
    for row in rows:
        assert (row["value"] is None) == (row["voi"] == "label_77")
        assert row["status"] == ("ok" if row["voi"] == "liver" else "fewer than 3 voxels")


def test_a_label_that_is_not_there_is_refused(files):
    assert isinstance(call(files, "--label", "5").exception, DataError)


def test_a_pet_in_becquerel_asks_for_the_weight(files):
    error = call(files, image="becquerel.nii.gz").exception
    assert isinstance(error, UnitError)
    assert "weight" in str(error)


def test_without_a_preset_a_pet_gives_the_71_of_lifex(files, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    arguments = [files["pet.nii.gz"], files["mask.nii.gz"], "--label", "7", "--json"]
    rows = json.loads(CliRunner().invoke(app, arguments).stdout)
    assert len(rows) == 71
    assert {row["status"] for row in rows} == {"ok"}
    by_name = CliRunner().invoke(app, [*arguments, "--preset", "lifex71"])
    assert json.loads(by_name.stdout) == rows


def test_a_preset_that_is_not_there_comes_with_those_that_are(files, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    error = CliRunner().invoke(app, [files["pet.nii.gz"], files["mask.nii.gz"], "--preset", "lifex72"]).exception
    assert isinstance(error, SettingsError)
    assert "lifex71" in str(error)
