"""Scores beside the limit: the oracle is efficient, one who has seen the answer is found out, chance is not accused."""

import numpy as np
import pandas as pd
import pytest

from theradose.errors import LeakageError
from theradose.evaluation.limit_scores import LEAK, OK, WARNING, holm, limit_scores, population_doses, require_possible

SPREAD, N = 0.17, 300


def study(seed: int = 1, n: int = N) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Return the oracle's table and what models may say of patients whose log dose is N(mu, 0.17^2)."""
    rng = np.random.default_rng(seed)
    mu = np.log(0.45) + 0.4 * rng.standard_normal(n)
    truth = np.exp(mu + SPREAD * rng.standard_normal(n))
    best = np.exp(mu - SPREAD**2)
    oracle = pd.DataFrame(
        {"patient": [f"v{i}" for i in range(n)], "voi": "kidneys", "predicted_gy_per_gbq": best, "log_sd": SPREAD}
    )
    noise = rng.standard_normal(n)
    said = {
        "population_mean": np.full(n, truth.mean()), "oracle": best, "honest": best * np.exp(0.10 * noise),
        "leak": truth * np.exp(0.05 * noise), "half_leak": best ** 0.93 * truth**0.07,
    }  # fmt: skip
    return oracle, said | {"truth": truth}


def scored(said: dict[str, np.ndarray], oracle: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    tables = [
        pd.DataFrame(
            {
                "predictor": name, "patient": oracle["patient"], "voi": "kidneys", "partition": "train",
                "predicted_gy_per_gbq": said[name], "truth_gy_per_gbq": said["truth"],
                "label_gy_per_gbq": said["truth"] * np.exp(0.1 * np.sin(np.arange(len(oracle)))),
            }
        )
        for name in names
    ]  # fmt: skip
    return limit_scores({"organs": pd.concat(tables)}, oracle, {"kidneys": 0.07}, seed=3)


def of(table: pd.DataFrame, name: str, reference: str = "truth") -> pd.Series:
    return table[(table["predictor"] == name) & (table["reference"] == reference)].iloc[0]


def test_holm_by_hand() -> None:
    assert holm(np.array([0.01, 0.04, 0.03])) == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.5, 0.9])) == pytest.approx([1.0, 1.0])


def test_the_oracle_is_efficient_and_not_accused() -> None:
    oracle, said = study()
    table = scored(said, oracle, ["population_mean", "oracle", "honest"])
    own = of(table, "oracle")
    assert own["efficiency"] == pytest.approx(1.0)
    assert own["excess_log_variance"] == pytest.approx(0.0, abs=0.2)  # 300 patients: sd of a variance ratio is 0.08
    assert own["excess_low"] < 0 < own["excess_high"]
    assert set(table["verdict"]) == {OK}
    require_possible(table)


def test_a_worse_model_lies_between_population_and_oracle() -> None:
    oracle, said = study()
    own = of(scored(said, oracle, ["population_mean", "honest"]), "honest")
    assert 0.7 < own["efficiency"] < 1.0
    assert own["efficiency_low"] < own["efficiency"] < own["efficiency_high"]
    assert own["excess_log_variance"] == pytest.approx((0.10 / SPREAD) ** 2, abs=0.25)
    assert of(scored(said, oracle, ["population_mean", "honest"]), "population_mean")["efficiency"] == pytest.approx(
        0.0
    )


def test_what_a_model_errs_more_than_the_limit_has_limits_of_its_own() -> None:
    oracle, said = study()
    own = of(scored(said, oracle, ["population_mean", "honest"]), "honest")
    assert own["worse_by"] == pytest.approx(own["mape"] - own["oracle_mape"])
    assert 0 < own["worse_low"] < own["worse_by"] < own["worse_high"]
    # In pairs: 1.96 standard errors of the differences, not of two lists of errors.
    assert own["worse_high"] - own["worse_low"] == pytest.approx(2 * 1.96 * own["standard_error"], rel=0.1)
    same = of(scored(said, oracle, ["population_mean", "oracle"]), "oracle")
    assert (same["worse_by"], same["worse_low"], same["worse_high"]) == (0.0, 0.0, 0.0)


def test_without_a_population_mean_the_training_labels_stand_for_it() -> None:
    """By hand: of others' logs the mean, less the square of their residuals; a test patient teaches nobody."""
    label = np.array([1.0, 2.0, 4.0, 8.0, 1000.0])
    table = pd.DataFrame(
        {
            "predictor": "mlp", "patient": list("abcde"), "voi": "kidneys", "partition": ["train"] * 4 + ["test"],
            "fold": [0, 0, 1, 1, -1], "label_gy_per_gbq": label,
        }
    )  # fmt: skip
    doses = population_doses(pd.concat([table, table.assign(predictor="ridge")]))
    log = np.log(label[:4])
    means = np.array([log[2:].mean()] * 2 + [log[:2].mean()] * 2)
    squares = (log - means) ** 2
    expected = [np.exp(means[i] - np.delete(squares, i).mean()) for i in range(4)]
    assert doses.to_numpy() == pytest.approx([*expected, np.exp(log.mean() - squares.mean())])
    assert list(doses.index) == [(patient, "kidneys") for patient in "abcde"]


def test_the_mape_is_the_mean_error_and_its_limit_the_formula() -> None:
    oracle, said = study(n=20000)
    own = of(scored(said, oracle, ["population_mean", "oracle"]), "oracle")
    assert own["mape"] == pytest.approx(100 * 0.1350, abs=0.3)  # erf(0.17 / sqrt 2)


def test_one_who_saw_the_answer_fails_the_run() -> None:
    oracle, said = study()
    table = scored(said, oracle, ["population_mean", "honest", "leak"])
    assert of(table, "leak")["verdict"] == LEAK
    assert of(table, "leak")["p_holm"] < 1e-6
    assert of(table, "leak", "label")["verdict"] == OK  # a label errs by itself and cannot accuse
    with pytest.raises(LeakageError, match=r"THR-410.*leak, kidneys"):
        require_possible(table)


def test_a_little_too_good_warns_before_it_fails() -> None:
    oracle, said = study(n=40)
    own = of(scored(said, oracle, ["population_mean", "half_leak"]), "half_leak")
    assert own["worse_by"] < -2.0 * own["standard_error"]
    assert own["verdict"] in {WARNING, LEAK}


def test_chance_alone_accuses_no_one_in_a_thousand() -> None:
    accused = 0
    for seed in range(60):
        oracle, said = study(seed=seed, n=30)
        said["as_good"] = said["oracle"] * np.exp(0.02 * np.random.default_rng(seed).standard_normal(30))
        accused += (scored(said, oracle, ["population_mean", "as_good"])["verdict"] == LEAK).sum()
    assert accused == 0
