"""The participants table as people write it: which columns it may hold, how its text is read, what cells may say.

Cells are text until their column says otherwise, so 007 is not 7. A message never repeats free text: it may be a name.
"""

import csv
import difflib
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pandas as pd

from theradose.columns import Schema, text
from theradose.errors import DataError, Where
from theradose.imaging.plausible import ANY_INJECTED_MBQ, INJECTED_MBQ, looks_like
from theradose.tables import PARTICIPANTS
from theradose.vocabulary import ORGANS, PATIENT_ID, QUANTITIES, VOIS

CLINICAL, BIOLOGICAL = "clinical", "biological"


@dataclass(frozen=True)
class ClinicalColumn:
    """A column that models may use as a covariate: unit, plausible range, block and meaning; known before therapy."""

    unit: str
    low: float
    high: float
    block: str
    meaning: str


# Ranges are those outside which a value is a typing error, not those of health. Events are 0 or 1.
CLINICAL_COLUMNS: dict[str, ClinicalColumn] = {
    "age_y": ClinicalColumn("y", 0, 120, CLINICAL, "age at therapy"),
    "weight_kg": ClinicalColumn("kg", 20, 250, CLINICAL, "body weight"),
    "height_cm": ClinicalColumn("cm", 100, 230, CLINICAL, "body height"),
    "ecog": ClinicalColumn("1", 0, 4, CLINICAL, "performance status (ECOG)"),
    "gleason": ClinicalColumn("1", 6, 10, CLINICAL, "Gleason score at diagnosis"),
    "grade": ClinicalColumn("1", 1, 3, CLINICAL, "grade of a neuroendocrine tumour (WHO)"),
    "amino_acids": ClinicalColumn("1", 0, 1, CLINICAL, "amino acids given with the therapy to protect the kidneys"),
    "years_since_diagnosis_y": ClinicalColumn("y", 0, 60, CLINICAL, "time since diagnosis"),
    "hypertension": ClinicalColumn("1", 0, 1, CLINICAL, "arterial hypertension"),
    "diabetes": ClinicalColumn("1", 0, 1, CLINICAL, "diabetes mellitus"),
    "smoker": ClinicalColumn("1", 0, 1, CLINICAL, "smokes or has smoked"),
    "prior_cycles": ClinicalColumn("1", 0, 12, CLINICAL, "cycles of radionuclide therapy before this one"),
    "prior_chemotherapy": ClinicalColumn("1", 0, 1, CLINICAL, "taxane chemotherapy before"),
    "prior_arpi": ClinicalColumn("1", 0, 1, CLINICAL, "androgen receptor pathway inhibitor before"),
    "egfr_ml_min": ClinicalColumn("mL/min/1.73 m2", 1, 200, BIOLOGICAL, "estimated glomerular filtration rate"),
    "psa_ng_per_ml": ClinicalColumn("ng/mL", 0, 50000, BIOLOGICAL, "prostate-specific antigen"),
    "cga_ng_per_ml": ClinicalColumn("ng/mL", 0, 500000, BIOLOGICAL, "chromogranin A"),
    "ki67_percent": ClinicalColumn("%", 0, 100, BIOLOGICAL, "proliferation index Ki-67"),
    "alp_u_per_l": ClinicalColumn("U/L", 5, 5000, BIOLOGICAL, "alkaline phosphatase"),
    "ldh_u_per_l": ClinicalColumn("U/L", 50, 10000, BIOLOGICAL, "lactate dehydrogenase"),
    "haemoglobin_g_per_dl": ClinicalColumn("g/dL", 3, 22, BIOLOGICAL, "haemoglobin"),
    "platelets_per_nl": ClinicalColumn("1/nL", 5, 1500, BIOLOGICAL, "platelets"),
    "leukocytes_per_nl": ClinicalColumn("1/nL", 0.2, 200, BIOLOGICAL, "leukocytes"),
    "albumin_g_per_l": ClinicalColumn("g/L", 10, 70, BIOLOGICAL, "albumin"),
    "crp_mg_per_l": ClinicalColumn("mg/L", 0, 500, BIOLOGICAL, "C-reactive protein"),
    "testosterone_ng_per_dl": ClinicalColumn("ng/dL", 0, 2000, BIOLOGICAL, "testosterone"),
}

EMPTY = ("", "n/a")
NEEDED = ("weight_kg", "height_cm", "administered_mbq")
ABSENT = "absent_organs"
TEXTS = ("person", ABSENT, "sex")
RANGED = (*NEEDED, "planned_cycles")
NUMBERS = (*RANGED, *CLINICAL_COLUMNS, "administered_pet_mbq")
KNOWN = tuple(dict.fromkeys((*PARTICIPANTS.names(), *NUMBERS, *TEXTS)))
SEPARATORS = {"\t": "tabs", ";": "semicolons", ",": "commas"}
DECIMAL_MARK = "DecimalMark"
# First bytes of .xlsx and .ods (zip archives) and of .xls.
SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
THOUSANDS = re.compile(r"\d{1,3}(\.\d{3})+", re.ASCII)
# What may be repeated in a message: digits and a unit, but no word and no date.
SHOWN = re.compile(
    r"(?!(19|20)\d{6}$)[+-]?\d+([.,]\d{3})*([.,]\d+)?(e[+-]?\d+)?\s?(kg|g|lb|cm|mm|m|[kmg]?bq|%|y)?",
    re.ASCII | re.IGNORECASE,
)
DATE_FORM = "YYYY-MM-DD, with a time YYYY-MM-DDTHH:MM:SS (ISO 8601)"
# Names that Windows keeps for devices, whatever the ending of the file.
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)


