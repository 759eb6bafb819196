from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.metrics import roc_auc_score

from theradose.evaluation.outcome import DECIDES, evaluate, score_table
from theradose.experiment_sections import ExperimentSettings
from theradose.learning_schemas import OUTCOME_PREDICTIONS
from theradose.models import outcome
from theradose.models.fitting import fit_parts
from theradose.models.outcome_predictors import BaseRate, Logistic, Ntcp
from theradose.models.predictors import TrainingPlan
from theradose.models.store import Trained
from theradose.tables import METRICS, checked, read_table, write_table
from theradose.truth_schemas import TRUTH_OUTCOME

DIFFERENCE = f"{DECIDES}_minus_best_baseline"
OUTCOMES = ("kidney_toxicity", "renal_impairment")
SETTINGS = ExperimentSettings(
    name="toxicity", kind="outcome", title="t", outcomes=OUTCOMES, baselines=("base_rate", "ntcp"),
    predictors=("logistic",),
)  # fmt: skip


def trained(predictor, parts, folds):
    found = fit_parts(
        predictor, parts, {name: {} for name in parts}, folds=folds, subset=outcome.subset, score=outcome.score,
        calibrate=outcome.calibrate, card=outcome.card, seed=1, training=TrainingPlan(),
    )  # fmt: skip
    return Trained(found.predictors, found.calibration, {"predictor": predictor.name}, found.out_of_fold)


@pytest.fixture(scope="module")
def judged(outcome_examples, tmp_path_factory):
    """Return predictions, metrics, parts and chances of a small experiment with planted truth."""
    out = tmp_path_factory.mktemp("toxicity")
    made = {name: outcome_examples(n=120, test=40, outcome=name, seed=i) for i, name in enumerate(OUTCOMES)}
    parts, chances = {n: own for n, (own, _) in made.items()}, {n: own for n, (_, own) in made.items()}
    parts["renal_impairment"] = outcome.subset(parts["renal_impairment"], [f"v{i:03d}" for i in range(5, 120)])
    names = [f"v{i:03d}" for i in range(120)]
    truth = pd.DataFrame(dict.fromkeys(TRUTH_OUTCOME.names(), 0.5), index=range(120)).assign(patient=names)
    truth = truth.assign(kidney_toxicity=chances["kidney_toxicity"], impairment=chances["renal_impairment"])
    write_table(truth, out / "truth" / "truth_outcome.parquet", TRUTH_OUTCOME)
    place = {p: i % 4 if i < 80 else -1 for i, p in enumerate(names)}
    folds = [([p for p in names[:80] if place[p] != k], [p for p in names[:80] if place[p] == k]) for k in range(4)]
    inside = {n: outcome.subset(own, names[:80]) for n, own in parts.items()}
    models = {p.name: trained(p, inside, folds) for p in (BaseRate, Ntcp, Logistic)}
    evaluate(settings=SETTINGS, parts=parts, models=models, folds=place, truth=out / "truth", seed=1, out=out)
    return (
        read_table(out / "predictions.tsv", OUTCOME_PREDICTIONS), read_table(out / "metrics.tsv", METRICS),
        parts, models,
    )  # fmt: skip


def value(table, predictor, metric, voi, *, partition="test", reference="label"):
    chosen = table[
        (table["predictor"] == predictor) & (table["metric"] == metric) & (table["partition"] == partition)
        & (table["voi"] == voi) & (table["reference"] == reference)
    ]  # fmt: skip
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_training_patients_are_predicted_out_of_fold_and_others_by_the_final_model(judged):
    predictions, _, parts, models = judged
    for name, model in models.items():
        for part, examples in parts.items():
            rows = predictions[(predictions["predictor"] == name) & (predictions["outcome"] == part)]
            assert sorted(rows["patient"]) == sorted(examples.patients)
            train, test = (rows[rows["partition"] == p] for p in ("train", "test"))
            np.testing.assert_allclose(train["probability"], expit(model.out_of_fold[part]))
            final = model.predictors[part].predict(outcome.subset(examples, list(test["patient"])))
            np.testing.assert_allclose(test["probability"], expit(final))
            assert (train["fold"] >= 0).all()
            assert (test["fold"] == -1).all()


def test_scores_are_those_of_the_predictions(judged):
    predictions, metrics, _, _ = judged
    for name in ("ntcp", "logistic"):
        for part in OUTCOMES:
            rows = predictions[
                (predictions["predictor"] == name) & (predictions["outcome"] == part)
                & (predictions["partition"] == "test")
            ]  # fmt: skip
            row = value(metrics, name, "auc", part)
            assert row["value"] == pytest.approx(roc_auc_score(rows["observed"], rows["probability"]))
            assert row["low"] < row["value"] < row["high"]
            assert row["n"] == len(rows)
            assert value(metrics, name, "events", part)["value"] == rows["observed"].sum()


