"""Verbs about the project itself: is this machine ready, and what may stand in a study's settings."""

import json
import os
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

NEEDED = ("snakemake", "mlflow", "torch", "pyradiomics-bhklab", "SimpleITK", "dvc", "pandas", "optuna")
MIN_FREE_GB, MIN_MEMORY_GB = 5.0, 4.0


def _packages() -> dict[str, str]:
    """Return the version of each needed package, or `missing`."""
    found = {}
    for name in NEEDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def _findings() -> list[tuple[str, str, str]]:
    """Return (subject, finding, remedy) for everything a study needs; the remedy is empty when all is well."""
    free_gb = shutil.disk_usage(Path.cwd()).free / 1e9
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    rows = [
        ("Python", platform.python_version(), "" if sys.version_info >= (3, 11) else "install Python 3.11"),
        ("cores", str(os.cpu_count()), ""),
        ("memory", f"{memory_gb:.1f} GB", "" if memory_gb >= MIN_MEMORY_GB else f"{MIN_MEMORY_GB} GB are needed"),
        ("free disk", f"{free_gb:.1f} GB", "" if free_gb >= MIN_FREE_GB else f"{MIN_FREE_GB} GB are needed"),
        (
            "writable",
            str(os.access(Path.cwd(), os.W_OK)),
            "" if os.access(Path.cwd(), os.W_OK) else "choose another folder",
        ),
    ]
    return rows + [(name, found, "run `make env`" if found == "missing" else "") for name, found in _packages().items()]


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say whether this machine has what a study needs, and the remedy where not."""
    rows = _findings()
    if as_json:
        print(json.dumps([{"subject": s, "found": f, "remedy": r} for s, f, r in rows]))
    else:
        for subject, found, remedy in rows:
            print(f"{'!!' if remedy else 'ok'}  {subject:<20} {found}" + (f"  -> {remedy}" if remedy else ""))
    raise typer.Exit(2 if any(remedy for _, _, remedy in rows) else 0)


def schema(out: Annotated[Path | None, typer.Option(help="File to write; standard output without it.")] = None) -> None:
    """Print the JSON schema of a study's settings (for editors and for the workflow)."""
    from theradose.provenance import write_json
    from theradose.settings import study_schema

    if out is None:
        print(json.dumps(study_schema(), indent=2, sort_keys=True))
    else:
        write_json(out, study_schema())
