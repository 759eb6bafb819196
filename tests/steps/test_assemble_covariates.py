import json
from argparse import Namespace
from pathlib import Path

import pandas as pd
import pytest

from theradose.cohort.layout import Dataset
from theradose.features.dictionary import DICTIONARY
from theradose.steps.assemble_covariates import run
from theradose.tables import COVARIATE_MANIFEST, COVARIATES, FEATURES, PARTICIPANTS, PATIENTS, read_table, write_table

VALUES = {("v001", "liver"): 5.0, ("v001", "kidneys"): 30.0, ("v002", "liver"): 6.0, ("v003", "liver"): 7.0}


@pytest.fixture
def chosen(tmp_path: Path) -> Namespace:
    people = pd.DataFrame({"patient": ["v001", "v002", "v003"], "centre": "north", "weight_kg": [80.0, 70.0, 60.0]})
    people = people.assign(height_cm=180.0, administered_mbq=7400.0, radionuclide="Lu-177", age_y=[70, 71, 72])
    write_table(people.assign(toxicity_grade=2), Dataset(tmp_path).participants_file, PARTICIPANTS)
    status = people[["patient", "centre"]].assign(status=["ok", "flagged", "excluded"], reason="")
    write_table(status, tmp_path / "patients.tsv", PATIENTS)
    rows = [
        {"patient": patient, "voi": voi, "feature_class": kind, "feature": name, "value": value}
        for (patient, voi), value in VALUES.items()
        for kind, name in (("firstorder", "Mean"), ("voi", "mean"))
    ]
    rows = pd.DataFrame(rows).assign(session="ses-pre", modality="pet", time_h=1.0, filter="original", status="ok")
    write_table(rows, tmp_path / "features.parquet", FEATURES)
    settings = json.dumps({"organs": ["kidneys", "liver", "lesions"]})
    files = {"features": tmp_path / "features.parquet", "patients": tmp_path / "patients.tsv"}
    return Namespace(settings=settings, data=tmp_path, out=tmp_path / "R", **files)


def test_tables_are_written_for_usable_patients(chosen):
    run(chosen)
    table = read_table(chosen.out / "covariates.tsv", COVARIATES).set_index(["patient", "voi"])
    assert list(table.index) == [("v001", "kidneys"), ("v001", "liver"), ("v002", "kidneys"), ("v002", "liver")]
    assert table.loc[("v002", "liver"), "pet.original.firstorder.Mean"] == 6.0
    assert table.loc[("v001", "kidneys"), "physics.pet_suv_mean"] == 30.0
    assert pd.isna(table.loc[("v002", "kidneys"), "physics.pet_suv_mean"])
    assert table.loc[("v002", "liver"), "clinical.age_y"] == 71.0
    manifest = read_table(chosen.out / "covariate_manifest.tsv", COVARIATE_MANIFEST)
    assert list(manifest["column"]) == list(table.columns)
    assert (chosen.out / "provenance.json").is_file()


def test_a_column_not_known_before_therapy_is_left_out_and_said(chosen, capsys):
    run(chosen)
    table = read_table(chosen.out / "covariates.tsv", COVARIATES)
    assert not [column for column in table if "toxicity" in column]
    assert "left out, not declared as known before therapy: toxicity_grade" in capsys.readouterr().out


def test_a_dictionary_stands_beside_each_table(chosen):
    run(chosen)
    about = read_table(chosen.out / "covariates.dictionary.tsv", DICTIONARY)
    assert set(about["column"]) == set(read_table(chosen.out / "covariates.tsv", COVARIATES).columns)
    features = read_table(chosen.features.parent / "features.dictionary.tsv", DICTIONARY)
    assert set(features["column"]) == set(FEATURES.names())
    assert features.set_index("of").loc["pet.firstorder.Mean", "unit"] == "g/mL"
