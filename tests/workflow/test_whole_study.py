"""The quick study for real, from nothing: same bytes at one and two cores, and after a kill."""

import os
import random
import signal
import subprocess
import time

import pytest

pytestmark = pytest.mark.slow


def whole(project, cores):
    project.snakemake("--cores", str(cores))
    return project


@pytest.fixture(scope="module")
def reference(tmp_path_factory, copy_to):
    """The quick study, run at one core and never touched again."""
    return whole(copy_to(tmp_path_factory.mktemp("reference")), cores=1)


@pytest.fixture
def twin(reference, tmp_path, copy_to):
    """The same code and settings as the reference, with nothing made yet."""
    return copy_to(tmp_path, reference.root)


def differing(first, second):
    """Return the files that are missing in one of two studies or have other bytes."""
    one, two = first.tables(), second.tables()
    return sorted(name for name in set(one) | set(two) if one.get(name) != two.get(name))


def test_a_second_run_has_nothing_to_do(reference):
    assert "Nothing to be done" in reference.snakemake("-n")


def test_two_cores_give_the_same_bytes_as_one(reference, twin):
    assert differing(reference, whole(twin, cores=2)) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_run_is_resumed_to_the_same_bytes(reference, twin, seed):
    """The driver dies at a random moment with kill -9; what it started may live on."""
    wait_s = random.Random(seed).uniform(15.0, 60.0)
    run = subprocess.Popen(
        twin.command("--cores", "2"),
        cwd=twin.root,
        env=twin.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(wait_s)
    assert run.poll() is None, "the study ended before it could be killed"
    if seed == 1:
        os.killpg(run.pid, signal.SIGKILL)
    else:
        run.kill()
    run.wait()
    done = twin.theradose("resume", "--configfile", twin.config)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    assert differing(reference, twin) == []


def test_snakemakes_own_report_can_be_made(reference):
    reference.snakemake("--report", "report.html")
    assert (reference.root / "report.html").stat().st_size > 100_000
