import numpy as np
import pandas as pd
import pytest

from theradose.evaluation.bootstrap import draws, limits, resampled
from theradose.evaluation.compare import verdict, with_roles
from theradose.evaluation.score_table import DIFFERENCE, best_of, score_table
from theradose.tables import EXPERIMENTS, METRICS, checked

ORGANS = ("kidneys", "liver")


def predictions(*, relative_errors, partition="test", n=12, seed=0):
    """Return predictions of several predictors, each off by its relative error, half of them up and half down."""
    rng = np.random.default_rng(seed)
    rows = []
    for organ in ORGANS:
        for i, dose in enumerate(rng.lognormal(size=n)):
            for name, error in relative_errors.items():
                point = dose * (1 + error * (1 if i % 2 else -1))
                rows.append((name, f"v{i:02d}", organ, partition, -1, point, point, dose / 2, dose * 2, dose, np.nan))
    names = ["predictor", "patient", "voi", "partition", "fold", "predicted_gy_per_gbq", "median_gy_per_gbq"]
    names += ["low_gy_per_gbq", "high_gy_per_gbq", "label_gy_per_gbq", "truth_gy_per_gbq"]
    return pd.DataFrame(rows, columns=names)


def both(train, test):
    rows = [predictions(relative_errors=train, partition="train"), predictions(relative_errors=test, seed=1)]
    return pd.concat(rows, ignore_index=True)


def table_of(rows, baselines=("mean", "physics"), predictors=("mean", "physics", "model")):
    return score_table(rows, experiment="e", organs=ORGANS, baselines=baselines, predictors=predictors, seed=1)


def value(table, predictor, metric, partition="test", *, voi="all", reference="label"):
    chosen = table[
        (table["predictor"] == predictor) & (table["metric"] == metric) & (table["partition"] == partition)
        & (table["voi"] == voi) & (table["reference"] == reference)
    ]  # fmt: skip
    assert len(chosen) == 1
    return chosen.iloc[0]


@pytest.fixture(scope="module")
def table():
    # The model is best out of fold, the mean happens to be best on the test.
    return table_of(both({"mean": 0.5, "physics": 0.2, "model": 0.1}, {"mean": 0.05, "physics": 0.3, "model": 0.25}))


def test_mape_of_each_organ_and_their_mean(table):
    for voi in (*ORGANS, "all"):
        row = value(table, "physics", "mape", voi=voi)
        assert row["value"] == pytest.approx(30.0)
        assert row["low"] == pytest.approx(30.0)  # every patient is off by 30 %: resampling changes nothing
        assert row["n"] == 12
    checked(table, METRICS)


def test_limits_enclose_the_value(table):
    rows = table.dropna(subset=["value", "low", "high"])
    rows = rows[rows["metric"].isin(["mae", "rmse", "bias", "mape"])]
    assert (rows["low"] <= rows["value"] + 1e-9).all()
    assert (rows["value"] <= rows["high"] + 1e-9).all()


def test_difference_to_the_best_baseline_is_paired(table):
    row = value(table, "model", DIFFERENCE)
    assert row["value"] == pytest.approx(-5.0)  # 25 % less 30 % of physics, the best baseline out of fold
    assert row["low"] == pytest.approx(-5.0)
    assert row["high"] == pytest.approx(-5.0)
    assert value(table, "physics", DIFFERENCE)["value"] == 0.0


def test_all_is_the_mean_over_organs():
    rows = predictions(relative_errors={"mean": 0.1}, partition="train")
    rows.loc[rows["voi"] == "liver", ["predicted_gy_per_gbq"]] = rows["label_gy_per_gbq"] * 1.3
    table = table_of(rows, baselines=("mean",), predictors=("mean",))
    assert value(table, "mean", "mape", "train")["value"] == pytest.approx(20.0)


def test_label_and_truth_are_told_apart():
    rows = predictions(relative_errors={"mean": 0.1}, partition="train")
    rows["truth_gy_per_gbq"] = rows["predicted_gy_per_gbq"]
    table = table_of(rows, baselines=("mean",), predictors=("mean",))
    assert value(table, "mean", "mape", "train", reference="truth")["value"] == 0.0
    assert value(table, "mean", "mape", "train", reference="label")["value"] == pytest.approx(10.0)


def test_patient_without_one_organ_counts_in_the_other():
    rows = predictions(relative_errors={"mean": 0.1}, partition="train")
    rows = rows[~((rows["patient"] == "v03") & (rows["voi"] == "liver"))]
    table = table_of(rows, baselines=("mean",), predictors=("mean",))
    assert value(table, "mean", "mape", "train", voi="liver")["n"] == 11
    assert value(table, "mean", "mape", "train", voi="kidneys")["n"] == 12


def test_empty_intervals_give_empty_scores():
    rows = predictions(relative_errors={"mean": 0.1}, partition="train")
    rows[["low_gy_per_gbq", "high_gy_per_gbq"]] = np.nan
    table = table_of(rows, baselines=("mean",), predictors=("mean",))
    assert np.isnan(value(table, "mean", "coverage", "train")["value"])
    assert value(table, "mean", "coverage", "train")["n"] == 0


def test_best_is_chosen_out_of_fold_not_by_the_test(table):
    experiment = {
        "name": "e", "kind": "organ_dose", "title": "E", "baselines": ["mean", "physics"],
        "predictors": ["mean", "physics", "model"],
    }  # fmt: skip
    found = verdict(table, experiment)
    assert (found["best"], found["best_baseline"]) == ("model", "physics")
    assert found["test"]["model"]["value"] == pytest.approx(25.0)
    assert found["test_minus_best_baseline"]["value"] == pytest.approx(-5.0)
    assert found["better_than_baselines"] is True
    roles = checked(with_roles(table, experiment, found["best"]), EXPERIMENTS)
    assert set(roles.loc[roles["role"] == "model", "predictor"]) == {"model"}
    assert set(roles.loc[roles["chosen"] == "yes", "predictor"]) == {"model"}


def test_a_baseline_may_be_the_best():
    table = table_of(both({"mean": 0.5, "physics": 0.1, "model": 0.2}, {"mean": 0.5, "physics": 0.1, "model": 0.2}))
    assert best_of(table, ["mean", "physics", "model"]) == "physics"


def test_bootstrap_of_a_mean_has_its_standard_error():
    values = np.random.default_rng(2).normal(size=200)
    low, high = limits(resampled(lambda x: x.mean(axis=-1), (values,), draws(200, seed=3)))
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / np.sqrt(200), rel=0.1)


def test_limits_of_nothing_are_no_numbers():
    assert np.isnan(limits(np.full(5, np.nan))).all()
