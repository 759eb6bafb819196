"""Risk against coverage: by hand for ten patients, and that foreign patients who err more are seen to do so."""

import numpy as np
import pandas as pd
import pytest

from theradose.evaluation.figures import as_svg
from theradose.evaluation.figures_scores import risk_curves
from theradose.evaluation.report_risk import risk_sheet
from theradose.evaluation.report_tables import MINUS
from theradose.evaluation.risk_coverage import DOMAIN_SCORE, SHARES, ordered_ape, risk_coverage

TRUTH = "truth_gy_per_gbq"


def predictions(percent: list[float], scores: list[float], predictor: str = "ridge") -> pd.DataFrame:
    """Return predictions that err by so many percent, of patients so unlike the others."""
    return pd.DataFrame(
        {
            "predictor": predictor, "patient": [f"p{i:03d}" for i in range(len(percent))], "voi": "kidneys",
            "predicted_gy_per_gbq": 2.0 * (1.0 + np.array(percent) / 100.0), TRUTH: 2.0, DOMAIN_SCORE: scores,
        }
    )  # fmt: skip


def test_those_most_unlike_are_left_out_first() -> None:
    table = predictions([50, -10, 10, 10, 10, 10, 10, 10, -30, 10], [np.inf, *range(1, 8), 99, 8])
    assert ordered_ape(table, TRUTH) == pytest.approx([10] * 8 + [30, 50])
    found = risk_coverage(table, TRUTH, seed=1).set_index("share")
    assert list(found.index) == list(SHARES)
    assert found.loc[1.0, ["kept", "mape_kept"]].tolist() == pytest.approx([10, 16])
    assert found.loc[0.9, ["kept", "mape_kept", "mape_dropped"]].tolist() == pytest.approx([9, 110 / 9, 50])
    assert found.loc[0.8, ["kept", "mape_kept", "mape_dropped", "worse_by"]].tolist() == pytest.approx([8, 10, 40, 30])
    assert found.loc[1.0, ["mape_dropped", "worse_by", "worse_low"]].isna().all()


def test_a_patient_without_a_score_or_a_reference_is_not_counted() -> None:
    table = predictions([10.0, 20.0, 30.0], [1.0, np.nan, 2.0])
    assert ordered_ape(table, TRUTH) == pytest.approx([10.0, 30.0])
    assert risk_coverage(table.assign(**{TRUTH: np.nan}), TRUTH, seed=1).empty


@pytest.mark.parametrize(("foreign", "shown"), [(3.0, True), (1.0, False)])
def test_the_limits_tell_a_gain_from_chance(foreign: float, shown: bool) -> None:
    rng = np.random.default_rng(4)
    scores = rng.uniform(size=400)
    errors = 15.0 * rng.standard_normal(400) * np.where(scores > 0.8, foreign, 1.0)
    last = risk_coverage(predictions(list(errors), list(scores)), TRUTH, seed=2).iloc[-1]
    assert last["worse_low"] < last["worse_by"] < last["worse_high"]
    assert (last["worse_low"] > 0) == shown


def test_the_table_of_the_report_shows_what_was_kept_and_left_out() -> None:
    table = pd.concat([
        predictions([10] * 8 + [30, 50], list(range(10))), predictions([40] * 8 + [20, 20], list(range(10)), "pls"),
    ])  # fmt: skip
    sheet = risk_sheet(table, TRUTH, seed=1)
    assert sheet is not None
    assert [head.name for head in sheet.heads][3:] == [
        "100 % kept", "95 % kept", "90 % kept", "80 % kept", "Left out at 80 %",
    ]  # fmt: skip
    ridge, pls = ([(cell.text, cell.note) for cell in row] for row in sheet.rows)
    assert ridge[3] == ("16.0", "")
    assert ridge[6] == ("10.0", "left out 40.0")
    assert ridge[7][0] == "+30.0"
    assert pls[7][0] == f"{MINUS}20.0"
    assert "virtual" in sheet.caption
    assert risk_sheet(table.iloc[:0], TRUTH, seed=1) is None


def test_the_picture_is_the_same_for_the_same_data() -> None:
    table = predictions([10] * 8 + [30, 50], list(range(10)))
    first, second = (as_svg(risk_curves(table, ["ridge"], TRUTH), "") for _ in range(2))
    assert first == second
