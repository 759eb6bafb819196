"""TIACs of a new patient with every radionuclide, as a report for people or programs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

LINE = "  {:<16}{:<10}{:<28}{:<10}{:<10}{:<12}{}"
NAMES = {"point": "tiac_h", "median": "median_h", "low": "low_h", "high": "high_h"}


def organ_records(rows: "pd.DataFrame") -> list[dict[str, Any]]:
    """Return predictions of one patient as records: an organ, and for each radionuclide TIAC (h), T_eff (h), dose."""
    from theradose.cli.predict import number_or_none

    found = []
    for organ, own in rows.groupby("voi", sort=False):
        reasons = own["reasons"].iloc[0]
        of_nuclides = {
            str(row["radionuclide"]): {
                "tiac_h": {name: number_or_none(row[column]) for name, column in NAMES.items()},
                "t_eff_h": number_or_none(row["t_eff_h"]),
                "dose_ratio": number_or_none(row["dose_ratio"]),
            }
            for row in own.to_dict("records")
        }
        found.append({"organ": str(organ), "radionuclides": of_nuclides, "in_doubt": bool(reasons), "reasons": reasons})
    return found


def tiac_lines(organs: list[dict[str, Any]], cell: Callable[[dict[str, float | None], int], str]) -> list[str]:
    """Return the lines of one patient; `cell` writes a point with its interval in so many digits.

    The last number is the dose per activity over that of the study's radionuclide, energy of charged particles alone.
    """
    lines = [LINE.format("organ", "", "TIAC (interval), h", "median", "T_eff, h", "rel. dose", "in doubt because")]
    for organ in organs:
        reasons = "; ".join(organ["reasons"])
        for place, (name, own) in enumerate(organ["radionuclides"].items()):
            numbers = (own["tiac_h"]["median"], own["t_eff_h"], own["dose_ratio"])
            words = ["-" if v is None else f"{v:.{d}f}" for v, d in zip(numbers, (3, 1, 2), strict=True)]
            first = place == 0
            cells = (organ["organ"] if first else "", name, cell(own["tiac_h"], 3), *words, reasons if first else "")
            lines.append(LINE.format(*cells).rstrip())
    lines.append("  rel. dose: dose per activity over that of the first radionuclide, without photons and cross-dose")
    return lines
