"""The functions of benchmarks/toxicity.py on few patients."""

import numpy as np
import pandas as pd
import pytest
import toxicity as benchmark

from theradose.models.folds import training_patients
from theradose.models.predictors import Choice
from theradose.vocabulary import LEARNED_OUTCOMES


@pytest.fixture(scope="module")
def examples():
    pool = benchmark.patients_of(benchmark.world_of(0.6, 5), 80)
    fresh = benchmark.patients_of(benchmark.world_of(0.6, 6), 40)
    return pool, fresh, *benchmark.dosed(pool, fresh, 20, 60, 1)


def scores(**auc):
    """Return scores that keep every bar, changed by outcome."""
    rows = [
        (n, outcome, model, auc.get(outcome, 0.65) - (0.1 if model == "base_rate" else 0.0))
        for n in (165, 1000) for outcome in LEARNED_OUTCOMES for model in ("base_rate", "ntcp")
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["n", "outcome", "model", "auc"])


LIMITS = pd.DataFrame({"bayes": 0.7, "before": 0.68}, index=LEARNED_OUTCOMES)


def test_bars_hold_and_fail():
    assert all(ok for _, _, ok in benchmark.bars(scores(), LIMITS))
    for changes in ({"response": 0.62}, {"response": 0.75}):
        missed = [name for name, _, ok in benchmark.bars(scores(**changes), LIMITS) if not ok]
        assert missed
        assert all("response" in name or "leak" in name for name in missed)


def test_grids_lie_inside_the_search_spaces():
    for predictor, grid in benchmark.GRIDS.items():
        for name, values in grid.items():
            span = predictor.space[name]
            assert not isinstance(span, Choice)
            assert span.low <= min(values)
            assert max(values) <= span.high


@pytest.mark.slow
def test_training_patients_are_those_of_the_draw_and_know_no_dose_of_their_own(examples):
    pool, _, inside, outside = examples
    assert list(inside["xerostomia"].patients) == [f"t{i:06d}" for i in range(20, 80)]
    assert set(outside["xerostomia"].partitions) == {"test"}
    predicted = inside["kidney_toxicity"].column("predicted.kidneys.dose_gy_per_gbq")
    planted = pool.organs["kidneys"].dose[20:80]
    apart = np.log(predicted / planted)
    assert 0.1 < apart.std() < 0.4  # a prediction: neither the dose itself nor nothing
    assert np.corrcoef(np.log(predicted), np.log(planted))[0, 1] > 0.5
    splits = pd.DataFrame({"patient": inside["response"].patients, "partition": inside["response"].partitions})
    assert training_patients(splits) == list(inside["response"].patients)


@pytest.mark.slow
def test_planted_chances_are_the_best_and_therapy_is_not_known_before():
    limits = benchmark.best_possible(benchmark.world_of(0.6, 6), 4000, 5)
    assert set(limits.index) == set(LEARNED_OUTCOMES)
    assert (limits["before"] <= limits["bayes"]).all()
    assert (limits["before"] > 0.53).all()


@pytest.mark.slow
def test_scores_of_one_draw(examples):
    _, fresh, inside, outside = examples
    odds = benchmark.chosen(benchmark.Ntcp, inside["xerostomia"], 1).predict(outside["xerostomia"])
    found = benchmark.judged(fresh.chances["xerostomia"], odds)
    assert set(found) == set(benchmark.FIGURES)
    assert np.isfinite(list(found.values())).all()
