"""Every table of the house: columns with unit, type and range, checked when it is written and when it is read."""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd

from theradose.columns import CYCLE, NUCLIDE, PATIENT, TEXT, VOI, WHOLE, Column, Schema, checked, quantity, text
from theradose.errors import DataError, Where
from theradose.learning_schemas import LEARNING_SCHEMAS
from theradose.provenance import write_atomically
from theradose.truth_schemas import (
    LATENTS,
    LIMITS,
    ORACLE,
    OUTCOME_LIMITS,
    OUTCOMES,
    RECOVERY_CHECK,
    TRUTH_OUTCOME,
    TRUTH_VOI,
)
from theradose.vocabulary import BLOCKS, BUDGET_STEPS, CHAIN_COLUMNS, LEAKS, PARTITIONS, PATIENT_STATUS, SEVERITIES

FORMULA_STARTS = ("=", "+", "@", "\t", "\r", "-")

PARTICIPANTS = Schema(
    "participants",
    (
        PATIENT, text("centre"), quantity("weight_kg", empty=True), quantity("height_cm", empty=True),
        quantity("administered_mbq", empty=True), text("radionuclide", empty=True),
    ),
    ("patient",),
    open=True,
)  # fmt: skip
MANIFEST = Schema(
    "manifest",
    (
        PATIENT,
        text("session"),
        text("modality", one_of=("pet", "ct", "spect", "mask")),
        Column("time_h", empty=True),
        Column("file", TEXT, pattern=r"(?!/)(?!.*\.\.).+"),
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
    "patients",
    (PATIENT, text("centre"), text("status", one_of=PATIENT_STATUS), text("reason", empty=True)),
    ("patient",),
)
TAC = Schema(
    "tac",
    (
        PATIENT, CYCLE, VOI, quantity("time_h"), quantity("activity_mbq"), quantity("activity_std_mbq"),
        quantity("activity_uncorrected_mbq"), quantity("recovery_coefficient"), quantity("spill_in_mbq"),
        quantity("volume_ml"), text("correction"), text("flags", empty=True),
        *(quantity(name, empty=True) for name in CHAIN_COLUMNS),
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
        quantity("dose_std_gy"), quantity("dose_uncorrected_gy"), quantity("dose_cross_gy"), quantity("dose_rbe_gy"),
        quantity("dose_voxel_gy"),
        quantity("dose_gy_per_gbq"), text("flags", empty=True),
    ),
    ("patient", "cycle", "voi", "level", "radionuclide"),
)  # fmt: skip
LEVEL = text("level", one_of=("voi", "organ"))
BUDGET = Schema(
    "budget",
    (PATIENT, CYCLE, VOI, LEVEL, text("step", one_of=BUDGET_STEPS), quantity("relative_std")),
    ("patient", "cycle", "voi", "level", "step"),
)
DVH = Schema("dvh", (PATIENT, CYCLE, VOI, quantity("dose_gy"), quantity("volume_fraction")), ())
SPLITS = Schema(
    "splits",
    (PATIENT, text("centre"), text("stratum"), text("partition", one_of=PARTITIONS), Column("fold", WHOLE, low=-1)),
    ("patient",),
)
FEATURES = Schema(
    "features",
    (
        PATIENT, text("session"), text("modality"), Column("time_h", empty=True), VOI, text("filter"),
        text("feature_class"), text("feature"), Column("value", empty=True), text("status"),
    ),
    ("patient", "session", "modality", "time_h", "voi", "filter", "feature_class", "feature"),
)  # fmt: skip
STABILITY = Schema(
    "stability",
    (
        VOI, text("modality"), text("filter"), text("feature_class"), text("feature"),
        text("versions", one_of=("all", "image", "mask")), Column("icc", empty=True), Column("icc_low", empty=True),
        Column("cov", empty=True, low=0), Column("patients", WHOLE, low=0), text("stable", one_of=("yes", "no")),
    ),
    ("voi", "modality", "filter", "feature_class", "feature", "versions"),
)  # fmt: skip
COVARIATES = Schema("covariates", (PATIENT, VOI), ("patient", "voi"), open=True)
COVARIATE_MANIFEST = Schema(
    "covariate_manifest",
    (
        text("column"), text("block", one_of=BLOCKS), text("source"), text("unit"),
        text("leak_class", one_of=LEAKS), text("meaning"),
    ),
    ("column",),
)  # fmt: skip
AUDIT = Schema(
    "audit",
    (
        text("predictor"), VOI, Column("permutations", WHOLE, low=1), Column("skill", high=1),
        Column("null_mean", high=1), Column("null_max", high=1), Column("p", low=0, high=1),
        Column("p_leak", low=0, high=1), text("verdict", one_of=("clean", "leak")),
    ),
    ("predictor", "voi"),
)  # fmt: skip
PREDICTIONS = Schema(
    "predictions",
    (
        text("predictor"), PATIENT, VOI, text("partition", one_of=PARTITIONS), Column("fold", WHOLE, low=-1),
        Column("predicted_gy_per_gbq", low=0), Column("low_gy_per_gbq", empty=True, low=0),
        Column("high_gy_per_gbq", empty=True), Column("label_gy_per_gbq", low=0),
        Column("truth_gy_per_gbq", empty=True),
    ),
    ("predictor", "patient", "voi", "partition", "fold"),
    open=True,
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
TRIALS = Schema(
    "trials",
    (
        text("part"), Column("number", WHOLE, low=0), Column("value", empty=True), text("parameters"),
        text("state", one_of=("complete", "failed", "pruned")),
    ),
    ("part", "number"),
)  # fmt: skip
HISTORY = Schema("history", (text("part"), Column("epoch", WHOLE, low=0)), ("part", "epoch"), open=True)
EXPERIMENTS = Schema(
    "experiments",
    (
        text("experiment"), text("predictor"), text("role", one_of=("baseline", "model")),
        text("chosen", one_of=("yes", "no")), VOI, text("reference", one_of=("label", "truth")),
        text("partition", one_of=PARTITIONS), text("metric"), text("unit"),
        Column("value", empty=True), Column("low", empty=True), Column("high", empty=True), Column("n", WHOLE, low=0),
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
PAIRS = Schema(
    "pairs",
    (
        PATIENT, Column("copy", WHOLE, low=0), Column("slice", WHOLE, low=0), text("partition", one_of=PARTITIONS),
        Column("fold", WHOLE, low=-1), Column("row_from", WHOLE), Column("column_from", WHOLE),
        Column("bq_per_ml_per_mbq", low=0), quantity("administered_mbq"),
    ),
    ("patient", "copy", "slice"),
)  # fmt: skip
QC = Schema(
    "qc",
    (
        PATIENT, text("step"), text("subject"), text("name"), Column("value", empty=True), text("unit"),
        text("note", empty=True),
    ),
    (),
)  # fmt: skip
SCHEMAS: dict[str, Schema] = {
    schema.name: schema
    for schema in (
        PARTICIPANTS, MANIFEST, FAULTS, PATIENTS, TAC, TIAC, ORGAN_DOSE, BUDGET, DVH, SPLITS, FEATURES, STABILITY,
        COVARIATES, COVARIATE_MANIFEST, PREDICTIONS, METRICS, AUDIT, TRIALS, HISTORY, EXPERIMENTS, IMAGES,
        DRAWS, PAIRS, QC, TRUTH_VOI, RECOVERY_CHECK, LATENTS, OUTCOMES, TRUTH_OUTCOME, LIMITS, ORACLE, OUTCOME_LIMITS,
        *LEARNING_SCHEMAS,
    )
}  # fmt: skip


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


def read_cells(path: Path, schema: Schema) -> pd.DataFrame:
    """Read a TSV as text, cells as they are; DataError when it is missing, damaged or lacks columns."""
    where = Where(file=path.name)
    if not path.is_file():
        raise DataError(f"table {schema.name} is missing", where=Where(file=path.as_posix()), code="THR-201")
    try:
        frame = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"table {schema.name} is damaged", where=where, got=error, code="THR-204") from error
    missing = [name for name in schema.names() if name not in frame.columns]
    if missing:
        what, expected = f"table {schema.name} lacks columns", schema.names()
        raise DataError(what, where=where, got=missing, expected=expected, code="THR-230")
    return frame


def typed(cells: pd.DataFrame, schema: Schema, file: str) -> pd.DataFrame:
    """Return a table of text cells with typed columns, checked; text stays text, so patient 007 is not 7."""
    frame = cells.copy()
    kinds = {column.name: column.kind for column in schema.columns}
    for name in frame.columns:
        frame[name] = _typed(frame[name], kinds.get(name), file)
    return checked(frame, schema, file)


def read_table(path: Path, schema: Schema) -> pd.DataFrame:
    """Read and check a TSV or Parquet table."""
    path = Path(path)
    if path.suffix != ".parquet":
        return typed(read_cells(path, schema), schema, path.name)
    if not path.is_file():
        raise DataError(f"table {schema.name} is missing", where=Where(file=path.as_posix()), code="THR-201")
    with path.open("rb") as handle:  # Arrow itself would open it unseen by the guard of the planted truth
        return checked(pd.read_parquet(handle), schema, path.name)


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
