"""NIfTI images of a cohort to a data set, by a table that says what each file is; the table is proposed, then reviewed.

Nothing is guessed at import: an unknown unit, modality or label in the table is refused with its row.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from theradose.cohort.intake import Imported, Intake
from theradose.cohort.layout import PRE, Dataset
from theradose.cohort.mapping_rows import finite, image_of, labels_in, merged
from theradose.cohort.mask_grid import grid_for, on_grid
from theradose.cohort.participants import shown
from theradose.cohort.raw_files import RawFiles, accounting, opened, require_source
from theradose.columns import TEXT, Column, Schema
from theradose.errors import DataError, TheradoseError, Where
from theradose.imaging.nifti import sidecar
from theradose.imaging.volume import Volume
from theradose.tables import read_table, write_table
from theradose.vocabulary import LESION_PREFIX, MODALITIES, PATIENT_ID, counted

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
CLINICAL = ("centre", "weight_kg", "height_cm", "administered_mbq", "radionuclide")
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
    session = re.search(r"_(ses-(?:pre|tx[1-9][0-9]?))_", path.name)
    units = {"pet": pet_units, "ct": "HU", "spect": "Bq/mL"}.get(image_kind or "", "")
    return {
        "patient": re.sub(r"[^A-Za-z0-9_-]", "-", owner.removeprefix("sub-")),
        "session": session[1] if session else "ses-tx1" if image_kind == "spect" or time else PRE,
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
    `mask_label` is the VOI of masks (empty: they hold labels, as files named `_dseg` always do).
    """
    require_source(source)
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
    one_voi = (table["modality"] == "mask") & ~table["file"].str.contains(r"_dseg\.nii")
    table["label"] = np.where(one_voi, mask_label, "")
    for name in ("weight_kg", "height_cm", "administered_mbq"):
        table[name] = math.nan
    table["centre"] = "unknown"
    table["radionuclide"] = ""
    write_table(table, to, MAPPING)
    unclear = table.loc[(table["modality"] == "pet") & (table["units"] == ""), "file"]
    note = [f"fill in the column units for {counted(len(unclear), 'PET file')} (Bq/mL or SUV)"] if len(unclear) else []
    return [
        *lines,
        *doubles,
        *note,
        f"{counted(len(table), 'file')} of {counted(table['patient'].nunique(), 'patient')} proposed: "
        "review, then import",
    ]


def _clinical(rows: pd.DataFrame) -> dict[str, object]:
    """Return the clinical values of a patient: of each column the one that is stated; DataError when two are."""
    values: dict[str, object] = {}
    for name in CLINICAL:
        stated: Iterable[object] = rows[name].dropna().loc[lambda cells: cells != ""].unique()
        stated = list(stated)
        if len(stated) > 1:
            where = Where(patient=str(rows["patient"].iloc[0]), field=name)
            raise DataError(
                "mapping contradicts itself", where=where, got=", ".join(shown(str(value)) for value in stated),
                expected="one value a patient", remedy="write one value into all rows of the patient", code="THR-233",
            )  # fmt: skip
        if stated:
            values[name] = stated[0]
    return values


def _time_h(row: "pd.Series[Any]") -> float | None:
    """Return the time of a row, None for an empty cell."""
    return None if math.isnan(row["time_h"]) else float(row["time_h"])


