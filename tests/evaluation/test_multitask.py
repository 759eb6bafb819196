import numpy as np
import pytest

from theradose.evaluation.multitask import evaluate
from theradose.evaluation.score_table import best_of
from theradose.experiment_sections import ExperimentSettings
from theradose.learning_schemas import OUTCOME_PREDICTIONS
from theradose.models.fitting import fit_parts
from theradose.models.multitask import ALL, calibrate, card, score
from theradose.models.multitask_predictors import MULTITASK_PREDICTORS
from theradose.models.patch_examples import subset
from theradose.models.predictors import TrainingPlan
from theradose.models.store import Trained
from theradose.tables import METRICS, PREDICTIONS, read_table

NAMES = ("multitask_physics", "multitask_ridge", "multitask", "multitask_dose", "multitask_outcome", "multitask_images")
NAMES += ("multitask_vector",)
SETTINGS = ExperimentSettings(
    name="both", kind="multitask", title="Both", organs=("kidneys", "liver"), outcomes=("xerostomia", "response"),
    baselines=NAMES[:2], predictors=NAMES[2:],
)  # fmt: skip


def trained(training, name):
    names = list(training.patients)
    folds = [([n for i, n in enumerate(names) if i % 2 != k], names[k::2]) for k in range(2)]
    found = fit_parts(
        MULTITASK_PREDICTORS[name], {ALL: training}, {ALL: {}}, folds=folds, subset=subset, score=score,
        calibrate=calibrate, card=card, seed=2, training=TrainingPlan(epochs=1, patience=1, batch_size=8),
    )  # fmt: skip
    return Trained(found.predictors, found.calibration, {}, found.out_of_fold)


@pytest.fixture(scope="module")
def judged(patch_examples, tmp_path_factory):
    everyone, training = patch_examples(30, n_test=8)
    models = {name: trained(training, name) for name in NAMES}
    folds = {patient: i % 2 for i, patient in enumerate(training.patients)}
    out = tmp_path_factory.mktemp("judged")
    evaluate(settings=SETTINGS, parts={ALL: everyone}, models=models, folds=folds, truth=None, seed=5, out=out)
    return everyone, models, folds, out


def cell(table, **wanted):
    rows = table
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1, wanted
    return rows.iloc[0]


def test_doses_are_out_of_fold_in_training_and_of_the_model_elsewhere(judged):
    everyone, models, folds, out = judged
    table = read_table(out / "predictions.tsv", PREDICTIONS)
    assert set(table["predictor"]) == set(NAMES) - {"multitask_outcome"}
    row = cell(table, predictor="multitask", patient="v003", voi="liver")
    assert row["median_gy_per_gbq"] == pytest.approx(np.exp(models["multitask"].out_of_fold[ALL][3, 1]))
    assert (row["partition"], row["fold"]) == ("train", folds["v003"])
    test = cell(table, predictor="multitask", patient="v029", voi="kidneys")
    own = models["multitask"].predictors[ALL].predict(subset(everyone, ["v029"]))
    assert test["median_gy_per_gbq"] == pytest.approx(np.exp(own[0, 0]))
    assert (test["partition"], test["fold"]) == ("test", -1)
    assert test["low_gy_per_gbq"] < test["predicted_gy_per_gbq"] < test["high_gy_per_gbq"]
    assert len(table[(table["patient"] == "v021") & (table["voi"] == "liver")]) == 0  # he has none


def test_probabilities_of_every_model_with_outcomes(judged):
    everyone, models, _, out = judged
    table = read_table(out / "outcome_predictions.tsv", OUTCOME_PREDICTIONS)
    assert set(table["predictor"]) == set(NAMES) - {"multitask_dose"}
    assert len(table) == 6 * 2 * 30
    row = cell(table, predictor="multitask_outcome", patient="v004", outcome="response")
    odds = models["multitask_outcome"].out_of_fold[ALL][4, 3]
    assert row["probability"] == pytest.approx(1.0 / (1.0 + np.exp(-odds)))
    assert row["observed"] == everyone.events[4, 1]
    assert table.loc[table["patient"] == "v021", "observed"].isna().all()


def test_scores_and_comparisons(judged):
    _, _, _, out = judged
    table = read_table(out / "metrics.tsv", METRICS)
    base = {"voi": "all", "reference": "label", "partition": "train"}
    for metric, other in (("mape", "multitask_dose"), ("log_loss", "multitask_outcome")):
        both = [cell(table, predictor=name, metric=metric, **base)["value"] for name in ("multitask", other)]
        gain = cell(table, predictor="multitask", metric=f"{metric}_minus_single_task", **base)
        assert gain["value"] == pytest.approx(both[0] - both[1], abs=1e-9)
        assert gain["low"] <= gain["value"] <= gain["high"]
    for metric in ("mape", "log_loss"):
        own, rival = (cell(table, predictor=n, metric=metric, **base) for n in ("multitask_vector", "multitask_images"))
        gain = cell(table, predictor="multitask_vector", metric=f"{metric}_minus_images", **base)
        assert gain["value"] == pytest.approx(own["value"] - rival["value"], abs=1e-9)
    for name in NAMES:
        row = cell(table, predictor=name, metric="mape", **base)
        assert np.isnan(row["value"]) == (name == "multitask_outcome")
    assert best_of(table, NAMES) != "multitask_outcome"
    assert {"auc", "brier", "log_loss_minus_best_baseline", "mape_minus_best_baseline"} <= set(table["metric"])


def test_the_same_input_gives_the_same_bytes(judged, tmp_path):
    everyone, models, folds, out = judged
    evaluate(settings=SETTINGS, parts={ALL: everyone}, models=models, folds=folds, truth=None, seed=5, out=tmp_path)
    for name in ("metrics.tsv", "predictions.tsv", "outcome_predictions.tsv"):
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


def test_doses_alone_leave_no_table_of_outcomes(judged, patch_examples, tmp_path):
    everyone, training = patch_examples(30, n_test=8, outcomes=())
    models = {name: trained(training, name) for name in NAMES[:2]}
    settings = SETTINGS.model_copy(update={"outcomes": (), "predictors": ()})
    (tmp_path / "outcome_predictions.tsv").write_text("older", encoding="utf-8")
    evaluate(settings=settings, parts={ALL: everyone}, models=models, folds={}, truth=None, seed=5, out=tmp_path)
    assert not (tmp_path / "outcome_predictions.tsv").exists()
    assert set(read_table(tmp_path / "metrics.tsv", METRICS)["voi"]) == {"kidneys", "liver", "all"}
