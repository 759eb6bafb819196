"""The first table of experiments says what was chosen and what it earns, and accuses or praises by intervals alone."""

from types import SimpleNamespace

import pandas as pd
import pytest

from theradose.evaluation.limit_scores import LIMIT_SCORES
from theradose.evaluation.report_overview import overview_section
from theradose.evaluation.report_tables import DASH
from theradose.learning_schemas import PLANS


def score(value, low, high, unit="%"):
    return {"value": value, "low": low, "high": high, "unit": unit, "n": 9}


def study(verdicts, limits=None):
    """Stand in for the results of a study of experiments one and two."""
    none = pd.DataFrame(columns=PLANS.names())
    experiments = [
        SimpleNamespace(name=n, title=n.title(), about={"system": s}, plans=none)
        for n, s in (("one", "A"), ("two", ""))
    ]
    tables = {"limit_scores": pd.DataFrame(limits or [], columns=LIMIT_SCORES.names())}
    return SimpleNamespace(experiments=experiments, verdicts=verdicts, table=tables.__getitem__)


def verdict(best, difference):
    test = {"hybrid": score(15.0, 12.0, 18.0), "pet_scaled": score(20.0, 16.0, 24.0)}
    return {
        "best": best, "best_baseline": "pet_scaled", "metric": "mape", "test": test,
        "test_minus_best_baseline": difference,
    }  # fmt: skip


def test_a_line_for_each_experiment_that_was_compared():
    limit = {"experiment": "one", "predictor": "hybrid", "reference": "truth", "verdict": "ok", "n": 9, "mape": 16.0}
    limits = [{**limit, "voi": "kidneys", "oracle_mape": 12.0}, {**limit, "voi": "liver", "oracle_mape": 14.0}]
    sheet = overview_section(study({"one": verdict("hybrid", score(-5.0, -8.0, -1.0))}, limits))
    assert [[cell.text for cell in row] for row in sheet.rows] == [
        ["One", "A", "hybrid", "15.0 %", "PET-scaled", "20.0 %", "\N{MINUS SIGN}5.00 %", "13.0 %"]
    ]
    assert sheet.rows[0][-1].note == "chosen: 16.0 %"
    assert len(sheet.heads) == len(sheet.rows[0])


@pytest.mark.parametrize(("low", "high", "kind"), [(-8.0, -1.0, "ok"), (-8.0, 1.0, ""), (1.0, 8.0, "warn")])
def test_a_difference_counts_when_its_interval_leaves_zero(low, high, kind):
    sheet = overview_section(study({"two": verdict("hybrid", score((low + high) / 2, low, high))}))
    assert sheet.rows[0][6].kind == kind
    assert sheet.rows[0][1].text == DASH


def test_a_baseline_that_nobody_beats_has_no_difference():
    row = overview_section(study({"one": verdict("pet_scaled", score(0.0, 0.0, 0.0))})).rows[0]
    assert (row[2].note, row[6].text, row[7].text) == ("no model beats this baseline", DASH, DASH)


def test_a_study_without_experiments_has_no_table():
    assert overview_section(study({})) is None
