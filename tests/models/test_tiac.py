import json

import numpy as np
import pandas as pd
import pytest

from theradose.errors import DataError, SettingsError
from theradose.experiment_sections import ExperimentSettings
from theradose.models.examples import SUV, VOLUME, WEIGHT
from theradose.models.fitting import fit_parts
from theradose.models.new_patients import predict_new
from theradose.models.new_tiac import predict_new_tiacs
from theradose.models.predictors import TrainingPlan
from theradose.models.store import Trained, load_model, save_model
from theradose.models.tiac import calibrate, card, finish, load, residuals_of, score, subset
from theradose.models.tiac_examples import LONGEST_T_BIO, log_tiac, t_eff_of, targets
from theradose.models.tiac_predictors import TIAC_PREDICTORS, TiacHybrid, TiacMean, TiacMlp, TiacPetScaled, TiacRidge
from theradose.physics.nuclides import nuclide
from theradose.tables import COVARIATE_MANIFEST, COVARIATES, SPLITS, TIAC, write_table

LU, Y = nuclide("Lu-177").half_life_h, nuclide("Y-90").half_life_h
PLAN = TrainingPlan(epochs=150, patience=40, batch_size=32)


def fitted(predictor, examples, **parameters):
    model = predictor(**parameters)
    model.fit(examples, seed=3, training=PLAN)
    return model


def curve(patient="v001", voi="liver", *, cycle=1, tiac_h=2.0, t_eff_h=40.0, flags="", parameters=None):
    """Return one row of the kinetics table."""
    one = {"a1_mbq": tiac_h * np.log(2.0) / t_eff_h, "lambda1_per_h": np.log(2.0) / t_eff_h}
    return {
        "patient": patient, "cycle": cycle, "voi": voi, "radionuclide": "Lu-177", "tiac_h": tiac_h, "t_eff_h": t_eff_h,
        "parameters": json.dumps(one if parameters is None else parameters), "flags": flags,
    }  # fmt: skip


def test_targets_give_the_curve_back():
    (row,) = targets(pd.DataFrame([curve()])).to_dict("records")
    assert 1.0 / row["t_bio_h"] == pytest.approx(1.0 / 40.0 - 1.0 / LU)
    assert row["Lu-177"] == 2.0
    t_eff_y90_h = 1.0 / (1.0 / row["t_bio_h"] + 1.0 / Y)
    assert row["Y-90"] == pytest.approx(2.0 * t_eff_y90_h / 40.0)


def test_vois_of_one_organ_add_up():
    both = [curve(voi="kidney_left", tiac_h=1.0, t_eff_h=30.0), curve(voi="kidney_right", tiac_h=2.0, t_eff_h=60.0)]
    (row,) = targets(pd.DataFrame(both)).to_dict("records")
    assert (row["voi"], row["Lu-177"]) == ("kidneys", 3.0)
    # Fractions 1/30 and 2/60 are equal, so the half-life is the plain mean.
    assert 1.0 / (1.0 / row["t_bio_h"] + 1.0 / LU) == pytest.approx(45.0)
    alone = targets(pd.DataFrame(both[:1]))["Y-90"][0] + targets(pd.DataFrame(both[1:]))["Y-90"][0]
    assert row["Y-90"] == pytest.approx(alone)


def test_impossible_curves_teach_nothing_and_the_next_cycle_takes_their_place():
    rows = [
        curve(voi="kidney_left", flags="poor_fit;impossible_tia"), curve(voi="kidney_right"),
        curve(voi="kidney_left", cycle=2, tiac_h=5.0), curve(voi="kidney_right", cycle=2, tiac_h=6.0),
        curve(voi="spleen", flags="impossible_half_life"),
    ]  # fmt: skip
    found = targets(pd.DataFrame(rows))
    assert found["voi"].tolist() == ["kidneys"]
    assert found["Lu-177"].tolist() == [11.0]


