import numpy as np
import pandas as pd
import pytest

from theradose.cohort.participants import CLINICAL_COLUMNS
from theradose.errors import DataError, LeakageError
from theradose.features.covariates import assemble, pre_therapy_columns
from theradose.features.sessions import feature_unit
from theradose.tables import COVARIATE_MANIFEST, COVARIATES, FEATURES, checked

ORGANS = ("kidneys", "liver", "spleen")


def feature_rows(patient: str, voi: str, factor: float, *, modality: str = "pet", time_h: float = 1.0) -> list[dict]:
    where = {"patient": patient, "session": "ses-pre", "modality": modality, "time_h": time_h, "voi": voi}
    own = [("original", "voi", "mean", 3.0), ("original", "voi", "volume_ml", 50.0)] if modality == "pet" else []
    values = [
        ("original", "firstorder", "Mean", 3.0),
        ("original", "shape", "MeshVolume", 50000.0),
        ("log-sigma-8-0-mm-3D", "glcm", "Contrast", 7.0),
        ("log-sigma-16-0-mm-3D", "glcm", "Contrast", np.nan),
        *own,
    ]
    return [
        {
            **where,
            "filter": f,
            "feature_class": kind,
            "feature": name,
            "value": value * factor,
            "status": "ok" if np.isfinite(value) else "scale above the radius of the VOI",
        }
        for f, kind, name, value in values
    ]


def features(*parts: list[dict]) -> pd.DataFrame:
    return checked(pd.DataFrame([row for part in parts for row in part]), FEATURES)


@pytest.fixture
def table() -> pd.DataFrame:
    return features(
        feature_rows("a", "kidneys", 1.0),
        feature_rows("a", "liver", 2.0),
        feature_rows("b", "kidneys", 3.0),
        feature_rows("b", "kidneys", 30.0, modality="ct", time_h=np.nan),
    )


@pytest.fixture
def participants() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "patient": ["a", "b", "c"],
            "centre": ["north", "south", "north"],
            "weight_kg": [80.0, 70.0, 60.0],
            "height_cm": [180.0, 170.0, 160.0],
            "administered_mbq": [7400.0, 7300.0, 7200.0],
            "radionuclide": ["Lu-177"] * 3,
            "age_y": [71.0, np.nan, 60.0],
            "diabetes": ["yes", "no", ""],
            "psa_ng_per_ml": [np.nan] * 3,
        }
    )


def test_one_row_per_patient_and_organ_that_someone_has(table, participants):
    wide, _ = assemble(table, participants, ["b", "a"], ORGANS)
    rows = list(zip(wide["patient"], wide["voi"], strict=True))
    assert rows == [("a", "kidneys"), ("a", "liver"), ("b", "kidneys"), ("b", "liver")]
    checked(wide, COVARIATES)


def test_values_land_in_their_cells_and_missing_ones_stay_missing(table, participants):
    wide = assemble(table, participants, ["a", "b"], ORGANS)[0].set_index(["patient", "voi"])
    assert wide.loc[("a", "liver"), "pet.original.firstorder.Mean"] == 6.0
    assert wide.loc[("b", "kidneys"), "pet.log-sigma-8-0-mm-3D.glcm.Contrast"] == 21.0
    assert wide.loc[("b", "kidneys"), "ct.original.firstorder.Mean"] == 90.0
    assert np.isnan(wide.loc[("a", "kidneys"), "ct.original.firstorder.Mean"])
    assert np.isnan(wide.loc[("b", "liver"), "pet.original.firstorder.Mean"])
    assert wide.loc[("b", "liver"), "clinical.weight_kg"] == 70.0
    assert np.isnan(wide.loc[("b", "liver"), "clinical.age_y"])


def test_the_physics_block_holds_uptake_volume_and_weight(table, participants):
    wide, manifest = assemble(table, participants, ["a", "b"], ORGANS)
    row = wide.set_index(["patient", "voi"]).loc[("b", "kidneys")]
    assert row[["physics.pet_suv_mean", "physics.volume_ml", "physics.weight_kg"]].tolist() == [9.0, 150.0, 70.0]
    assert set(manifest.loc[manifest["block"] == "physics", "column"]) == {
        "physics.pet_suv_mean", "physics.volume_ml", "physics.weight_kg",
    }  # fmt: skip


