"""NIfTI images of a cohort to a data set, by a table that says what each file is; the table is proposed, then reviewed.

Nothing is guessed at import: an unknown unit, modality or label in the table is refused with its row.
"""

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from theradose.cohort.counts import COUNTS
from theradose.cohort.intake import Intake
from theradose.cohort.layout import PRE, Dataset
from theradose.cohort.structures import MASK_TYPE
from theradose.columns import TEXT, Column, Schema
from theradose.errors import DataError, GeometryError, UnitError, Where
from theradose.imaging.nifti import read_sidecar, read_volume, sidecar
from theradose.imaging.volume import Volume
from theradose.tables import read_table, write_table
from theradose.vocabulary import LESION_LABEL_FROM, LESION_PREFIX, MODALITIES, PATIENT_ID, VOIS

MAPPING = Schema(
    "mapping",
    (
        Column("patient", TEXT, pattern=PATIENT_ID),
        Column("session", TEXT, pattern=r"ses-(pre|tx[1-9][0-9]?)"),
        Column("modality", TEXT, one_of=MODALITIES),
        Column("time_h", empty=True),
        Column("file", TEXT),
        Column("units", TEXT, empty=True),
        Column("label", TEXT, empty=True),
        Column("centre", TEXT, empty=True),
        Column("weight_kg", empty=True),
        Column("height_cm", empty=True),
        Column("administered_mbq", empty=True),
        Column("radionuclide", TEXT, empty=True),
    ),
    ("file",),
)
# How people name units in a table, and what they are here. SUV is by body weight: g/mL.
UNITS = {
    "Bq/mL": ("Bq/mL", 1.0),
    "kBq/mL": ("Bq/mL", 1e3),
    "SUV": ("g/mL", 1.0),
    "g/mL": ("g/mL", 1.0),
    "HU": ("HU", 1.0),
    COUNTS: (COUNTS, 1.0),
}
UNITS_OF = {"pet": ("Bq/mL", "g/mL"), "spect": ("Bq/mL", COUNTS), "ct": ("HU",)}
CLINICAL = ("centre", "weight_kg", "height_cm", "administered_mbq", "radionuclide")
# Keys of a sidecar that are carried over; everything else may name a person, place or date.
ALLOWED_KEYS = (
    "TracerRadionuclide", "InjectedRadioactivity", "InjectedRadioactivityUnits", "InjectionStart", "FrameTimesStart",
    "FrameDuration", "ImageDecayCorrected", "DecayReference", "EffectiveResolutionFWHM", "Modality", "CountRate",
    "RecoveryCorrection",
)  # fmt: skip
TOKENS = {"pet": ("pet", "pt", "suv"), "ct": ("ct",), "spect": ("spect", "nm")}
MASK_TOKENS = ("mask", "seg", "dseg", "label", "labels", "roi", "gtv")


def _tokens(path: Path) -> list[str]:
    """Return the words of a file's name."""
    return re.findall(r"[a-z]+|\d+", path.name.removesuffix(".gz").removesuffix(".nii").lower())


def _proposed_row(path: Path, source: Path, pet_units: str) -> dict[str, Any] | None:
    """Return what a file seems to be, None when its name does not tell."""
    words = _tokens(path)
    is_mask = any(word in MASK_TOKENS for word in words)
    image_kind = next((kind for kind, names in TOKENS.items() if any(word in names for word in words)), None)
    if image_kind is None and not is_mask:
        return None
    relative = path.relative_to(source)
    owner = relative.parts[0] if len(relative.parts) > 1 else re.split(r"[_.]", path.name)[0]
    time = re.search(r"time-(\d+(?:\.\d+)?)h", path.name)
    units = {"pet": pet_units, "ct": "HU", "spect": "Bq/mL"}.get(image_kind or "", "")
    return {
        "patient": re.sub(r"[^A-Za-z0-9_-]", "-", owner.removeprefix("sub-")),
        "session": "ses-tx1" if image_kind == "spect" or time else PRE,
        "modality": "mask" if is_mask else image_kind,
        "time_h": float(time[1]) if time else math.nan,
        "file": relative.as_posix(),
        "units": "" if is_mask else units,
        "label": "",
        "image": image_kind or "",
    }


