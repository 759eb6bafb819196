"""`doctor` says in green, yellow and red lines whether this machine is ready, and how to make it so."""

import json
import time
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from theradose.cli import project
from theradose.cli.main import app


def doctor(*more):
    return CliRunner().invoke(app, ["doctor", *more])


@pytest.fixture
def healthy(tmp_path, monkeypatch):
    """A project folder on a machine that has everything."""
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow" / "Snakefile").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(project, "version", lambda name: "1.0")
    monkeypatch.setattr(project.os, "cpu_count", lambda: 4)
    monkeypatch.setattr(project.os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096}.get(name, 4_000_000))
    monkeypatch.setattr(project.shutil, "disk_usage", lambda path: SimpleNamespace(free=1e11))
    return monkeypatch


def levels():
    return {row["subject"]: row for row in json.loads(doctor("--json").output)}


def test_a_healthy_machine_is_green(healthy) -> None:
    start = time.perf_counter()
    done = doctor()
    assert done.exit_code == 0
    assert time.perf_counter() - start < 5.0
    assert all(line.startswith("ok  ") for line in done.output.splitlines())
    assert len(done.output.splitlines()) == 6 + len(project.NEEDED)


@pytest.mark.parametrize(
    ("free_gb", "level", "exit_code", "remedy"),
    [(1.0, "red", 2, "at least 3 GB"), (10.0, "yellow", 0, "20 GB or more"), (20.0, "green", 0, "")],
)
def test_an_amount_has_two_bounds(healthy, free_gb, level, exit_code, remedy) -> None:
    healthy.setattr(project.shutil, "disk_usage", lambda path: SimpleNamespace(free=free_gb * 1e9))
    row = levels()["free disk"]
    assert row["level"] == level
    assert remedy in row["remedy"]
    assert bool(remedy) == bool(row["remedy"])
    assert doctor().exit_code == exit_code


def test_a_missing_package_and_a_foreign_folder_are_named(healthy, tmp_path) -> None:
    def absent(name):
        if name == "optuna":
            raise project.PackageNotFoundError(name)
        return "1.0"

    healthy.setattr(project, "version", absent)
    healthy.chdir(tmp_path / "workflow")
    done = doctor()
    assert done.exit_code == 2
    assert "!!  optuna               missing  -> run `make env`" in done.output
    assert "??  project folder" in done.output


def test_what_was_written_for_the_test_is_gone(healthy, tmp_path) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert levels()["write test"]["level"] == "green"
    assert sorted(tmp_path.rglob("*")) == before
