import json
from types import SimpleNamespace

import pandas as pd

from theradose.evaluation.report_scores import experiment_page, score_sheets
from theradose.evaluation.results import ExperimentResults
from theradose.tables import METRICS, write_table


def results(folder, kind, rows):
    about = {"kind": kind, "title": "M", "baselines": ["first"], "predictors": ["first", "second"]}
    (folder / "experiment.json").write_text(json.dumps(about), encoding="utf-8")
    base = {"experiment": "m", "partition": "test", "unit": "1", "value": 0.5, "low": 0.1, "high": 0.9, "n": 9}
    wide = [{**base, **row, "predictor": name} for row in rows for name in about["predictors"]]
    write_table(pd.DataFrame(wide)[METRICS.names()], folder / "metrics.tsv", METRICS)
    return ExperimentResults("m", folder)


def rows(voi, metrics):
    return [{"voi": voi, "metric": m, "reference": r} for m in metrics for r in ("label", "truth")]


def test_events_have_tables_of_their_own_and_organs_share_one(tmp_path):
    table = [*rows("all", ["mape", "auc"]), *rows("kidneys", ["mape"]), *rows("marrow_toxicity", ["auc", "log_loss"])]
    titles = [title for title, _ in score_sheets(results(tmp_path, "multitask", table), "")]
    assert titles == [
        "9 test patients, against the planted truth", "9 test patients, against the label from SPECT",
        "Marrow toxicity: 9 test patients, against what was seen",
    ]  # fmt: skip


def test_the_table_of_an_event_shows_its_scores(tmp_path):
    table = [*rows("all", ["auc"]), *rows("response", ["auc", "log_loss"])]
    (_, sheet) = score_sheets(results(tmp_path, "outcome", table), "second")[-1]
    assert [head.name for head in sheet.heads] == ["Predictor", "Log loss", "AUC"]
    assert [row[0].note for row in sheet.rows] == ["baseline", "model"]


def test_predictions_that_are_no_doses_have_a_page_too(tmp_path):
    experiment = results(tmp_path, "outcome", rows("renal_impairment", {"log_loss": 0.5, "auc": 0.7}))
    table = pd.DataFrame({"patient": ["v001"], "probability": [0.1]})
    table.to_csv(tmp_path / "predictions.tsv", sep="\t", index=False)
    study = SimpleNamespace(verdicts={}, experiments=[experiment], settings=SimpleNamespace(seed=1))
    assert experiment_page(study, experiment)["sheets"]
