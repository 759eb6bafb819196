"""Files are where they belong and are what they were."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from theradose.cohort import layout
from theradose.cohort.layout import PRE, Dataset, cycle_of, patients_of_chunk
from theradose.errors import DataError
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import write_volume
from theradose.imaging.volume import Volume
from theradose.tables import MANIFEST, Schema, read_table

IMAGE = ("patient", "session", "modality", "time_h", "file")


@pytest.fixture
def data(tmp_path) -> Dataset:
    made = Dataset(tmp_path)
    rows = []
    for patient, time in (("007", 72.0), ("007", 4.0), ("7", 24.0)):
        path = made.image_file(patient, "spect", "ses-tx1", time)
        values = np.full((2, 2, 2), time, np.float32)
        write_volume(Volume(values, Grid((2, 2, 2), (1.0, 1.0, 1.0)), "Bq/mL"), path)
        file = path.relative_to(tmp_path).as_posix()
        rows.append({"patient": patient, "session": "ses-tx1", "modality": "spect", "time_h": time, "file": file})
    made.write_manifest(pd.DataFrame(rows))
    return made


def test_names_of_files() -> None:
    data = Dataset(Path("d"))
    assert data.image_file("x", "pet").as_posix() == "d/sub-x/ses-pre/pet/sub-x_ses-pre_pet.nii.gz"
    spect = data.image_file("x", "spect", "ses-tx1", 23.7).as_posix()
    assert spect == "d/sub-x/ses-tx1/spect/sub-x_ses-tx1_time-024h_spect.nii.gz"
    assert data.image_file("x", "mask", PRE).as_posix() == "d/derivatives/masks/sub-x/sub-x_ses-pre_dseg.nii.gz"


def test_rows_are_in_order_of_time_and_007_is_not_7(data) -> None:
    assert data.rows("007", "spect")["time_h"].tolist() == [4.0, 72.0]
    assert data.rows("7", "spect")["time_h"].tolist() == [24.0]


def test_a_changed_file_is_not_read(data) -> None:
    row = data.rows("007", "spect").iloc[0]
    assert data.load(row).total_mbq() == pytest.approx(4.0 * 8e-3 * 1e-6)
    path = data.root / row["file"]
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"has changed .* patient 007 .*time-004h"):
        data.load(row)


def test_one_of_two_is_no_answer(data) -> None:
    with pytest.raises(DataError, match="2 in the manifest"):
        data.load_one("007", "spect")
    assert data.load_one("7", "spect").total_mbq() == pytest.approx(24.0 * 8e-3 * 1e-6)


def test_chunks_hold_everyone_once() -> None:
    people = [f"v{i}" for i in range(11)]
    chunks = [patients_of_chunk(people, k, 3) for k in range(3)]
    assert sorted(patient for chunk in chunks for patient in chunk) == sorted(people)
    assert cycle_of("ses-tx2") == 2


def test_the_manifest_is_read_once_while_it_stays_and_anew_when_it_changes(data, monkeypatch) -> None:
    reads: list[Path] = []

    def counted(path: Path, schema: Schema) -> pd.DataFrame:
        reads.append(path)
        return read_table(path, schema)

    monkeypatch.setattr(layout, "read_table", counted)
    mine = data.manifest()
    mine["patient"] = "somebody else"
    assert len(data.rows("007", "spect")) == 2
    assert len(data.manifest()[lambda table: table["patient"] == "007"]) == 2
    assert len(reads) == 1
    data.write_manifest(read_table(data.manifest_file, MANIFEST).query("time_h > 10")[[*IMAGE]])
    assert data.rows("007", "spect")["time_h"].tolist() == [72.0]
    data.manifest_file.unlink()
    with pytest.raises(DataError, match="is missing"):
        data.rows("007", "spect")
