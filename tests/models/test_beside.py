"""What a patient's organs say together, and the doubt that a trained model draws from it."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from theradose.models.beside import MEAN, NOISE, VARIANCE, of_parts, others, together, with_others
from theradose.models.examples import SUV, VOLUME, WEIGHT, OrganExamples
from theradose.models.fitting import Fitted
from theradose.models.linear import RidgeDose
from theradose.models.new_patients import input_columns, predict_new
from theradose.models.organ_dose import calibrate, card, finish
from theradose.models.predictors import TrainingPlan
from theradose.models.store import Trained, load_model, save_model

ORGANS = {"kidneys": 20.0, "liver": 5.0, "spleen": 8.0}


def parts(n, seed=0, noise=0.15):
    """Return n patients with three organs whose uptakes rise and fall together, and an evenly noisy liver."""
    rng = np.random.default_rng(seed)
    shared, weight = 0.2 * rng.standard_normal(n), 75 * np.exp(0.1 * rng.standard_normal(n))
    found = {}
    for organ, level in ORGANS.items():
        suv = level * np.exp(shared + 0.1 * rng.standard_normal(n))
        sd = suv * noise * np.exp(0.1 * rng.standard_normal(n))
        columns = {SUV: suv, VOLUME: 200 * np.exp(0.1 * rng.standard_normal(n)), WEIGHT: weight}
        table = pd.DataFrame({**columns, VARIANCE: sd**2, MEAN: suv})
        names = [f"p{i}" for i in range(n)]
        found[organ] = OrganExamples(organ, names, ["train"] * n, table, suv / weight)
    return found


def long_table(examples):
    """Return parts as a covariate table, a row for each patient and organ."""
    rows = [one.covariates.assign(patient=list(one.patients), voi=organ) for organ, one in examples.items()]
    return pd.concat(rows, ignore_index=True)


def trained(n=60):
    """Return a ridge for each organ, with what its training patients look like."""
    found = Fitted()
    for organ, examples in parts(n).items():
        model = RidgeDose(k=3)
        model.fit(examples, seed=1, training=TrainingPlan())
        found.predictors[organ], found.cards[organ] = model, card(examples)
        found.calibration[organ] = calibrate(examples, model.predict(examples) + 0.05)
    finish(parts(n), found)
    about = {"kind": "organ_dose", "predictor": "ridge", "interval": 0.9, "parts": found.cards}
    return Trained(found.predictors, found.calibration, about)


def flagged(model, table):
    """Return the part of patients with a reason for doubt about the kidneys."""
    found = predict_new(model, table)
    return np.mean([bool(reasons) for reasons in found.loc[found["voi"] == "kidneys", "reasons"]])


def test_uptakes_and_noise_by_hand():
    table = pd.DataFrame(
        {
            "patient": ["a", "a", "b"], "voi": ["kidneys", "liver", "kidneys"], SUV: [30.0, 5.0, 20.0],
            VARIANCE: [9.0, 1.0, 4.0], MEAN: [30.0, 5.0, 20.0],
        }
    )  # fmt: skip
    found = together(table)
    assert found.loc["a"].to_dict() == {"uptake.kidneys": 30.0, "uptake.liver": 5.0, NOISE: pytest.approx(0.2)}
    assert found.loc["b", ["uptake.liver", NOISE]].isna().all()
    assert others(found, "kidneys") == ["uptake.liver", NOISE]


def test_without_variance_there_is_no_noise():
    assert NOISE not in together(long_table(parts(3)).drop(columns=VARIANCE))


def test_parts_say_what_a_long_table_says():
    pd.testing.assert_frame_equal(of_parts(parts(5)), together(long_table(parts(5))))


def test_examples_get_the_others_in_their_own_order():
    own = parts(4)["kidneys"]
    back = replace(own, patients=own.patients[::-1], covariates=own.covariates[::-1].reset_index(drop=True))
    table = of_parts(parts(4))
    found = with_others(back, table, ["uptake.spleen", "uptake.unheard_of"])
    assert found.column("uptake.spleen").tolist() == table["uptake.spleen"].tolist()[::-1]
    assert np.isnan(found.column("uptake.unheard_of")).all()
    assert list(own.covariates) == [SUV, VOLUME, WEIGHT, VARIANCE, MEAN]


def test_ordinary_patients_pass_and_foreign_ones_are_told_why():
    model, fresh = trained(), long_table(parts(80, seed=5))
    assert flagged(model, fresh) <= 0.12
    assert flagged(model, fresh.assign(**{SUV: 1000 * fresh[SUV]})) == 1.0
    assert flagged(model, long_table(parts(25, seed=6, noise=0.3))) >= 0.95
    spleen = fresh["voi"] == "spleen"
    other = fresh.assign(**{SUV: fresh[SUV].where(~spleen, 10 * fresh[SUV])})
    assert flagged(model, other) >= 0.95
    reasons = predict_new(model, other)["reasons"][0]
    assert any("uptake.spleen" in reason for reason in reasons)


def test_noise_is_asked_for_from_a_new_patient():
    assert {SUV, VARIANCE, MEAN} <= set(input_columns(trained()))


def test_a_stored_model_gives_the_same_doubts(tmp_path):
    model, fresh = trained(), long_table(parts(30, seed=7))
    save_model(tmp_path, model)
    pd.testing.assert_frame_equal(predict_new(load_model(tmp_path), fresh), predict_new(model, fresh))


def test_few_patients_leave_the_ranges_to_speak():
    model = trained(9)
    assert "domain" not in model.card["parts"]["kidneys"]
    assert flagged(model, long_table(parts(9)).assign(**{VOLUME: 1e6})) == 1.0
