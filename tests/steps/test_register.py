"""Which model a study releases; the registry itself is stood in for (tests/ops has it)."""

import json
import runpy
import sys

import pandas as pd
import pytest

from theradose.models.store import MODEL_FILE, WEIGHTS_FILE
from theradose.ops import registry, tracking
from theradose.ops.registry import Registered
from theradose.steps import entry
from theradose.tables import EXPERIMENTS, write_table

BEST = {
    "toxicity": {"kind": "outcome", "best": "logistic"},
    "later": {"kind": "organ_dose", "best": "last_cycle"},
    "organ_dose": {"kind": "organ_dose", "best": "hybrid"},
}


@pytest.fixture
def step(tmp_path, monkeypatch):
    """Return what runs the step as its rule does on models of experiments, and the calls that reached the registry."""
    asked = []

    def stand_in(record, **call):
        asked.append(call)
        return Registered(call["name"], "3", "abc", is_new=True)

    monkeypatch.setattr(registry, "register", stand_in)
    monkeypatch.setattr(registry, "input_example", lambda folder, covariates: pd.DataFrame())
    monkeypatch.setattr(tracking, "close_study", lambda record: None)
    monkeypatch.setattr(entry, "keep_out", lambda step: None)
    monkeypatch.delitem(sys.modules, "theradose.steps.register", raising=False)

    def run(*experiments):
        files = []
        for name in experiments:
            folder = tmp_path / "experiments" / name / BEST[name]["best"]
            (folder / "model").mkdir(parents=True)
            card = {"cycle": 2} if name == "later" else {}
            (folder / "model" / MODEL_FILE).write_text(json.dumps({"card": card}))
            (folder / "model" / WEIGHTS_FILE).write_bytes(name.encode())
            (folder / "provenance.json").write_text(json.dumps({"settings": {}, "code": "c0de"}))
            files.append(folder / "model" / MODEL_FILE)
        (tmp_path / "best.json").write_text(json.dumps({name: BEST[name] for name in experiments}))
        write_table(pd.DataFrame(columns=EXPERIMENTS.names()), tmp_path / "experiments.tsv", EXPERIMENTS)
        (tmp_path / "manifest.tsv").write_text("patient\n")
        words = ["--settings", '{"registered_model": "kept"}', "--study", "s", "--source", "virtual"]
        words += ["--experiments", *experiments, "--models", *files, "--best", tmp_path / "best.json"]
        words += ["--table", tmp_path / "experiments.tsv", "--data-manifest", tmp_path / "manifest.tsv"]
        words += ["--splits", tmp_path / "manifest.tsv", "--tracking", tmp_path / "tracking.json"]
        words += ["--out-models", tmp_path / "models", "--out-metrics", tmp_path / "metrics.json"]
        covariates = tmp_path / "covariates.tsv"
        covariates.write_text("patient\tvoi\tname\tvalue\n")
        words += ["--covariates", covariates, "--out", tmp_path / "registered.json"]
        monkeypatch.setattr(sys, "argv", ["register", *map(str, words)])
        runpy.run_module("theradose.steps.register", run_name="__main__")
        return json.loads((tmp_path / "registered.json").read_text())

    return run, asked


def test_the_best_model_of_doses_before_therapy_is_registered_and_all_are_released(step, tmp_path):
    run, asked = step
    record = run("toxicity", "later", "organ_dose")
    assert record["registered"] == {"uri": "models:/kept/3", "digest": "abc", "model": "organ_dose/hybrid"}
    assert record["released"] == ["later/last_cycle", "organ_dose/hybrid", "toxicity/logistic"]
    assert [call["folder"].parent.name for call in asked] == ["hybrid"]
    assert asked[0]["tags"]["code_digest"] == "c0de"
    assert (tmp_path / "models" / "toxicity" / "logistic" / WEIGHTS_FILE).read_bytes() == b"toxicity"


def test_a_model_of_a_later_cycle_or_of_events_is_not_registered(step):
    run, asked = step
    assert run("toxicity", "later")["registered"] is None
    assert asked == []
