"""Every table of the house: columns with unit, type and range, checked when it is written and when it is read."""

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pandera.pandas as pa

from theradose.errors import DataError, Where
from theradose.provenance import write_atomically
from theradose.vocabulary import PARTITIONS, PATIENT_ID, PATIENT_STATUS, QUANTITIES, SEVERITIES

TEXT, NUMBER, WHOLE = "text", "number", "whole"
FORMULA_STARTS = ("=", "+", "@", "\t", "\r", "-")


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


PATIENT = Column("patient", TEXT, pattern=PATIENT_ID)
CYCLE = Column("cycle", WHOLE, low=1)
VOI = text("voi")
NUCLIDE = text("radionuclide")

PARTICIPANTS = Schema(
    "participants",
    (PATIENT, text("centre"), quantity("weight_kg"), quantity("height_cm"), quantity("administered_mbq"), NUCLIDE),
    ("patient",),
    open=True,
)
MANIFEST = Schema(
    "manifest",
    (
        PATIENT,
        text("session"),
        text("modality", one_of=("pet", "ct", "spect", "mask")),
        Column("time_h", empty=True),
        text("file"),
        text("sha256"),
        Column("n_bytes", WHOLE, low=1),
    ),
    ("file",),
)
FAULTS = Schema(
    "faults",
    (text("severity", one_of=SEVERITIES), text("code"), text("patient", empty=True), text("message")),
    (),
)
PATIENTS = Schema(
    "patients", (PATIENT, text("centre"), text("status", one_of=PATIENT_STATUS), text("reason", empty=True)), ("patient",)
)
TAC = Schema(
    "tac",
    (
        PATIENT, CYCLE, VOI, quantity("time_h"), quantity("activity_mbq"), quantity("activity_std_mbq"),
        quantity("activity_uncorrected_mbq"), quantity("recovery_coefficient"), quantity("spill_in_mbq"),
        quantity("volume_ml"), text("correction"), text("flags", empty=True),
    ),
    ("patient", "cycle", "voi", "time_h"),
)  # fmt: skip
TIAC = Schema(
    "tiac",
    (
        PATIENT, CYCLE, VOI, NUCLIDE, text("model"), quantity("tia_mbq_h"), quantity("tia_std_mbq_h"),
        quantity("tia_uncorrected_mbq_h"), quantity("tiac_h"), quantity("tiac_std_h"), quantity("t_eff_h"),
        quantity("tail_fraction"), Column("aicc", empty=True), text("parameters"), text("covariance"),
        text("flags", empty=True), text("reason", empty=True),
    ),
    ("patient", "cycle", "voi", "radionuclide"),
)  # fmt: skip
ORGAN_DOSE = Schema(
    "organ_dose",
    (
        PATIENT, CYCLE, VOI, text("level", one_of=("voi", "organ")), NUCLIDE, text("engine"), quantity("mass_g"),
        quantity("volume_ml"), quantity("tia_mbq_h"), quantity("tia_uncorrected_mbq_h"), quantity("dose_gy"),
        quantity("dose_std_gy"), quantity("dose_uncorrected_gy"), quantity("dose_voxel_gy"),
        quantity("dose_gy_per_gbq"), text("flags", empty=True),
    ),
    ("patient", "cycle", "voi", "level", "radionuclide"),
)  # fmt: skip
DVH = Schema("dvh", (PATIENT, CYCLE, VOI, quantity("dose_gy"), quantity("volume_fraction")), ())
SPLITS = Schema(
    "splits",
    (PATIENT, text("centre"), text("stratum"), text("partition", one_of=PARTITIONS), Column("fold", WHOLE, low=-1)),
    ("patient",),
)
FEATURES = Schema(
    "features",
    (
        PATIENT, text("session"), text("modality"), Column("time_h", empty=True), VOI, text("filter"), text("feature_class"),
        text("feature"), Column("value", empty=True), text("status"),
    ),
    ("patient", "session", "modality", "time_h", "voi", "filter", "feature_class", "feature"),
)  # fmt: skip
COVARIATES = Schema("covariates", (PATIENT, VOI), ("patient", "voi"), open=True)
COVARIATE_MANIFEST = Schema(
    "covariate_manifest",
    (
        text("column"), text("block", one_of=("radiomic", "clinical", "biological", "physics")), text("source"),
        text("unit"), text("leak_class", one_of=("pre_therapy", "post_therapy")), text("meaning"),
    ),
    ("column",),
)  # fmt: skip
PREDICTIONS = Schema(
    "predictions",
    (
        text("predictor"), PATIENT, VOI, text("partition", one_of=PARTITIONS), Column("fold", WHOLE, low=-1),
        Column("predicted_gy_per_gbq", low=0), Column("low_gy_per_gbq", empty=True, low=0),
        Column("high_gy_per_gbq", empty=True), Column("label_gy_per_gbq", low=0), Column("truth_gy_per_gbq", empty=True),
    ),
    ("predictor", "patient", "voi", "partition", "fold"),
)  # fmt: skip
METRICS = Schema(
    "metrics",
    (
        text("experiment"), text("predictor"), VOI, text("reference", one_of=("label", "truth")),
        text("partition", one_of=PARTITIONS), text("metric"), text("unit"), Column("value", empty=True),
        Column("low", empty=True), Column("high", empty=True), Column("n", WHOLE, low=0),
    ),
    ("experiment", "predictor", "voi", "reference", "partition", "metric"),
)  # fmt: skip
IMAGES = Schema(
    "images",
    (PATIENT, CYCLE, text("role"), Column("time_h", empty=True), text("file"), text("sha256")),
    ("patient", "cycle", "role", "time_h"),
)
DRAWS = Schema(
    "draws", (PATIENT, Column("copy", WHOLE, low=0), Column("seed", WHOLE), text("draw")), ("patient", "copy")
)
QC = Schema(
    "qc",
    (PATIENT, text("step"), text("subject"), text("name"), Column("value", empty=True), text("unit"), text("note", empty=True)),
    (),
)
TRUTH_VOI = Schema(
    "truth_voi",
    (
        PATIENT, CYCLE, VOI, quantity("mass_g"), quantity("tia_mbq_h"), quantity("dose_gy"),
        quantity("dose_gy_per_gbq"), quantity("t_eff_h"), Column("uptake_fraction", low=0, high=1),
    ),
    ("patient", "cycle", "voi"),
    open=True,
)  # fmt: skip
LATENTS = Schema("latents", (PATIENT, text("voi", empty=True), text("name"), Column("value")), ())

