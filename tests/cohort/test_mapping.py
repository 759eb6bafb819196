"""NIfTI cohorts: the proposed table imports as it is, and nothing unclear in it is guessed."""

import json
import re

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from theradose.cohort.layout import Dataset
from theradose.cohort.mapping import MAPPING, import_mapping, propose_mapping
from theradose.errors import DataError
from theradose.imaging.nifti import read_sidecar, sidecar
from theradose.tables import read_table


def write(path, values, spacing=4.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.diag([spacing, spacing, spacing, 1.0])), path)


@pytest.fixture
def source(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(3):
        folder = tmp_path / "in" / f"P_{i:02d}"
        write(folder / "PET_image.nii.gz", rng.random((5, 6, 7)).astype(np.float32))
        mask = np.zeros((5, 6, 7), np.uint8)
        mask[1:3, 2:4, 3:5] = 255
        write(folder / "PET_mask.nii.gz", mask)
    write(tmp_path / "in" / "P_02" / "CT_image.nii.gz", rng.integers(-100, 100, (9, 9, 9)).astype(np.int16), 2.0)
    write(tmp_path / "in" / "P_02" / "CT_mask.nii.gz", np.ones((9, 9, 9), np.uint8), 2.0)
    write(tmp_path / "in" / "P_02" / "thing.nii.gz", np.ones((2, 2, 2), np.uint8))
    return tmp_path / "in"


def test_proposal_then_import(source, tmp_path) -> None:
    lines = propose_mapping(source, tmp_path / "m.tsv", pet_units="SUV")
    assert [line.split(":")[0] for line in lines] == [
        "P_02/thing.nii.gz",
        "P_02/CT_mask.nii.gz",
        "7 files of 3 patients proposed",
    ]
    data = Dataset(tmp_path / "data")
    assert import_mapping(source, data.root, tmp_path / "m.tsv")[-3:] == [
        "left aside: 2 files (not in the mapping)",
        "9 files found = 7 used + 2 left aside with reason",
        "3 patients, 1 ct, 3 mask, 3 pet",
    ]
    pet = data.load_one("P_01", "pet", "ses-pre")
    assert pet.unit == "g/mL"
    expected = np.asanyarray(nib.load(source / "P_01" / "PET_image.nii.gz").dataobj)
    assert np.array_equal(pet.values, expected.transpose(2, 1, 0))
    mask = data.load_one("P_01", "mask", "ses-pre")
    assert set(np.unique(mask.values)) == {0, 101}
    assert mask.grid.same_as(pet.grid)
    assert data.load_one("P_02", "ct", "ses-pre").unit == "HU"
    assert data.participants()["weight_kg"].isna().all()


def edited(source, tmp_path, edit):
    propose_mapping(source, tmp_path / "m.tsv", pet_units="SUV")
    table = pd.read_csv(tmp_path / "m.tsv", sep="\t", dtype=str, keep_default_na=False)
    edit(table)
    table.to_csv(tmp_path / "m.tsv", sep="\t", index=False)
    return lambda: import_mapping(source, tmp_path / "data", tmp_path / "m.tsv")


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("modality", "xray", "modality"),
        ("session", "pre", "session"),
        ("patient", "../x", "patient"),
        ("weight_kg", "72,5", "not a number"),
    ],
)
def test_a_table_that_breaks_its_schema_is_refused(source, tmp_path, column, value, words) -> None:
    run = edited(source, tmp_path, lambda t: t.__setitem__(column, [t[column][0], value, *t[column][2:]]))
    with pytest.raises(DataError, match=words):
        run()
    assert not (tmp_path / "data" / "manifest.tsv").exists()


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("units", "", r"unit of the image is not stated .* expected Bq/mL or kBq/mL or SUV"),
        ("units", "HU", "unit of the image"),
        ("file", "../m.tsv", "outside the source folder"),
        ("file", "none.nii.gz", "image is missing"),
        ("label", "nose", "label is no VOI"),
        ("weight_kg", "71", "contradicts itself"),
    ],
)
def test_an_unclear_row_puts_its_patient_in_quarantine_and_no_other(source, tmp_path, column, value, words) -> None:
    def edit(table):
        at = 0 if column == "label" else 1
        table.loc[at, column] = value
        table.loc[0, "weight_kg"] = "70"

    lines = edited(source, tmp_path, edit)()
    faults = [line for line in lines if line.startswith("ERROR")]
    assert len(faults) == 1
    assert re.search(words, faults[0])
    assert "patient P_00" in faults[0]
    assert lines.quarantined == ("P_00",)
    data = Dataset(tmp_path / "data")
    assert data.participants()["patient"].tolist() == ["P_00", "P_01", "P_02"]
    assert len(data.rows("P_01", "pet")) == len(data.rows("P_02", "pet")) == 1


