"""The bars of the virtual patients: what the design asks for, beside what comes out."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from theradose.cli.answers import answer, refusal

if TYPE_CHECKING:
    from theradose.cohort.virtual.bars import Bar

LINE = "  {:<54}{:>9}  {:<18}{:<8}{:<11}{}"
EXIT_MISSED = 1


def _line(bar: "Bar") -> str:
    """Return a figure for people."""
    low, high = (f"{bound:.4g}" if abs(bound) < float("inf") else "" for bound in (bar.low, bar.high))
    verdict = ("held" if bar.held else "MISSED") if bar.judged else ""
    bounds = f"{low or '...'} to {high or '...'}" if bar.judged else ""
    return LINE.format(bar.name, f"{bar.value:.4g}", bounds, verdict, bar.how, bar.published).rstrip()


def bars(
    *,
    ligand: Annotated[str, typer.Option(help="psma or dotatate.")] = "psma",
    patients: Annotated[int, typer.Option(min=1000, help="How many virtual patients without images.")] = 20000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print what the design asks of the virtual patients beside what they give; ends with 1 when a bar is missed."""
    from theradose.cohort.virtual.bars import bars as every

    with refusal(as_json):
        found = every(ligand, patients)
    judged = [bar for bar in found if bar.judged]
    missed = [bar.name for bar in judged if not bar.held]
    lines = [
        f"  virtual patients: {ligand}, {patients} without images, seed {found[0].seed}",
        LINE.format("figure", "ours", "bar", "", "how", "published or prototype"),
        *(_line(bar) for bar in found),
        f"  {len(judged) - len(missed)} of {len(judged)} bars held",
        *(f"  missed: {name}" for name in missed),
    ]
    rows = [asdict(bar) | {"judged": bar.judged, "held": bar.held} for bar in found]
    answer({"ligand": ligand, "patients": patients, "missed": missed, "bars": rows}, as_json, lines)
    if missed:
        raise typer.Exit(EXIT_MISSED)
