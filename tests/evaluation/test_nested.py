import numpy as np
import pandas as pd
import pytest

from theradose.evaluation.nested import nested_table
from theradose.evaluation.report_nested import nested_sheets
from theradose.learning_schemas import NESTED
from theradose.tables import checked

N, REPEATS, VOIS = 24, 3, ("kidneys", "liver")
NAMES = [f"v{i:03d}" for i in range(N)]
CENTRES = {name: ("north", "south")[i % 2] for i, name in enumerate(NAMES)}
SCATTER = {"population_mean": 0.4, "pet_scaled": 0.2, "hybrid": 0.05}


def made(predictor, repeats=REPEATS, seed=0, vois=VOIS):
    """Return predictions scattered about labels, with intervals of a factor of 1.2 either way."""
    rng = np.random.default_rng(seed)
    rows = []
    for voi in vois:
        label = np.exp(rng.normal(0.0, 0.5, N))
        for repeat in range(repeats):
            said = label * np.exp(SCATTER[predictor] * rng.normal(size=N))
            rows += [
                (predictor, repeat, str(i % 4), p, voi, "Gy/GBq", s, s / 1.2, s * 1.2, y)
                for i, (p, s, y) in enumerate(zip(NAMES, said, label, strict=True))
            ]
    columns = ["predictor", "repeat", "fold", "patient", "voi", "unit", "predicted", "low", "high", "label"]
    return pd.DataFrame(rows, columns=columns)


def judged(predictions, kind="organ_dose", vois=VOIS, centres=CENTRES, baselines=("population_mean", "pet_scaled")):
    table = nested_table(
        predictions, experiment="e", kind=kind, vois=vois, baselines=baselines,
        predictors=list(dict.fromkeys(predictions["predictor"])), centres=centres, seed=1,
    )  # fmt: skip
    return checked(table, NESTED)


@pytest.fixture(scope="module")
def predictions():
    return pd.concat([made(name) for name in SCATTER], ignore_index=True)


@pytest.fixture(scope="module")
def two(predictions):
    """Return the predictions of one model and its baseline."""
    return predictions[predictions["predictor"] != "population_mean"]


@pytest.fixture(scope="module")
def table(predictions):
    return judged(predictions)


def row(table, predictor="hybrid", metric="mape", voi="all", group="all"):
    keys = {"predictor": predictor, "metric": metric, "voi": voi, "group": group}
    found = table[np.logical_and.reduce([table[name] == value for name, value in keys.items()])]
    assert len(found) == 1
    return found.iloc[0]


def by_hand(predictions, predictor="hybrid", patients=NAMES):
    """Return the MAPE of each VOI and repeat, (vois, repeats)."""
    own = predictions[(predictions["predictor"] == predictor) & predictions["patient"].isin(patients)]
    apart = 100.0 * (own["predicted"] - own["label"]).abs() / own["label"]
    return apart.groupby([own["voi"], own["repeat"]]).mean().to_numpy().reshape(len(VOIS), -1)


def test_scores_are_means_over_repeats_and_scatter_is_between_them(predictions, table):
    mape = by_hand(predictions)
    whole = row(table)
    assert whole["value"] == pytest.approx(mape.mean())
    assert whole["sd_between_repeats"] == pytest.approx(mape.mean(axis=0).std(ddof=1))
    assert row(table, voi="liver")["value"] == pytest.approx(mape[1].mean())
    assert whole["low"] < whole["value"] < whole["high"]
    assert whole["n"] == N


def test_each_centre_is_scored_by_its_own_patients(predictions, two, table):
    for centre in ("north", "south"):
        own = [name for name in NAMES if CENTRES[name] == centre]
        found = row(table, group=centre, voi="kidneys")
        assert found["value"] == pytest.approx(by_hand(predictions, patients=own)[0].mean())
        assert found["n"] == N // 2
    assert set(judged(two, centres=dict.fromkeys(NAMES, "north"), baselines=("pet_scaled",))["group"]) == {"all"}


def test_the_difference_is_from_the_best_baseline_and_paired(table):
    apart = row(table, metric="mape_minus_best_baseline")
    assert apart["value"] == pytest.approx(row(table)["value"] - row(table, "pet_scaled")["value"])
    assert apart["high"] < 0.0
    itself = row(table, "pet_scaled", metric="mape_minus_best_baseline")
    assert [itself["value"], itself["low"], itself["high"]] == [0.0, 0.0, 0.0]
    worse = row(table, "population_mean", metric="mape_minus_best_baseline")
    assert worse["low"] > 0.0


