"""The tracking store: prepared once, safe for parallel jobs, replaced runs leave nothing behind."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from theradose.ops import tracking

WRITER = """
import sys
from pathlib import Path
from theradose.ops.tracking import open_run
with open_run(Path("tracking.json"), "train", {"predictor": f"p{sys.argv[1]}"}) as run:
    run.series([{"epoch": k, "loss": 1.0 / (k + 1)} for k in range(20)])
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Return a folder with a prepared store; preparing takes seconds, copying nothing."""
    folder = tmp_path_factory.mktemp("store")
    before = Path.cwd()
    os.chdir(folder)
    try:
        Path("manifest.tsv").write_text("x\n", encoding="utf-8")
        prepare(Path("tracking.json"))
    finally:
        os.chdir(before)
    return folder


def uri_here():
    """Return the absolute address: within one process MLflow keeps what a relative one meant first."""
    return f"{tracking.SQLITE}{Path.cwd() / tracking.DATABASE}"


def prepare(out):
    return tracking.initialise(
        uri_here(),
        study="demo",
        title="A title",
        settings={"seed": 1},
        watched={"data_manifest": Path("manifest.tsv"), "splits": Path("nowhere.tsv")},
        out=out,
    )


@pytest.fixture
def store(template, monkeypatch):
    monkeypatch.chdir(template)
    client = MlflowClient(uri_here())
    record = tracking.read_record(Path("tracking.json"))
    yield client, record
    for run in client.search_runs([record["experiment_id"]]):
        if run.info.run_id != record["parent_run_id"]:
            client.delete_run(run.info.run_id)


def children(client, record, parent=None):
    runs = client.search_runs([record["experiment_id"]])
    return [r for r in runs if r.data.tags.get("mlflow.parentRunId") == (parent or record["parent_run_id"])]


def test_telemetry_is_off():
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_preparing_twice_makes_nothing_twice(store):
    client, record = store
    assert prepare(Path("again.json")) == record
    assert len(client.search_runs([record["experiment_id"]])) == 1


def test_a_run_holds_what_was_logged(store):
    client, record = store
    with tracking.open_run(Path("tracking.json"), "train", {"experiment": "e", "predictor": "p"}) as run:
        run.params({"tuning": {"trials": 3}, "seed": 1})
        run.metrics({"mape": 12.5})
        run.series([{"epoch": k, "loss": 1.0 / (k + 1)} for k in range(30)])
        run.artifact(Path("manifest.tsv"))
    (child,) = children(client, record)
    assert child.info.status == "FINISHED"
    assert child.info.run_name == "train e/p"
    assert child.data.params == {"tuning.trials": "3", "seed": "1"}
    assert child.data.metrics["mape"] == 12.5
    history = client.get_metric_history(child.info.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(k, 1.0 / (k + 1)) for k in range(30)]
    assert [a.path for a in client.list_artifacts(child.info.run_id)] == ["manifest.tsv"]


def test_a_run_carries_the_hash_of_the_data_and_of_nothing_that_is_not_there(store):
    client, record = store
    with tracking.open_run(Path("tracking.json"), "tune", {}):
        pass
    tags = children(client, record)[0].data.tags
    assert tags["data_manifest_sha256"] == "73cb3858a687a8494ca3323053016282f3dad39d42cf62ca4e79dda2aac7d9ac"
    assert "splits_sha256" not in tags


def test_a_step_that_runs_again_replaces_itself_with_its_trials(store):
    client, record = store
    for value in (1.0, 2.0):
        with tracking.open_run(Path("tracking.json"), "tune", {"predictor": "p"}) as run:
            for number in range(3):
                run.trial(number, {"alpha": number}, value)
        with tracking.open_run(Path("tracking.json"), "tune", {"predictor": "q"}):
            pass
    named = {run.info.run_name: run for run in children(client, record)}
    assert sorted(named) == ["tune p", "tune q"]
    trials = children(client, record, named["tune p"].info.run_id)
    assert [t.data.metrics["value"] for t in trials] == [2.0, 2.0, 2.0]
    assert {t.data.tags["predictor"] for t in trials} == {"p"}
    everything = client.search_runs([record["experiment_id"]])
    assert len(everything) == 1 + 2 + 3


def test_a_pruned_trial_was_killed_and_has_no_value(store):
    client, record = store
    with tracking.open_run(Path("tracking.json"), "tune", {}) as run:
        run.trial(0, {"alpha": 1}, None, pruned=True)
    named = {r.info.run_name: r for r in client.search_runs([record["experiment_id"]])}
    assert named["trial 000"].info.status == "KILLED"
    assert named["trial 000"].data.metrics == {}
    assert named["tune"].info.status == "FINISHED"


def test_a_failed_block_is_a_failed_run_and_a_trial_without_value_a_failed_trial(store):
    client, record = store

    def fail():
        with tracking.open_run(Path("tracking.json"), "tune", {}) as run:
            run.trial(0, {}, None)
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        fail()
    (child,) = children(client, record)
    assert child.info.status == "FAILED"
    assert children(client, record, child.info.run_id)[0].info.status == "FAILED"


def test_what_a_killed_run_left_is_marked(store):
    client, record = store
    left = client.create_run(record["experiment_id"], tags={"mlflow.parentRunId": record["parent_run_id"]})
    prepare(Path("again.json"))
    assert client.get_run(left.info.run_id).info.status == "KILLED"
    assert client.get_run(record["parent_run_id"]).info.status == "RUNNING"
    tracking.close_study(Path("tracking.json"))
    assert client.get_run(record["parent_run_id"]).info.status == "FINISHED"


def test_a_run_killed_while_the_database_is_made_leaves_none_half_made(tmp_path):
    program = f"from theradose.ops.tracking import _whole_database; _whole_database('sqlite:///{tmp_path}/mlflow.db')"
    made = tmp_path / "mlflow.db.new"
    with subprocess.Popen([sys.executable, "-c", program]) as first:
        while not made.is_file() and first.poll() is None:
            time.sleep(0.01)
        first.kill()
    assert not (tmp_path / "mlflow.db").is_file()
    tracking._whole_database(f"{tracking.SQLITE}{tmp_path}/mlflow.db")  # what a resumed run does first
    assert not made.is_file()
    client = MlflowClient(f"{tracking.SQLITE}{tmp_path}/mlflow.db")
    assert client.create_experiment("works")


def test_a_lost_database_is_named_with_its_remedy(store, tmp_path):
    record = (Path.cwd() / "tracking.json").read_text(encoding="utf-8")
    elsewhere = tmp_path / "tracking.json"
    elsewhere.write_text(record.replace("mlflow.db", "gone.db"), encoding="utf-8")
    with pytest.raises(tracking.TrackingError, match=r"gone\.db.*delete .*tracking\.json"):
        tracking.read_record(elsewhere)


@pytest.mark.slow
def test_six_writers_at_once_lose_nothing(store):
    client, record = store
    jobs = [subprocess.Popen([sys.executable, "-c", WRITER, str(k)]) for k in range(6)]
    assert [job.wait() for job in jobs] == [0] * 6
    runs = children(client, record)
    assert sorted(run.info.run_name for run in runs) == [f"train p{k}" for k in range(6)]
    assert all(len(client.get_metric_history(run.info.run_id, "loss")) == 20 for run in runs)