def number_of(cell: str) -> float | None:
    """Return a cell as a number, None when it is empty or no number."""
    return float(cell) if NUMBER.fullmatch(cell) else None


def shown(cell: str) -> str:
    """Return a cell as a message may show it: a number with its unit, or that it is none.

    >>> shown("72,5 kg"), shown("Jane Doe"), shown("01.02.1950")
    ('72,5 kg', 'text', 'text')
    """
    return cell if SHOWN.fullmatch(cell) else "text"


def wrong_cells(row: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return (column, cell as shown, what is allowed) for every clinical cell that is no number or out of its range."""
    ranges = {name: (QUANTITIES[name].low or 0.0, QUANTITIES[name].high or math.inf) for name in RANGED}
    ranges |= {name: (column.low, column.high) for name, column in CLINICAL_COLUMNS.items()}
    wrong = []
    for name, (low, high) in ranges.items():
        cell = row.get(name, "")
        value = number_of(cell)
        if cell not in EMPTY and (value is None or not low <= value <= high):
            wrong.append((name, shown(cell), f"{low:g} to {high:g}, with a decimal point"))
    return wrong


def unit_hint(name: str, cell: str, radionuclide: object = None) -> str:
    """Return `the value looks like Bq; ` for a cell in a unit that would explain it, else nothing."""
    value = number_of(cell)
    if value is None or name not in NEEDED:
        return ""
    low, high = QUANTITIES[name].low or 0.0, QUANTITIES[name].high or math.inf
    if name == "administered_mbq":
        low, high = INJECTED_MBQ.get(str(radionuclide or ""), ANY_INJECTED_MBQ)
    return looks_like(name, value, low, high)


def wrong_dates(row: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return (column, cell with every digit as 0) for every cell of a date column that is not in ISO 8601."""
    wrong = []
    for name, cell in row.items():
        if "date" not in name.lower() or cell in EMPTY:
            continue
        try:
            good = re.match(r"\d{4}-\d\d-\d\d", cell, re.ASCII) and datetime.fromisoformat(cell)
        except ValueError:
            good = None
        if not good:
            wrong.append((name, re.sub(r"[^\W\d]", "a", re.sub(r"\d", "0", cell))[:20]))
    return wrong


def absent_organs(row: Mapping[str, str]) -> tuple[set[str], list[str]]:
    """Return the VOIs that a row declares absent (an organ stands for both its sides), and faults in its words."""
    absent: set[str] = set()
    faults: list[str] = []
    for word in re.findall(r"[^\s,;]+", row.get(ABSENT, "")):
        vois = {name for name, voi in VOIS.items() if word in (name, voi.organ)}
        near = difflib.get_close_matches(word, (*VOIS, *ORGANS), n=1)
        if not vois and word not in EMPTY:
            faults.append(f"{near[0]} misspelt" if near else "a word that is no organ")
        absent |= vois
    return absent, faults


def _content(file: Path) -> str:
    """Return the text of a table; DataError when it is missing, a spreadsheet, or in another encoding than UTF-8."""
    where = Where(file=file.name)
    if not file.is_file():
        raise DataError("table participants is missing", where=where, remedy="import the data set", code="THR-201")
    content = file.read_bytes()
    if content.startswith(SPREADSHEETS):
        raise DataError(
            "table is a spreadsheet, no text", where=where, got="an Excel or OpenDocument file",
            expected="text with tabs", remedy="save the sheet as tab-separated text in UTF-8", code="THR-360",
        )  # fmt: skip
    try:
        return content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        got = f"byte 0x{content[error.start]:02x} in line {content.count(10, 0, error.start) + 1}"
        raise DataError(
            "table is not in UTF-8", where=where, got=got, expected="UTF-8, with or without byte-order mark",
            remedy="save it as UTF-8", code="THR-361",
        ) from error  # fmt: skip


def _rows(file: Path) -> tuple[list[str], dict[int, list[str]]]:
    """Return the header and the filled rows by line number, cells without outer blanks; DataError when ragged."""
    content, where = _content(file), Where(file=file.name)
    mark = max(SEPARATORS, key=content.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=mark, strict=True)
    rows: dict[int, list[str]] = {}
    try:
        for row in reader:
            if any(map(str.strip, row)):
                rows[reader.line_num] = [cell.strip() for cell in row]
    except csv.Error as error:
        raise DataError("table participants is damaged", where=where, got=error, code="THR-204") from error
    if not rows:
        raise DataError("table participants is damaged", where=where, got="no row", code="THR-204")
    header = rows.pop(min(rows))
    ragged = [str(number) for number, row in rows.items() if len(row) != len(header)]
    if ragged:
        raise DataError(
            "rows have another number of cells than the header", where=where, got=f"line {', '.join(ragged[:10])}",
            expected=f"{len(header)} cells between {SEPARATORS[mark]}",
            remedy="use one separator; put cells that hold it in quotes", code="THR-362",
        )  # fmt: skip
    return header, rows


def _header_faults(header: Sequence[str]) -> list[str]:
    """Return a phrase for every column that stands twice, has no name, is misspelt or missing."""
    faults = [f"{name or 'no name'} twice" for name in dict.fromkeys(header) if header.count(name) > 1]
    faults += ["a column without a name"] if header.count("") == 1 else []
    absent = [name for name in KNOWN if name not in header]
    for name in (name for name in header if name not in KNOWN):
        near = difflib.get_close_matches(name, absent, n=1, cutoff=0.75)
        if near:
            faults.append(f"{name}: did you mean {near[0]}?")
            absent.remove(near[0])
    return faults + [f"{name} is missing" for name in absent if name in PARTICIPANTS.names()]


def _id_faults(ids: Mapping[int, str]) -> list[str]:
    """Return a phrase for every identifier that is no safe name, or differs from another in case only."""
    faults: list[str] = []
    lines: dict[str, tuple[int, str]] = {}
    for number, patient in ids.items():
        if not re.fullmatch(PATIENT_ID, patient) or RESERVED.fullmatch(patient):
            faults.append(f"line {number}: {'a name of Windows' if RESERVED.fullmatch(patient) else 'no safe name'}")
        first = lines.setdefault(patient.casefold(), (number, patient))
        if first[1] != patient:
            faults.append(f"line {number}: differs from line {first[0]} in case only")
    return faults


def _declared_mark(file: Path) -> str | None:
    """Return the decimal mark that `participants.json` beside the table declares, None without one."""
    beside = file.with_suffix(".json")
    try:
        declared = json.loads(beside.read_text(encoding="utf-8")).get(DECIMAL_MARK) if beside.is_file() else None
    except (ValueError, AttributeError) as error:
        raise DataError("sidecar is damaged", where=Where(file=beside.name), code="THR-203") from error
    if declared not in (None, ".", ","):
        where = Where(file=beside.name, field=DECIMAL_MARK)
        raise DataError("decimal mark is unclear", where=where, got=declared, expected='"." or ","', code="THR-364")
    return None if declared is None else str(declared)


def _with_points(cells: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Return the cells with decimal points; DataError when the table does not say what its dots and commas mean."""
    columns = [name for name in cells.columns if name in NUMBERS]
    marked = [(name, cell) for name in columns for cell in cells[name] if SHOWN.fullmatch(cell)]
    commas = [(name, cell) for name, cell in marked if "," in cell]
    points = [(name, cell) for name, cell in marked if "." in cell]
    thousands = [(name, cell) for name, cell in points if THOUSANDS.fullmatch(cell)]
    declared = _declared_mark(file)
    unclear = points if declared == "," else commas if declared is None and (thousands or not points) else []
    if unclear:
        seen = dict([*thousands[:1], *unclear[:1]])
        raise DataError(
            "decimal mark is unclear", where=Where(file=file.name),
            got=", ".join(f"{name} {cell}" for name, cell in seen.items()),
            expected="one decimal mark in all columns, and none between thousands",
            remedy=f'write decimal points, or declare {{"{DECIMAL_MARK}": ","}} in participants.json', code="THR-364",
        )  # fmt: skip
    return cells.assign(**{name: cells[name].str.replace(",", ".") for name in columns}) if declared == "," else cells


def _refuse(what: str, file: Path, faults: Iterable[str], expected: str, code: str) -> None:
    """Raise DataError when there are faults, naming the first ten."""
    if found := "; ".join(list(faults)[:10]):
        raise DataError(what, where=Where(file=file.name), got=found, expected=expected, code=code)


def read_participants(file: Path) -> pd.DataFrame:
    """Return the clinical table as text, a row a patient under the number of its line, with decimal points.

    Tabs, semicolons or commas, UTF-8 with or without byte-order mark, any line ends. DataError THR-360 to THR-365 when
    the table as a whole cannot be trusted; single cells are left to `wrong_cells`.
    """
    header, rows = _rows(file)
    _refuse("columns cannot be used", file, _header_faults(header), f"among others {', '.join(KNOWN[:6])}", "THR-363")
    cells = pd.DataFrame(list(rows.values()), columns=header, index=list(rows), dtype=str)
    safe = "letters, digits, - and _, at most 64"
    ids = dict(zip(rows, cells["patient"], strict=True))
    _refuse("identifiers cannot be used", file, _id_faults(ids), safe, "THR-365")
    return _with_points(cells, file)


def schema_of(columns: Iterable[str]) -> Schema:
    """Return the schema of a clinical table with these columns; persons and organs stay text."""
    more = tuple(text(name, empty=True) for name in TEXTS if name in columns)
    return replace(PARTICIPANTS, columns=(*PARTICIPANTS.columns, *more))
