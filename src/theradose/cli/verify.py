"""The verb `verify`: is a data set, and what it was made of, still the same byte for byte?"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from theradose.cli.answers import refusal
from theradose.errors import EXIT_QUARANTINED
from theradose.vocabulary import counted


def verify(
    data: Annotated[Path, typer.Argument(help="Data set folder, e.g. data/mine.")],
    *,
    source: Annotated[Path | None, typer.Option(exists=True, help="Folder or archive that it was made of.")] = None,
    mapping: Annotated[Path | None, typer.Option(exists=True, help="Mapping table of the import.")] = None,
    patient: Annotated[list[str] | None, typer.Option(help="Patient whose source this is; all without it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Hash every image again, with --source the raw files too, and list what changed; then ends with code 3."""
    from theradose.cohort.case import ERROR
    from theradose.cohort.layout import Dataset
    from theradose.cohort.unchanged import changed_images, changed_sources

    with refusal(as_json):
        here = Dataset(data)
        faults = list(changed_images(here))
        if source is not None:
            also = [] if mapping is None else [mapping]
            faults += changed_sources(here, source, patients=patient or (), also=also)
        n_images = len(here.manifest())
    changed = {fault.patient for fault in faults if fault.severity == ERROR}
    what = f"{n_images} images" + ("" if source is None else " and the raw files")
    state = f"not as at intake: {counted(len(changed), 'patient')}" if changed else "as at intake"
    summary = f"{what} hashed: {state}"
    if as_json:
        print(json.dumps({"faults": [asdict(fault) for fault in faults], "summary": summary}))
    else:
        print("\n".join([*(f"{fault.severity:<5} {fault.message}" for fault in faults), summary]))
    if changed:
        raise typer.Exit(EXIT_QUARANTINED)
