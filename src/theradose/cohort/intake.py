"""Adding patients to a data set: images with sidecars, masks, a clinical row; nothing there is overwritten."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from theradose import __version__
from theradose.cohort.case import ERROR, WARN, Fault
from theradose.cohort.layout import PRE, Dataset
from theradose.cohort.participants import read_participants, unit_hint, wrong_cells
from theradose.cohort.raw_files import SIDECAR, intake_folder, write_raw
from theradose.columns import PATIENT, Schema, checked
from theradose.errors import DataError, TheradoseError, Where
from theradose.imaging.nifti import sidecar, write_volume
from theradose.imaging.volume import Volume
from theradose.provenance import sha256_file, write_atomically, write_json
from theradose.tables import FAULTS, MANIFEST, PARTICIPANTS, read_table, write_table
from theradose.vocabulary import PATIENT_ID, VOIS, lesion_name

BIDS_VERSION = "1.10.0"
LESIONS_LISTED = 50
TABLE = Schema("participants", (PATIENT,), (), open=True)  # written back as it was read, whatever its cells hold
EMPTY_PARTICIPANT: dict[str, object] = {
    "centre": "unknown", "weight_kg": math.nan, "height_cm": math.nan, "administered_mbq": math.nan, "radionuclide": "",
}  # fmt: skip


class Imported(list[str]):
    """What an import says, line by line; `quarantined` holds the patients of whom something could not be used."""

    def __init__(self, lines: Iterable[str], quarantined: Iterable[str]) -> None:
        super().__init__(lines)
        self.quarantined = tuple(quarantined)


def faults_file(data: Dataset) -> Path:
    """Return the table (schema FAULTS) of what could not be taken in, or only with a warning."""
    return intake_folder(data) / "faults.tsv"


def intake_faults(data: Dataset) -> pd.DataFrame:
    """Read the faults of earlier imports; an empty table when there were none."""
    file = faults_file(data)
    return read_table(file, FAULTS) if file.is_file() else pd.DataFrame(columns=FAULTS.names())


@dataclass
class Intake:
    """New patients on their way in; `finish` writes the tables last, so a killed import can be repeated.

    A patient of whom something could not be used is in quarantine, and may be imported again.
    """

    data: Dataset
    name: str
    images: list[dict[str, object]] = field(default_factory=list)
    people: dict[str, dict[str, object]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    raw: dict[str, list[dict[str, object]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.exists = self.data.participants_file.is_file()
        known = set(read_participants(self.data.participants_file)["patient"]) if self.exists else set()
        earlier = intake_faults(self.data)
        self.known = known - set(earlier.loc[earlier["severity"] == ERROR, "patient"])

    def fault(self, patient: str, error: TheradoseError, file: str | None = None) -> None:
        """Note what keeps something of a patient out; the patient will be in quarantine."""
        error.at(patient=patient, **({} if file is None else {"file": file}))
        self.faults.append(Fault(ERROR, error.code, patient, error.sentence()))

    def warn(self, patient: str, message: str, code: str = "THR-334") -> None:
        """Note what a reader of the patient's numbers should know."""
        self.faults.append(Fault(WARN, code, patient, f"{code} {message} · patient {patient}"))

    def quarantined(self) -> list[str]:
        """Return the patients with a fault that is no mere warning."""
        return sorted({fault.patient for fault in self.faults if fault.severity == ERROR})

    def require_something(self, patient: str | None = None) -> None:
        """Raise the faults as one when nothing could be used (of a patient): then nothing enters the data set."""
        if any(patient in (None, row["patient"]) for row in self.images):
            return
        messages = [fault.message for fault in self.faults if fault.severity == ERROR]
        code, _, what = messages[0].partition(" ") if messages else ("THR-205", "", "nothing to import")
        raise DataError("; ".join([what, *messages[1:]]), code=code)

    def require_new(self, patient: str) -> None:
        """Raise DataError when an identifier is no safe name or there already."""
        if not re.fullmatch(PATIENT_ID, patient):
            raise DataError(
                "identifier of the patient is no safe name",
                got=repr(patient),
                expected="letters, digits, - and _, at most 64",
                remedy="choose another --patient",
                code="THR-249",
            )
        if patient in self.known:
            raise DataError(
                "patient is in the data set already",
                where=Where(patient=patient),
                remedy="choose another --patient or another data set",
                code="THR-257",
            )

    def add_patient(self, patient: str, values: Mapping[str, object]) -> None:
        """Add a row of the clinical table; DataError when the identifier is no safe name or there already."""
        self.require_new(patient)
        given = {key: value for key, value in values.items() if value is not None and value != ""}
        for name, cell, allowed in wrong_cells({key: str(value) for key, value in given.items()}):
            where, what = Where(file="participants.tsv", field=name), "clinical value cannot be right"
            remedy = f"{unit_hint(name, cell, given.get('radionuclide'))}correct the source, or fill in the empty cell"
            self.fault(patient, DataError(what, where=where, got=cell, expected=allowed, remedy=remedy, code="THR-261"))
            del given[name]
        self.people[patient] = {**EMPTY_PARTICIPANT, "patient": patient, **given}

    def add_image(
        self,
        patient: str,
        modality: str,
        volume: Volume,
        *,
        session: str,
        time_h: float | None = None,
        extra: Mapping[str, Any] | None = None,
        timed: bool = False,
    ) -> Path:
        """Write an image or mask with its sidecar where it belongs; DataError when one is there from this import.

        Names of images before therapy hold no time unless `timed`, which is for several of a kind.
        """
        path = self.data.image_file(patient, modality, session, None if session == PRE and not timed else time_h)
        file = path.relative_to(self.data.root).as_posix()
        if any(row["file"] == file for row in self.images):
            raise DataError(
                "two images for one place",
                where=Where(patient=patient, file=file, time_h=time_h),
                expected="one image of a kind a time point (rounded to hours)",
                remedy="import one of the two series only",
                code="THR-258",
            )
        write_volume(volume, path, dict(extra or {}))
        self.images.append(
            {
                "patient": patient,
                "session": session,
                "modality": modality,
                "time_h": math.nan if time_h is None else time_h,
                "file": file,
                "sha256": sha256_file(path),
                "n_bytes": path.stat().st_size,
            }
        )
        self.beside(patient, sidecar(path))
        return path

    def beside(self, patient: str, path: Path) -> None:
        """Note the hash of a file that lies beside the images of a patient."""
        file = path.relative_to(self.data.root).as_posix()
        row = {"file": file, "sha256": sha256_file(path), "n_bytes": path.stat().st_size, "use": SIDECAR}
        self.raw.setdefault(patient, []).append(row)

    def finish(self) -> None:
        """Write description, label names, clinical table and manifest; hashes of earlier patients stay as they were."""
        people, images = checked(pd.DataFrame(list(self.people.values())), PARTICIPANTS), pd.DataFrame(self.images)
        faults = pd.DataFrame([asdict(fault) for fault in self.faults], columns=FAULTS.names())
        if self.exists:
            # Rows of others stay as they are, right or wrong.
            table = read_participants(self.data.participants_file)
            people = pd.concat([self._others(table), people.astype("object")], ignore_index=True)
            people = self._filled(people.fillna("").astype("str"), table)
            images = pd.concat([self._others(self.data.manifest()), images], ignore_index=True)
            faults = pd.concat([self._others(intake_faults(self.data)), faults], ignore_index=True)
        if not (self.data.root / "dataset_description.json").is_file():
            write_json(
                self.data.root / "dataset_description.json",
                {
                    "Name": self.name,
                    "BIDSVersion": BIDS_VERSION,
                    "DatasetType": "raw",
                    "GeneratedBy": [{"Name": "theradose", "Version": __version__}],
                },
            )
        names = {voi.label: name for name, voi in VOIS.items()}
        names |= {100 + i: lesion_name(100 + i) for i in range(1, LESIONS_LISTED + 1)}
        rows = "".join(f"{label}\t{name}\n" for label, name in names.items())
        write_atomically(self.data.root / "derivatives" / "masks" / "dseg.tsv", f"index\tname\n{rows}".encode())
        for patient, files in self.raw.items():
            write_raw(self.data, patient, files)
        write_table(faults, faults_file(self.data), FAULTS)
        write_table(people.sort_values("patient", ignore_index=True), self.data.participants_file, TABLE)
        write_table(images.sort_values("file", ignore_index=True), self.data.manifest_file, MANIFEST)

    def _filled(self, people: pd.DataFrame, before: pd.DataFrame) -> pd.DataFrame:
        """Return the clinical table with cells that someone filled in by hand where the import knows nothing."""
        earlier = before[before["patient"].isin(list(self.people))].drop_duplicates("patient").set_index("patient")
        by_patient = people.set_index("patient")
        unknown = by_patient.isin(["", str(EMPTY_PARTICIPANT["centre"])])
        by_patient = by_patient.mask(unknown).combine_first(earlier).combine_first(by_patient)
        return by_patient.reset_index()[people.columns.tolist()]

    def _others(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a table that are not of the patients who are on their way in."""
        return table[~table["patient"].isin(list(self.people))]
