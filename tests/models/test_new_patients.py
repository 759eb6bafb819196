from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from theradose.errors import DataError, SettingsError
from theradose.experiment_sections import ExperimentSettings, HarmoniseSettings
from theradose.models.examples import SUV
from theradose.models.linear import RidgeDose
from theradose.models.new_patients import predict_new
from theradose.models.organ_dose import RESIDUALS, calibrate, card, load, natural, outside, score
from theradose.models.predictors import TrainingPlan
from theradose.models.store import Trained
from theradose.tables import COVARIATE_MANIFEST, COVARIATES, ORGAN_DOSE, SPLITS, STABILITY, write_table


@pytest.fixture
def trained(organ_examples):
    training, everyone, _ = organ_examples()
    model = RidgeDose(k=4)
    model.fit(training, seed=1, training=TrainingPlan())
    calibration = calibrate(training, model.predict(training) + np.linspace(-0.5, 0.5, len(training)))
    cards = {"kind": "organ_dose", "predictor": "ridge", "interval": 0.9, "parts": {"kidneys": card(training)}}
    table = everyone.covariates.assign(patient=everyone.patients, voi="kidneys")
    return Trained({"kidneys": model}, {"kidneys": calibration}, cards), everyone, table


def test_predicts_as_the_evaluation_does(trained):
    model, everyone, table = trained
    found = predict_new(model, table)
    doses = natural(model.predictors["kidneys"].predict(everyone), model.calibration["kidneys"]["log_residuals"], 0.9)
    np.testing.assert_allclose(found["dose_gy_per_gbq"], doses.point, rtol=1e-12)
    np.testing.assert_allclose(found["high_gy_per_gbq"], doses.high, rtol=1e-12)
    assert (found["low_gy_per_gbq"] < found["median_gy_per_gbq"]).all()


def test_training_patients_are_not_in_doubt(trained):
    model, everyone, table = trained
    found = predict_new(model, table)
    inside = np.array(everyone.partitions) == "train"
    assert not any(found.loc[inside, "reasons"])


def test_input_outside_the_training_range_is_said(trained):
    model, _, table = trained
    one = table.iloc[[0]].copy()
    one[SUV] = one[SUV] * 100.0
    found = predict_new(model, one)
    assert np.isfinite(found["dose_gy_per_gbq"][0])
    assert "outside the training range" in found["reasons"][0][0]
    assert SUV in found["reasons"][0][0]


def test_missing_uptake_gives_a_reason_and_no_number(trained):
    model, _, table = trained
    found = predict_new(model, table.iloc[[0]].assign(**{SUV: np.nan}))
    assert np.isnan(found["dose_gy_per_gbq"][0])
    assert "no PET uptake" in found["reasons"][0][0]


def test_patient_without_the_organ_gets_a_row_all_the_same(trained):
    model, _, table = trained
    found = predict_new(model, table.iloc[[0]].assign(voi="spleen"))
    assert found["voi"].tolist() == ["kidneys"]
    assert np.isnan(found["dose_gy_per_gbq"][0])


def test_missing_columns_count_as_missing_values(trained, organ_examples):
    model, _, table = trained
    many = RidgeDose(k=8)
    many.fit(organ_examples()[0], seed=1, training=TrainingPlan())
    model.predictors["kidneys"] = many
    found = predict_new(model, table[["patient", "voi", SUV, "physics.weight_kg"]].iloc[[0]])
    assert np.isfinite(found["dose_gy_per_gbq"][0])
    assert any("inputs are missing" in reason for reason in found["reasons"][0])


def test_other_kind_of_model_is_refused(trained):
    _, _, table = trained
    with pytest.raises(DataError, match="no organ doses"):
        predict_new(Trained({}, {}, {"kind": "dose_map", "parts": {}}), table)


def test_range_box_by_hand():
    ranges = {SUV: [1.0, 100.0]}  # a margin of a tenth of the range on the log scale: 100^0.1 = 1.585
    assert outside({SUV: 150.0}, ranges) == []
    assert len(outside({SUV: 160.0}, ranges)) == 1
    assert len(outside({SUV: 0.6}, ranges)) == 1
    assert len(outside({}, ranges)) == 1


def test_score_is_the_mean_absolute_log_error(organ_examples):
    training, _, _ = organ_examples()
    assert score(training, training.log_dose + 0.25) == pytest.approx(0.25)


def test_load_needs_its_tables(tmp_path):
    settings = ExperimentSettings(name="e", kind="organ_dose", title="E", baselines=("pet_scaled",), predictors=())
    with pytest.raises(SettingsError, match="needs covariates"):
        load(splits=tmp_path, covariates=None, covariate_manifest=None, labels=None, pairs=None, settings=settings)


def test_a_centre_that_was_not_harmonised_is_a_reason_for_doubt(organ_examples):
    training, _, _ = organ_examples()
    training = replace(training, centres=[f"c{i % 2}" for i in range(len(training))])
    model = RidgeDose(k=4)
    model.fit(training, seed=1, training=TrainingPlan(harmonise=HarmoniseSettings(method="combat")))
    ranges = {"parts": {"kidneys": card(training)}}
    trained = Trained(
        {"kidneys": model},
        {"kidneys": {RESIDUALS: np.linspace(-0.2, 0.2, 20)}},
        {"kind": "organ_dose", "predictor": "ridge", "interval": 0.9, **ranges},
    )
    rows = training.covariates.head(3).assign(patient=["n1", "n2", "n3"], voi="kidneys")
    found = predict_new(trained, rows.assign(centre=["c0", "c7", "c1"]))
    assert [any("centre" in reason for reason in reasons) for reasons in found["reasons"]] == [False, True, False]
    assert any("centre c7 is new" in reason for reason in found["reasons"][1])
    assert np.isfinite(found["median_gy_per_gbq"]).all()
    assert all("centre unknown is new" in " ".join(reasons) for reasons in predict_new(trained, rows)["reasons"])


def test_unstable_features_are_not_offered(organ_tables, tmp_path):
    names = {"splits": SPLITS, "covariates": COVARIATES, "covariate_manifest": COVARIATE_MANIFEST, "labels": ORGAN_DOSE}
    covariates, manifest, labels, splits = organ_tables()
    given = {"splits": splits, "covariates": covariates, "covariate_manifest": manifest, "labels": labels}
    files = {name: write_table(given[name], tmp_path / f"{name}.tsv", schema) for name, schema in names.items()}
    settings = ExperimentSettings(
        name="t", kind="organ_dose", title="t", baselines=("ridge",), predictors=(), selection={"stability": 0.9}
    )
    with pytest.raises(SettingsError, match="study of stability"):
        load(**files, pairs=None, settings=settings)
    column = {"voi": "kidneys", "modality": "radiomic", "filter": "noise_1", "feature_class": "x", "feature": "y"}
    row = {**column, "versions": "all", "icc": 0.5, "icc_low": 0.3, "cov": 0.1, "patients": 5, "stable": "no"}
    stability = write_table(pd.DataFrame([row]), tmp_path / "stability.tsv", STABILITY)
    wide = covariates.rename(columns={"radiomic.noise_1": "radiomic.noise_1.x.y"})
    write_table(wide, files["covariates"], COVARIATES)
    renamed = manifest.replace({"column": {"radiomic.noise_1": "radiomic.noise_1.x.y"}})
    write_table(renamed, files["covariate_manifest"], COVARIATE_MANIFEST)
    found = load(**files, pairs=None, settings=settings, stability=stability)["kidneys"].covariates
    assert "radiomic.noise_1.x.y" not in found
    assert "radiomic.noise_2" in found
