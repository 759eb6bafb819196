"""`init` writes a study that fits what lies in the data set, and never over another."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from theradose.cli.main import app
from theradose.cohort.layout import Dataset
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import write_volume
from theradose.imaging.volume import Volume
from theradose.settings import load_study
from theradose.tables import PARTICIPANTS, write_table

KIDNEYS_AND_LESION = (5, 6, 101)


def made(root, patients, kinds, *, spacing=4.0, sidecar=None, labels=KIDNEYS_AND_LESION):
    """Write a data set of tiny images; `kinds` are pet, ct, mask, and SPECT at 4 and 24 h."""
    data, rows = Dataset(root), []
    grid = Grid((4, 4, 4), (spacing, spacing, spacing))
    for i in range(patients):
        patient = f"p{i:02d}"
        for kind in kinds:
            for time_h in (4.0, 24.0) if kind == "spect" else (np.nan,):
                session = "ses-tx1" if kind == "spect" else "ses-pre"
                values = np.zeros(grid.shape_zyx, np.uint16)
                values.flat[: len(labels)] = labels
                path = data.image_file(patient, kind, session, time_h if kind == "spect" else None)
                write_volume(Volume(values, grid, "label" if kind == "mask" else "Bq/mL"), path, dict(sidecar or {}))
                file = path.relative_to(root).as_posix()
                rows.append({"patient": patient, "session": session, "modality": kind, "time_h": time_h, "file": file})
    people = pd.DataFrame({"patient": sorted({row["patient"] for row in rows}), "centre": "here", "weight_kg": 80.0})
    people = people.assign(height_cm=175.0, administered_mbq=7400.0, radionuclide="Lu-177")
    write_table(people, data.participants_file, PARTICIPANTS)
    data.write_manifest(pd.DataFrame(rows))
    return root


def init(root, to, *more):
    return CliRunner().invoke(app, ["init", str(root), "--to", str(to), *more])


def test_dosimetry_alone_when_there_is_no_pet(tmp_path) -> None:
    to = tmp_path / "config" / "spects.yaml"
    done = init(made(tmp_path / "spects", 2, ("spect", "mask")), to)
    assert done.exit_code == 0, done.output
    study = load_study(to)
    assert (study.study, study.cohort.name, study.cohort.source) == ("spects", "spects", "folder")
    assert study.check.require == ("spect", "mask")
    assert study.quantify.register_time_points
    assert study.quantify.recovery == "none"
    assert study.radiomics.presets == {}
    assert study.radiomics.organs == ("kidneys", "lesions")
    assert study.experiments == ()
    assert "2 patients, 2 mask, 4 spect" in done.output
    assert "# models need 20 patients" in to.read_text()


def test_models_when_twenty_patients_have_everything(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # no config/experiments here that would ask for more organs
    to, kinds = tmp_path / "all.yaml", ("pet", "ct", "spect", "mask")
    init(made(tmp_path / "all", 20, kinds, spacing=8.0, sidecar={"EffectiveResolutionFWHM": 14.0}), to)
    study = load_study(to)
    assert study.experiments == ("organ_dose",)
    assert study.radiomics.presets == {"pet": "pet_8mm", "ct": "ct_8mm"}
    assert study.normalise.spacing_mm == 8
    assert study.quantify.recovery == "geometric_transfer"
    assert study.workflow.chunks == 2


def test_no_models_of_organs_that_no_mask_holds(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config" / "experiments").mkdir(parents=True)
    (tmp_path / "config" / "experiments" / "organ_dose.yaml").write_text(
        "{name: organ_dose, kind: organ_dose, title: t, organs: [kidneys, spleen], baselines: [b], predictors: []}"
    )
    to = tmp_path / "all.yaml"
    init(made(tmp_path / "all", 20, ("pet", "ct", "spect", "mask")), to)
    assert load_study(to).experiments == ()
    assert "organ_dose is of spleen, too" in to.read_text()


def test_half_of_the_patients_decide_what_is_required(tmp_path) -> None:
    root = made(tmp_path / "some", 3, ("pet", "mask", "ct"))
    data = Dataset(root)
    table = data.manifest()
    kept = table[(table["modality"] != "ct") | (table["patient"] == "p00")]
    data.write_manifest(kept[["patient", "session", "modality", "time_h", "file"]])
    init(root, tmp_path / "some.yaml")
    study = load_study(tmp_path / "some.yaml")
    assert study.check.require == ("pet", "mask")
    assert study.radiomics.presets == {"pet": "pet_4mm"}


def test_nothing_is_written_over(tmp_path) -> None:
    to = tmp_path / "mine.yaml"
    to.write_text("study: precious\n")
    done = init(made(tmp_path / "mine", 1, ("spect", "mask")), to, "--json")
    assert done.exit_code == 2
    assert '"refused": "THR-372"' in done.output
    assert to.read_text() == "study: precious\n"


@pytest.mark.parametrize(("name", "code"), [("My Data", "THR-373"), ("absent", "THR-201")])
def test_folders_that_are_no_cohort_are_refused(tmp_path, name, code) -> None:
    if name != "absent":
        made(tmp_path / name, 1, ("spect", "mask"))
    done = init(tmp_path / name, tmp_path / "x.yaml", "--json")
    assert (done.exit_code, code in done.output) == (2, True)
    assert not (tmp_path / "x.yaml").exists()


def test_check_warns_while_half_lives_are_those_of_psma(tmp_path) -> None:
    root, to = made(tmp_path / "spects", 1, ("spect", "mask")), tmp_path / "mine.yaml"
    init(root, to)

    def codes(*study):
        said = CliRunner().invoke(app, ["check", str(root), *study, "--json"]).output
        return [fault["code"] for fault in json.loads(said)["faults"] if fault["severity"] == "WARN"]

    assert "THR-377" in codes("--config", str(to))
    assert "THR-377" not in codes()
    text = to.read_text()
    assert "lesions: 52" in text
    to.write_text(text.replace("lesions: 52", "lesions: 77"))
    assert "THR-377" not in codes("--config", str(to))
    to.write_text(text.replace("source: folder", "source: virtual"))  # 177Lu-PSMA by its settings
    assert "THR-377" not in codes("--config", str(to))
