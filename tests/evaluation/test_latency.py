import numpy as np
import pandas as pd
import pytest

from theradose.evaluation.latency import (
    DECIDES,
    evaluate,
    horizons,
    metrics_table,
    out_of_fold_spreads,
)
from theradose.evaluation.survival import censoring
from theradose.experiment_sections import ExperimentSettings
from theradose.learning_schemas import LATENCY_PREDICTIONS
from theradose.models import latency
from theradose.models.aft import spread
from theradose.models.fitting import fit_parts
from theradose.models.latency_predictors import LATENCY_PREDICTORS
from theradose.models.predictors import TrainingPlan
from theradose.models.store import Trained
from theradose.tables import METRICS, TRUTH_OUTCOME, read_table, write_table

DIFFERENCE = f"{DECIDES}_minus_best_baseline"
BASELINES, NAMES = ("latency_constant", "latency_mechanistic"), ("latency_constant", "latency_mechanistic", "good")


@pytest.fixture(scope="module")
def predictions():
    """Return predictions of three models for 80 patients: a constant, a vague and a good one."""
    rng = np.random.default_rng(4)
    mu = rng.normal(2.5, 0.5, 80)
    months, end = np.exp(mu + 0.45 * rng.normal(size=80)), rng.uniform(6, 60, 80)
    shared = {
        "patient": [f"v{i:02d}" for i in range(80)], "partition": ["train"] * 50 + ["test"] * 30,
        "fold": [*(np.arange(50) % 5), *[-1] * 30], "latency_months": np.minimum(months, end),
        "latency_observed": (months <= end).astype(int), "truth_months": np.exp(mu),
    }  # fmt: skip
    said = {NAMES[0]: (2.5, 0.67), NAMES[1]: (mu + 0.4 * rng.normal(size=80), 0.6), NAMES[2]: (mu, 0.45)}
    return pd.concat(
        [
            pd.DataFrame({"predictor": name, "predicted_months": np.exp(median), "log_sd": log_sd, **shared})
            for name, (median, log_sd) in said.items()
        ],
        ignore_index=True,
    )


@pytest.fixture(scope="module")
def table(predictions):
    """Return the scores of the three models."""
    return metrics_table(predictions, experiment="latency", baselines=BASELINES, predictors=NAMES, seed=1)


def of(table, metric, predictor="good", *, partition="train", reference="label"):
    chosen = table[
        (table["metric"] == metric) & (table["predictor"] == predictor) & (table["partition"] == partition)
        & (table["reference"] == reference) & (table["voi"] == "all")
    ]  # fmt: skip
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_scores_rank_models_and_stay_between_their_limits(table):
    briers = [of(table, DECIDES, name)["value"] for name in NAMES]
    assert briers[2] < briers[1] < briers[0]
    assert of(table, "c_index", NAMES[0])["value"] == pytest.approx(0.5)
    assert of(table, "c_index")["value"] > 0.7
    for partition in ("train", "test"):
        for metric in ("rmse_log", "c_index", DECIDES, f"{DECIDES}_12m", f"{DECIDES}_24m"):
            row = of(table, metric, partition=partition)
            assert row["low"] <= row["value"] <= row["high"]
    assert list(table["predictor"].drop_duplicates()) == list(NAMES)


def test_differences_are_paired_with_the_better_baseline(table):
    assert of(table, DIFFERENCE, NAMES[1])["value"] == 0.0
    own, other = of(table, DECIDES), of(table, DECIDES, NAMES[1])
    apart = of(table, DIFFERENCE)
    assert apart["value"] == pytest.approx(own["value"] - other["value"])
    assert apart["high"] - apart["low"] < (own["high"] - own["low"]) + (other["high"] - other["low"])


def test_truth_is_judged_for_the_censored_too(predictions, table):
    assert of(table, "rmse_log", reference="truth")["value"] == pytest.approx(0.0, abs=1e-12)
    assert of(table, "rmse_log", reference="truth")["n"] == 50
    assert of(table, "rmse_log")["n"] == predictions["latency_observed"].iloc[:50].sum()
    real = metrics_table(
        predictions.assign(truth_months=np.nan), experiment="latency", baselines=BASELINES, predictors=NAMES, seed=1
    )
    assert set(real["reference"]) == {"label"}


