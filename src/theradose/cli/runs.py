"""Verbs about whole runs: go on where a killed one stopped, give a version to what a finished one made."""

import json
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
    from theradose.ops.owner import end_orphans, remove_half_written

    ended = end_orphans(Path.cwd())
    if ended:
        print(f"ended {len(ended)} step(s) that the killed run left behind")
    remove_half_written(Path.cwd())
    study = ["--configfile", str(configfile)] if configfile else []
    command = [sys.executable, "-m", "snakemake", "--cores", str(cores), *study]
    for extra in (["--unlock"], ["--rerun-incomplete"]):
        code = subprocess.run([*command, *extra], check=False).returncode  # noqa: S603 - our own interpreter and words
        if code:
            raise typer.Exit(code)


def record() -> None:
    """Give data set and models of the last run a version (DVC), and write it on the registered model (MLflow)."""
    from theradose.ops.registry import set_version_tags
    from theradose.ops.versions import record_outputs

    versions = record_outputs()
    for file in sorted(Path("results").glob("*/registered.json")):
        registered = json.loads(file.read_text(encoding="utf-8"))["registered"]
        study = json.loads((file.parent / "study.json").read_text(encoding="utf-8"))
        paths = {"dvc_data": f"data/{study['cohort']['name']}", "dvc_models": f"models/{study['study']}"}
        tags = {name: versions[path] for name, path in paths.items() if path in versions}
        if registered and tags:
            set_version_tags(file.parent / "tracking.json", registered["uri"], tags)
            print(f"record: {registered['uri']} carries {', '.join(f'{k} {v}' for k, v in tags.items())}")
    print(f"record: {len(versions)} outputs have a version; now commit dvc.lock and metrics/ to git")
