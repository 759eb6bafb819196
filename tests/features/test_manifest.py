from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from theradose.cohort.layout import Dataset
from theradose.cohort.participants import CLINICAL_COLUMNS
from theradose.cohort.virtual.covariates import covariates_of
from theradose.cohort.virtual.patient import virtual_patient
from theradose.cohort.virtual.scanner import centre
from theradose.cohort.virtual.scans import FIRST_PET_H, ct_scan, pet_scan
from theradose.cohort.virtual.writer import emission_sidecar
from theradose.errors import DataError
from theradose.features.covariates import assemble
from theradose.features.engine import wanted
from theradose.features.manifest import fill, manifest
from theradose.features.patient import patient_features
from theradose.features.presets import read_preset
from theradose.features.sessions import feature_unit
from theradose.imaging.nifti import write_volume
from theradose.imaging.volume import Volume
from theradose.tables import COVARIATES, checked
from theradose.vocabulary import OUTCOME_EVENTS

PRESETS = Path(__file__).parents[2] / "config" / "radiomics"
BLOCKS = {"pet": 71, "ct_shape": 14, "dose": 15, "surrogate": 10, "clinical": 20}
DRAWN = {
    "centres": ("north",),
    "spacing_mm": 8.0,
    "difficulty": "xue_like",
    "texture_coupling": 0.6,
    "ligand": "dotatate",
}


def read(modality: str):
    return read_preset(PRESETS / {"pet": "lifex71.yaml", "ct": "ct_latency.yaml"}[modality], modality)


def test_there_are_130_rows_and_105_need_no_model():
    table = manifest()
    assert len(table) == 130
    assert table["block"].value_counts().to_dict() == BLOCKS
    assert table["column"].is_unique
    assert (table != "").all(axis=None)
    by_model = table["block"].isin(["dose", "surrogate"])
    assert set(table.loc[by_model, "leak_class"]) == {"out_of_fold"}
    assert set(table.loc[~by_model, "leak_class"]) == {"pre_therapy"}
    assert by_model.sum() == 25


@pytest.mark.parametrize(("modality", "block"), [("pet", "pet"), ("ct", "ct_shape")])
def test_image_columns_and_units_are_those_of_the_presets(modality, block):
    rows = manifest().set_index("column")
    rows = rows[rows["block"] == block]
    expected = {f"{modality}.{f}.{kind}.{name}": (kind, name) for f, kind, name in wanted(read(modality))}
    assert set(rows.index) == set(expected)
    for column, (kind, name) in expected.items():
        assert rows.loc[column, "unit"] == feature_unit(modality, kind, name)


def test_clinical_columns_and_units_are_those_of_the_participants():
    rows = manifest()
    for row in rows[rows["block"] == "clinical"].itertuples():
        block, _, name = row.column.partition(".")
        known = CLINICAL_COLUMNS[name]
        assert (block, row.unit, row.meaning) == (known.block, known.unit, known.meaning)


def test_surrogates_are_the_heads_of_the_network():
    heads = [name.split(".") for name in manifest().query("block == 'surrogate'")["column"]]
    assert [name for _, name, kind in heads if kind == "logit"] == list(OUTCOME_EVENTS)
    assert sum(kind == "log_dose" for *_, kind in heads) == 6


def write_patient(data: Dataset) -> pd.DataFrame:
    """Write PET, CT and mask of a virtual patient; return the row of the participants."""
    patient = virtual_patient(3, 0, **DRAWN)
    pet = pet_scan(patient, DRAWN["difficulty"], "Ga-68", FIRST_PET_H)
    about = emission_sidecar(
        modality="PT", radionuclide="Ga-68", injected_mbq=patient.administered_pet_mbq, time_h=FIRST_PET_H,
        camera=centre(patient.centre).pet, decay_reference="administration",
    )  # fmt: skip
    mask = Volume(patient.anatomy.labels, patient.anatomy.grid, "label")
    rows = []
    for modality, volume, extra in (("pet", pet, about), ("ct", ct_scan(patient), {}), ("mask", mask, {})):
        file = write_volume(volume, data.image_file(patient.name, modality), extra)
        row = {"patient": patient.name, "session": "ses-pre", "modality": modality, "time_h": 1.0}
        rows.append({**row, "file": file.relative_to(data.root).as_posix()})
    data.write_manifest(pd.DataFrame(rows))
    clinic = covariates_of(patient.latents, patient.body, patient.lesions, patient.ligand)
    return pd.DataFrame([{"patient": patient.name, "centre": patient.centre, **clinic}])


def test_105_columns_are_filled_from_a_virtual_patient(tmp_path):
    data = Dataset(tmp_path)
    people = write_patient(data)
    name, weight_kg = people.loc[0, "patient"], people.loc[0, "weight_kg"]
    presets = {modality: read(modality) for modality in ("pet", "ct")}
    found = patient_features(data, name, weight_kg=weight_kg, presets=presets, organs=["kidneys"], min_voxels=3)
    table, waiting = fill(assemble(found, people, [name], ["kidneys"])[0])
    assert table.shape == (1, 2 + 105)
    assert len(waiting) == 25
    assert not set(waiting) & set(table)
    assert np.isfinite(table.drop(columns=["patient", "voi"]).to_numpy()).all()


def test_a_missing_image_column_is_refused_and_a_clinical_one_stays_empty():
    early = manifest().query("leak_class == 'pre_therapy'")["column"]
    row = pd.DataFrame({"patient": ["a", "a"], "voi": ["kidneys", "liver"], **dict.fromkeys(early, 1.0)})
    table, _ = fill(checked(row.drop(columns="biological.cga_ng_per_ml"), COVARIATES))
    assert len(table) == 1
    assert table["biological.cga_ng_per_ml"].isna().all()
    with pytest.raises(DataError, match=r"pet\.original\.glcm\.MCC"):
        fill(row.drop(columns="pet.original.glcm.MCC"))
