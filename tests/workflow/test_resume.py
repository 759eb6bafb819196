"""Who works in a folder: a live run is not disturbed, what a dead one left behind is ended."""

import subprocess
import sys
import time

import psutil
import pytest

from theradose.ops.owner import BusyError, end_orphans, live_runs, remove_half_written

SLEEP = "import time; time.sleep(60)"


@pytest.fixture
def start(tmp_path):
    """Start sleeping processes whose command lines look like those of a run; end them afterwards."""
    started = []

    def one(*words, cwd=tmp_path):
        process = subprocess.Popen([sys.executable, "-c", SLEEP, *words], cwd=cwd)
        started.append(process)
        time.sleep(0.3)
        return process

    yield one
    for process in started:
        process.kill()
        process.wait()


def test_nothing_is_alive_in_an_empty_folder(tmp_path):
    assert live_runs(tmp_path) == []
    assert end_orphans(tmp_path) == []


def test_a_live_run_is_named_and_left_alone(tmp_path, start):
    run = start("/usr/bin/snakemake")
    step = start("theradose.steps.train")
    with pytest.raises(BusyError, match=str(run.pid)):
        end_orphans(tmp_path)
    assert step.poll() is None


def test_left_steps_are_ended_and_those_of_other_folders_are_not(tmp_path, start):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = start("theradose.steps.train", cwd=elsewhere)
    left = start("theradose.steps.train")
    bystander = start("something.else")
    assert end_orphans(tmp_path) == [left.pid]
    assert not psutil.pid_exists(left.pid)
    assert other.poll() is None
    assert bystander.poll() is None


def test_files_that_were_never_finished_are_removed_and_others_are_not(tmp_path):
    half = tmp_path / "results" / "demo" / ".tac.tsv.123.tmp"
    kept = [tmp_path / "results" / "demo" / "tac.tsv", tmp_path / "src" / ".mine.1.tmp"]
    for file in (half, *kept):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert remove_half_written(tmp_path) == [half]
    assert all(file.is_file() for file in kept)
    assert not half.exists()


def test_the_command_goes_on_only_when_no_run_is_alive(project, start):
    start("/usr/bin/snakemake", cwd=project.root)
    done = project.theradose("resume", "--configfile", project.config)
    assert done.returncode != 0
    assert "a run is at work in this folder" in done.stderr