def test_no_washout_ends_at_the_longest_half_life_and_keeps_its_tiac(tiac_organ):
    (row,) = targets(pd.DataFrame([curve(t_eff_h=LU)])).to_dict("records")
    assert row["t_bio_h"] == pytest.approx(LONGEST_T_BIO * LU)
    examples = tiac_organ()[0]
    prediction = np.log(np.column_stack([examples.uptake_fraction, examples.t_bio_h]))
    np.testing.assert_allclose(log_tiac(prediction, LU), examples.base.log_dose, rtol=1e-12)
    np.testing.assert_allclose(t_eff_of(prediction, LU), examples.t_eff_h, rtol=1e-12)
    assert score(examples, prediction) == pytest.approx(0.0, abs=1e-12)


def test_a_method_without_a_curve_is_translated_as_one_term():
    plain, bare = (targets(pd.DataFrame([curve(parameters=p)])) for p in (None, {"last_mbq": 1.0}))
    assert bare["Y-90"][0] == pytest.approx(plain["Y-90"][0])


def test_several_radionuclides_are_refused():
    with pytest.raises(SettingsError, match="one radionuclide"):
        targets(pd.DataFrame([curve(), {**curve("v002"), "radionuclide": "Y-90"}]))


def written(folder, covariates, manifest, curves, splits):
    return {
        "covariates": write_table(covariates, folder / "covariates.tsv", COVARIATES),
        "covariate_manifest": write_table(manifest, folder / "covariate_manifest.tsv", COVARIATE_MANIFEST),
        "tiac": write_table(curves, folder / "tiac.tsv", TIAC), "splits": write_table(splits, folder / "s.tsv", SPLITS),
    }  # fmt: skip


SETTINGS = ExperimentSettings(
    name="tiac", kind="tiac", title="TIAC", organs=("kidneys",), baselines=("tiac_mean",), predictors=("tiac_ridge",)
)


def test_load_says_who_is_left_out(tiac_tables, tmp_path):
    covariates, manifest, curves, splits = tiac_tables(n_patients=12, n_test=3)
    curves.loc[curves["patient"] == "v001", "flags"] = "impossible_sum"
    covariates.loc[covariates["patient"] == "v002", VOLUME] = np.nan
    covariates.loc[covariates["patient"] == "v003", SUV] = np.nan
    files = written(tmp_path, covariates, manifest, curves, splits)
    examples = load(**files, settings=SETTINGS, labels=None)["kidneys"]
    assert {p: why.split(" (")[0] for p, why in examples.left_out.items()} == {
        "v001": "no curve of this organ that physics allows", "v002": "no volume", "v003": "no PET uptake",
    }  # fmt: skip
    assert len(examples) == 9
    narrow = load(**files, settings=SETTINGS.model_copy(update={"features": ("radiomic.half",)}))["kidneys"]
    assert set(narrow.base.covariates) == {SUV, WEIGHT, VOLUME, "radiomic.half"}
    with pytest.raises(SettingsError, match="fitted curves"):
        load(**{**files, "tiac": None}, settings=SETTINGS)


def test_two_predictors_are_the_two_alone(tiac_organ):
    everyone, training = tiac_organ()
    own = fitted(TiacPetScaled, training).predict(everyone)
    log_x = np.log(everyone.base.column(SUV) * everyone.base.column(VOLUME) / everyone.base.column(WEIGHT))
    assert np.ptp(own[:, 0] - log_x) < 1e-12
    assert own[0, 1] == pytest.approx(np.log(training.t_bio_h).mean())
    mean = fitted(TiacMean, training).predict(everyone)
    assert mean[0, 0] == pytest.approx(np.log(training.uptake_fraction).mean())


