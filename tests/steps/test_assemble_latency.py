"""The step on tables of six patients: 130 columns, filled from predictions that had not seen them."""

import json
from argparse import Namespace

import numpy as np
import pandas as pd
import pytest

from theradose.errors import LeakageError
from theradose.features.manifest import manifest
from theradose.learning_schemas import OUTCOME_PREDICTIONS
from theradose.models import latency
from theradose.steps import assemble_latency
from theradose.tables import (
    COVARIATE_MANIFEST,
    COVARIATES,
    PARTICIPANTS,
    PREDICTIONS,
    SPLITS,
    read_table,
    write_table,
)
from theradose.vocabulary import OUTCOME_EVENTS

ORGANS = ("kidneys", "parotids", "liver", "spleen", "marrow", "lesions")
SETTINGS = {
    "name": "latency", "kind": "latency", "title": "x", "baselines": ["latency_constant"], "predictors": [],
    "dose_predictor": "hybrid",
}  # fmt: skip


@pytest.fixture
def case(tmp_path):
    """Write the tables of six patients; return the flags of the step."""
    rng = np.random.default_rng(1)
    splits = pd.DataFrame({"patient": [f"v{i}" for i in range(6)], "centre": "north", "stratum": "north"})
    splits["partition"], splits["fold"] = ["train"] * 4 + ["test"] * 2, [0, 1, 0, 1, -1, -1]
    early = manifest().query("leak_class == 'pre_therapy'")["column"]
    covariates = splits[["patient"]].assign(voi="kidneys", **{c: rng.lognormal(size=6) for c in early})
    covariates["biological.cga_ng_per_ml"] = np.nan
    people = splits[["patient", "centre"]].assign(weight_kg=80.0, height_cm=170.0, administered_mbq=7400.0)
    people["radionuclide"] = "Lu-177"
    places = splits[["patient", "partition", "fold"]]
    doses = places.merge(pd.DataFrame({"voi": ORGANS}), how="cross").assign(predictor="hybrid", label_gy_per_gbq=9.0)
    doses["predicted_gy_per_gbq"] = rng.lognormal(size=len(doses))
    for name in ("low_gy_per_gbq", "high_gy_per_gbq", "truth_gy_per_gbq"):
        doses[name] = np.nan
    events = places.merge(pd.DataFrame({"outcome": OUTCOME_EVENTS}), how="cross").assign(predictor="multitask")
    events["probability"], events["observed"], events["truth_probability"] = rng.random(len(events)), 1.0, np.nan
    multitask = tmp_path / "multitask"
    write_table(doses.assign(predictor="multitask"), multitask / "predictions.tsv", PREDICTIONS)
    write_table(events, multitask / "outcome_predictions.tsv", OUTCOME_PREDICTIONS)
    return Namespace(
        settings=json.dumps(SETTINGS),
        covariates=write_table(covariates, tmp_path / "covariates.tsv", COVARIATES),
        participants=write_table(people, tmp_path / "participants.tsv", PARTICIPANTS),
        splits=write_table(splits, tmp_path / "splits.tsv", SPLITS),
        doses=write_table(doses, tmp_path / "predictions.tsv", PREDICTIONS),
        surrogates=multitask, out=tmp_path / "latency",
    )  # fmt: skip


def test_130_columns_and_their_manifest(case, capsys):
    assemble_latency.run(case)
    table = read_table(case.out / "covariates.tsv", COVARIATES)
    rows = read_table(case.out / "covariate_manifest.tsv", COVARIATE_MANIFEST)
    assert len(rows) == 130
    assert list(table.columns[2:]) == list(rows["column"])
    assert set(table.columns[table.isna().any()]) == {"biological.cga_ng_per_ml"}
    said = capsys.readouterr().out
    assert "6 patients, 129 of 130 columns filled" in said
    assert "nobody has biological.cga_ng_per_ml" in said
    assert (case.out / "provenance.json").is_file()
    assert len((case.out / "covariates.dictionary.tsv").read_text().splitlines()) == 133


def test_a_study_without_multitask_says_so(case, capsys):
    case.surrogates = None
    assemble_latency.run(case)
    assert "119 of 130 columns filled" in capsys.readouterr().out
    table = read_table(case.out / "covariates.tsv", COVARIATES)
    assert table.filter(like="surrogate.").isna().all(axis=None)


def test_the_same_tables_give_the_same_bytes(case):
    assemble_latency.run(case)
    first = (case.out / "covariates.tsv").read_bytes()
    assemble_latency.run(case)
    assert (case.out / "covariates.tsv").read_bytes() == first


def test_a_prediction_of_a_fit_with_the_patient_is_refused(case):
    doses = read_table(case.doses, PREDICTIONS)
    doses.loc[doses["patient"] == "v1", ["partition", "fold"]] = ["test", -1]
    write_table(doses, case.doses, PREDICTIONS)
    with pytest.raises(LeakageError, match="another split"):
        assemble_latency.run(case)


def test_the_kind_reads_what_the_step_writes(case, tmp_path):
    assemble_latency.run(case)
    outcomes = pd.DataFrame({"patient": [f"v{i}" for i in range(6)], **dict.fromkeys(OUTCOME_EVENTS, 0)})
    outcomes["latency_months"], outcomes["latency_observed"], outcomes["egfr_12m_ml_min"] = 12.0, 1, np.nan
    found = latency.load(
        splits=case.splits,
        covariates=case.out / "covariates.tsv",
        covariate_manifest=case.out / "covariate_manifest.tsv",
        outcomes=write_table(outcomes, tmp_path / "outcomes.tsv", latency.OUTCOMES),
        settings=assemble_latency.from_json(assemble_latency.ExperimentSettings, case.settings),
    )
    assert found["kidneys"].covariates.shape == (6, 130)
