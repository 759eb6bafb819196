"""The limit step on a tiny cohort: every organ, every way, every patient, and nothing that only the truth may hold."""

from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from theradose.evaluation.organ_dose import true_doses
from theradose.sections import CohortSettings, VirtualSettings
from theradose.settings import to_json
from theradose.steps import limit, simulate
from theradose.tables import read_table, write_table
from theradose.truth_schemas import LIMITS, ORACLE, OUTCOME_LIMITS, RECOVERY_CHECK


def recovery(folder: Path) -> Path:
    """Write a recovery table in which kidneys' labels err by 10 %."""
    errors = np.array([-0.1, 0.1, -0.1, 0.1])
    numbers = [c.name for c in RECOVERY_CHECK.columns if c.kind == "number"]
    table = pd.DataFrame(dict.fromkeys(numbers, 1.0), index=range(4))
    table = table.assign(
        patient=[f"v00{i}" for i in range(4)], cycle=1, voi="kidney_left", organ="kidneys", model="mono"
    )
    return write_table(table.assign(dose_error=errors), folder / "recovery.tsv", RECOVERY_CHECK)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("limit")
    virtual = VirtualSettings(patients=2, spacing_mm=10.0, spect_times_h=(24.0,), planned_cycles=1)
    settings = to_json(CohortSettings(name="tiny", virtual=virtual))
    same = {"settings": settings, "radionuclide": "Lu-177", "seed": 3}
    simulate.run(Namespace(**same, workers=1, out_data=folder / "data", out_truth=folder / "truth"))
    limit.run(Namespace(**same, patients=900, truth=folder / "truth", recovery=recovery(folder), out=folder / "out"))
    return folder


def test_every_organ_has_its_limits_by_every_way(out: Path) -> None:
    table = read_table(out / "out/limits.tsv", LIMITS)
    ways = set(zip(table["information"], table["way"], strict=True))
    assert ways == {
        ("table", "closed_form"), ("table", "asymptotic"), ("log", "closed_form"), ("log", "asymptotic"),
        ("image", "closed_form"), ("image", "resimulated"),
    }  # fmt: skip
    assert len(table) == 8 * 2 * len(ways)


def test_labels_add_their_error(out: Path) -> None:
    table = read_table(out / "out/limits.tsv", LIMITS)
    own = table[(table["voi"] == "kidneys") & (table["way"] == "resimulated")].set_index("reference")["log_sd"]
    spread = np.log1p(np.array([-0.1, 0.1, -0.1, 0.1])).std(ddof=1)
    assert own["label"] == pytest.approx(np.hypot(own["planted"], spread))
    liver = table[(table["voi"] == "liver") & (table["way"] == "resimulated")].set_index("reference")["log_sd"]
    assert liver["label"] == liver["planted"]


def test_the_oracle_knows_every_patient_but_not_the_therapy(out: Path) -> None:
    oracle = read_table(out / "out/oracle.tsv", ORACLE)
    planted = true_doses(out / "truth")
    assert set(zip(oracle["patient"], oracle["voi"], strict=True)) == set(planted)
    apart = [abs(np.log(row.predicted_gy_per_gbq / planted[row.patient, row.voi])) for row in oracle.itertuples()]
    assert 0.01 < np.mean(apart) < 0.6


def test_outcomes_have_their_best_scores(out: Path) -> None:
    table = read_table(out / "out/outcome_limits.tsv", OUTCOME_LIMITS).set_index(["target", "score"])["value"]
    assert 0.5 < table["kidney_toxicity", "auc_image"] <= table["kidney_toxicity", "auc_known"] < 0.9
    assert table["latency", "log_rmse_known"] == pytest.approx(0.45)
    assert table["latency", "log_rmse_image"] > 0.45
