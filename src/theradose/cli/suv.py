"""The SUV of PET images as they lie in a folder."""

from pathlib import Path
from typing import Annotated, Any

import typer

from theradose.cli.answers import answer, refusal
from theradose.errors import EXIT_REFUSED
from theradose.vocabulary import counted

LINE = "  {:<22}{}"


def _page(one: dict[str, Any]) -> list[str]:
    """Return the lines about one series."""
    number = one["series_number"]
    head = f"PET series {'without number' if number is None else number}, {counted(one['files'], 'file')}"
    if "refused" in one:
        return [head, LINE.format("refused", one["reason"])]
    other = one["other"]
    return [
        head,
        LINE.format("SUV max", f"{one['suv_max']:.4g} {one['unit']}"),
        LINE.format("SUV mean", f"{one['suv_mean']:.4g} {one['unit']} ({one['suv_mean_over']})"),
        LINE.format("factor", f"{one['factor']:.6g} per stored unit after rescale"),
        LINE.format("reference time", one["reference_time"]),
        LINE.format("rule", one["rule"]),
        *([LINE.format("other reading", f"{other['rule']}: factor {other['factor']:.6g}")] if other else []),
        *(LINE.format("note", note) for note in one["notes"]),
    ]


def suv(
    folder: Annotated[Path, typer.Argument(help="Folder or archive of DICOM files with PET, a part of a series too.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print SUV by body weight of every PET series in a folder, and by which rule; code 2 when none can be had."""
    from theradose.cohort.raw_files import opened
    from theradose.imaging.suv_series import suv_of_files

    with refusal(as_json), opened(folder) as files:
        series, aside = suv_of_files(files)
    top = next((one for one in series if "refused" not in one), series[0])
    lines = [line for one in series for line in _page(one)] + aside
    report = {**top, "left_aside": aside, **({"series": series} if len(series) > 1 else {})}
    answer(report, as_json, lines)
    if "refused" in top:
        raise typer.Exit(EXIT_REFUSED)
