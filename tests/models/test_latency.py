from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from theradose.errors import DataError, LeakageError, SettingsError
from theradose.experiment_sections import ExperimentSettings
from theradose.features.manifest import manifest
from theradose.models import latency
from theradose.models.column_network import held_back
from theradose.models.latency_examples import LEAST_MONTHS, latency_examples, subset
from theradose.models.latency_predictors import (
    BED,
    MECHANISTIC,
    ConstantLatency,
    LiteralMlpLatency,
    MechanisticLatency,
    MlpLatency,
    RidgeLatency,
    prepared,
    standardised,
)
from theradose.models.predictors import TrainingPlan
from theradose.settings import load_experiment
from theradose.tables import COVARIATE_MANIFEST, COVARIATES, OUTCOMES, SPLITS, write_table

PLAN = TrainingPlan(epochs=150, patience=150, batch_size=200)


@pytest.fixture
def tables():
    """Return covariates, outcomes and splits of five patients; d has no covariates, e no latency."""
    covariates = pd.DataFrame({"patient": list("abce"), "voi": "kidneys", "x": [1.0, np.inf, np.nan, 4.0], "y": 0.0})
    outcomes = pd.DataFrame({"patient": list("abcd"), "latency_months": [10.0, 36.0, 0.0, 5.0]})
    outcomes["latency_observed"], outcomes["egfr_12m_ml_min"] = [1, 0, 0, 1], np.nan
    for event in ("kidney_toxicity", "xerostomia", "marrow_toxicity", "response"):
        outcomes[event] = 0
    splits = pd.DataFrame({"patient": list("abcde"), "centre": "north", "stratum": "north"})
    splits["partition"], splits["fold"] = ["train", "train", "test", "train", "train"], [0, 1, -1, 0, 1]
    return covariates, outcomes, splits


def test_examples_by_hand(tables):
    found = latency_examples(*tables, ["x"])
    assert (found.patients, found.partitions) == (["a", "b", "c"], ["train", "train", "test"])
    assert np.exp(found.log_months) == pytest.approx([10.0, 36.0, LEAST_MONTHS])
    assert list(found.observed) == [True, False, False]
    assert np.isnan(found.covariates["x"].to_numpy()[1:]).all()
    assert found.left_out == {"d": "no covariates", "e": "no latency, not even a censored one"}
    assert latency.subset(found, ["c", "a"]).patients == ["a", "c"]


def test_missing_columns_and_nobody_are_refused(tables):
    with pytest.raises(DataError, match="THR-421"):
        latency_examples(*tables, ["x", "z"])
    with pytest.raises(DataError, match="THR-421"):
        latency_examples(*tables, ["x"]).column("z")
    with pytest.raises(DataError, match="THR-422"):
        latency_examples(tables[0].iloc[3:], tables[1], tables[2], ["x"])


def written(folder, tables, leak="out_of_fold"):
    covariates, outcomes, splits = tables
    about = {"source": "made", "unit": "1", "meaning": "made"}
    rows = pd.DataFrame([{"column": "x", "block": "dose", "leak_class": leak, **about}])
    rows = pd.concat([rows, rows.assign(column="y", block="clinical", leak_class="pre_therapy")])
    pairs = ((covariates, COVARIATES), (rows, COVARIATE_MANIFEST), (outcomes, OUTCOMES), (splits, SPLITS))
    names = ("covariates", "covariate_manifest", "outcomes", "splits")
    return {n: write_table(t, folder / f"{n}.tsv", schema) for n, (t, schema) in zip(names, pairs, strict=True)}


def asked(**changes):
    said = {"name": "latency", "kind": "latency", "title": "x", "baselines": ["latency_constant"], "predictors": []}
    return ExperimentSettings.model_validate({**said, **changes})


def test_load_takes_columns_made_out_of_fold(tmp_path, tables):
    found = latency.load(**written(tmp_path, tables), settings=asked(), labels=None, pairs=None, doses=None)
    assert list(found) == ["kidneys"]
    assert list(found["kidneys"].covariates) == ["x", "y"]
    assert list(latency.load(**written(tmp_path, tables), settings=asked(features=["y"]))["kidneys"].covariates) == [
        "y"
    ]


def test_what_is_known_after_therapy_stays_out(tmp_path, tables):
    files = written(tmp_path, tables, leak="post_therapy")
    assert list(latency.load(**files, settings=asked())["kidneys"].covariates) == ["y"]
    with pytest.raises(LeakageError, match="after therapy"):
        latency.load(**files, settings=asked(features=["x"]))


def test_load_without_a_table_is_refused(tmp_path, tables):
    with pytest.raises(SettingsError, match="assemble_latency"):
        latency.load(**{**written(tmp_path, tables), "outcomes": None}, settings=asked())


