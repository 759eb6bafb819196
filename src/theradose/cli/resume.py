"""The verb that goes on where a killed or interrupted run stopped."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer


def resume(
    configfile: Annotated[Path | None, typer.Option(help="The study's YAML; the demo without it.")] = None,
    cores: Annotated[int, typer.Option(help="Jobs at a time.")] = 2,
) -> None:
    """Go on with a run that was killed: end what it left behind, unlock the folder, redo half-finished steps."""
    from theradose.ops.owner import end_orphans

    ended = end_orphans(Path.cwd())
    if ended:
        print(f"ended {len(ended)} step(s) that the killed run left behind")
    study = ["--configfile", str(configfile)] if configfile else []
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), *study]
    for extra in (["--unlock"], ["--rerun-incomplete"]):
        code = subprocess.run([*command, *extra], check=False).returncode  # noqa: S603 - our own interpreter and words
        if code:
            raise typer.Exit(code)
