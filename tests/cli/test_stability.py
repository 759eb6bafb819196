"""The `theradose stability` command."""

import json

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from theradose.cli.stability import stability
from theradose.features.versions import VERSIONED
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import write_volume
from theradose.imaging.volume import Volume
from theradose.tables import STABILITY, read_table

GRID = Grid((8, 9, 10), (4.0, 4.0, 4.0))
PRESET = "featureClass: {firstorder: [Mean, Maximum], shape: [MeshVolume]}\nsetting: {binWidth: 0.5}\n"
app = typer.Typer()
app.command()(stability)


@pytest.fixture
def folder(tmp_path):
    for number in range(4):
        labels = np.zeros(GRID.shape_zyx, np.int16)
        labels[2:6, 2:6, 2 : 6 + number % 3] = 1
        values = np.random.default_rng(number).gamma(9.0, 0.5 + number, GRID.shape_zyx).astype(np.float32)
        write_volume(Volume(labels, GRID, "label"), tmp_path / "in" / f"P_{number}" / "m.nii.gz")
        write_volume(Volume(values, GRID, "g/mL"), tmp_path / "in" / f"P_{number}" / "i.nii.gz")
    (tmp_path / "preset.yaml").write_text(PRESET)
    return tmp_path


def call(folder, *more):
    files = ["--image", "i.nii.gz", "--mask", "m.nii.gz", "--preset", str(folder / "preset.yaml"), "--jobs", "1"]
    return CliRunner().invoke(app, [str(folder / "in"), *files, "--out", str(folder / "out"), *more])


def test_one_command_writes_tables_and_pictures_and_tells_the_counts(folder):
    done = call(folder)
    assert done.exit_code == 0, done.output
    assert "3 features of 4 patients, seven versions each" in done.stdout
    assert "lesion: |Spearman|" in done.stdout
    table = read_table(folder / "out" / "stability.tsv", STABILITY)
    assert len(table) == 9
    assert len(read_table(folder / "out" / "features.parquet", VERSIONED)) == 4 * 7 * 3
    kept = pd.read_csv(folder / "out" / "redundancy_lesion.tsv", sep="\t")
    assert list(kept["feature"]) == [
        "original.firstorder.Mean", "original.firstorder.Maximum", "original.shape.MeshVolume",
    ]  # fmt: skip
    for picture in ("stability_lesion.png", "correlation_lesion.png"):
        assert (folder / "out" / picture).read_bytes().startswith(b"\x89PNG")


def test_json_holds_the_same_counts(folder):
    report = json.loads(call(folder, "--json").stdout)
    table = read_table(folder / "out" / "stability.tsv", STABILITY)
    assert report["patients"] == 4
    for group, own in table.groupby("versions"):
        assert report["counts"][group]["low_0.9"] == (own["stable"] == "yes").sum()


def test_a_folder_without_patients_is_refused_in_one_form(folder):
    done = call(folder, "--json", "--image", "other.nii.gz")
    assert done.exit_code == 2
    assert "0 of 4 folders" in json.loads(done.stdout)["reason"]


def test_few_patients_come_with_a_warning(folder):
    assert "WARN fewer than 10 patients" in call(folder).stdout
