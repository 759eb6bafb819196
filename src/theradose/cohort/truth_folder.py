"""The folder of the planted truth: how it is known, and the guard that keeps a step out of it."""
# ruff: noqa: PTH109, PTH110, PTH112, PTH114, PTH117, PTH118, PTH120
# A hook sees every file that is opened: os.path is quick, and raises nothing on a word that is no path.

import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

from theradose.errors import LeakageError, Where
from theradose.provenance import write_atomically

NOTE_FILE = "PLANTED_TRUTH"
NOTE = "What virtual patients were built with. Only the steps that write it or judge by it may open this folder.\n"
# The table marks a folder as well, so that a lost note opens nothing.
SIGNS = (NOTE_FILE, "truth_voi.parquet")
# What Python tells an audit hook of (docs.python.org/3/library/audit_events.html), and how many of the first arguments
# may name files. What shutil, pathlib and nibabel do to files comes down to these; Parquet, which pandas opens unseen,
# is read by `tables.read_table` alone, through Python's own open.
EVENTS = {
    "open": 1, "os.listdir": 1, "os.scandir": 1, "os.chdir": 1, "os.truncate": 1, "os.remove": 1, "os.rmdir": 1,
    "os.rename": 2, "os.link": 2, "os.symlink": 2, "os.exec": 2, "os.posix_spawn": 2, "subprocess.Popen": 3,
    "os.system": 1,
}  # fmt: skip


def mark_truth(folder: Path) -> None:
    """Leave the note by which a folder of planted truth is known; to be done before anything else is written there."""
    write_atomically(folder / NOTE_FILE, NOTE.encode())


@cache
def _inside(folder: str) -> bool:
    """Whether a folder, wherever its links lead, is planted truth or lies in it; looked up once a folder."""
    real = os.path.realpath(folder)
    parent = os.path.dirname(real)
    return any(os.path.exists(os.path.join(real, sign)) for sign in SIGNS) or (parent != real and _inside(parent))


def is_truth(path: str | bytes | os.PathLike[Any]) -> bool:
    """Whether a path, absolute or not, through links or not, is a folder of planted truth or lies in one."""
    given = os.fsdecode(path)
    if not os.path.isabs(given):
        given = os.path.join(os.getcwd(), given)
    if os.path.isdir(given):
        return _inside(given)
    return _inside(os.path.dirname(os.path.realpath(given) if os.path.islink(given) else given))


def _paths(event: str, args: tuple[Any, ...]) -> list[str | bytes | os.PathLike[Any]]:
    """Return what may be paths in the arguments of an audit event; a command's words are looked at one by one."""
    given = args[: EVENTS.get(event, 0)]
    words = [word for one in given for word in (one if isinstance(one, list | tuple) else [one])]
    return [word for word in words if isinstance(word, str | bytes | os.PathLike)]


def keep_out(step: str) -> None:
    """Make every attempt of this process to open, list, move or link planted truth a LeakageError, for good."""

    def hook(event: str, args: tuple[Any, ...]) -> None:
        for path in _paths(event, args) if event in EVENTS else ():
            if is_truth(path):
                raise LeakageError(
                    f"the step {step} may not open the planted truth",
                    where=Where(file=os.fsdecode(path)),
                    remedy="models and labels are made without it; only simulate, limit and evaluate know it",
                    code="THR-401",
                )

    sys.addaudithook(hook)
