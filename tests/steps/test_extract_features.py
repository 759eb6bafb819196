import json
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from theradose.cohort.layout import Dataset
from theradose.errors import DataError
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import write_volume
from theradose.imaging.volume import Volume
from theradose.steps.extract_features import run
from theradose.tables import FEATURES, PARTICIPANTS, PATIENTS, read_table, write_table

SHAPE = (10, 12, 14)
GRID = Grid(SHAPE, (8.0, 8.0, 8.0))
PATIENTS_AND_STATUS = {"v001": "ok", "v002": "flagged", "v003": "quarantined", "v004": "ok"}
SETTINGS = {"presets": {"pet": "tiny"}, "organs": ["liver", "lesions"]}
PRESET = "featureClass: {firstorder: [Mean], glcm: [Contrast]}\nsetting: {binWidth: 0.5}\n"


def write_study(root: Path) -> Path:
    """A data set of four patients with PET in SUV and a liver, and the table that says who is usable."""
    data = Dataset(root / "data")
    rows = []
    for number, patient in enumerate(PATIENTS_AND_STATUS):
        rng = np.random.default_rng(number)
        labels = np.zeros(SHAPE, np.int16)
        labels[2:7, 3:8, 4:9] = 7
        images = {"pet": (rng.gamma(9.0, 0.5, SHAPE).astype(np.float32), "g/mL"), "mask": (labels, "label")}
        for modality, (values, unit) in images.items():
            file = write_volume(Volume(values, GRID, unit), data.image_file(patient, modality))
            row = {"patient": patient, "session": "ses-pre", "modality": modality, "time_h": 1.0}
            rows.append({**row, "file": file.relative_to(data.root).as_posix()})
    data.write_manifest(pd.DataFrame(rows))
    people = pd.DataFrame({"patient": list(PATIENTS_AND_STATUS), "centre": "north", "weight_kg": 80.0})
    people = people.assign(height_cm=180.0, administered_mbq=7400.0, radionuclide="Lu-177", age_y=[70, 71, 72, 73])
    write_table(people, data.participants_file, PARTICIPANTS)
    status = people[["patient", "centre"]].assign(status=list(PATIENTS_AND_STATUS.values()), reason="")
    write_table(status, root / "patients.tsv", PATIENTS)
    (root / "presets").mkdir()
    (root / "presets" / "tiny.yaml").write_text(PRESET)
    return root


def chosen(root: Path, chunk: int, of: int, **settings: object) -> Namespace:
    return Namespace(
        settings=json.dumps({**SETTINGS, **settings}),
        chunk=chunk,
        of=of,
        workers=1,
        presets=root / "presets",
        data=root / "data",
        patients=root / "patients.tsv",
        out=root / "R" / f"chunk-{chunk}" / "features.parquet",
    )


def test_chunks_together_hold_every_usable_patient_once(tmp_path):
    root = write_study(tmp_path)
    tables = []
    for chunk in (0, 1):
        arguments = chosen(root, chunk, 2)
        run(arguments)
        tables.append(read_table(arguments.out, FEATURES))
    patients = [set(table["patient"]) for table in tables]
    assert patients[0] | patients[1] == {"v001", "v002", "v004"}
    assert not patients[0] & patients[1]
    assert set(pd.concat(tables)["voi"]) == {"liver"}


def test_a_chunk_with_nobody_writes_an_empty_table(tmp_path):
    arguments = chosen(write_study(tmp_path), 7, 8)
    run(arguments)
    assert read_table(arguments.out, FEATURES).empty


def test_provenance_names_the_engine_and_the_preset(tmp_path):
    arguments = chosen(write_study(tmp_path), 0, 1)
    run(arguments)
    record = json.loads((arguments.out.parent / "provenance.json").read_text())
    assert record["settings"]["engine"].startswith("pyradiomics")
    assert any(file.endswith("presets/tiny.yaml") for file in record["inputs"])


def test_missing_organs_stop_the_step_when_they_are_not_allowed(tmp_path):
    with pytest.raises(DataError, match="v001 lesions"):
        run(chosen(write_study(tmp_path), 0, 1, allow_missing=False))


def test_the_same_input_gives_the_same_bytes_from_the_command_line(tmp_path):
    root = write_study(tmp_path)
    arguments = chosen(root, 0, 1)
    run(arguments)
    first = arguments.out.read_bytes()
    flags = [f"--{name}={value}" for name, value in vars(arguments).items()]
    command = [sys.executable, "-m", "theradose.steps.extract_features", *flags]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "patient v002 (2 of 3)" in done.stdout
    assert done.stderr == ""
    assert arguments.out.read_bytes() == first


def test_a_faulty_preset_ends_the_command_with_one_sentence(tmp_path, refused):
    root = write_study(tmp_path)
    (root / "presets" / "tiny.yaml").write_text("featureClass: {firstorder: }\nsetting: {binWidth: 25}\n")
    flags = [f"--{name}={value}" for name, value in vars(chosen(root, 0, 1)).items()]
    code, said = refused("extract_features", *flags)
    assert code == 2
    assert "THR-110" in said
    assert "Traceback" not in said
