from dataclasses import replace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

from theradose.cohort.virtual.outcomes import EGFR_AT_MONTHS, LATENCY_LOG_SD
from theradose.evaluation.audited_models import SHUFFLED, audit_models
from theradose.evaluation.renal_slope import NOISE, REFERENCES, UNIT, evaluate
from theradose.experiment_sections import ExperimentSettings
from theradose.learning_schemas import SLOPE_PREDICTIONS
from theradose.models import renal_slope
from theradose.models.fitting import fit_parts
from theradose.models.outcome_examples import CAUSES
from theradose.models.predictors import TrainingPlan
from theradose.models.renal_slope_predictors import SlopeMean, SlopeMechanistic
from theradose.models.store import Trained
from theradose.tables import AUDIT, METRICS, checked, read_table, write_table
from theradose.truth_schemas import LATENTS, TRUTH_OUTCOME
from theradose.vocabulary import EGFR_SLOPE

N, TRAINING = 120, 80
SETTINGS = ExperimentSettings(
    name="renal_slope", kind="renal_slope", title="t", outcomes=(EGFR_SLOPE,), baselines=("slope_mean",),
    predictors=("slope_mechanistic",),
)  # fmt: skip
NAMES = [f"v{i:03d}" for i in range(N)]


@pytest.fixture(scope="module")
def examples(outcome_examples):
    """Return patients who lose more the higher their predicted BED, with a noise of 2 mL/min."""
    made = outcome_examples(n=N, test=N - TRAINING, outcome=EGFR_SLOPE)[0]
    slope = -0.5 * made.dose + 2.0 * np.random.default_rng(1).normal(size=N)
    return replace(made, observed=slope)


def trained(predictor, parts, folds):
    found = fit_parts(
        predictor, parts, {EGFR_SLOPE: {}}, folds=folds, subset=renal_slope.subset, score=renal_slope.score,
        calibrate=renal_slope.calibrate, card=renal_slope.card, seed=1, training=TrainingPlan(),
    )  # fmt: skip
    return Trained(found.predictors, found.calibration, {"predictor": predictor.name}, found.out_of_fold)


@pytest.fixture(scope="module")
def judged(examples, tmp_path_factory):
    """Return a function that judges two models with or without a planted truth, and gives predictions and scores."""
    out = tmp_path_factory.mktemp("slope")
    truth = pd.DataFrame(dict.fromkeys(TRUTH_OUTCOME.names(), 0.0), index=range(N)).assign(patient=NAMES)
    write_table(truth.assign(log_latency=np.log(12.0)), out / "truth" / "truth_outcome.parquet", TRUTH_OUTCOME)
    latents = pd.DataFrame({"patient": NAMES, "voi": "", "name": "egfr_true_ml_min", "value": 80.0})
    write_table(latents, out / "truth" / "latents.parquet", LATENTS)
    inside = renal_slope.subset(examples, NAMES[:TRAINING])
    folds = [(NAMES[:TRAINING:2], NAMES[1:TRAINING:2]), (NAMES[1:TRAINING:2], NAMES[:TRAINING:2])]
    models = {p.name: trained(p, {EGFR_SLOPE: inside}, folds) for p in (SlopeMean, SlopeMechanistic)}

    def judge(truth=None):
        place = {p: i % 2 if i < TRAINING else -1 for i, p in enumerate(NAMES)}
        parts = {EGFR_SLOPE: examples}
        evaluate(settings=SETTINGS, parts=parts, models=models, folds=place, truth=truth, seed=1, out=out)
        return read_table(out / "predictions.tsv", SLOPE_PREDICTIONS), read_table(out / "metrics.tsv", METRICS)

    return judge, out / "truth"


