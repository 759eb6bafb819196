import numpy as np
import pandas as pd
import pytest

from theradose.evaluation.score_table import best_of
from theradose.evaluation.tiac import evaluate, true_tiacs
from theradose.experiment_sections import ExperimentSettings
from theradose.learning_schemas import TIAC_PREDICTIONS
from theradose.models.fitting import fit_parts
from theradose.models.predictors import TrainingPlan
from theradose.models.store import Trained
from theradose.models.tiac import calibrate, card, score, subset
from theradose.models.tiac_examples import log_tiac
from theradose.models.tiac_predictors import TIAC_PREDICTORS
from theradose.physics.kinetic_models import shape_integral
from theradose.physics.nuclides import nuclide
from theradose.tables import METRICS, read_table, write_table
from theradose.truth_schemas import TRUTH_VOI

NAMES = ("tiac_mean", "tiac_pet_scaled", "tiac_ridge")
SETTINGS = ExperimentSettings(
    name="tiac", kind="tiac", title="TIAC", organs=("kidneys",), baselines=NAMES[:2], predictors=NAMES[2:]
)
GIVEN_GBQ, UPTAKE_PER_H = 7.4, 0.9


def planted(patients, uptake_fraction, t_bio_h, folder):
    """Write the truth of patients with kidneys of one term and an uptake phase of Lu-177."""
    half_life_h = nuclide("Lu-177").half_life_h
    t_eff_h = 1.0 / (1.0 / t_bio_h + 1.0 / half_life_h)
    tia = GIVEN_GBQ * 1000.0 * uptake_fraction * shape_integral(np.log(2.0) / t_eff_h, UPTAKE_PER_H)
    rows = [
        pd.DataFrame(
            {
                "patient": patients, "cycle": 1, "voi": voi, "mass_g": 150.0, "tia_mbq_h": tia / 2.0, "dose_gy": 3.7,
                "dose_gy_per_gbq": 0.5, "t_eff_h": t_eff_h, "uptake_fraction": uptake_fraction / 2.0,
            }
        )
        for voi in ("kidney_left", "kidney_right")
    ]  # fmt: skip
    folder.mkdir(exist_ok=True)
    write_table(pd.concat(rows), folder / "truth_voi.parquet", TRUTH_VOI)
    return folder


def test_truth_moves_both_constants(tmp_path):
    folder = planted(["v001"], np.array([0.05]), np.array([60.0]), tmp_path)
    found = true_tiacs(folder, "Lu-177")
    for name in ("Lu-177", "Y-90", "I-131"):
        lambda_h = np.log(2.0) / 60.0 + nuclide(name).lambda_per_h
        uptake_h = UPTAKE_PER_H - nuclide("Lu-177").lambda_per_h + nuclide(name).lambda_per_h
        tiac, t_eff = found["v001", "kidneys", name]
        assert tiac == pytest.approx(0.05 * float(shape_integral(lambda_h, uptake_h)), rel=1e-9)
        assert t_eff == pytest.approx(np.log(2.0) / lambda_h, rel=1e-9)


@pytest.fixture(scope="module")
def judged(tiac_organ, tmp_path_factory):
    everyone, training = tiac_organ(n_patients=50, n_test=16)
    names = list(training.patients)
    folds = [([n for i, n in enumerate(names) if i % 2 != k], names[k::2]) for k in range(2)]
    models = {}
    for name in NAMES:
        found = fit_parts(
            TIAC_PREDICTORS[name], {"kidneys": training}, {"kidneys": {}}, folds=folds, subset=subset, score=score,
            calibrate=calibrate, card=card, seed=2, training=TrainingPlan(),
        )  # fmt: skip
        models[name] = Trained(found.predictors, found.calibration, {}, found.out_of_fold)
    out = tmp_path_factory.mktemp("judged")
    truth = planted(list(everyone.patients), everyone.uptake_fraction, everyone.t_bio_h, out / "truth")
    places = {patient: i % 2 for i, patient in enumerate(names)}
    evaluate(settings=SETTINGS, parts={"kidneys": everyone}, models=models, folds=places, truth=truth, seed=5, out=out)
    return everyone, training, models, out