def test_all_is_the_mean_over_outcomes_and_the_difference_is_paired(judged):
    metrics = judged[1]
    for name in ("base_rate", "ntcp", "logistic"):
        own = [value(metrics, name, "log_loss", part)["value"] for part in OUTCOMES]
        assert value(metrics, name, "log_loss", "all")["value"] == pytest.approx(np.mean(own))
    train = {n: value(metrics, n, "log_loss", "all", partition="train")["value"] for n in ("base_rate", "ntcp")}
    best = min(train, key=train.get)
    row = value(metrics, "logistic", DIFFERENCE, "all")
    apart = value(metrics, "logistic", "log_loss", "all")["value"] - value(metrics, best, "log_loss", "all")["value"]
    assert row["value"] == pytest.approx(apart)
    assert value(metrics, best, DIFFERENCE, "all")["high"] == 0.0
    assert row["low"] < row["value"] < row["high"]


def test_truth_is_judged_beside_labels(judged):
    predictions, metrics, _, _ = judged
    rows = predictions[(predictions["predictor"] == "ntcp") & (predictions["partition"] == "test")]
    rows = rows[rows["outcome"] == "kidney_toxicity"]
    p, chance = rows["probability"].to_numpy(), rows["truth_probability"].to_numpy()
    row = value(metrics, "ntcp", "brier", "kidney_toxicity", reference="truth")
    assert row["value"] == pytest.approx(np.mean(chance * (1 - p) ** 2 + (1 - chance) * p**2))
    assert value(metrics, "ntcp", "events", "kidney_toxicity", reference="truth")["value"] == pytest.approx(
        chance.sum()
    )


def small(observed, probability, predictor="base_rate"):
    n = len(observed)
    return pd.DataFrame(
        {
            "predictor": predictor, "patient": [f"v{i}" for i in range(n)], "outcome": "response", "partition": "train",
            "fold": 0, "probability": probability, "observed": observed, "truth_probability": np.nan,
            "positive": 1.0 * (np.asarray(probability) > 0.3),
        }
    )  # fmt: skip


def table_of(rows, **changes):
    given = {"experiment": "e", "outcomes": ("response",), "baselines": ("base_rate",), "predictors": ("base_rate",)}
    return score_table(rows, **{**given, **changes}, seed=1)


def test_without_events_there_is_a_loss_and_no_auc():
    table = checked(table_of(small(np.zeros(8), np.full(8, 0.1))), METRICS, "metrics.tsv")
    bare = {"partition": "train"}
    assert np.isnan(value(table, "base_rate", "auc", "response", **bare)["value"])
    assert value(table, "base_rate", "log_loss", "all", **bare)["value"] == pytest.approx(-np.log(0.9))
    assert value(table, "base_rate", "events", "response", **bare)["value"] == 0
    assert set(table["reference"]) == {"label"}


def test_a_few_events_give_an_interval_and_say_how_few_they_are():
    observed = np.array([1.0, 1.0] + [0.0] * 18)
    table = table_of(small(observed, np.linspace(0.9, 0.1, 20)))
    row = value(table, "base_rate", "auc", "all", partition="train")
    assert row["value"] == 1.0
    assert np.isfinite([row["low"], row["high"]]).all()
    assert value(table, "base_rate", "events", "response", partition="train")["value"] == 2


def test_the_same_model_twice_differs_by_nothing():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.1, 0.9, 40)
    y = 1.0 * (rng.random(40) < p)
    rows = pd.concat([small(y, p), small(y, p, "again"), small(y, expit(logit(p) + 0.5), "other")])
    table = table_of(rows, predictors=("base_rate", "again", "other"))
    again, other = (value(table, n, DIFFERENCE, "all", partition="train") for n in ("again", "other"))
    assert (again["value"], again["low"], again["high"]) == (0.0, 0.0, 0.0)
    assert other["value"] != 0.0
    assert list(dict.fromkeys(table["predictor"])) == ["base_rate", "again", "other"]


def test_threshold_is_the_rate_of_training(judged):
    predictions, metrics, _, models = judged
    rate = float(models["ntcp"].calibration["kidney_toxicity"]["rate"][0])
    rows = predictions[(predictions["predictor"] == "ntcp") & (predictions["outcome"] == "kidney_toxicity")]
    rows = rows[rows["partition"] == "test"]
    called = rows["probability"] >= rate
    found = value(metrics, "ntcp", "sensitivity", "kidney_toxicity")["value"]
    assert found == pytest.approx(called[rows["observed"] == 1].mean())


def test_without_truth_there_is_none(judged, tmp_path):
    _, _, parts, models = judged
    one = replace(parts["kidney_toxicity"])
    own = {n: Trained(m.predictors, m.calibration, m.card, m.out_of_fold) for n, m in models.items()}
    settings = SETTINGS.model_copy(update={"outcomes": ("kidney_toxicity",)})
    evaluate(settings=settings, parts={"kidney_toxicity": one}, models=own, folds={}, truth=None, seed=1, out=tmp_path)
    found = read_table(tmp_path / "predictions.tsv", OUTCOME_PREDICTIONS)
    assert found["truth_probability"].isna().all()
    assert set(read_table(tmp_path / "metrics.tsv", METRICS)["reference"]) == {"label"}
