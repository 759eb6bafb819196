"""How far the features are those of IBSI, from the command line."""

import json
from pathlib import Path
from typing import Annotated

import typer


def ibsi(
    data: Annotated[Path, typer.Argument(help="Folder with IBSI's phantoms, reference values and response maps.")],
    *,
    plain: Annotated[bool, typer.Option(help="Also what PyRadiomics gives alone.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, every feature.")] = False,
) -> None:
    """Compare features with IBSI-1 (digital phantom, CT phantom C, D, E) and LoG responses with IBSI-2.

    Exit code 4 when a feature of ours deviates and the reason is not known.
    """
    import pandas as pd

    from theradose.features.ibsi import CONFIGURATIONS, MAP_TOLERANCE, compare, compare_maps

    engines = (False, True) if plain else (False,)
    table = pd.concat([compare(data, name, plain=p) for name in CONFIGURATIONS for p in engines], ignore_index=True)
    maps = compare_maps(data)
    ours = table[table["engine"] == "theradose"]
    if as_json:
        rows = {"features": table.to_dict("records"), "response_maps": maps.to_dict("records")}
        print(json.dumps(rows, allow_nan=False))
    else:
        sizes = table.groupby(["configuration", "engine"], sort=False)["within"].agg(["sum", "size"]).reset_index()
        for found in sizes.to_dict("records"):
            print(f"{found['configuration']}, {found['engine']}: {found['sum']} of {found['size']} within tolerance")
        for row in ours[~ours["within"]].to_dict("records"):
            print(f"{row['feature']} {row['value']:.5g}, IBSI {row['reference']:.5g}: {row['note']}")
        for row in maps.to_dict("records"):
            part, largest = 100 * row["within_part"], 100 * row["max_error"]
            print(
                f"LoG {row['map']}, sigma {row['sigma_mm']:g} mm: {part:.2f} % of voxels within"
                f" {100 * MAP_TOLERANCE:g} % of the range, largest error {largest:.2f} %"
            )
    if (~ours["within"] & (ours["note"] == "")).any():
        raise typer.Exit(4)
