import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sklearn_metrics

from theradose.evaluation.bootstrap import quiet
from theradose.evaluation.metrics import METRICS, concordance, interval_coverage, interval_log_width

doses = hnp.arrays(float, 8, elements=st.floats(0.05, 20.0), unique=True)


@given(doses, doses)
def test_as_scikit_learn(predicted, reference):
    score = {name: float(metric.score(predicted, reference)) for name, metric in METRICS.items()}
    assert score["mape"] == pytest.approx(100 * sklearn_metrics.mean_absolute_percentage_error(reference, predicted))
    assert score["mae"] == pytest.approx(sklearn_metrics.mean_absolute_error(reference, predicted))
    assert score["rmse"] == pytest.approx(sklearn_metrics.root_mean_squared_error(reference, predicted))
    assert score["r2"] == pytest.approx(sklearn_metrics.r2_score(reference, predicted))
    assert score["bias"] == pytest.approx(predicted.mean() - reference.mean())


@given(doses)
def test_perfect_prediction(reference):
    score = {name: float(metric.score(reference, reference)) for name, metric in METRICS.items()}
    zeros = dict.fromkeys(("bias_percent", "agreement_low_percent", "agreement_high_percent"), 0)
    assert score == pytest.approx({"mape": 0, "mae": 0, "rmse": 0, "bias": 0, "r2": 1, "ccc": 1, **zeros})


@given(doses, doses)
def test_concordance_never_exceeds_correlation(predicted, reference):
    correlation = np.corrcoef(predicted, reference)[0, 1]
    assert abs(concordance(predicted, reference)) <= abs(correlation) + 1e-9


@given(doses, doses)
def test_a_patient_without_the_organ_counts_in_nothing(predicted, reference):
    gap = np.array([np.nan])
    for metric in METRICS.values():
        with_gap = metric.score(np.concatenate([predicted, gap]), np.concatenate([reference, gap]))
        assert float(with_gap) == pytest.approx(float(metric.score(predicted, reference)), nan_ok=True)


def test_limits_of_agreement_by_hand():
    ratios = np.array([0.8, 1.0, 1.3, 1.1])
    reference = np.array([1.0, 2.0, 3.0, 4.0])
    mean, spread = np.log(ratios).mean(), np.log(ratios).std(ddof=1)
    found = {name: float(METRICS[name].score(ratios * reference, reference)) for name in METRICS if "percent" in name}
    assert found == pytest.approx(
        {
            "bias_percent": 100 * (np.exp(mean) - 1),
            "agreement_low_percent": 100 * (np.exp(mean - 1.96 * spread) - 1),
            "agreement_high_percent": 100 * (np.exp(mean + 1.96 * spread) - 1),
        }
    )


def test_one_patient_alone_has_no_limits_of_agreement():
    one, two = np.array([1.0]), np.array([2.0])
    assert np.isnan(METRICS["agreement_low_percent"].score(one, two))
    assert float(METRICS["bias_percent"].score(one, two)) == pytest.approx(-50.0)


def test_scores_of_many_resamples_are_scores_of_each():
    rng = np.random.default_rng(1)
    predicted, reference = rng.lognormal(size=(5, 9)), rng.lognormal(size=(5, 9))
    for metric in METRICS.values():
        together = metric.score(predicted, reference)
        alone = [float(metric.score(p, r)) for p, r in zip(predicted, reference, strict=True)]
        np.testing.assert_allclose(together, alone)


def test_interval_by_hand():
    low, high = np.array([1.0, 2.0, np.nan]), np.array([2.0, 8.0, np.nan])
    assert float(interval_coverage(low, high, np.array([1.5, 9.0, 1.0]))) == pytest.approx(50.0)
    assert float(quiet(interval_log_width, low, high)) == pytest.approx((np.log(2) + np.log(4)) / 2)


def test_no_interval_at_all_is_no_number():
    nothing = np.full(3, np.nan)
    assert np.isnan(quiet(interval_coverage, nothing, nothing, np.ones(3)))
