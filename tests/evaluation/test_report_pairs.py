import json

import numpy as np
import pandas as pd

from theradose.evaluation.report_pairs import pair_sheets
from theradose.evaluation.results import ExperimentResults
from theradose.tables import METRICS, write_table


def results(folder, rows):
    about = {"kind": "multitask", "title": "M", "baselines": ["physics"], "predictors": ["physics", "multitask"]}
    (folder / "experiment.json").write_text(json.dumps(about), encoding="utf-8")
    base = {"experiment": "m", "voi": "all", "reference": "label", "low": -3.0, "high": 1.0, "n": 9}
    table = pd.DataFrame([{**base, **row} for row in rows])
    write_table(table[METRICS.names()], folder / "metrics.tsv", METRICS)
    return ExperimentResults("m", folder)


def row(predictor, metric, value, unit="%", partition="test"):
    return {"predictor": predictor, "metric": metric, "value": value, "unit": unit, "partition": partition}


def test_differences_stand_apart_with_sign_and_limits(tmp_path):
    experiment = results(
        tmp_path,
        [
            row("multitask", "mape", 20.0), row("multitask", "mape_minus_single_task", -1.5),
            row("multitask", "log_loss_minus_best_baseline", 0.02, "1"),
            row("physics", "mape_minus_single_task", np.nan),
            row("multitask", "mape_minus_single_task", 0.5, partition="train"),
        ],
    )  # fmt: skip
    (test_title, test), (train_title, train) = pair_sheets(experiment)
    assert "test patients" in test_title
    assert "out of fold" in train_title
    assert [head.name for head in test.heads] == [
        "Predictor", "MAPE less that of the single task", "Log loss less that of the best baseline",
    ]  # fmt: skip
    assert [cell.text for cell in test.rows[0]] == ["multitask", "\N{MINUS SIGN}1.50", "+0.0200"]
    assert test.rows[0][1].note == "\N{MINUS SIGN}3.00 to 1.00"
    assert len(test.rows) == len(train.rows) == 1


def test_without_differences_there_is_no_table(tmp_path):
    assert pair_sheets(results(tmp_path, [row("physics", "mape", 20.0)])) == []