def test_kilobecquerel_become_becquerel_and_weight_is_kept(source, tmp_path) -> None:
    def edit(table):
        table.loc[table["modality"] == "pet", "units"] = "kBq/mL"
        table.loc[table["patient"] == "P_00", "weight_kg"] = ["70", ""]

    edited(source, tmp_path, edit)()
    data = Dataset(tmp_path / "data")
    expected = np.asanyarray(nib.load(source / "P_00" / "PET_image.nii.gz").dataobj).transpose(2, 1, 0)
    assert np.allclose(data.load_one("P_00", "pet").values, expected * 1000)
    assert data.participants().set_index("patient").loc["P_00", "weight_kg"] == 70.0


def test_when_nothing_can_be_used_nothing_is_written(source, tmp_path) -> None:
    def edit(table):
        table["units"], table["label"] = "", "nose"

    with pytest.raises(DataError, match=r"label is no VOI .*; THR-210 unit of the image is not stated") as caught:
        edited(source, tmp_path, edit)()
    assert str(caught.value).count("THR-") == 7
    assert not (tmp_path / "data" / "manifest.tsv").exists()


def test_several_pets_before_therapy_keep_their_times(source, tmp_path) -> None:
    def edit(table):
        table["patient"] = "P_00"
        table["time_h"] = [str(1.0 + 3 * i) if kind == "pet" else "" for i, kind in enumerate(table["modality"])]
        table.loc[table["modality"] == "mask", ["label", "patient"]] = ["lesion_02", "P_01"]

    edited(source, tmp_path, edit)()
    files = Dataset(tmp_path / "data").rows("P_00", "pet")["file"]
    assert [re.sub(r".*_(time-\d+h)_.*", r"\1", file) for file in files] == ["time-004h", "time-010h", "time-019h"]


def test_masks_and_sessions_of_the_house_keep_labels_and_cycles(tmp_path) -> None:
    mask = np.zeros((4, 5, 6), np.uint16)
    mask[1, 1, 1], mask[2, 2, 2] = 105, 200
    for session in ("ses-tx1", "ses-tx2"):
        stem = f"in/sub-v001/sub-v001_{session}_time-024h"
        write(tmp_path / f"{stem}_spect.nii.gz", np.arange(120, dtype=np.float32).reshape(4, 5, 6))
        write(tmp_path / f"{stem}_dseg.nii.gz", mask)
    propose_mapping(tmp_path / "in", tmp_path / "m.tsv")
    data = Dataset(tmp_path / "data")
    assert not import_mapping(tmp_path / "in", data.root, tmp_path / "m.tsv").quarantined
    assert data.rows("v001", "spect")["session"].tolist() == ["ses-tx1", "ses-tx2"]
    assert set(np.unique(data.load_one("v001", "mask", "ses-tx2").values)) == {0, 105, 200}


def test_two_masks_of_one_session_are_merged(source, tmp_path) -> None:
    mask = np.zeros((5, 6, 7), np.uint8)
    mask[0, 0, 0] = mask[1, 2, 3] = 1
    write(source / "P_00" / "extra_mask.nii.gz", mask)
    propose_mapping(source, tmp_path / "m.tsv", pet_units="SUV")
    table = read_table(tmp_path / "m.tsv", MAPPING)
    extra = table[table["file"] == "P_00/PET_mask.nii.gz"].assign(file="P_00/extra_mask.nii.gz", label="liver")
    pd.concat([table, extra]).to_csv(tmp_path / "m.tsv", sep="\t", index=False)
    import_mapping(source, tmp_path / "data", tmp_path / "m.tsv")
    merged = np.asarray(Dataset(tmp_path / "data").load_one("P_00", "mask").values)
    assert (merged == 7).sum() == 2
    assert (merged == 101).sum() == 7


def test_a_spect_in_counts_keeps_its_numbers_and_what_they_need(tmp_path) -> None:
    file = tmp_path / "in" / "P_00" / "spect_time-24h.nii.gz"
    counts = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    write(file, counts)
    said = {"FrameDuration": [1800.0], "CountRate": 9000.0, "RecoveryCorrection": "none", "PatientName": "x"}
    sidecar(file).write_text(json.dumps(said))
    propose_mapping(tmp_path / "in", tmp_path / "m.tsv")
    table = pd.read_csv(tmp_path / "m.tsv", sep="\t", dtype=str, keep_default_na=False)
    table["units"] = "counts"
    table.to_csv(tmp_path / "m.tsv", sep="\t", index=False)
    data = Dataset(tmp_path / "data")
    import_mapping(tmp_path / "in", data.root, tmp_path / "m.tsv")
    image = data.load_one("P_00", "spect")
    assert (image.unit, image.values.transpose(2, 1, 0).tolist()) == ("counts", counts.tolist())
    kept = read_sidecar(data.root / data.manifest()["file"].iloc[0])
    assert kept == {"Units": "counts", **{key: said[key] for key in said if key != "PatientName"}}
