"""What a column may hold and how a table is held to its schema."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import pandera.pandas as pa

from theradose.errors import DataError, Where
from theradose.vocabulary import PATIENT_ID, QUANTITIES

TEXT, NUMBER, WHOLE = "text", "number", "whole"


@dataclass(frozen=True)
class Column:
    """A column: its kind (text, number, whole), whether cells may be empty, and what is allowed in them."""

    name: str
    kind: str = NUMBER
    empty: bool = False
    low: float | None = None
    high: float | None = None
    one_of: tuple[str, ...] | None = None
    pattern: str | None = None

    def check(self) -> pa.Column:
        """Return the pandera column that holds cells to this description."""
        checks = []
        if self.low is not None:
            checks.append(pa.Check.ge(self.low))
        if self.high is not None:
            checks.append(pa.Check.le(self.high))
        if self.one_of is not None:
            checks.append(pa.Check.isin(self.one_of))
        if self.pattern is not None:
            checks.append(pa.Check.str_matches(rf"(?:{self.pattern})\Z"))
        dtype = {TEXT: "str", NUMBER: "float64", WHOLE: "int64"}[self.kind]
        return pa.Column(dtype, checks, nullable=self.empty, name=self.name)


def text(name: str, *, empty: bool = False, one_of: tuple[str, ...] | None = None) -> Column:
    """Describe a text column."""
    return Column(name, TEXT, empty=empty, one_of=one_of)


def quantity(name: str, *, empty: bool = False) -> Column:
    """Describe a column that holds a quantity of the vocabulary, with its range."""
    known = QUANTITIES[name]
    return Column(name, NUMBER, empty, known.low, known.high)


PATIENT = Column("patient", TEXT, pattern=PATIENT_ID)
CYCLE = Column("cycle", WHOLE, low=1)
VOI = text("voi")
NUCLIDE = text("radionuclide")


@dataclass(frozen=True)
class Schema:
    """A table: its name, its columns, the columns that identify a row, and whether more columns may follow."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    open: bool = False

    def names(self) -> list[str]:
        """Return the column names in order."""
        return [column.name for column in self.columns]


def _faults(frame: pd.DataFrame, schema: Schema) -> list[str]:
    """Return one phrase for each kind of fault in a table."""
    model = pa.DataFrameSchema({c.name: c.check() for c in schema.columns}, strict=not schema.open)
    found: list[str] = []
    try:
        model.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as errors:
        for (column, check), rows in errors.failure_cases.groupby(["column", "check"], dropna=False):
            cases = ", ".join(str(case) for case in rows["failure_case"].head(3))
            found.append(f"column {column}: {check} fails for {cases}")
    if schema.key and frame.duplicated(list(schema.key)).any():
        twice = frame.loc[frame.duplicated(list(schema.key)), list(schema.key)].iloc[0].tolist()
        found.append(f"row {twice} stands twice")
    return found


def _numbers(cells: "pd.Series[Any]", column: Column, where: Where) -> "pd.Series[Any]":
    """Return the cells of a column as numbers; DataError when one is none, or is empty among whole numbers."""
    try:
        return cells.astype("float64" if column.kind == NUMBER else "int64")
    except (ValueError, TypeError) as error:
        what, kind = f"column {column.name} holds what is no {column.kind}", f"{column.kind}s in every row"
        raise DataError(what, where=where, got=error, expected=kind, code="THR-231") from error


def checked(frame: pd.DataFrame, schema: Schema, file: str = "table") -> pd.DataFrame:
    """Return the table with typed columns in the schema's order; DataError lists every fault."""
    missing = [name for name in schema.names() if name not in frame.columns]
    if missing:
        raise DataError(
            f"table {schema.name} lacks columns",
            where=Where(file=file),
            got=missing,
            expected=schema.names(),
            code="THR-230",
        )
    frame = frame[schema.names() + [c for c in frame.columns if c not in schema.names()]].copy()
    for column in schema.columns:
        if column.kind == TEXT:
            values = frame[column.name].astype("str")
            frame[column.name] = values.fillna("") if column.empty else values
        else:
            frame[column.name] = _numbers(frame[column.name], column, Where(file=file))
    faults = _faults(frame, schema)
    if faults:
        raise DataError(
            f"table {schema.name} breaks its schema", where=Where(file=file), got="; ".join(faults), code="THR-231"
        )
    return frame.reset_index(drop=True)
