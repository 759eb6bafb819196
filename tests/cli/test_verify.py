"""`verify` names what is no longer as at intake, by our names, and ends with code 3."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from theradose.cli.main import app
from theradose.cohort.layout import Dataset
from theradose.cohort.raw_files import SIDECAR, write_raw
from theradose.errors import EXIT_QUARANTINED
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import sidecar, write_volume
from theradose.imaging.volume import Volume
from theradose.provenance import sha256_file

GRID = Grid((2, 3, 4), (4.0, 4.0, 4.0))
PATIENTS = ("p001", "p002")


@pytest.fixture
def imported(tmp_path):
    """Return a data set of two patients and the folder that it was made of."""
    data, source, rows = Dataset(tmp_path / "data"), tmp_path / "DOE", []
    source.mkdir()
    for number, patient in enumerate(PATIENTS):
        raw = source / f"DOE_JANE_{number}.dcm"
        raw.write_bytes(bytes([number]) * 9)
        file = write_volume(Volume(np.full(GRID.shape_zyx, 1.0 + number), GRID, "HU"), data.image_file(patient, "ct"))
        name, beside = (path.relative_to(data.root).as_posix() for path in (file, sidecar(file)))
        rows.append({"patient": patient, "session": "ses-pre", "modality": "ct", "time_h": None, "file": name})
        used = [("ct-01_0001.dcm", sha256_file(raw), "ct"), (beside, sha256_file(sidecar(file)), SIDECAR)]
        write_raw(data, patient, [{"file": f, "sha256": s, "n_bytes": 9, "use": u} for f, s, u in used])
    data.write_manifest(pd.DataFrame(rows))
    return data, source


def verify(data, *more):
    return CliRunner().invoke(app, ["verify", str(data.root), *map(str, more)])


def test_what_did_not_change_is_as_at_intake(imported) -> None:
    data, source = imported
    assert (verify(data).exit_code, verify(data).output) == (0, "2 images hashed: as at intake\n")
    done = verify(data, "--source", source)
    assert (done.exit_code, done.output) == (0, "2 images and the raw files hashed: as at intake\n")


def flip(path):
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def test_a_changed_image_is_named_and_a_changed_sidecar_is_a_warning(imported) -> None:
    data, _ = imported
    flip(data.image_file("p002", "ct"))
    sidecar(data.image_file("p001", "ct")).write_text("{}")
    done = verify(data, "--json")
    said = json.loads(done.output)
    assert done.exit_code == EXIT_QUARANTINED
    assert said["summary"] == "2 images hashed: not as at intake: 1 patient"
    assert [(f["severity"], f["code"], f["patient"]) for f in said["faults"]] == [
        ("ERROR", "THR-202", "p002"), ("WARN", "THR-333", "p001"),
    ]  # fmt: skip
    assert "file sub-p002/ses-pre/ct/sub-p002_ses-pre_ct.nii.gz" in said["faults"][0]["message"]


@pytest.mark.parametrize("spoil", [flip, lambda path: path.unlink()], ids=["one bit", "missing"])
def test_a_changed_raw_file_is_named_by_our_name(imported, spoil) -> None:
    data, source = imported
    spoil(source / "DOE_JANE_1.dcm")
    assert verify(data).exit_code == 0
    done = verify(data, "--source", source)
    assert done.exit_code == EXIT_QUARANTINED
    assert "THR-331 raw file is missing or has changed since intake · patient p002 · file ct-01_0001.dcm" in done.output
    assert "DOE" not in done.output
    assert verify(data, "--source", source, "--patient", "p001").exit_code == 0


def test_an_unknown_patient_and_a_missing_data_set_are_refused(imported, tmp_path) -> None:
    data, source = imported
    lost = verify(data, "--source", source, "--patient", "p009")
    assert lost.exit_code == EXIT_QUARANTINED
    assert "THR-201" in lost.output
    none = CliRunner().invoke(app, ["verify", str(tmp_path / "none"), "--json"])
    assert (none.exit_code, json.loads(none.output)["refused"]) == (2, "THR-201")
