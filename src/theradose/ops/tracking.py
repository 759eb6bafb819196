"""The door to MLflow: a study is an experiment with one parent run; a step is its child, a trial its grandchild."""

import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from theradose import __version__
from theradose.errors import TheradoseError, Where
from theradose.provenance import git_commit, sha256_file, write_json

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# MLflow tags what it logs with the account's name and the path of the program; a model that is passed on tells neither.
os.environ.setdefault("MLFLOW_RUN_CONTEXT", '{"mlflow.user": "theradose", "mlflow.source.name": "theradose"}')

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException

DATABASE, ARTIFACTS = "mlflow.db", "mlartifacts"
SQLITE = "sqlite:///"
PARENT_TAG, NOTE_TAG = "mlflow.parentRunId", "mlflow.note.content"
STUDY_STEP, STEP_TAG, TRIAL_STEP = "study", "step", "trial"
MAX_BATCH = 1000  # metrics in one request (MLflow REST documentation, log-batch)
MAX_PARAMS = 100  # parameters in one request (same place)
MAX_VALUE = 6000  # characters of a parameter (same place)


class TrackingError(TheradoseError):
    """The tracking database and the study's record of it do not fit together."""

    code = "THR-500"


def default_uri() -> str:
    """Return the address of the tracking store: MLFLOW_TRACKING_URI, or a database in the working directory."""
    return os.environ.get("MLFLOW_TRACKING_URI") or SQLITE + DATABASE