@pytest.mark.parametrize("predictor", [TiacRidge, TiacHybrid, TiacMlp])
def test_both_heads_learn(tiac_organ, predictor):
    everyone, _ = tiac_organ(n_patients=90, n_test=30)
    training = subset(
        everyone, [p for p, where in zip(everyone.patients, everyone.partitions, strict=True) if where == "train"]
    )
    test = subset(everyone, [p for p in everyone.patients if p not in set(training.patients)])

    def errors(model):
        said, wanted = model.predict(test), np.log(np.column_stack([test.uptake_fraction, test.t_bio_h]))
        return np.abs(said - wanted).mean(axis=0)

    own, mean = errors(fitted(predictor, training)), errors(fitted(TiacMean, training))
    assert (own < 0.75 * mean).all()


def test_physics_layer_agrees_with_the_translation(tiac_organ):
    everyone, training = tiac_organ()
    model = fitted(TiacMlp, training)
    output = model.network(*model._inputs(everyone)).detach().numpy() * model.network.unit.numpy()
    heads = model.predict(everyone)
    np.testing.assert_allclose(output[:, 0], log_tiac(heads, LU), atol=1e-5)
    np.testing.assert_allclose(output[:, 1], np.log(t_eff_of(heads, LU)), atol=1e-5)


def folds_of(training):
    names = list(training.patients)
    return [([n for i, n in enumerate(names) if i % 2 != k], names[k::2]) for k in range(2)]


@pytest.fixture(scope="module", params=["tiac_hybrid", "tiac_mlp"])
def trained(request, tiac_organ):
    everyone, training = tiac_organ()
    shared = {"folds": folds_of(training), "subset": subset, "score": score, "calibrate": calibrate, "card": card}
    found = fit_parts(
        TIAC_PREDICTORS[request.param], {"kidneys": training}, {"kidneys": {}}, seed=2,
        training=TrainingPlan(epochs=5, patience=5), **shared,
    )  # fmt: skip
    finish({"kidneys": training}, found)
    about = {"kind": "tiac", "experiment": "tiac", "predictor": request.param, "interval": 0.9, "parts": found.cards}
    table = everyone.base.covariates.assign(patient=everyone.patients, voi="kidneys", centre="north")
    return Trained(found.predictors, found.calibration, about, found.out_of_fold), training, everyone, table


def test_calibration_has_residuals_of_every_radionuclide(trained):
    model, training, _, _ = trained
    own = model.out_of_fold["kidneys"]
    wanted = np.sort(np.log(training.label_tiac_h["Y-90"]) - log_tiac(own, Y))
    np.testing.assert_array_equal(model.calibration["kidneys"][residuals_of("Y-90")], wanted)


def test_new_patients_get_every_radionuclide(trained, tmp_path):
    model, _, everyone, table = trained
    save_model(tmp_path, model)
    found = predict_new_tiacs(load_model(tmp_path), table)
    rows = found[found["radionuclide"] == "Y-90"]
    heads = model.predictors["kidneys"].predict(everyone)
    np.testing.assert_allclose(rows["median_h"], np.exp(log_tiac(heads, Y)), rtol=1e-6)
    np.testing.assert_allclose(rows["t_eff_h"], t_eff_of(heads, Y), rtol=1e-6)
    assert ((found["low_h"] < found["tiac_h"]) & (found["tiac_h"] < found["high_h"])).all()
    assert (found.loc[found["radionuclide"] == "Lu-177", "dose_ratio"] == 1.0).all()
    assert set(found["radionuclide"]) >= {"Lu-177", "Y-90", "I-131"}


def test_new_patients_without_volume_or_uptake_get_no_number(trained):
    model, _, _, table = trained
    for column, why in ((VOLUME, "no volume"), (SUV, "no PET uptake")):
        found = predict_new_tiacs(model, table.iloc[[0]].assign(**{column: np.nan}))
        assert found["tiac_h"].isna().all()
        assert why in found["reasons"][0][0]


def test_other_kinds_of_model_are_refused(trained):
    model, _, _, table = trained
    with pytest.raises(DataError, match="no organ doses"):
        predict_new(model, table)
    with pytest.raises(DataError, match="no TIACs"):
        predict_new_tiacs(Trained({}, {}, {"kind": "organ_dose"}), table)