def test_the_score_in_time_ends_where_nobody_is_followed(predictions):
    assert list(horizons(censoring([30, 40], [0, 1]))) == list(np.arange(25.0))
    short = censoring([5, 8, 10], [1, 1, 0])
    assert horizons(short)[-1] == 9.0
    cut = np.minimum(predictions["latency_months"], 10.0)
    early = predictions.assign(
        latency_observed=predictions["latency_observed"] * (cut == predictions["latency_months"]), latency_months=cut
    )
    table = metrics_table(early, experiment="latency", baselines=BASELINES, predictors=NAMES, seed=1)
    assert np.isnan(of(table, f"{DECIDES}_24m")["value"])
    assert np.isfinite(of(table, DECIDES)["value"])


def test_a_training_patients_spread_knows_nothing_of_him():
    residual, observed = np.array([0.1, -0.2, 5.0, 0.3]), np.array([True, True, True, False])
    found = out_of_fold_spreads(residual, observed)
    assert found[2] == pytest.approx(spread(residual[[0, 1, 3]], observed[[0, 1, 3]]))
    assert found[2] < 1 < found[0]


def trained(name, examples, folds):
    """Return a predictor as the step train keeps it."""
    found = fit_parts(
        LATENCY_PREDICTORS[name], {"kidneys": examples}, {"kidneys": {}}, folds=folds, subset=latency.subset,
        score=latency.score, calibrate=latency.calibrate, card=latency.card, seed=1, training=TrainingPlan(epochs=3),
    )  # fmt: skip
    return Trained(found.predictors, found.calibration, {}, found.out_of_fold)


def test_evaluate_writes_predictions_and_scores(tmp_path, latency_examples):
    everyone, training = latency_examples(n=40, test=12)
    names = list(training.patients)
    folds = [([n for i, n in enumerate(names) if i % 3 != k], names[k::3]) for k in range(3)]
    models = {name: trained(name, training, folds) for name in LATENCY_PREDICTORS}
    planted = pd.DataFrame({"patient": list(everyone.patients), "log_latency": 2.5, "bed_gy": 20.0, "impairment": 0.1})
    for event in ("kidney_toxicity", "xerostomia", "marrow_toxicity", "response"):
        planted[event] = 0.1
    write_table(planted, tmp_path / "truth" / "truth_outcome.parquet", TRUTH_OUTCOME)
    settings = ExperimentSettings(
        name="latency", kind="latency", title="x", baselines=BASELINES,
        predictors=("latency_ridge", "latency_mlp", "latency_mlp_literal"),
    )  # fmt: skip
    given = {"settings": settings, "parts": {"kidneys": everyone}, "models": models, "seed": 2}
    where = {name: i % 3 for i, name in enumerate(names)}
    evaluate(**given, folds=where, truth=tmp_path / "truth", out=tmp_path)
    predictions = read_table(tmp_path / "predictions.tsv", LATENCY_PREDICTIONS)
    assert len(predictions) == 40 * 5
    assert predictions["truth_months"].to_numpy() == pytest.approx(np.full(200, np.exp(2.5)))
    assert set(predictions.loc[predictions["partition"] == "test", "fold"]) == {-1}
    inside = predictions[(predictions["predictor"] == "latency_ridge") & (predictions["partition"] == "train")]
    own = dict(zip(training.patients, np.exp(models["latency_ridge"].out_of_fold["kidneys"]), strict=True))
    assert inside["predicted_months"].to_numpy() == pytest.approx([own[p] for p in inside["patient"]])
    table = read_table(tmp_path / "metrics.tsv", METRICS)
    assert set(table["voi"]) == {"kidneys", "all"}
    assert set(table["predictor"]) == set(models)
    seen = inside[inside["latency_observed"] == 1]
    error = np.log(seen["predicted_months"] / seen["latency_months"])
    assert of(table, "rmse_log", "latency_ridge")["value"] == pytest.approx(np.sqrt(np.mean(error**2)))
    first = (tmp_path / "metrics.tsv").read_bytes()
    evaluate(**given, folds=where, truth=tmp_path / "truth", out=tmp_path)
    assert (tmp_path / "metrics.tsv").read_bytes() == first
