"""Adding patients to a data set: images with sidecars, masks, a clinical row; nothing there is overwritten."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from theradose import __version__
from theradose.cohort.layout import PRE, Dataset
from theradose.errors import DataError, Where
from theradose.imaging.nifti import write_volume
from theradose.imaging.volume import Volume
from theradose.provenance import sha256_file, write_atomically, write_json
from theradose.tables import MANIFEST, PARTICIPANTS, write_table
from theradose.vocabulary import PATIENT_ID, VOIS, lesion_name

BIDS_VERSION = "1.10.0"
LESIONS_LISTED = 50
EMPTY_PARTICIPANT: dict[str, object] = {
    "centre": "unknown", "weight_kg": math.nan, "height_cm": math.nan, "administered_mbq": math.nan, "radionuclide": "",
}  # fmt: skip


@dataclass
class Intake:
    """New patients on their way in; `finish` writes the tables last, so a killed import can be repeated."""

    data: Dataset
    name: str
    images: list[dict[str, object]] = field(default_factory=list)
    people: dict[str, dict[str, object]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known = set(self.data.participants()["patient"]) if self.data.participants_file.is_file() else set()

    def add_patient(self, patient: str, values: Mapping[str, object]) -> None:
        """Add a row of the clinical table; DataError when the identifier is no safe name or there already."""
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
        given = {key: value for key, value in values.items() if value is not None and value != ""}
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
    ) -> Path:
        """Write an image or mask with its sidecar where it belongs; DataError when one is there from this import."""
        path = self.data.image_file(patient, modality, session, None if session == PRE else time_h)
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
        return path

    def finish(self) -> None:
        """Write description, label names, clinical table and manifest; hashes of earlier patients stay as they were."""
        people, images = pd.DataFrame(list(self.people.values())), pd.DataFrame(self.images)
        if self.known:
            people = pd.concat([self.data.participants(), people], ignore_index=True)
            images = pd.concat([self.data.manifest(), images], ignore_index=True)
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
        write_table(people.sort_values("patient", ignore_index=True), self.data.participants_file, PARTICIPANTS)
        write_table(images.sort_values("file", ignore_index=True), self.data.manifest_file, MANIFEST)
