"""Who works in a project folder: the live run that must not be disturbed, and what a killed run left behind."""

from pathlib import Path

import psutil

from theradose.errors import TheradoseError, Where

STEP_PREFIX = "theradose.steps."
GRACE_S = 5.0
WRITTEN = ("data", "truth", "results", "models", "metrics")
HALF_WRITTEN = ".*.tmp"  # as provenance.write_atomically names a file before it is whole


class BusyError(TheradoseError):
    """Another run works in the same folder."""

    code = "THR-510"


def _is_run(command: list[str]) -> bool:
    """Tell whether a command line is a Snakemake run."""
    return any(Path(part).name == "snakemake" for part in command[:4])


def _is_step(command: list[str]) -> bool:
    """Tell whether a command line is a step of this package."""
    return any(part.startswith(STEP_PREFIX) for part in command[:4])


def _here(root: Path) -> list[tuple[psutil.Process, list[str]]]:
    """Return processes that work in a folder, with their command lines; those of other users are not seen."""
    own = {psutil.Process().pid, *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid not in own and Path(process.cwd()) == root:
                found.append((process, process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def live_runs(root: Path) -> list[int]:
    """Return the process ids of Snakemake runs at work in a folder."""
    return sorted(process.pid for process, command in _here(root.resolve()) if _is_run(command))


def end_orphans(root: Path) -> list[int]:
    """End the steps that a killed run left behind in a folder; BusyError when a run is alive there."""
    root = root.resolve()
    alive = live_runs(root)
    if alive:
        raise BusyError(
            "a run is at work in this folder",
            where=Where(file=root.as_posix()),
            got=f"process {', '.join(map(str, alive))}",
            remedy="let it finish or stop it first",
        )
    orphans = [process for process, command in _here(root) if _is_step(command)]
    for process in orphans:
        process.terminate()
    _, stubborn = psutil.wait_procs(orphans, timeout=GRACE_S)
    for process in stubborn:
        process.kill()
    return sorted(process.pid for process in orphans)


def remove_half_written(root: Path) -> list[Path]:
    """Remove files that a killed step was still writing; call it when nothing is at work in the folder."""
    found = sorted(file for name in WRITTEN for file in (root / name).rglob(HALF_WRITTEN) if file.is_file())
    for file in found:
        file.unlink()
    return found
