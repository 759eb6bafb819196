"""The chapter on planned activities says what was asked, how often limits broke, and who got no plan."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from theradose.evaluation.report_plans import plan_line, plans_section
from theradose.evaluation.report_tables import DASH
from theradose.learning_schemas import PLANS

ASKED = {"cycles": 4, "probability": 0.05, "joint": False, "case": "standard"}


def table(truth: bool = True) -> pd.DataFrame:
    """Ten test patients by two predictors: one in ten broken by the first, nobody planned by the second."""
    rows = []
    for i in range(10):
        own = {"patient": f"v{i}", "partition": "test"}
        planned = {
            "activity_gbq": 6.0 + i, "binding_organ": "kidneys" if i < 8 else "marrow", "binding_limit": "bed",
            "exceeded_label": 0.0, "exceeded_truth": float(i == 0) if truth else np.nan, "allowed_label_gbq": 10.0,
            "allowed_truth_gbq": 2.0 * (6.0 + i) if truth else np.nan, "doubt": "",
        }  # fmt: skip
        rows.append({"predictor": "hybrid", **own, **planned})
        rows.append({"predictor": "mlp", **own, "doubt": "liver: unlike", "binding_organ": "", "binding_limit": ""})
    return pd.DataFrame(rows, columns=PLANS.names())


def study(plans: pd.DataFrame) -> SimpleNamespace:
    record = {"settings": {"planning": ASKED}}
    one = SimpleNamespace(
        name="organ_dose", title="Organ dose", plans=plans, predictors=["hybrid", "mlp"],
        record=lambda folder, name: record,
    )  # fmt: skip
    verdicts = {"organ_dose": {"best": "hybrid", "best_baseline": "mlp"}}
    return SimpleNamespace(experiments=[one], verdicts=verdicts)


def test_a_line_for_each_predictor():
    (chapter,) = plans_section(study(table()))
    assert "4 cycles" in chapter["lead"]
    assert "5.0 %" in chapter["lead"]
    (sheet,) = chapter["sheets"]
    hybrid, mlp = sheet.rows
    assert [cell.text for cell in hybrid[1:5]] == ["10 of 10", "10.5", "kidneys 80.0 %, marrow 20.0 %", "0.0 %"]
    assert hybrid[5].text == "10.0 %"
    assert hybrid[5].note.startswith("1 of 10, ")
    assert hybrid[7].text == "0.500"
    assert mlp[1].text == "0 of 10"
    assert {cell.text for cell in mlp[2:]} == {DASH}
    assert len(sheet.heads) == len(hybrid) == len(mlp)


def test_real_patients_are_judged_by_the_label_alone():
    real = study(table(truth=False))
    (chapter,) = plans_section(real)
    assert len(chapter["sheets"][0].heads) == len(chapter["sheets"][0].rows[0]) == 6
    line = plan_line(real, real.experiments[0])
    assert [cell.text for cell in line[1:4]] == ["H9 (12.2)", "hybrid", "0.0 %"]
    assert line[5].text == DASH


def test_a_study_that_plans_nothing_has_no_chapter():
    assert plans_section(study(table().iloc[:0])) == []
