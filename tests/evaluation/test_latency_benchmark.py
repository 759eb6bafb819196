"""The functions of benchmarks/latency.py on few patients."""

import latency as benchmark
import numpy as np
import pandas as pd
import pytest

from theradose.models.latency_predictors import MECHANISTIC, ConstantLatency, MechanisticLatency


@pytest.fixture(scope="module")
def draw():
    return benchmark.draw_of(3, 60, 200)


def table(**brier):
    """Return scores of two draws that keep every claim, the Brier score of some changed."""
    usual = {"latency_constant": 0.13, "latency_mechanistic": 0.113, "latency_ridge": 0.12, "limit": 0.10} | brier
    order = {"limit": 0.71}
    rows = [
        {"draw": draw, "predictor": name, "ipcw_brier": value, "c_index": order.get(name, 0.6), "rmse_log": 0.45,
         "least_rmse": 0.36, "bayes_c": 0.71}
        for draw in (1, 2) for name, value in usual.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_draw_has_130_columns_and_tells_nothing_of_the_outcome(draw):
    examples = draw.examples
    assert examples.covariates.shape == (260, benchmark.COLUMNS)
    assert set(MECHANISTIC) <= set(examples.covariates)
    assert np.isfinite(examples.covariates.to_numpy()).all()
    varying = [values for values in examples.covariates.to_numpy().T if np.ptp(values) > 0]
    assert len(varying) >= benchmark.COLUMNS - 1
    own = [np.corrcoef(values, examples.log_months)[0, 1] for values in varying]
    assert np.abs(own).max() < 0.8
    assert 0.5 < examples.observed.mean() < 0.95
    assert examples.partitions.count("train") == 60


def test_the_doses_of_those_learned_from_hang_on_no_fresh_patient(draw):
    fewer = benchmark.draw_of(3, 60, 50).examples.covariates.iloc[:60]
    names = [name for name in fewer if name.startswith("predicted.")]
    assert len(names) == 15
    pd.testing.assert_frame_equal(fewer[names], draw.examples.covariates.iloc[:60][names])


def test_folds_hold_every_one_learned_from_once(draw):
    held = [name for _, own in benchmark.inner_folds(draw) for name in own]
    assert sorted(held) == list(draw.examples.patients)[:60]


def test_claims_hold_and_fail():
    assert all(ok for _, _, ok in benchmark.verdicts(table()))
    for changed in ({"latency_ridge": 0.112}, {"latency_constant": 0.11}, {"latency_ridge": 0.09}):
        assert not all(ok for _, _, ok in benchmark.verdicts(table(**changed)))
    assert not all(ok for _, _, ok in benchmark.verdicts(table().assign(rmse_log=0.3)))


@pytest.mark.slow
def test_five_quantities_tell_more_than_a_constant_and_less_than_the_limit():
    draw = benchmark.draw_of(1, benchmark.N, 600)
    kinds = (ConstantLatency, MechanisticLatency)
    models = {kind.name: benchmark.trained(kind, draw, 2, 1) for kind in kinds}
    found = benchmark.judged(draw, models, 1).set_index("predictor")
    order = [found.loc[name, "ipcw_brier"] for name in ("limit", "latency_mechanistic", "latency_constant")]
    assert order == sorted(order)
    assert found.loc["latency_constant", "c_index"] == 0.5
    assert found.loc["limit", "c_index"] == pytest.approx(benchmark.possible(draw)["bayes_c"], abs=0.03)