def test_the_manifest_describes_every_column_and_all_are_known_before_therapy(table, participants):
    wide, manifest = assemble(table, participants, ["a", "b"], ORGANS)
    checked(manifest, COVARIATE_MANIFEST)
    assert list(manifest["column"]) == list(wide.columns[2:])
    assert set(manifest["leak_class"]) == {"pre_therapy"}
    units = manifest.set_index("column")["unit"]
    assert units["pet.original.firstorder.Mean"] == "g/mL"
    assert units["ct.original.firstorder.Mean"] == "HU"
    assert units["pet.original.shape.MeshVolume"] == "mm3"
    assert units["clinical.age_y"] == "y"


def test_words_become_zero_and_one(table, participants):
    wide = assemble(table, participants, ["a", "b", "c"], ORGANS)[0].set_index(["patient", "voi"])
    found = [wide.loc[(patient, "liver"), "clinical.diabetes"] for patient in "abc"]
    assert found[:2] == [1.0, 0.0]
    assert np.isnan(found[2])


def test_columns_in_which_nobody_has_a_value_are_left_out(table, participants):
    wide, _ = assemble(table, participants, ["a", "b"], ORGANS)
    assert not [c for c in wide if "16-0" in c or "psa" in c]


def test_centre_and_activity_are_no_covariates(table, participants):
    wide, _ = assemble(table, participants, ["a", "b"], ORGANS)
    assert not [c for c in wide if "centre" in c or "administered" in c]


def test_a_clinical_column_after_therapy_is_refused(table, participants):
    later = participants.assign(egfr_after_therapy_ml_min=50.0)
    with pytest.raises(LeakageError, match="egfr_after_therapy_ml_min"):
        assemble(table, later, ["a", "b"], ORGANS)
    before, left_out = pre_therapy_columns(later)
    assert left_out == ["egfr_after_therapy_ml_min"]
    assemble(table, before, ["a", "b"], ORGANS)


def test_features_of_a_therapy_session_are_refused(table, participants):
    with pytest.raises(LeakageError, match="ses-tx1"):
        assemble(table.assign(session="ses-tx1"), participants, ["a", "b"], ORGANS)


def test_a_clinical_word_that_is_no_number_is_refused(table, participants):
    with pytest.raises(DataError, match="often"):
        assemble(table, participants.assign(smoker=["yes", "often", "no"]), ["a", "b"], ORGANS)


def test_a_second_pet_is_named_by_its_nominal_time_and_its_change_is_a_column(participants):
    both = features(
        feature_rows("a", "liver", 2.0, time_h=23.1),
        feature_rows("a", "liver", 1.0, time_h=1.0),
        feature_rows("b", "liver", 5.0, time_h=1.2),
    )
    wide, manifest = assemble(both, participants, ["a", "b"], ORGANS)
    wide, about = wide.set_index("patient"), manifest.set_index("column")
    assert wide["pet.original.firstorder.Mean"].tolist() == [3.0, 15.0]
    assert wide.loc["a", "pet_24h.original.firstorder.Mean"] == 6.0
    assert wide["physics.pet_suv_mean"].tolist() == [3.0, 15.0]
    change = "delta.pet_24h-pet.original.firstorder.Mean"
    assert wide.loc["a", change] == pytest.approx(np.log(2.0))
    assert np.isnan(wide.loc["b", change])
    assert about.loc[change, ["unit", "leak_class"]].tolist() == ["1", "pre_therapy"]
    assert not [c for c in wide if c.startswith("delta") and "shape" in c]
    assert list(manifest["column"]) == [c for c in wide.columns if c != "voi"]


def test_without_features_nothing_is_invented(participants):
    wide, manifest = assemble(features(feature_rows("a", "liver", 1.0)), participants, ["b"], ORGANS)
    assert wide.empty
    assert set(manifest["block"]) <= {"clinical", "biological", "physics"}


def test_every_catalogued_column_is_taken(table, participants):
    full = participants.assign(**{name: float(known.low) for name, known in CLINICAL_COLUMNS.items()})
    wide, _ = assemble(table, full, ["a"], ORGANS)
    for name, known in CLINICAL_COLUMNS.items():
        assert (wide[f"{known.block}.{name}"] == known.low).all()


@pytest.mark.parametrize(
    ("modality", "kind", "name", "unit"),
    [
        ("ct", "firstorder", "Variance", "(HU)^2"),
        ("pet", "firstorder", "TotalEnergy", "(g/mL)^2.mm3"),
        ("pet", "firstorder", "Skewness", "1"),
        ("pet", "shape", "Maximum2DDiameterSlice", "mm"),
        ("pet", "shape", "LeastAxisLength", "mm"),
        ("pet", "shape", "Sphericity", "1"),
        ("pet", "glcm", "Contrast", "1"),
    ],
)
def test_units_of_features(modality, kind, name, unit):
    assert feature_unit(modality, kind, name) == unit