@dataclass
class _Job:
    """The import of one patient: its files by our names, the images read so far, and the lines for people."""

    source: Path
    patient: str
    intake: Intake
    raw: RawFiles = field(default_factory=RawFiles)
    lines: list[str] = field(default_factory=list)
    images: list[tuple["pd.Series[Any]", Volume, dict[str, Any]]] = field(default_factory=list)

    def add_raw(self, rows: pd.DataFrame, mapping: Path) -> None:
        """Name and hash the files of the patient's rows, their sidecars, and the mapping itself."""
        for kind, group in rows.groupby("modality"):
            paths = [(self.source / str(file)).resolve() for file in group["file"]]
            for here in (paths, [sidecar(path) for path in paths]):
                self.raw.add(str(kind), [p for p in here if p.is_file() and p.is_relative_to(self.source.resolve())])
        self.raw.add("mapping", [mapping])

    @contextmanager
    def row(self, row: "pd.Series[Any]") -> Iterator[list[str]]:
        """Give a list for notes about a row; a fault is noted with its line, and the file left out."""
        path, notes = (self.source / str(row["file"])).resolve(), list[str]()
        line = f"line {int(row['line'])} of the mapping"
        try:
            yield notes
            use = str(row["modality"])
        except TheradoseError as error:
            error.where, use = Where(field=error.where.field), f"not usable: {error.code}"
            self.intake.fault(self.patient, error, line)
        self.raw.set_use([path, sidecar(path)], use)
        for note in notes:
            if note.startswith("WARN "):
                self.intake.warn(self.patient, f"{line}: {note.removeprefix('WARN ')}")
            else:
                self.lines.append(f"NOTE patient {self.patient}, {line}: {note}")

    def read_images(self, rows: pd.DataFrame) -> None:
        """Read the images of the patient in the units of the house."""
        for _, row in rows.iterrows():
            with self.row(row) as notes:
                volume, extra, about = image_of(self.source, row)
                self.images.append((row, volume, extra))
                notes += about

    def add_masks(self, rows: pd.DataFrame) -> list[Volume]:
        """Write one mask a session and time, on the grid of the image it is for; return them."""
        images = [(str(r["modality"]), str(r["session"]), _time_h(r), volume.grid) for r, volume, _ in self.images]
        added = []
        groups = list(rows.groupby(["session", "time_h"], dropna=False))
        several = sum(session == PRE for (session, _), _ in groups) > 1
        for (session, _), group in groups:
            parts, at = list[Volume](), _time_h(group.iloc[0])
            for _, row in group.iterrows():
                with self.row(row) as notes:
                    mask, about = labels_in(self.source, row)
                    mask, moved = on_grid(mask, grid_for(images, str(session), at, mask.grid))
                    parts = [merged([*parts, mask])]
                    notes += [*about, *moved]
            for mask in parts:
                self.intake.add_image(self.patient, "mask", mask, session=str(session), time_h=at, timed=several)
            added += parts
        return added

    def add_images(self, rows: pd.DataFrame, masks: list[Volume]) -> None:
        """Write the images of the patient; several of a kind before therapy keep their time in their names."""
        several = rows.loc[rows["session"] == PRE, "modality"].value_counts()
        for row, read, extra in self.images:
            with self.row(row) as notes:
                kind, session = str(row["modality"]), str(row["session"])
                volume, about = finite(read, masks, Where())
                timed, at = session == PRE and several[kind] > 1, _time_h(row)
                self.intake.add_image(self.patient, kind, volume, session=session, time_h=at, extra=extra, timed=timed)
                notes += about


def _add_patient(job: _Job, rows: pd.DataFrame, mapping: Path) -> None:
    """Add one patient of the table."""
    job.intake.require_new(job.patient)
    job.add_raw(rows, mapping)
    try:
        job.intake.add_patient(job.patient, _clinical(rows))
    except DataError as error:
        job.intake.fault(job.patient, error, "mapping")
        job.intake.add_patient(job.patient, {})
    is_mask = rows["modality"] == "mask"
    job.read_images(rows[~is_mask])
    job.add_images(rows[~is_mask], job.add_masks(rows[is_mask]))
    job.raw.require_unchanged()
    job.intake.raw.setdefault(job.patient, []).extend(job.raw.rows())


def _account(source: Path, jobs: list[_Job], mapping: Path) -> list[str]:
    """Return the lines that say what became of every file under the source."""
    with opened(source) as files:
        found = {path.resolve() for path in files} - {mapping.resolve()}
    uses = {path: use for job in jobs for path, use in job.raw.use.items() if path in found}
    reasons = Counter(use for use in uses.values() if use.startswith("not usable"))
    reasons["not in the mapping"] = len(found - set(uses))
    return accounting(len(found), sum(not use.startswith("not usable") for use in uses.values()), +reasons)


def import_mapping(source: Path, to: Path, mapping: Path) -> Imported:
    """Add the patients of a mapping table to the data set `to`; return lines for people.

    Every row that cannot be used is listed with patient, row and column, and puts its patient in quarantine
    (`Imported.quarantined`) until imported again. DataError when the table itself is wrong, a patient is there already,
    or nothing can be used; then nothing enters the tables.
    """
    require_source(source)
    table = read_table(mapping, MAPPING)
    table["line"] = np.arange(2, len(table) + 2)
    intake = Intake(Dataset(to), to.name)
    jobs = []
    for patient, rows in table.groupby("patient", sort=True):
        jobs.append(_Job(source, str(patient), intake))
        _add_patient(jobs[-1], rows, mapping)
    intake.require_something()
    lines = _account(source, jobs, mapping)
    intake.finish()
    counts = pd.Series([row["modality"] for row in intake.images]).value_counts().sort_index()
    kinds = ", ".join(f"{n} {kind}" for kind, n in counts.items())
    faults = [f"{fault.severity} {fault.message}" for fault in intake.faults]
    notes = [line for job in jobs for line in job.lines]
    return Imported([*notes, *faults, *lines, f"{counted(len(jobs), 'patient')}, {kinds}"], intake.quarantined())
