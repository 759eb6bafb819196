"""The compare step beside limits: scores are written, and a model that is better than possible is named."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from theradose.errors import LeakageError
from theradose.evaluation.limit_scores import LIMIT_SCORES, require_possible
from theradose.steps.compare import beside_limits
from theradose.tables import PREDICTIONS, read_table, write_table
from theradose.truth_schemas import LIMITS, ORACLE

SPREAD = 0.17


def study(folder: Path, leak: float, kind: str = "organ_dose", usual: str = "population_mean") -> Namespace:
    """Write predictions of a model that knows the part `leak` of the answer, and the limits of its patients."""
    rng, patients = np.random.default_rng(1), [f"v{i:03d}" for i in range(60)]
    best = 0.4 * np.exp(0.4 * rng.standard_normal(60))
    truth = best * np.exp(SPREAD**2 + SPREAD * rng.standard_normal(60))
    same = {"patient": patients, "voi": "kidneys"}
    predictions = pd.concat(
        pd.DataFrame(
            {
                **same, "predictor": name, "partition": "train", "fold": np.arange(60) % 5,
                "predicted_gy_per_gbq": said, "low_gy_per_gbq": np.nan, "high_gy_per_gbq": np.nan,
                "label_gy_per_gbq": truth, "truth_gy_per_gbq": truth,
            }
        )
        for name, said in ((usual, np.full(60, 0.45)), ("mlp", best ** (1 - leak) * truth**leak))
    )  # fmt: skip
    write_table(predictions, folder / "E" / "predictions.tsv", PREDICTIONS)
    (folder / "E" / "experiment.json").write_text(f'{{"kind": "{kind}"}}', encoding="utf-8")
    oracle = pd.DataFrame({**same, "predicted_gy_per_gbq": best, "expected_ape": 13.5, "log_sd": SPREAD})
    write_table(oracle, folder / "limit" / "oracle.tsv", ORACLE)
    rows = [("planted", SPREAD), ("label", np.hypot(SPREAD, 0.05))]
    limits = pd.DataFrame(rows, columns=["reference", "log_sd"]).assign(
        voi="kidneys", information="image", way="resimulated", mape=13.5
    )
    write_table(limits, folder / "limit" / "limits.tsv", LIMITS)
    return Namespace(metrics=[folder / "E" / "metrics.tsv"], limits=folder / "limit", seed=1, out=folder / "out")


def test_an_honest_model_stands_beside_its_limit(tmp_path: Path) -> None:
    require_possible(beside_limits(study(tmp_path, 0.0)))
    table = read_table(tmp_path / "out/limit_scores.tsv", LIMIT_SCORES)
    assert set(table["predictor"]) == {"population_mean", "mlp"}
    assert set(table["reference"]) == {"truth", "label"}
    assert set(table["verdict"]) == {"ok"}


def test_a_leak_is_written_down_and_named(tmp_path: Path) -> None:
    table = beside_limits(study(tmp_path, 0.8))
    kept = read_table(tmp_path / "out/limit_scores.tsv", LIMIT_SCORES)
    assert "leak" in set(kept["verdict"])
    with pytest.raises(LeakageError, match="E, mlp, kidneys"):
        require_possible(table)


def test_a_leak_of_a_multitask_model_is_caught_and_its_efficiency_has_a_zero(tmp_path: Path) -> None:
    table = beside_limits(study(tmp_path, 0.8, "multitask", "multitask_ridge"))
    with pytest.raises(LeakageError, match="E, mlp, kidneys"):
        require_possible(table)
    efficiency = table[table["reference"] == "truth"].set_index("predictor")["efficiency"]
    assert efficiency["mlp"] > 1.0
    assert efficiency["multitask_ridge"] < 0.0  # here a constant above the best one


@pytest.mark.parametrize("kind", ["dose_map", "tiac", 'organ_dose", "cycle": "2'])
def test_other_quantities_than_doses_of_the_first_cycle_are_not_judged(tmp_path: Path, kind: str) -> None:
    assert beside_limits(study(tmp_path, 0.8, kind)).empty


def test_who_knows_an_earlier_cycle_is_not_judged_by_the_limit_before_therapy(tmp_path: Path) -> None:
    chosen = study(tmp_path, 0.8)
    (tmp_path / "E" / "experiment.json").write_text('{"kind": "organ_dose", "cycle": 2}', encoding="utf-8")
    assert beside_limits(chosen).empty