def cell(table, **wanted):
    rows = table
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1, wanted
    return rows.iloc[0]


def test_predictions_are_out_of_fold_in_training_and_of_the_model_elsewhere(judged):
    everyone, training, models, out = judged
    table = read_table(out / "predictions.tsv", TIAC_PREDICTIONS)
    assert len(table) == len(NAMES) * len(everyone) * 3
    half_life_h = nuclide("Y-90").half_life_h
    where = {"predictor": "tiac_ridge", "radionuclide": "Y-90"}
    row = cell(table, patient=training.patients[3], **where)
    own = log_tiac(models["tiac_ridge"].out_of_fold["kidneys"], half_life_h)[3]
    assert (row["partition"], row["fold"]) == ("train", 1)
    assert row["median_tiac_h"] == pytest.approx(np.exp(own))
    last = everyone.patients[-1]
    row = cell(table, patient=last, **where)
    said = models["tiac_ridge"].predictors["kidneys"].predict(subset(everyone, [last]))
    assert (row["partition"], row["fold"]) == ("test", -1)
    assert row["median_tiac_h"] == pytest.approx(np.exp(log_tiac(said, half_life_h))[0])
    assert row["label_tiac_h"] == pytest.approx(everyone.label_tiac_h["Y-90"][-1])


def test_scores_hold_what_decides_and_what_the_time_constant_is_worth(judged):
    _, _, _, out = judged
    scores = read_table(out / "metrics.tsv", METRICS)
    predictions = read_table(out / "predictions.tsv", TIAC_PREDICTIONS)
    test = {"reference": "label", "partition": "test", "voi": "kidneys", "predictor": "tiac_ridge"}
    value = {name: cell(scores, metric=name, **test)["value"] for name in ("mape", "mape_lu177", "mape_y90")}
    assert value["mape"] == value["mape_lu177"]
    rows = predictions[(predictions["predictor"] == "tiac_ridge") & (predictions["partition"] == "test")]
    y90 = rows[rows["radionuclide"] == "Y-90"].set_index("patient")
    apart = (y90["predicted_tiac_h"] - y90["label_tiac_h"]).abs() / y90["label_tiac_h"]
    assert value["mape_y90"] == pytest.approx(100.0 * apart.mean())
    lu177 = rows[rows["radionuclide"] == "Lu-177"].set_index("patient")["predicted_tiac_h"]
    for name, factor in (("same", 1.0), ("naive", nuclide("Y-90").half_life_h / nuclide("Lu-177").half_life_h)):
        off = (factor * lu177 - y90["label_tiac_h"]).abs() / y90["label_tiac_h"]
        found = cell(scores, metric=f"mape_{name}_y90", **test)["value"]
        assert found == pytest.approx(100.0 * off.mean())
        assert found > value["mape_y90"]
    assert cell(scores, metric="mape_t_eff", **test)["unit"] == "%"


def test_best_baseline_is_chosen_out_of_fold_and_stands_at_zero(judged):
    _, _, _, out = judged
    scores = read_table(out / "metrics.tsv", METRICS)
    standard = best_of(scores, NAMES[:2])
    own = scores[(scores["metric"] == "mape_minus_best_baseline") & (scores["predictor"] == standard)]
    assert len(own) == 2 * 2 * 2
    assert (own[["value", "low", "high"]] == 0.0).all().all()
    assert set(scores["reference"]) == {"label", "truth"}


def test_scores_against_the_truth_know_the_uptake_phase(judged):
    _, _, _, out = judged
    table = read_table(out / "predictions.tsv", TIAC_PREDICTIONS)
    lu177 = table[table["radionuclide"] == "Lu-177"]
    # Labels of the fixture have no uptake phase, so the planted TIAC is a little smaller.
    assert (lu177["truth_tiac_h"] < lu177["label_tiac_h"]).all()
    assert (lu177["truth_tiac_h"] > 0.95 * lu177["label_tiac_h"]).all()
    np.testing.assert_allclose(lu177["truth_t_eff_h"], lu177["label_t_eff_h"], rtol=1e-9)