def _now_ms() -> int:
    """Return the time in milliseconds, as MLflow stamps metrics."""
    return int(time.time() * 1000)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested parameters as `section.key` with text values short enough for MLflow."""
    found: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[prefix + str(key)] = str(value)[:MAX_VALUE]
    return found


@dataclass(frozen=True)
class Run:
    """A run that a step logs to."""

    client: MlflowClient = field(repr=False)
    experiment_id: str
    run_id: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def params(self, values: Mapping[str, Any]) -> None:
        """Log parameters; nested mappings become dotted names."""
        entries = [Param(key, value) for key, value in sorted(_flat(values).items())]
        for start in range(0, len(entries), MAX_PARAMS):
            self.client.log_batch(self.run_id, params=entries[start : start + MAX_PARAMS])

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        self.client.log_batch(self.run_id, tags=[RunTag(key, str(value)) for key, value in sorted(values.items())])

    def metrics(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers of one moment; `step` counts whatever the caller counts."""
        self._log([Metric(key, float(value), _now_ms(), step or 0) for key, value in values.items()])

    def series(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Log a whole history at once; each row names its `epoch`, every other key is a metric."""
        now = _now_ms()
        self._log(
            [
                Metric(key, float(value), now, int(row["epoch"]))
                for row in rows
                for key, value in row.items()
                if key != "epoch" and not math.isnan(float(value))
            ]
        )

    def _log(self, entries: Sequence[Metric]) -> None:
        """Send metrics in as few requests as MLflow allows."""
        for start in range(0, len(entries), MAX_BATCH):
            self.client.log_batch(self.run_id, metrics=entries[start : start + MAX_BATCH])

    def trial(self, number: int, params: Mapping[str, Any], value: float | None, *, pruned: bool = False) -> None:
        """Log a finished trial of a search as a child run with this run's labels.

        One without a value has failed, or was killed for doing worse than others (`pruned`).
        """
        tags = {**self.labels, PARENT_TAG: self.run_id, STEP_TAG: TRIAL_STEP}
        child = self.client.create_run(self.experiment_id, run_name=f"trial {number:03d}", tags=tags)
        run = Run(self.client, self.experiment_id, child.info.run_id)
        run.params(params)
        if value is not None:
            run.metrics({"value": value}, step=number)
        without = "KILLED" if pruned else "FAILED"
        self.client.set_terminated(run.run_id, "FINISHED" if value is not None else without)

    def artifact(self, path: Path) -> None:
        """Log a file."""
        self.client.log_artifact(self.run_id, str(path))


def _delete_tree(client: MlflowClient, experiment_id: str, run_id: str) -> None:
    """Delete a run with everything below it, so that no orphan is left at the top of the dashboard."""
    for child in client.search_runs([experiment_id], f"tags.`{PARENT_TAG}` = '{run_id}'"):
        _delete_tree(client, experiment_id, child.info.run_id)
    client.delete_run(run_id)


def _experiment(client: MlflowClient, uri: str, study: str) -> str:
    """Return the id of the study's MLflow experiment, made or restored when it is not there."""
    known = client.get_experiment_by_name(study)
    if known is None:
        place = None
        if uri.startswith(SQLITE):
            place = (Path(uri.removeprefix(SQLITE)).resolve().parent / ARTIFACTS / study).as_uri()
        return str(client.create_experiment(study, artifact_location=place))
    if known.lifecycle_stage == "deleted":
        client.restore_experiment(known.experiment_id)
    return str(known.experiment_id)


def _parent(client: MlflowClient, experiment_id: str, study: str) -> str:
    """Return the id of the study's parent run, made when it is not there."""
    known = client.search_runs([experiment_id], f"tags.`{STEP_TAG}` = '{STUDY_STEP}'", max_results=1)
    if known:
        return str(known[0].info.run_id)
    run = client.create_run(experiment_id, run_name=f"study {study}", tags={STEP_TAG: STUDY_STEP})
    return str(run.info.run_id)


def _whole_database(uri: str) -> None:
    """Make a missing database under another name and rename it, so that a killed run leaves none half made.

    MLflow takes seconds to build its tables one by one, and refuses a database in which it was stopped.
    """
    path = Path(uri.removeprefix(SQLITE))
    if not uri.startswith(SQLITE) or path.is_file():
        return
    made = path.with_name(f"{path.name}.new")
    made.unlink(missing_ok=True)
    MlflowClient(f"{SQLITE}{made}").search_experiments(max_results=1)
    made.replace(path)


def initialise(
    uri: str, *, study: str, title: str, settings: Mapping[str, Any], watched: Mapping[str, Path], out: Path
) -> dict[str, Any]:
    """Prepare the store before anything runs in parallel and write where it is to `out`; safe to repeat.

    `watched` names files (data manifest, split) whose SHA-256 every later run carries as a tag.
    Runs that an earlier, killed study left running are marked KILLED.
    """
    _whole_database(uri)
    client = MlflowClient(uri)
    experiment_id = _experiment(client, uri, study)
    parent = _parent(client, experiment_id, study)
    for run in client.search_runs([experiment_id], "attributes.status = 'RUNNING'", ViewType.ACTIVE_ONLY):
        if run.info.run_id != parent:
            client.set_terminated(run.info.run_id, "KILLED")
    client.update_run(parent, name=f"study {study}")
    Run(client, experiment_id, parent).tags({NOTE_TAG: title, "study": study, **_code_tags()})
    client.log_dict(parent, dict(settings), "settings.json")
    files = {name: Path(path).as_posix() for name, path in watched.items()}
    record = {
        "uri": uri, "experiment_id": experiment_id, "parent_run_id": parent, "study": study, "watched": files
    }  # fmt: skip
    write_json(out, record)
    return record


def _code_tags() -> dict[str, str]:
    """Return which code runs here."""
    commit = git_commit(Path.cwd())
    return {
        "mlflow.source.git.commit": commit.rstrip("+"),
        "git_dirty": str(commit.endswith("+")),
        "version": __version__,
    }


def _watched_tags(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the hashes of the watched files that exist by now."""
    files = {name: Path(file) for name, file in record["watched"].items()}
    return {f"{name}_sha256": sha256_file(file) for name, file in files.items() if file.is_file()}


def read_record(tracking: Path) -> dict[str, Any]:
    """Read the study's record of its tracking store; TrackingError when the store is gone."""
    record: dict[str, Any] = json.loads(Path(tracking).read_text(encoding="utf-8"))
    uri = record["uri"]
    if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).is_file():
        raise TrackingError(
            "the tracking database is gone",
            where=Where(file=uri.removeprefix(SQLITE)),
            remedy=f"delete {Path(tracking).as_posix()} and run again: a new database is made",
        )
    return record


@contextmanager
def open_run(tracking: Path, step: str, tags: Mapping[str, str]) -> Iterator[Run]:
    """Open the child run of a step and close it as FINISHED, or FAILED when the block raises.

    An earlier run of the same step and tags is deleted with its trials: a step that runs again replaces itself.
    """
    record = read_record(tracking)
    client = MlflowClient(record["uri"])
    experiment, parent = record["experiment_id"], record["parent_run_id"]
    own = {STEP_TAG: step, PARENT_TAG: parent, **tags}
    try:
        for old in client.search_runs([experiment], " and ".join(f"tags.`{k}` = '{v}'" for k, v in own.items())):
            _delete_tree(client, experiment, old.info.run_id)
        name = " ".join([step, "/".join(tags.values())]).strip()
        info = client.create_run(
            experiment, run_name=name, tags={**own, **_code_tags(), **_watched_tags(record), "study": record["study"]}
        ).info
    except MlflowException as error:
        raise TrackingError(
            "the tracking store refused a run",
            where=Where(file=Path(tracking).as_posix()),
            got=error,
            remedy=f"if the store was replaced, delete {Path(tracking).as_posix()} and run again",
        ) from error
    status = "FAILED"
    try:
        yield Run(client, experiment, info.run_id, tags)
        status = "FINISHED"
    finally:
        client.set_terminated(info.run_id, status)


def close_study(tracking: Path) -> None:
    """Mark the study's parent run as finished."""
    record = read_record(tracking)
    MlflowClient(record["uri"]).set_terminated(record["parent_run_id"], "FINISHED")