def test_score_calibration_and_card(latency_examples):
    _, training = latency_examples(censored=0.0)
    exact, off = training.log_months, training.log_months + np.where(np.arange(50) % 2, 0.5, -0.5)
    assert latency.calibrate(training, off)["log_sd"] == pytest.approx([0.5], rel=1e-3)
    assert latency.score(training, off) == pytest.approx(np.log(0.5) + 0.5 + 0.5 * np.log(2 * np.pi), rel=1e-3)
    assert latency.score(training, exact) < latency.score(training, off)
    card = latency.card(training)
    assert (card["patients"], card["observed"], card["columns"]) == (50, 50, {"offered": 13, "filled": 12})


def test_score_asks_the_censored_only_to_be_later(latency_examples):
    _, training = latency_examples()
    prediction = np.full(len(training), float(training.log_months.mean()))
    later = prediction + np.where(training.observed, 0.0, 1.0)
    assert latency.score(training, later) < latency.score(training, prediction)


def test_columns_are_filled_and_standardised_from_training_alone(latency_examples):
    everyone, training = latency_examples()
    found = standardised(training, list(training.covariates.columns))
    x = prepared(found, training)
    assert np.isfinite(prepared(found, everyone)).all()
    assert x[:, 5:7].tolist() == np.zeros((50, 2)).tolist()
    rest = np.delete(x, [5, 6], axis=1)
    assert rest.mean(axis=0) == pytest.approx(np.zeros(11), abs=1e-12)
    assert rest.std(axis=0) == pytest.approx(np.ones(11))
    assert np.asarray(standardised(training, MECHANISTIC, logged=(BED,)).arrays["logged"]).tolist() == [1, 0, 0, 0, 0]


def test_the_mechanistic_model_finds_what_was_planted(latency_examples):
    everyone, training = latency_examples(n=400, test=100)
    held = everyone.pick(np.array(everyone.partitions) == "test")
    errors = {}
    for predictor in (ConstantLatency, MechanisticLatency, RidgeLatency):
        model = predictor()
        model.fit(training, seed=1, training=PLAN)
        error = model.predict(held) - (5.0 - 0.8 * np.log(held.column(BED)))
        errors[predictor] = float(np.sqrt(np.mean(error**2)))
    # 400 censored at random up to 0.4 early: no bias of more than 0.06 is left, a constant errs by 0.8 x 0.4.
    assert errors[MechanisticLatency] < 0.10
    assert errors[RidgeLatency] < 0.15
    assert errors[ConstantLatency] > 0.25


def test_a_missing_mechanistic_column_is_named(latency_examples):
    _, training = latency_examples()
    bare = training.covariates.drop(columns="clinical.age_y")
    with pytest.raises(DataError, match=r"clinical\.age_y"):
        MechanisticLatency().fit(
            type(training)(training.patients, training.partitions, bare, training.log_months, training.observed),
            seed=1, training=PLAN,
        )  # fmt: skip


def test_networks_learn_and_the_literal_one_comes_too_early(latency_examples):
    """Latencies above 11 months are cut there: who sees events alone takes the early ones for all."""
    everyone, training = latency_examples(n=300, test=100, censored=0.0, noise=0)
    cut = np.log(11.0)
    late = training.log_months > cut
    assert 0.3 < late.mean() < 0.7
    training = type(training)(
        training.patients, training.partitions, training.covariates, np.minimum(training.log_months, cut), ~late
    )
    held = everyone.pick(np.array(everyone.partitions) == "test")
    truth = 5.0 - 0.8 * np.log(held.column(BED))
    bias = {}
    for predictor in (MlpLatency, LiteralMlpLatency):
        model = predictor(hidden="8", dropout=0.0, weight_decay=0.01, learning_rate=0.02)
        model.fit(training, seed=1, training=PLAN)
        bias[predictor] = float(np.mean(model.predict(held) - truth))
    assert abs(bias[MlpLatency]) < 0.12
    assert bias[LiteralMlpLatency] < bias[MlpLatency] - 0.15


def test_the_literal_network_never_sees_a_censored_patient(latency_examples):
    _, training = latency_examples()
    other = training.log_months.copy()
    other[~training.observed] += 3.0
    changed = type(training)(training.patients, training.partitions, training.covariates, other, training.observed)
    models = [LiteralMlpLatency(), LiteralMlpLatency()]
    for model, examples in zip(models, (training, changed), strict=True):
        model.fit(examples, seed=2, training=TrainingPlan(epochs=3))
    assert models[0].predict(training).tobytes() == models[1].predict(training).tobytes()


def test_watchers_are_not_learned_from(latency_examples):
    _, training = latency_examples()
    learning, watching = held_back(training, 3, subset)
    assert len(watching) == 10
    assert not set(learning.patients) & set(watching.patients)
    assert held_back(training.pick(np.arange(9)), 3, subset)[1] is None


def test_the_mechanistic_columns_are_in_the_manifest():
    assert set(MECHANISTIC) <= set(manifest()["column"])


def test_the_experiment_names_predictors_that_there_are():
    found = load_experiment(Path(__file__).parents[2] / "config" / "experiments", "latency")
    assert found.kind == "latency"
    assert found.tuning.trials == 20
