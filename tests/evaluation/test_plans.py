"""Plans of held-out patients: as high as their doses allow when nothing is uncertain, and broken as often as stated."""

import numpy as np
import pandas as pd
import pytest

from theradose.columns import checked
from theradose.errors import DataError
from theradose.evaluation.plans import OUTSIDE, plans
from theradose.learning_schemas import PLANS
from theradose.models.organ_dose import RESIDUALS
from theradose.models.patient_plan import PlanRequest
from theradose.models.store import Trained

ORGANS = {"kidneys": 0.45, "liver": 0.3, "lesions": 5.0}
KIDNEY_LIMIT = {"kidneys": {"limit_dose_gy": 23.0}, "liver": {"limit_dose_gy": 30.0}}


def model(spread: float, patients: int = 400) -> Trained:
    """Return what a model knows of its errors, without a predictor: plans need no more."""
    residuals = spread * np.linspace(-2.0, 2.0, patients)
    parts = {organ: {} for organ in ORGANS}
    return Trained(dict.fromkeys(ORGANS), {organ: {RESIDUALS: residuals} for organ in ORGANS}, {"parts": parts})


def predictions(patients: int, spread: float = 0.0, *, truth: bool = True) -> pd.DataFrame:
    """Return predictions with log errors of `spread`, the same for label and truth."""
    drawn = np.random.default_rng(7).normal(0.0, spread, (patients, len(ORGANS)))
    rows = [
        {
            "predictor": "hybrid", "patient": f"v{i:03d}", "voi": organ, "partition": "test", "fold": -1,
            "median_gy_per_gbq": dose, "domain_score": 0.5, "label_gy_per_gbq": dose * np.exp(drawn[i, j]),
            "truth_gy_per_gbq": dose * np.exp(drawn[i, j]) if truth else np.nan,
        }
        for i in range(patients)
        for j, (organ, dose) in enumerate(ORGANS.items())
    ]  # fmt: skip
    return pd.DataFrame(rows)


def planned(rows: pd.DataFrame, trained: Trained, probability: float = 0.1) -> pd.DataFrame:
    request = PlanRequest(4, probability, chosen=KIDNEY_LIMIT)
    return checked(plans(rows, {"hybrid": trained}, request, radionuclide="Lu-177"), PLANS)


def test_without_any_error_the_plan_is_what_doses_allow():
    row = planned(predictions(1), model(1e-9)).iloc[0]
    kidneys_gbq = 23.0 / 4 / 0.45
    assert row["activity_gbq"] == pytest.approx(kidneys_gbq, rel=1e-3)
    assert row["allowed_truth_gbq"] == pytest.approx(kidneys_gbq, rel=1e-9)
    assert (row["binding_organ"], row["binding_limit"], row["doubt"]) == ("kidneys", "dose", "")


@pytest.mark.parametrize("probability", [0.05, 0.2])
def test_limits_are_exceeded_as_often_as_stated(probability):
    spread = 0.3
    normal = model(spread)
    normal.calibration["kidneys"][RESIDUALS] = np.sort(np.random.default_rng(1).normal(0.0, spread, 400))
    table = planned(predictions(600, spread), normal, probability)
    own = table[table["binding_organ"] == "kidneys"]
    assert own["exceeded_truth"].mean() == pytest.approx(probability, abs=0.04)
    broken = table["activity_gbq"] > table["allowed_truth_gbq"]
    assert broken.mean() >= table["exceeded_truth"].mean()


def test_real_patients_have_no_planted_dose():
    row = planned(predictions(1, truth=False), model(0.2)).iloc[0]
    assert np.isnan(row["exceeded_truth"])
    assert np.isnan(row["allowed_truth_gbq"])
    assert row["exceeded_label"] in (0.0, 1.0)


def test_who_is_unlike_gets_no_plan_and_the_reason(monkeypatch):
    rows = predictions(2)
    rows.loc[(rows["patient"] == "v000") & (rows["voi"] == "liver"), "domain_score"] = 3.0
    monkeypatch.setattr("theradose.evaluation.plans.cuts", lambda trained: dict.fromkeys(ORGANS, 1.0))
    table = planned(rows, model(0.2)).set_index("patient")
    assert np.isnan(table.loc["v000", "activity_gbq"])
    assert OUTSIDE in table.loc["v000", "doubt"]
    assert table.loc["v001", "activity_gbq"] > 0
    assert table.loc["v001", "doubt"] == ""


def test_without_a_half_life_there_is_no_plan_and_one_may_be_given():
    request = PlanRequest(4, 0.05)
    (row,) = plans(predictions(1), {"hybrid": model(0.2)}, request, radionuclide="Y-90").to_dict("records")
    assert np.isnan(row["activity_gbq"])
    assert "half-life" in row["doubt"]
    given = PlanRequest(4, 0.05, t_eff_h={"kidneys": 30.0, "liver": 30.0})
    assert plans(predictions(1), {"hybrid": model(0.2)}, given, radionuclide="Y-90")["activity_gbq"].iloc[0] > 0


def test_organs_without_limits_cannot_be_planned_for():
    with pytest.raises(DataError, match="nothing to plan"):
        plans(predictions(1).query("voi == 'lesions'"), {}, PlanRequest(), radionuclide="Lu-177")
