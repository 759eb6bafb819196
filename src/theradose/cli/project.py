"""Verbs about the project itself: is this machine ready, and what may stand in a study's settings."""

import json
import os
import platform
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from theradose.errors import EXIT_OK, EXIT_REFUSED

NEEDED = ("snakemake", "mlflow", "torch", "pyradiomics-bhklab", "SimpleITK", "pydicom", "dvc", "pandas", "optuna")
GREEN, YELLOW, RED = "green", "yellow", "red"
MARKS = {GREEN: "ok", YELLOW: "??", RED: "!!"}
# What the demo needs at least (README), and what is comfortable for real CT and SPECT.
MEMORY_GB, DISK_GB, CORES = (4.0, 8.0), (3.0, 20.0), (1.0, 2.0)
PYTHON = (3, 11)


def _packages() -> dict[str, str]:
    """Return the version of each needed package, or `missing`."""
    found = {}
    for name in NEEDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def _amount(subject: str, found: float, unit: str, bounds: tuple[float, float]) -> tuple[str, str, str, str]:
    """Return the line of an amount: red below what is needed, yellow below what is comfortable."""
    needed, good = bounds
    level = RED if found < needed else YELLOW if found < good else GREEN
    remedy = {RED: f"at least {needed:g}{unit} are needed", YELLOW: f"{good:g}{unit} or more are comfortable"}
    return level, subject, f"{found:.3g}{unit}", remedy.get(level, "")


def _writable(folder: Path) -> tuple[str, str, str, str]:
    """Return whether a file can really be written here."""
    try:
        with tempfile.TemporaryFile(dir=folder) as handle:
            handle.write(b"theradose")
            handle.flush()
    except OSError as error:
        return RED, "write test", error.strerror or "refused", "choose a folder you may write to, or free some space"
    return GREEN, "write test", "a file was written and removed", ""


def _findings() -> list[tuple[str, str, str, str]]:
    """Return (level, subject, finding, remedy) for everything a study needs; the remedy is empty when all is well."""
    here = Path.cwd()
    python = GREEN if sys.version_info >= PYTHON else RED
    in_project = (here / "workflow" / "Snakefile").is_file()
    rows = [
        (python, "Python", platform.python_version(), "" if python == GREEN else "install Python 3.11 or newer"),
        _amount("cores", float(os.cpu_count() or 1), "", CORES),
        _amount("memory", os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, " GB", MEMORY_GB),
        _amount("free disk", shutil.disk_usage(here).free / 1e9, " GB", DISK_GB),
        _writable(here),
        (GREEN, "project folder", "yes", "")
        if in_project
        else (
            YELLOW,
            "project folder",
            "no workflow here",
            "studies run in the folder that holds workflow/ and config/",
        ),
    ]
    missing = "run `make env`"
    return rows + [
        (RED, name, found, missing) if found == "missing" else (GREEN, name, found, "")
        for name, found in _packages().items()
    ]


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say whether this machine has what a study needs, and the remedy where not; red lines end with code 2."""
    rows = _findings()
    if as_json:
        print(json.dumps([{"level": v, "subject": s, "found": f, "remedy": r} for v, s, f, r in rows]))
    else:
        for level, subject, found, remedy in rows:
            line = f"{MARKS[level]}  {subject:<20} {found}" + (f"  -> {remedy}" if remedy else "")
            typer.secho(line, fg=level)
    raise typer.Exit(EXIT_REFUSED if any(level == RED for level, *_ in rows) else EXIT_OK)


def schema(out: Annotated[Path | None, typer.Option(help="File to write; standard output without it.")] = None) -> None:
    """Print the JSON schema of a study's settings (for editors and for the workflow)."""
    from theradose.provenance import write_json
    from theradose.settings import study_schema

    if out is None:
        print(json.dumps(study_schema(), indent=2, sort_keys=True))
    else:
        write_json(out, study_schema())