def _one_mask_each(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Keep one mask of a patient, session and time (the PET's, then the CT's); return a line for each left aside."""
    rank = {"pet": 0, "spect": 0, "": 1, "ct": 2}
    best: dict[tuple[object, ...], dict[str, Any]] = {}
    kept, lines = [], []
    for row in sorted(rows, key=lambda r: (rank[r["image"]], r["file"])):
        place = (row["patient"], row["session"], str(row["time_h"]))
        if row["modality"] == "mask" and place in best:
            lines.append(f"{row['file']}: left aside, {best[place]['file']} is the mask of this session")
            continue
        if row["modality"] == "mask":
            best[place] = row
        kept.append(row)
    return kept, lines


def propose_mapping(
    source: Path, to: Path, *, pet_units: str = "", mask_label: str = f"{LESION_PREFIX}01"
) -> list[str]:
    """Write a mapping table for the NIfTI files under a folder, to be reviewed; return lines on what was left aside.

    Patients are the first folders, kinds come from words in file names. `pet_units` fills in what no name tells;
    `mask_label` is the VOI of masks (leave empty for masks with several labels).
    """
    files = sorted(p for p in source.rglob("*.nii*") if p.is_file() and p.name.endswith((".nii", ".nii.gz")))
    proposed = [(path, _proposed_row(path, source, pet_units)) for path in files]
    lines = [
        f"{path.relative_to(source).as_posix()}: left aside, its name tells no modality"
        for path, row in proposed
        if not row
    ]
    rows, doubles = _one_mask_each([row for _, row in proposed if row])
    if not rows:
        raise DataError(
            "folder holds no NIfTI images to map", where=Where(file=source.name), expected=".nii or .nii.gz"
        )
    table = pd.DataFrame(rows).drop(columns="image").sort_values(["patient", "modality", "file"], ignore_index=True)
    table["label"] = np.where(table["modality"] == "mask", mask_label, "")
    for name in ("weight_kg", "height_cm", "administered_mbq"):
        table[name] = math.nan
    table["centre"] = "unknown"
    table["radionuclide"] = ""
    write_table(table, to, MAPPING)
    unclear = table.loc[(table["modality"] == "pet") & (table["units"] == ""), "file"]
    note = [f"fill in the column units for {len(unclear)} PET files (Bq/mL or SUV)"] if len(unclear) else []
    return [
        *lines,
        *doubles,
        *note,
        f"{len(table)} files of {table['patient'].nunique()} patients proposed: review, then import",
    ]


def _safe_path(source: Path, file: str, where: Where) -> Path:
    """Return a file of the table under the source folder; DataError when it leads elsewhere."""
    path = (source / file).resolve()
    if not path.is_relative_to(source.resolve()):
        raise DataError("file lies outside the source folder", where=where, expected="a path inside it", code="THR-255")
    return path


def _image(source: Path, row: "pd.Series[Any]") -> tuple[Volume, dict[str, Any]]:
    """Return the image of a row in the units of the house and the sidecar keys that are carried over."""
    where = Where(patient=str(row["patient"]), file=str(row["file"]), field="units")
    path = _safe_path(source, str(row["file"]), where)
    extra = (
        {key: value for key, value in read_sidecar(path).items() if key in ALLOWED_KEYS}
        if sidecar(path).is_file()
        else {}
    )
    unit, factor = UNITS.get(str(row["units"]), ("", 1.0))
    if unit not in UNITS_OF[str(row["modality"])]:
        names = [name for name, (known, _) in UNITS.items() if known in UNITS_OF[str(row["modality"])]]
        raise UnitError(
            "unit of the image is not stated", where=where, got=repr(row["units"]), expected=" or ".join(names)
        )
    volume = read_volume(path, unit)
    scaled = np.asarray(volume.values, np.float64) * factor
    return volume.with_values(scaled.astype(np.float32)), extra


def _label(name: str, where: Where) -> int | None:
    """Return the label of a VOI name or number, None for an empty cell."""
    if not name:
        return None
    lesion = re.fullmatch(rf"{LESION_PREFIX}(\d+)", name)
    if lesion and int(lesion[1]) > 0:
        return LESION_LABEL_FROM + int(lesion[1]) - 1
    if name in VOIS:
        return VOIS[name].label
    if name.isdigit() and int(name) > 0:
        return int(name)
    raise DataError(
        "label is no VOI",
        where=where,
        got=name,
        expected=f"{LESION_PREFIX}01, or one of {', '.join(VOIS)}",
        code="THR-221",
    )


def _mask(source: Path, rows: pd.DataFrame) -> Volume:
    """Return one label mask from the mask files of a session and time; a stated label goes to all voxels."""
    merged: Volume | None = None
    for _, row in rows.iterrows():
        where = Where(patient=str(row["patient"]), file=str(row["file"]), field="label")
        volume = read_volume(_safe_path(source, str(row["file"]), where), "label")
        label = _label(str(row["label"]), where)
        found = np.asarray(volume.values)
        if not np.isfinite(found).all() or (label is None and (found != np.rint(found)).any()):
            raise DataError("mask holds other than whole numbers", where=where, expected="labels", code="THR-221")
        values = ((found > 0) * label if label is not None else found).astype(MASK_TYPE)
        if merged is None:
            merged = Volume(values, volume.grid, "label")
            continue
        if not merged.grid.same_as(volume.grid):
            raise GeometryError(
                "masks of one session lie on different grids", where=where, got=volume.grid.describe(),
                expected=merged.grid.describe(), remedy="keep one of them in the mapping", code="THR-220",
            )  # fmt: skip
        merged = merged.with_values(np.where(values > 0, values, np.asarray(merged.values)))
    assert merged is not None, "a group of rows is never empty"
    return merged


def _clinical(rows: pd.DataFrame) -> dict[str, object]:
    """Return the clinical values of a patient: of each column the one that is stated; DataError when two are."""
    values: dict[str, object] = {}
    for name in CLINICAL:
        stated: Iterable[object] = rows[name].dropna().loc[lambda cells: cells != ""].unique()
        stated = list(stated)
        if len(stated) > 1:
            where = Where(patient=str(rows["patient"].iloc[0]), field=name)
            raise DataError(
                "mapping contradicts itself", where=where, got=stated, expected="one value a patient", code="THR-233"
            )
        if stated:
            values[name] = stated[0]
    return values


def _time_h(row: "pd.Series[Any]") -> float | None:
    """Return the time of a row, None for an empty cell."""
    return None if math.isnan(row["time_h"]) else float(row["time_h"])


def import_mapping(source: Path, to: Path, mapping: Path) -> list[str]:
    """Add the patients of a mapping table to the data set `to`; return lines for people.

    DataError names patient, file and column of the first row that cannot be used; then nothing enters the tables.
    """
    table = read_table(mapping, MAPPING)
    intake = Intake(Dataset(to), to.name)
    for patient, rows in table.groupby("patient", sort=True):
        intake.add_patient(str(patient), _clinical(rows))
        for _, row in rows[rows["modality"] != "mask"].iterrows():
            volume, extra = _image(source, row)
            intake.add_image(
                str(patient),
                str(row["modality"]),
                volume,
                session=str(row["session"]),
                time_h=_time_h(row),
                extra=extra,
            )
        masks = rows[rows["modality"] == "mask"]
        for (session, _), group in masks.groupby(["session", "time_h"], dropna=False):
            at = _time_h(group.iloc[0])
            intake.add_image(str(patient), "mask", _mask(source, group), session=str(session), time_h=at)
    intake.finish()
    counts = table["modality"].value_counts().sort_index()
    kinds = ", ".join(f"{n} {kind}" for kind, n in counts.items())
    return [f"{table['patient'].nunique()} patients, {kinds}"]
