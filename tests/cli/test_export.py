"""The `theradose export-opengate`, `export-dicom` and `export-dose` commands."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from theradose.cli.export import export_dicom, export_dose, export_opengate
from theradose.cohort.layout import PRE, Dataset
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import write_volume
from theradose.imaging.volume import Volume
from theradose.provenance import sha256_file
from theradose.tables import PARTICIPANTS, write_table
from theradose.vocabulary import RESEARCH_USE_ONLY

GRID = Grid((3, 4, 5), (4.0, 4.0, 4.0))
app = typer.Typer()
app.command()(export_opengate)
dicom = typer.Typer()
dicom.command()(export_dicom)
dose = typer.Typer()
dose.command()(export_dose)


@pytest.fixture
def call(tmp_path):
    values = np.ones(GRID.shape_zyx, np.float32)
    write_volume(Volume(values, GRID, "MBq.h"), tmp_path / "tia.nii.gz")
    write_volume(Volume((values * 40).astype(np.int16), GRID, "HU"), tmp_path / "ct.nii.gz")

    def run(*more: str, ct: str = "ct.nii.gz", nuclide: str = "Lu-177"):
        images = ["--tia-image", str(tmp_path / "tia.nii.gz"), "--ct", str(tmp_path / ct)]
        return CliRunner().invoke(app, [*images, "--nuclide", nuclide, "--to", str(tmp_path / "gate"), *more])

    return run


def test_json_is_the_manifest_and_the_folder_is_there(call, tmp_path):
    done = call("--histories", "2000", "--seed", "7", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["folder"] == str(tmp_path / "gate")
    assert (found["radionuclide"], found["histories"], found["seed"]) == ("Lu-177", 2000, 7)
    assert found["tia_mbq_h"] == 60.0
    assert found["gy_per_gy_simulated"] == pytest.approx(60 * 3.6e9 / 2000)
    assert found["inputs"] == {
        name: sha256_file(tmp_path / file) for name, file in (("tia_image", "tia.nii.gz"), ("ct", "ct.nii.gz"))
    }
    names = {file.name for file in (tmp_path / "gate").iterdir()}
    assert names == {*found["files"], "manifest.json"}
    assert {"activity.mhd", "ct.mhd", "simulation.py", "README.txt"} <= names
    compile((tmp_path / "gate" / "simulation.py").read_text(), "simulation.py", "exec")


def test_people_get_a_table_with_units(call):
    done = call()
    assert done.exit_code == 0
    assert done.stdout.startswith(RESEARCH_USE_ONLY)
    assert "60 MBq.h (2.16e+11 decays)" in done.stdout
    assert "10000000 decays, seed 1" in done.stdout


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"nuclide": "Tc-99m"}, "isomer", "no isomer"),
        ({"nuclide": "Xx-1"}, "unknown_nuclide", "unknown"),
        ({"ct": "tia.nii.gz"}, "THR-210", "wrong unit"),
    ],
)
def test_a_refusal_is_json_with_code_and_sentence(call, tmp_path, change, code, words):
    done = call("--json", **change)
    assert done.exit_code == 2
    answer = json.loads(done.stdout)
    assert answer["refused"] == code
    assert words in answer["reason"]
    assert not (tmp_path / "gate").exists()


@pytest.mark.parametrize(
    "option",
    [
        ("--histories", "0"), ("--histories", "1000000000001"), ("--histories", "many"), ("--seed", "-1"),
        ("--seed", "2147483648"),
    ],
)  # fmt: skip
def test_bad_options_get_a_sentence(call, option):
    done = call(*option)
    assert done.exit_code == 2
    assert "Invalid value" in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize("place", ["tia.nii.gz/inside/gate", "x" * 300, "/proc/gate"])
def test_a_place_that_cannot_be_made_gets_a_sentence(call, tmp_path, place):
    done = call("--to", str(tmp_path / place), "--json")
    assert done.exit_code == 2
    answer = json.loads(done.stdout)
    assert answer["refused"] == "no_folder"
    assert "folder cannot be made" in answer["reason"]


@pytest.fixture
def cohort(tmp_path):
    """Return the folder of two virtual patients with a CT each."""
    data, images = Dataset(tmp_path / "data"), []
    for patient in ("v001", "v002"):
        path = data.image_file(patient, "ct")
        write_volume(Volume(np.zeros(GRID.shape_zyx, np.int16), GRID, "HU"), path, {"Virtual": True})
        row = {"patient": patient, "session": PRE, "modality": "ct", "time_h": None}
        images.append(row | {"file": path.relative_to(data.root).as_posix()})
    person = {"centre": "x", "weight_kg": 80.0, "height_cm": None, "administered_mbq": 7400.0, "radionuclide": "Lu-177"}
    people = pd.DataFrame([{"patient": patient, **person} for patient in ("v001", "v002")])
    write_table(people, data.participants_file, PARTICIPANTS)
    data.write_manifest(pd.DataFrame(images))
    return data.root


@pytest.mark.parametrize(
    ("chosen", "patients"), [((), ["v001", "v002"]), (("--patient", "v002"), ["v002"])]
)  # fmt: skip
def test_dicom_of_all_or_of_chosen_patients(cohort, tmp_path, chosen, patients):
    done = CliRunner().invoke(dicom, [str(cohort), "--to", str(tmp_path / "dicom"), *chosen, "--json"])
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["lines"] == [f"{patient} ses-pre_ct: 3 CT" for patient in patients]
    assert sorted(p.name for p in (tmp_path / "dicom").iterdir()) == [f"sub-{patient}" for patient in patients]
    assert len(list((tmp_path / "dicom").rglob("*.dcm"))) == 3 * len(patients)


def test_dicom_of_nobody_is_refused_in_json(cohort, tmp_path):
    done = CliRunner().invoke(dicom, [str(cohort), "--to", str(tmp_path / "d"), "--patient", "v009", "--json"])
    assert done.exit_code == 2
    assert "v001, v002" in json.loads(done.stdout)["reason"]


def test_dose_of_a_study_that_is_not_there_is_refused_in_json(tmp_path):
    done = CliRunner().invoke(dose, [str(tmp_path / "none"), "--to", str(tmp_path / "d"), "--json"])
    assert done.exit_code == 2
    assert json.loads(done.stdout)["refused"].startswith("THR-2")


def test_dose_hands_its_options_on_and_prints_a_line_a_cycle(tmp_path, monkeypatch):
    seen = {}

    def stand_in(results, to, **more):
        seen.update(more, results=results, to=to)
        return ["v001 ses-tx1: dose up to 3 Gy, 2 masks"]

    monkeypatch.setattr("theradose.cohort.dose_export.export_dose", stand_in)
    options = ["results/x", "--to", "out", "--patient", "v001", "--dicom", "scans", "--data", "data/y", "--json"]
    done = CliRunner().invoke(dose, options)
    assert json.loads(done.stdout)["lines"] == ["v001 ses-tx1: dose up to 3 Gy, 2 masks"]
    assert seen == {
        "results": Path("results/x"), "to": Path("out"), "patients": ["v001"], "dicom": Path("scans"),
        "data": Path("data/y"),
    }  # fmt: skip
