"""Tables as readers want them: units in the head, three significant digits, medians with their range."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
DIGITS = 3
# Below this a quantity of this report is the rounding error of a zero.
ROUNDING_ERROR = 1e-12


@dataclass(frozen=True)
class Cell:
    """A cell: its words, how it is set off (`best`, `muted`, `ok`, `warn`, `bad`), and small words below it."""

    text: str
    kind: str = ""
    note: str = ""


@dataclass(frozen=True)
class Head:
    """The head of a column: name, unit, and whether the column holds numbers."""

    name: str
    unit: str = ""
    number: bool = True


@dataclass(frozen=True)
class Sheet:
    """A table of a page; `fold` keeps it closed until asked for when it is long."""

    heads: Sequence[Head]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    fold: str = ""


def three(value: float | None, digits: int = DIGITS) -> str:
    """Return a number with three significant digits and no exponent, a dash when there is none.

    >>> three(1234.5), three(0.012345), three(-1e-16), three(7.0)
    ('1230', '0.0123', '0', '7.00')
    """
    if value is None or not math.isfinite(value):
        return DASH
    if abs(value) < ROUNDING_ERROR:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(value)))
    rounded = round(float(value), places)
    if rounded == 0:
        return "0"
    places = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:.{max(places, 0)}f}".replace("-", MINUS)


def percent(value: float, *, signed: bool = False) -> str:
    """Return a percentage with one decimal, `12.3 %`.

    >>> percent(1.26, signed=True)
    '+1.3 %'
    """
    if not math.isfinite(value):
        return DASH
    return f"{value:{'+' if signed else ''}.1f} %".replace("-", MINUS)


def interval(low: float, high: float) -> str:
    """Return the limits of an interval, empty when there are none.

    >>> interval(0.1, 12.0)
    '0.100 to 12.0'
    """
    return f"{three(low)} to {three(high)}" if math.isfinite(low) and math.isfinite(high) else ""


def median_range(values: "pd.Series[float]") -> Cell:
    """Return the median with the range below it."""
    known = values.dropna()
    if known.empty:
        return Cell(DASH, "muted")
    low, high = float(known.min()), float(known.max())
    return Cell(three(float(known.median())), "", interval(low, high) if high > low else "")


def words_cell(value: object, kind: str = "") -> Cell:
    """Return a cell of plain words, a dash when there are none."""
    text = "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value)
    return Cell(text.replace("_", " ") or DASH, kind if text else "muted")


def three_signed(value: float) -> str:
    """Return a number with three significant digits and its sign.

    >>> three_signed(0.01432), three_signed(-0.5)
    ('+0.0143', '\N{MINUS SIGN}0.500')
    """
    return three(value) if value < 0 else f"+{three(value)}"


def number_cell(value: float, kind: str = "") -> Cell:
    """Return a cell of one number."""
    return Cell(three(value), kind)


def cells(values: Iterable[object]) -> list[Cell]:
    """Return plain cells: numbers rounded, words as they are."""
    return [
        number_cell(float(v)) if isinstance(v, int | float) and not isinstance(v, bool) else words_cell(v)
        for v in values
    ]


def count(n: int, one: str, many: str = "") -> str:
    """Return a number with its noun.

    >>> count(1, "patient"), count(3, "fault"), count(2, "body", "bodies")
    ('1 patient', '3 faults', '2 bodies')
    """
    return f"{n} {one if n == 1 else many or one + 's'}"
