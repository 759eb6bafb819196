"""Scores beside the limit in the report: a table an experiment, the difference to the limit with its interval."""

from types import SimpleNamespace

import pandas as pd

from theradose.evaluation.limit_scores import LIMIT_SCORES
from theradose.evaluation.report_floor import floor_section
from theradose.evaluation.report_tables import MINUS

ROW = dict.fromkeys(LIMIT_SCORES.names(), 1.0) | {
    "predictor": "ridge", "voi": "liver", "reference": "truth", "n": 36, "verdict": "ok", "worse_by": -0.4,
    "worse_low": -3.2, "worse_high": 2.6,
}  # fmt: skip


def test_every_experiment_has_a_table_and_only_the_first_is_open() -> None:
    rows = [
        ROW | {"experiment": name, "voi": voi} for name in ("organ_dose", "multitask") for voi in ("liver", "kidneys")
    ]
    limit = {"voi": "liver", "reference": "planted", "information": "image", "way": "resimulated", "mape": 12.0}
    outcome = {"target": "response", "score": "auc_known", "value": 0.7}
    tables = {"limit_scores": rows, "limits": [limit], "outcome_limits": [outcome]}
    section = floor_section(SimpleNamespace(table=lambda name: pd.DataFrame(tables[name])))
    assert section is not None
    first, second = section["scores"]
    assert (first.fold, second.fold) == ("", "Experiment multitask")
    assert [row[0].text for row in first.rows] == ["kidneys", "liver"]
    assert (first.rows[0][5].text, first.rows[0][5].note) == (f"{MINUS}0.400", f"{MINUS}3.20 to 2.60")
    assert "Virtual" in first.caption
