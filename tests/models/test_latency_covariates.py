import numpy as np
import pandas as pd
import pytest

from theradose.errors import DataError, LeakageError, SettingsError
from theradose.features.manifest import manifest
from theradose.models.latency_covariates import empty_columns, latency_covariates, surrogate_columns

ORGANS = ("kidneys", "parotids", "liver", "spleen", "marrow", "lesions")
EVENTS = ("kidney_toxicity", "xerostomia", "marrow_toxicity", "response")
PLACES = {"a": ("train", 0), "b": ("train", 1), "c": ("test", -1)}
SPLITS = pd.DataFrame([(p, *place) for p, place in PLACES.items()], columns=["patient", "partition", "fold"])
PEOPLE = pd.DataFrame({"patient": list("abcx"), "administered_mbq": 7400.0})


def predicted(predictor, names, column, value, places=None):
    """Return a row for each patient and name with a predicted value."""
    rows = [
        {"predictor": predictor, "patient": p, column: name, "partition": partition, "fold": fold}
        for p, (partition, fold) in (places or PLACES).items()
        for name in names
    ]
    what = "predicted_gy_per_gbq" if column == "voi" else "probability"
    return pd.DataFrame(rows).assign(**{what: value})


def made(**changes):
    """Return what the function gives for three patients, with changed arguments."""
    early = manifest().query("leak_class == 'pre_therapy'")["column"]
    raw = pd.DataFrame({"patient": list("abcx"), "voi": "kidneys", **dict.fromkeys(early, 1.0)})
    given = {
        "covariates": pd.concat([raw, raw.assign(voi="liver")]), "participants": PEOPLE, "splits": SPLITS,
        "doses": predicted("hybrid", ORGANS, "voi", 0.5), "dose_predictor": "hybrid",
        "surrogates": (
            predicted("multitask", ORGANS, "voi", 0.5), predicted("multitask", EVENTS, "outcome", 0.25),
        ),
        "surrogate_predictor": "multitask", "t_eff_h": {},
    }  # fmt: skip
    given |= changes
    return latency_covariates(given.pop("covariates"), given.pop("participants"), given.pop("splits"), **given)


def test_all_130_columns_are_filled_in_the_order_of_the_manifest():
    table, rows = made()
    assert list(table.columns) == ["patient", "voi", *rows["column"]]
    assert table.shape == (3, 132)
    assert list(table["patient"]) == ["a", "b", "c"]
    assert np.isfinite(table[rows["column"]].to_numpy()).all()
    assert empty_columns(table) == []
    assert table.loc[0, "surrogate.kidneys.log_dose"] == pytest.approx(np.log(0.5))
    assert table.loc[0, "surrogate.response.logit"] == pytest.approx(-np.log(3.0))
    assert table.loc[0, "predicted.liver.course_dose_gy"] == pytest.approx(3.7)


def test_without_surrogates_ten_columns_stay_empty():
    table, rows = made(surrogates=None)
    assert empty_columns(table) == list(rows.query("block == 'surrogate'")["column"])
    assert len(empty_columns(table)) == 10


def test_certain_events_have_finite_log_odds():
    events = predicted("multitask", EVENTS, "outcome", [0.0, 1.0] * 6)
    found = surrogate_columns(predicted("multitask", ORGANS, "voi", 0.0), events, "multitask")
    assert np.abs(found.filter(like="logit").to_numpy()).max() == pytest.approx(np.log(1e6), rel=1e-3)
    assert found.filter(like="log_dose").isna().all(axis=None)


@pytest.mark.parametrize("which", ["doses", "surrogate_doses", "surrogate_events"])
def test_a_training_patient_out_of_every_fold_is_a_leak(which):
    """The split itself may be at fault: then every other table leaves the patient out."""
    bare = {**PLACES, "a": ("train", -1)}
    tables = {
        "doses": predicted("hybrid", ORGANS, "voi", 0.5, bare),
        "surrogate_doses": predicted("multitask", ORGANS, "voi", 0.5, bare),
        "surrogate_events": predicted("multitask", EVENTS, "outcome", 0.25, bare),
    }
    tables = {name: table if name == which else drop_a(table) for name, table in tables.items()}
    surrogates = tables["surrogate_doses"], tables["surrogate_events"]
    with pytest.raises(LeakageError, match="not out of fold"):
        made(splits=SPLITS.assign(fold=[-1, 1, -1]), doses=tables["doses"], surrogates=surrogates)


def drop_a(table):
    return table[table["patient"] != "a"]


def test_predictions_of_another_split_are_a_leak():
    for moved in ({"a": ("test", -1)}, {"a": ("train", 1)}):
        with pytest.raises(LeakageError, match="another split"):
            made(doses=predicted("hybrid", ORGANS, "voi", 0.5, {**PLACES, **moved}))


def test_a_missing_predictor_and_wrong_presets_are_refused():
    with pytest.raises(SettingsError, match="nothing was predicted"):
        made(dose_predictor="mlp")
    with pytest.raises(DataError, match="lifex71"):
        made(covariates=pd.DataFrame({"patient": ["a"], "voi": ["kidneys"]}))


def test_a_patient_nobody_predicted_keeps_his_other_columns():
    table, _ = made(doses=drop_a(predicted("hybrid", ORGANS, "voi", 0.5)))
    own = table.set_index("patient").loc["a"]
    assert np.isnan(own["predicted.kidneys.course_bed_gy"])
    assert own["clinical.age_y"] == 1.0