def test_limits_are_those_of_patients_not_of_repeats(two):
    """The same repeat three times says no more than once."""
    once = two[two["repeat"] == 0]
    thrice = pd.concat([once.assign(repeat=k) for k in range(3)], ignore_index=True)
    one, three = (row(judged(repeats, baselines=("pet_scaled",))) for repeats in (once, thrice))
    assert [one["low"], one["high"]] == pytest.approx([three["low"], three["high"]])
    assert np.isnan(one["sd_between_repeats"])
    assert three["sd_between_repeats"] == pytest.approx(0.0, abs=1e-9)


def test_a_network_is_compared_over_the_repeat_that_it_has():
    both = pd.concat([made("pet_scaled"), made("hybrid", repeats=1)], ignore_index=True)
    table = judged(both, baselines=("pet_scaled",))
    apart = row(table, metric="mape_minus_best_baseline")["value"]
    assert apart == pytest.approx(by_hand(both)[:, 0].mean() - by_hand(both, "pet_scaled")[:, 0].mean())


def test_coverage_and_width_count_patients_with_an_interval(predictions, two, table):
    assert row(table, metric="log_width")["value"] == pytest.approx(2 * np.log(1.2))
    inside = (predictions["low"] <= predictions["label"]) & (predictions["label"] <= predictions["high"])
    own = predictions["predictor"] == "pet_scaled"
    assert row(table, "pet_scaled", "coverage")["value"] == pytest.approx(100 * inside[own].mean())
    bare = two.copy()
    bare.loc[bare["patient"] == NAMES[0], ["low", "high"]] = np.nan
    fewer = judged(bare, baselines=("pet_scaled",))
    assert row(fewer, metric="coverage")["n"] == N - 1
    assert row(fewer)["n"] == N
    none = judged(two.assign(low=np.nan, high=np.nan), baselines=("pet_scaled",))
    assert np.isnan(row(none, metric="coverage")["value"])


def test_events_are_scored_as_events():
    rng = np.random.default_rng(0)
    base = made("pet_scaled", vois=("response",)).assign(unit="1", low=np.nan, high=np.nan)
    label = dict(zip(NAMES, 1.0 * (rng.random(N) < 0.4), strict=True))
    rate = base.assign(label=base["patient"].map(label), predicted=0.4, predictor="base_rate")
    better = rate.assign(predicted=0.2 + 0.6 * rate["label"], predictor="logistic")
    table = judged(pd.concat([rate, better]), "outcome", ("response",), baselines=("base_rate",))
    assert row(table, "base_rate", "auc")["value"] == 0.5
    assert row(table, "logistic", "auc")["value"] == 1.0
    assert row(table, "logistic", "brier")["value"] == pytest.approx(0.04)
    assert row(table, "logistic", "log_loss_minus_best_baseline")["high"] < 0.0


def test_a_voi_that_a_few_patients_have_counts_them(predictions):
    rare = predictions[(predictions["voi"] == "kidneys") | predictions["patient"].isin(NAMES[:10])]
    table = judged(rare)
    assert row(table, voi="liver")["n"] == 10
    assert row(table, voi="kidneys")["n"] == N


def test_same_seed_same_table(predictions, table):
    pd.testing.assert_frame_equal(judged(predictions), table)


def test_the_report_shows_all_scores_then_targets_then_centres(table):
    sheets = nested_sheets(table, ("population_mean", "pet_scaled"))
    assert [title for title, _ in sheets] == [
        "Nested cross-validation: 24 patients", "Nested cross-validation: MAPE by target",
        "Nested cross-validation: MAPE by centre",
    ]  # fmt: skip
    whole = sheets[0][1]
    assert [head.name for head in whole.heads] == [
        "Predictor", "MAPE", "Mean error", "Coverage", "Log width", "MAPE less that of the best baseline"
    ]  # fmt: skip
    assert [line[0].note for line in whole.rows] == ["baseline", "baseline", "model"]
    assert "SD" in whole.rows[2][1].note
    assert "test patients take no part" in whole.caption
    assert whole.rows[2][-1].text.startswith("\N{MINUS SIGN}")
    assert [head.name for head in sheets[2][1].heads] == ["Predictor", "north", "south"]
    assert nested_sheets(table[:0], ()) == []
