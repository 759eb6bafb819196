"""Patients side by side: the order of the items, flat memory, errors as they were raised, nothing left behind."""

import importlib
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import ModuleType

import psutil
import pytest

from theradose.cohort.pool import THREAD_LIMITS, in_order
from theradose.errors import DataError, FitError, SettingsError, Where

WORK = '''
"""What the workers of these tests do."""

import os
import time

import numpy as np
import threadpoolctl

from theradose.errors import DataError, FitError, Where


def drawn(seed):
    """Return numbers that depend on the seed alone; early items take longest."""
    time.sleep(0.02 * max(0, 3 - seed))
    return np.random.default_rng(seed).normal(size=4).tolist()


def scaled(factor, item):
    return factor * item


def process(_):
    return os.getpid()


def threads(_):
    np.ones((64, 64)) @ np.ones((64, 64))
    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]


def refused(item):
    if item == 2:
        where = Where(patient="v003", time_h=24.0)
        raise DataError("a mask is empty", where=where, got=0, expected=1, remedy="draw it", code="THR-222")
    if item == 12:
        raise FitError("too few points", reason="points", where=Where(patient="v012"))
    if item == 22:
        raise ZeroDivisionError("no such luck")
    return item


def started(folder, item):
    (folder / str(item)).touch()
    return item


def asleep(item):
    print(os.getpid(), flush=True)
    time.sleep(60)
'''


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """Return a module that workers can import."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "pool_work.py").write_text(WORK, encoding="utf-8")
    sys.path.insert(0, str(folder))
    yield importlib.import_module("pool_work")
    sys.path.remove(str(folder))


def apart(work: ModuleType, program: str, **environment: str) -> subprocess.Popen[str]:
    """Start a program in a process of its own that can import the module."""
    path = os.pathsep.join([str(Path(work.__file__).parent), *sys.path])
    code = f"import pool_work; from theradose.cohort.pool import in_order; {program}"
    environment = {**os.environ, "PYTHONPATH": path, **environment}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)


def test_two_workers_give_what_one_gives_in_the_same_order(work: ModuleType) -> None:
    alone = list(in_order(work.drawn, range(7), 1))
    assert list(in_order(work.drawn, range(7), 2)) == alone
    assert len({str(numbers) for numbers in alone}) == 7


def test_one_worker_is_this_process_and_two_are_others(work: ModuleType) -> None:
    assert set(in_order(work.process, range(3), 1)) == {os.getpid()}
    assert os.getpid() not in set(in_order(work.process, range(3), 2))


def test_nothing_and_bound_arguments_are_work_too(work: ModuleType) -> None:
    assert list(in_order(work.drawn, [], 2)) == []
    assert list(in_order(partial(work.scaled, 3), [1, 2], 2)) == [3, 6]


def test_a_worker_has_one_thread_whatever_the_parent_may_have(work: ModuleType) -> None:
    program = "print(set(sum(in_order(pool_work.threads, [0, 1], 2), [])))"
    with apart(work, program, **dict.fromkeys(THREAD_LIMITS, "2")) as parent:
        assert parent.communicate()[0] == "{1}\n"


def test_look_ahead_is_bounded(work: ModuleType, tmp_path: Path) -> None:
    """While the caller works on a result, no more than 2 * workers items were begun and not yet done with."""
    taken = []
    items = (taken.append(item) or item for item in range(12))
    for done, result in enumerate(in_order(partial(work.started, tmp_path), items, 2)):
        assert result == done
        time.sleep(0.03)
        assert len(taken) - done <= 4
        assert len(list(tmp_path.iterdir())) <= len(taken)
    assert len(taken) == len(list(tmp_path.iterdir())) == 12


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_comes_as_it_was_raised(work: ModuleType, workers: int) -> None:
    results = in_order(work.refused, range(9), workers)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(DataError) as caught:
        next(results)
    told = "THR-222 a mask is empty · patient v003 · time 24 h · got 0 · expected 1 · draw it"
    assert (str(caught.value), caught.value.code, caught.value.exit_code) == (told, "THR-222", 2)
    assert caught.value.where == Where(patient="v003", time_h=24.0)
    assert "file m.nii.gz" in str(caught.value.at(file="m.nii.gz"))
    assert list(results) == []


def test_errors_of_every_kind_pass(work: ModuleType) -> None:
    with pytest.raises(FitError, match="THR-300 too few points · patient v012") as caught:
        list(in_order(work.refused, range(12, 15), 2))
    assert caught.value.reason == "points"
    with pytest.raises(ZeroDivisionError, match="no such luck"):
        list(in_order(work.refused, range(22, 25), 2))


def test_a_caller_who_stops_leaves_no_work(work: ModuleType, tmp_path: Path) -> None:
    results = in_order(partial(work.started, tmp_path), range(100), 2)
    assert next(results) == 0
    results.close()
    assert len(list(tmp_path.iterdir())) <= 4


def test_an_error_of_the_items_is_no_result(work: ModuleType) -> None:
    def items():
        yield 1
        raise SettingsError("no more patients")

    with pytest.raises(SettingsError, match="no more patients"):
        list(in_order(work.process, items(), 2))


def test_workers_end_when_their_parent_is_killed(work: ModuleType) -> None:
    with apart(work, "list(in_order(pool_work.asleep, [0, 1], 2))") as parent:
        workers = [psutil.Process(int(parent.stdout.readline())) for _ in range(2)]
        parent.kill()
        assert psutil.wait_procs(workers, timeout=20)[1] == []
