"""The `theradose features` command."""

import json
import re
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from theradose.cli.features import features
from theradose.errors import DataError, GeometryError, SettingsError, UnitError
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
    done = call(files, "--json")
    assert done.exit_code == 3
    rows = json.loads(done.stdout)
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


def test_the_unit_must_be_known_and_fit_the_sidecar_and_the_values(files, tmp_path):
    for unit, says in (("furlong", "SUV"), ("HU", "not the unit of the sidecar|without air")):
        error = call(files, "--unit", unit).exception
        assert isinstance(error, UnitError)
        assert re.search(says, str(error)), str(error)
    bare = tmp_path / "bare.nii.gz"
    bare.write_bytes(Path(files["pet.nii.gz"]).read_bytes())
    error = CliRunner().invoke(app, [str(bare), files["mask.nii.gz"], "--preset", files["preset.yaml"]]).exception
    assert isinstance(error, UnitError)
    assert "--unit" in str(error)
    assert CliRunner().invoke(
        app, [str(bare), files["mask.nii.gz"], "--preset", files["preset.yaml"], "--unit", "SUV", "--label", "7"]
    ).exit_code == 0  # fmt: skip


def test_a_mask_with_halves_is_no_mask(files, tmp_path):
    labels = np.zeros(SHAPE, np.float32)
    labels[2:7, 3:8, 4:9] = 0.5
    write_volume(Volume(labels, GRID, "label"), tmp_path / "mask.nii.gz")
    error = call(files).exception
    assert isinstance(error, DataError)
    assert "THR-221" in str(error)


def test_a_mask_of_elsewhere_does_not_lie_on_the_image(files, tmp_path):
    labels = np.zeros(SHAPE, np.int16)
    labels[2:7, 3:8, 4:9] = 1
    write_volume(Volume(labels, Grid(SHAPE, (4.0,) * 3, (900.0, 0.0, 0.0)), "label"), tmp_path / "mask.nii.gz")
    error = call(files).exception
    assert isinstance(error, GeometryError)
    assert "mask.nii.gz" in str(error)


def test_a_mask_of_ones_is_called_mask_and_a_voi_without_features_ends_with_3(files, tmp_path):
    labels = np.zeros(SHAPE, np.int16)
    labels[2:7, 3:8, 4:9] = 1
    write_volume(Volume(labels, GRID, "label"), tmp_path / "mask.nii.gz")
    done = call(files, "--json")
    assert done.exit_code == 0
    assert {row["voi"] for row in json.loads(done.stdout)} == {"mask"}
    labels[2:7, 3:8, 4:9] = 0
    labels[2, 3, 4] = 1
    write_volume(Volume(labels, GRID, "label"), tmp_path / "mask.nii.gz")
    assert call(files, "--json").exit_code == 3


def test_a_preset_made_for_ct_is_refused_for_a_pet(files):
    Path(files["preset.yaml"]).write_text(PRESET + "preprocess: {modality: ct}\n")
    error = call(files).exception
    assert isinstance(error, SettingsError)
    assert "for which this preset is made" in str(error)


@pytest.mark.parametrize("spacing", [(2.0, 4.0, 4.0), (4.0, 4.0, 4.1)])
def test_a_mask_of_another_grid_is_refused_although_it_overlaps(files, tmp_path, spacing):
    labels = np.zeros(SHAPE, np.int16)
    labels[2:7, 3:8, 4:9] = 1
    write_volume(Volume(labels, Grid(SHAPE, spacing), "label"), tmp_path / "mask.nii.gz")
    error = call(files).exception
    assert isinstance(error, GeometryError)
    assert str(error).startswith("THR-220 mask lies on another grid")
    for said in ("file mask.nii.gz", GRID.describe(), Grid(SHAPE, spacing).describe(), "resample"):
        assert said in str(error)
