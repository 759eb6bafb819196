"""Radiomics of one image and its mask, from the command line."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

USUAL = {"pet": "lifex71", "ct": "ct_2mm", "dose": "dosiomics"}


def features(
    image: Annotated[Path, typer.Argument(help="PET or CT, NIfTI (.nii.gz) with its JSON sidecar.")],
    mask: Annotated[Path, typer.Argument(help="Label mask, NIfTI.")],
    *,
    preset: Annotated[
        str, typer.Option(help="Name in config/radiomics or YAML file; by default lifex71, ct_2mm or dosiomics.")
    ] = "",
    label: Annotated[int | None, typer.Option(help="One label of the mask; every label without it.")] = None,
    unit: Annotated[str | None, typer.Option(help="Unit of an image without sidecar: g/mL (SUV), HU or Gy.")] = None,
    weight_kg: Annotated[float | None, typer.Option(help="Body weight, for a PET in Bq/mL.")] = None,
    min_voxels: Annotated[int, typer.Option(min=1, help="VOIs with fewer voxels get a reason, no value.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print every radiomic feature of each labelled VOI, with a status where a value cannot be had.

    Ends with code 3 when a VOI has no feature at all.
    """
    from theradose.features.one_case import case_image, case_masks
    from theradose.features.patient import image_features
    from theradose.features.presets import preset_file, read_preset
    from theradose.features.vois import OK

    volume, modality = case_image(image, unit, weight_kg)
    chosen = read_preset(preset_file(preset or USUAL[modality]), modality)
    table = image_features(volume, case_masks(mask, volume.grid, label), chosen, min_voxels=min_voxels)
    if as_json:
        # JSON has no NaN: a value that cannot be had is null.
        rows = [{**row, "value": row["value"] if row["status"] == OK else None} for row in table.to_dict("records")]
        print(json.dumps(rows, allow_nan=False))
    else:
        table.to_csv(sys.stdout, sep="\t", index=False, lineterminator="\n")
    without = sorted(set(table["voi"]) - set(table.loc[table["status"] == OK, "voi"]))
    if without:
        print(f"without any feature, see status: {', '.join(without)}", file=sys.stderr)
        raise typer.Exit(3)