def of(table, metric, predictor="slope_mechanistic", reference="label", partition="test"):
    which = (table["metric"] == metric) & (table["predictor"] == predictor) & (table["voi"] == "all")
    rows = table[which & (table["reference"] == reference) & (table["partition"] == partition)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_scores_are_those_of_the_predictions_and_the_mean_explains_nothing(judged):
    predictions, table = judged[0](judged[1])
    test = predictions[(predictions["partition"] == "test") & (predictions["predictor"] == "slope_mechanistic")]
    apart = test["predicted_ml_min_per_y"] - test["label_ml_min_per_y"]
    rmse = of(table, "rmse")
    assert rmse["value"] == pytest.approx(np.sqrt(np.mean(apart**2)))
    assert (rmse["unit"], rmse["n"]) == (UNIT, N - TRAINING)
    assert rmse["low"] < rmse["value"] < rmse["high"]
    assert rmse["value"] == pytest.approx(2.0, abs=0.6)  # the planted noise
    assert of(table, "bias")["value"] == pytest.approx(apart.mean())
    assert of(table, "r2")["value"] > 0.4
    assert of(table, "r2", "slope_mean")["value"] <= 0.0
    assert of(table, "rmse_minus_best_baseline")["high"] < 0.0
    assert of(table, "rmse_minus_best_baseline", "slope_mean")["value"] == 0.0
    assert 75.0 <= of(table, "coverage")["value"] <= 100.0
    inside = test["label_ml_min_per_y"].between(test["low_ml_min_per_y"], test["high_ml_min_per_y"])
    assert of(table, "coverage")["value"] == pytest.approx(100.0 * inside.mean())


def test_the_planted_slope_is_the_mean_over_latencies_and_the_limit_stands_beside_the_label_alone(judged):
    predictions, table = judged[0](judged[1])
    drawn = 80.0 * 0.9 ** (
        EGFR_AT_MONTHS / (12.0 * np.exp(LATENCY_LOG_SD * np.random.default_rng(3).normal(size=10**5)))
    )
    np.testing.assert_allclose(predictions[REFERENCES["truth"]], drawn.mean() - 80.0, rtol=0.01)
    measured = drawn * (1.0 + 0.08 * np.random.default_rng(4).normal(size=len(drawn)))
    np.testing.assert_allclose(predictions[NOISE], measured.std(), rtol=0.01)
    assert of(table, "rmse_limit")["value"] == pytest.approx(predictions[NOISE].iloc[0])
    assert "rmse_limit" not in set(table.loc[table["reference"] == "truth", "metric"])


def test_real_patients_have_neither_truth_nor_limit(judged):
    predictions, table = judged[0]()
    assert predictions[[REFERENCES["truth"], NOISE]].isna().all(axis=None)
    assert set(table["reference"]) == {"label"}
    assert "rmse_limit" not in set(table["metric"])


def test_training_intervals_leave_the_patient_out(judged):
    predictions = judged[0]()[0]
    own = predictions[(predictions["partition"] == "train") & (predictions["predictor"] == "slope_mechanistic")]
    apart = (own["label_ml_min_per_y"] - own["predicted_ml_min_per_y"]).to_numpy()
    others = np.sort(np.abs(np.delete(apart, 7)))[int(np.ceil(0.9 * TRAINING)) - 1]
    width = own["high_ml_min_per_y"] - own["predicted_ml_min_per_y"]
    assert width.iloc[7] == pytest.approx(others)


def test_the_line_learns_from_five_columns_and_the_mean_from_none(examples):
    inside = renal_slope.subset(examples, NAMES[:TRAINING])
    line, mean = SlopeMechanistic(), SlopeMean()
    for model in (line, mean):
        model.fit(inside, seed=1, training=TrainingPlan())
    cause = CAUSES[EGFR_SLOPE]
    assert set(line.columns.names) <= {cause.dose_column, *cause.others}
    assert cause.dose_column in line.columns.names
    np.testing.assert_allclose(mean.predict(examples), inside.observed.mean())
    others = examples.covariates.assign(**{f"noise_{k}": 1e6 for k in range(6)})
    assert line.predict(replace(examples, covariates=others)).tobytes() == line.predict(examples).tobytes()


class PeepingMean(SlopeMean):
    """Knows the label of everyone, held out or not."""

    book: ClassVar[dict[str, float]] = {}

    def _predict(self, examples):
        return np.array([self.book[patient] for patient in examples.patients])


def test_slopes_are_audited_and_who_knows_them_is_found(examples, monkeypatch):
    inside = renal_slope.subset(examples, NAMES[:TRAINING])
    settings = SETTINGS.model_copy(update={"audit_permutations": 6})
    models = {}
    for model in (SlopeMean(), SlopeMechanistic(), PeepingMean()):
        model.fit(inside, seed=1, training=TrainingPlan())
        models[type(model).__name__] = Trained({EGFR_SLOPE: model}, {}, {})
    honest = SHUFFLED["renal_slope"]

    def remember(own, y):
        PeepingMean.book = dict(zip(own.patients, y, strict=True))
        return honest.relabelled(own, y)

    monkeypatch.setitem(SHUFFLED, "renal_slope", replace(honest, relabelled=remember))
    folds = {patient: place % 4 for place, patient in enumerate(inside.patients)}
    table = checked(audit_models(settings, {EGFR_SLOPE: examples}, models, folds=folds, seed=1), AUDIT)
    verdicts = dict(zip(table["predictor"], table["verdict"], strict=True))
    assert verdicts == {"SlopeMean": "clean", "SlopeMechanistic": "clean", "PeepingMean": "leak"}
    assert table.set_index("predictor").loc["SlopeMechanistic", "skill"] > 0.3