SCHEMAS: dict[str, Schema] = {
    schema.name: schema
    for schema in (
        PARTICIPANTS, MANIFEST, FAULTS, PATIENTS, TAC, TIAC, ORGAN_DOSE, DVH, SPLITS, FEATURES, COVARIATES,
        COVARIATE_MANIFEST, PREDICTIONS, METRICS, IMAGES, DRAWS, QC, TRUTH_VOI, LATENTS,
    )
}  # fmt: skip


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


def checked(frame: pd.DataFrame, schema: Schema, file: str = "table") -> pd.DataFrame:
    """Return the table with typed columns in the schema's order; DataError lists every fault."""
    missing = [name for name in schema.names() if name not in frame.columns]
    if missing:
        raise DataError(
            f"table {schema.name} lacks columns", where=Where(file=file), got=missing, expected=schema.names(), code="THR-230"
        )
    frame = frame[schema.names() + [c for c in frame.columns if c not in schema.names()]].copy()
    for column in schema.columns:
        if column.kind == TEXT:
            values = frame[column.name].astype("str")
            frame[column.name] = values.fillna("") if column.empty else values
        else:
            frame[column.name] = frame[column.name].astype("float64" if column.kind == NUMBER else "int64")
    faults = _faults(frame, schema)
    if faults:
        raise DataError(
            f"table {schema.name} breaks its schema", where=Where(file=file), got="; ".join(faults), code="THR-231"
        )
    return frame.reset_index(drop=True)


def _safe_cell(value: object) -> object:
    """Keep a spreadsheet from reading a text cell as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value


def _raw_cell(value: object) -> object:
    """Undo `_safe_cell`."""
    return value[1:] if isinstance(value, str) and value[:1] == "'" and value[1:].startswith(FORMULA_STARTS) else value


def write_table(frame: pd.DataFrame, path: Path, schema: Schema) -> Path:
    """Check a table and write it as TSV or Parquet (by suffix), atomically; floats keep all their digits."""
    frame = checked(frame, schema, path.name)
    if path.suffix == ".parquet":
        buffer = BytesIO()
        frame.to_parquet(buffer, index=False)
        write_atomically(path, buffer.getvalue())
        return path
    for name in frame.columns[[frame[c].dtype.kind not in "ifb" for c in frame.columns]]:
        frame[name] = frame[name].map(_safe_cell)
    write_atomically(path, frame.to_csv(sep="\t", index=False, lineterminator="\n").encode())
    return path


def read_table(path: Path, schema: Schema) -> pd.DataFrame:
    """Read and check a TSV or Parquet table; text stays text, so patient 007 is not 7 and NA is a name."""
    path = Path(path)
    if not path.is_file():
        raise DataError(f"table {schema.name} is missing", where=Where(file=path.as_posix()), code="THR-201")
    if path.suffix == ".parquet":
        return checked(pd.read_parquet(path), schema, path.name)
    frame = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, encoding="utf-8-sig")
    kinds = {column.name: column.kind for column in schema.columns}
    for name in frame.columns:
        frame[name] = _typed(frame[name], kinds.get(name), path.name)
    return checked(frame, schema, path.name)


def _typed(cells: pd.Series, kind: str | None, file: str) -> pd.Series:
    """Turn the text cells of a column into its kind; an undeclared column becomes numbers when all cells are."""
    if kind == TEXT:
        return cells.map(_raw_cell)
    numbers = pd.to_numeric(cells.replace({"": np.nan, "n/a": np.nan}), errors="coerce")
    wrong = cells[numbers.isna() & ~cells.isin(["", "n/a"])]
    if wrong.empty:
        return numbers
    if kind is None:
        return cells.map(_raw_cell)
    raise DataError(
        "a cell is not a number",
        where=Where(file=file, field=str(cells.name)),
        got=repr(wrong.iloc[0]),
        expected="a number with a decimal point",
        code="THR-232",
    )


def concat_tables(paths: Iterable[Path], schema: Schema) -> pd.DataFrame:
    """Read tables of one schema and return them as one, sorted by key."""
    frame = pd.concat([read_table(path, schema) for path in paths], ignore_index=True)
    return frame.sort_values(list(schema.key), ignore_index=True) if schema.key else frame
