"""Organ limits and radiobiological constants, each with its source, from one table that may be edited."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from theradose.errors import SettingsError, Where

TABLE = Path(__file__).parent / "data" / "limits.csv"
CASES = ("standard", "cautious", "external_beam", "virtual")
LIMITS = {"bed": "limit_bed_gy", "dose": "limit_dose_gy"}  # the first that an organ has is its limit
EXTERNAL_BEAM_WARNING = (
    "parameters fitted to external-beam radiotherapy do not transfer to radionuclide therapy (MIRD Pamphlet No. 20)"
)


@dataclass(frozen=True)
class Constant:
    """One number of the table: what it is (unit in the name), where it comes from, what it is good for."""

    organ: str
    case: str
    name: str
    value: float
    source: str
    validity: str


@cache
def constants() -> dict[tuple[str, str, str], Constant]:
    """Return the whole table by organ, case and name; ValueError for a number that is none."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    rows = csv.DictReader(line for line in lines if not line.startswith("#"))
    table = [Constant(value=float(row.pop("value")), **row) for row in rows]
    return {(row.organ, row.case, row.name): row for row in table}


def has_constant(organ: str, name: str, case: str = "standard") -> bool:
    """Tell whether the table has a number for an organ; `cautious` falls back on `standard`.

    >>> has_constant("kidneys", "limit_bed_gy"), has_constant("marrow", "limit_bed_gy")
    (True, False)
    """
    return any((organ, kind, name) in constants() for kind in _cases(case))


def _cases(case: str) -> tuple[str, ...]:
    """Return where to look, in order."""
    return ("cautious", "standard") if case == "cautious" else (case,)


def constant(organ: str, name: str, case: str = "standard") -> Constant:
    """Return one number of an organ with its source; `cautious` falls back on `standard`.

    SettingsError (code `unknown_organ` or `no_constant`) says what the table has instead.

    >>> constant("kidneys", "limit_bed_gy", "cautious").value, constant("kidneys", "t_repair_h", "cautious").value
    (28.0, 2.8)
    """
    for kind in _cases(case):
        if (organ, kind, name) in constants():
            return constants()[organ, kind, name]
    organs = list(dict.fromkeys(key[0] for key in constants()))
    known = organ in organs
    names = [key[2] for key in constants() if key[0] == organ and key[1] in _cases(case)]
    raise SettingsError(
        f"the table of limits has no {name} for {organ}" if known else f"the table of limits knows no organ {organ}",
        where=Where(field=name),
        expected=f"one of {', '.join(names if known else organs)}",
        remedy=f"give the number as an option, or add a row with its source to {TABLE.name}",
        code="no_constant" if known else "unknown_organ",
    )
