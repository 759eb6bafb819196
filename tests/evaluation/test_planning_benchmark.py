"""The functions of benchmarks/planning.py on few patients and on numbers whose answer is known."""

import numpy as np
import pandas as pd
import planning as benchmark
import pytest
from scipy import stats

from theradose.models.organ_dose import RESIDUALS
from theradose.models.store import Trained

PATIENTS, ERRORS, LOG_SD = 2000, 4000, 0.25


@pytest.fixture(scope="module")
def perfect():
    """Return a model whose errors are normal and known, its medians, and patients whose doses have those errors."""
    rng, organs = np.random.default_rng(3), benchmark.limited_organs()
    level = {"kidneys": 0.5, "parotids": 0.65, "submandibulars": 0.6, "liver": 0.1, "marrow": 0.015}
    medians = {o: level[o] * np.exp(0.3 * rng.standard_normal(PATIENTS)) for o in organs}
    once = {o: m * np.exp(LOG_SD * rng.standard_normal(m.size)) for o, m in medians.items()}
    fresh = benchmark.Fresh({}, {o: np.tile(d, (4, 1)) for o, d in once.items()}, dict.fromkeys(organs, np.array(32.0)))
    errors = LOG_SD * rng.standard_normal(ERRORS)
    return Trained({}, {o: {RESIDUALS: np.sort(errors)} for o in organs}, {}), medians, fresh


def scores(**changes):
    """Return scores that keep every bar, with changes."""
    rows = [
        {"limits": "table", "model": "hybrid", "n": n, "draw": draw, "held": held, "p": p, "binds": "all",
         "binding": p + 0.01 * (-1) ** draw, "any": p}
        for n in (27, 165) for draw in (0, 1) for held in ("each", "joint") for p in (0.05, 0.2)
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**changes)


def test_all_at_once_is_what_is_planned_one_by_one(perfect):
    trained, medians, _ = perfect
    assert benchmark.twin(trained, medians, 4) < 1e-6
    shifted = {o: m * (1.01 if o == "kidneys" else 1.0) for o, m in medians.items()}
    risks = benchmark.risks_at_one(trained, "close")
    ours = benchmark.planned(risks, shifted, 0.05, "joint")[0][:20]
    assert np.abs(ours / benchmark.planned(risks, medians, 0.05, "joint")[0][:20] - 1.0).max() > 1e-4


def test_known_errors_break_limits_as_often_as_stated_whatever_organ_binds(perfect):
    trained, medians, fresh = perfect
    risks = benchmark.risks_at_one(trained, "close")
    for p in benchmark.PROBABILITIES:
        rows = {row["binds"]: row for row in benchmark.judged(risks, medians, fresh, p, "each")}
        often = {organ for organ, row in rows.items() if row["share"] > 0.1}
        assert {"all", "kidneys", "parotids", "submandibulars"} <= often
        for organ in often:
            noise = np.sqrt(p * (1 - p) / (rows[organ]["share"] * PATIENTS))
            assert abs(rows[organ]["binding"] - p) < 4 * noise
        assert rows["all"]["any"] > p
        together = benchmark.judged(risks, medians, fresh, p, "joint")[-1]
        assert 0.7 * p < together["any"] < p + 4 * np.sqrt(p / (PATIENTS))


def test_the_same_half_life_and_cycles_are_the_plan_itself_and_others_are_not(perfect):
    trained, _, fresh = perfect
    [kidneys] = [risk for risk in benchmark.risks_at_one(trained, "table") if risk.organ == "kidneys"]
    activity = np.full(PATIENTS, 7.4)
    same = benchmark.totals_gy(kidneys, activity, fresh)
    dose = 7.4 * fresh.dose_gy_per_gbq["kidneys"][0]
    by_hand = 4 * (dose + dose**2 * (2.8 / (2.8 + 32.0)) / 2.6)
    for total in same.values():
        assert total == pytest.approx(by_hand)
    slower = benchmark.Fresh({}, fresh.dose_gy_per_gbq, {"kidneys": np.full(PATIENTS, 50.0)})
    other = benchmark.totals_gy(kidneys, activity, slower)
    assert (other["binding"] < other["plan_half_life"]).all()


def test_bars_hold_and_fail():
    assert all(ok for _, _, ok in benchmark.bars(scores(), 1e-9, 1e-9))
    for found in (
        benchmark.bars(scores(binding=0.3), 0, 0), benchmark.bars(scores(any=0.3), 0, 0),
        benchmark.bars(scores(), 1e-3, 0), benchmark.bars(scores(), 0, 0.01),
    ):  # fmt: skip
        assert not all(ok for _, _, ok in found)


def test_the_scatter_over_training_sets_is_that_of_normal_errors():
    errors, z = np.random.default_rng(1).standard_normal((4000, 165)), stats.norm.isf(0.05)
    limit = errors.mean(axis=1) + z * np.sqrt(np.mean(errors**2, axis=1))
    assert stats.norm.sf(limit).std() == pytest.approx(benchmark.scatter(0.05, 165), rel=0.1)


@pytest.mark.slow
def test_known_doses_fill_the_limit():
    assert benchmark.certain(20) < benchmark.CERTAIN


@pytest.mark.slow
def test_the_models_of_a_few_draws_break_limits_about_as_often_as_stated(capsys):
    fresh = benchmark.fresh_patients(1000)
    organ, examples = next(iter(fresh.examples.items()))
    np.testing.assert_array_equal(examples.dose, fresh.dose_gy_per_gbq[organ][0])
    found = benchmark.learn(fresh, (165,), 3)
    usual = found[(found["binds"] == "all") & (found["held"] == "each")]
    for (_, _, p), row in usual.groupby(["limits", "model", "p"])["binding"]:
        assert abs(row.mean() - p) < 0.03 + 2 * benchmark.scatter(p, 165) / np.sqrt(3)
    benchmark.told(found)
    shown = capsys.readouterr().out.splitlines()[1:]
    assert sum(", joint, " in line for line in shown) == 2 * 2 * 3  # of all patients alone: limits, models, p
    assert all(", all " in line for line in shown if ", joint, " in line)
