import pandas as pd

from theradose.features.dictionary import DICTIONARY, covariates_dictionary, feature_meaning, features_dictionary
from theradose.tables import COVARIATE_MANIFEST, FEATURES, checked


def features() -> pd.DataFrame:
    kinds = [("pet", "firstorder", "Mean"), ("pet", "voi", "volume_ml"), ("pet", "local", "tlu"), ("ct", "glcm", "MCC")]
    rows = [{"modality": m, "feature_class": kind, "feature": name, "value": 1.0} for m, kind, name in kinds]
    table = pd.DataFrame(rows).assign(patient="a", session="ses-pre", time_h=1.0, voi="liver", filter="original")
    return checked(table.assign(status="ok"), FEATURES)


def test_every_column_and_every_feature_is_explained():
    table = checked(features_dictionary(features()), DICTIONARY)
    assert set(FEATURES.names()) == set(table["column"])
    assert table.loc[table["of"] == "", "column"].tolist() == FEATURES.names()
    about = table.set_index("of")
    assert about.loc["pet.firstorder.Mean", "unit"] == "g/mL"
    assert about.loc["pet.firstorder.Mean", "meaning"].endswith("IBSI Q4LE; LIFEx INTENSITY-BASED_MeanIntensity")
    assert about.loc["pet.voi.volume_ml", "unit"] == "mL"
    assert about.loc["pet.local.tlu", "unit"] == "g/mL.mL"
    assert about.loc["ct.glcm.MCC", ["unit", "meaning"]].tolist() == ["1", "glcm MCC"]


def test_a_table_without_rows_has_its_columns_explained():
    table = features_dictionary(pd.DataFrame(columns=FEATURES.names()))
    assert table["column"].tolist() == FEATURES.names()


def test_covariates_are_explained_as_in_their_manifest():
    row = {"column": "clinical.age_y", "block": "clinical", "source": "participants.tsv", "unit": "y"}
    manifest = pd.DataFrame([{**row, "leak_class": "pre_therapy", "meaning": "age at therapy"}])
    table = checked(covariates_dictionary(checked(manifest, COVARIATE_MANIFEST)), DICTIONARY)
    assert table["column"].tolist() == ["patient", "voi", "clinical.age_y"]
    assert table.iloc[-1].tolist() == ["clinical.age_y", "clinical", "number", "y", "age at therapy"]


def test_a_feature_nobody_knows_has_its_own_name_as_meaning():
    assert feature_meaning("glcm", "Homogeneity9") == "glcm Homogeneity9"
