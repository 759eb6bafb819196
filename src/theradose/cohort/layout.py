"""Where the files of a data set lie (BIDS-like) and how to find them again through its manifest."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from theradose.cohort.participants import read_participants, schema_of, wrong_cells
from theradose.errors import DataError, Where
from theradose.imaging.nifti import read_volume
from theradose.imaging.volume import Volume
from theradose.provenance import sha256_file, verify_file
from theradose.tables import MANIFEST, read_table, typed, write_table

PRE, CYCLE_PREFIX = "ses-pre", "ses-tx"


@lru_cache(maxsize=4)
def _manifest(path: Path, changed_ns: int, n_bytes: int) -> pd.DataFrame:
    """Read a manifest once for as long as its file stays as it is: every image of a study is looked up in it."""
    del changed_ns, n_bytes
    return read_table(path, MANIFEST)


@dataclass(frozen=True)
class Dataset:
    """A data set folder: `participants.tsv`, `manifest.tsv`, one folder a patient, masks under `derivatives`."""

    root: Path

    def existing(self) -> "Dataset":
        """Return the data set itself; DataError when its folder is missing, or is a file."""
        if self.root.is_dir():
            return self
        raise DataError(
            "data set is a file, no folder" if self.root.exists() else "folder of the data set is missing",
            where=Where(file=self.root.name),
            expected="a folder with participants.tsv and manifest.tsv",
            remedy="name the folder that `theradose import ... --to` made",
            code="THR-201",
        )

    @property
    def participants_file(self) -> Path:
        """The clinical table."""
        return self.root / "participants.tsv"

    @property
    def outcomes_file(self) -> Path:
        """What happened to patients after therapy (schema OUTCOMES); a data set may have none."""
        return self.root / "outcomes.tsv"

    @property
    def manifest_file(self) -> Path:
        """The list of images with their hashes."""
        return self.root / "manifest.tsv"

    def image_file(self, patient: str, modality: str, session: str = PRE, time_h: float | None = None) -> Path:
        """Return where an image belongs, e.g. sub-x/ses-tx1/spect/sub-x_ses-tx1_time-024h_spect.nii.gz."""
        time = "" if time_h is None else f"_time-{round(time_h):03d}h"
        stem = f"sub-{patient}_{session}{time}"
        if modality == "mask":
            return self.root / "derivatives" / "masks" / f"sub-{patient}" / f"{stem}_dseg.nii.gz"
        return self.root / f"sub-{patient}" / session / modality / f"{stem}_{modality}.nii.gz"

    def participants(self) -> pd.DataFrame:
        """Read the clinical rows that can be right; `check` names the others and quarantines their patients."""
        cells = read_participants(self.participants_file)
        wrong = [bool(wrong_cells({str(k): str(v) for k, v in row.items()})) for row in cells.to_dict("records")]
        usable = cells[~np.array(wrong, bool) & ~cells.duplicated("patient", keep=False)]
        return typed(usable, schema_of(usable.columns), self.participants_file.name)

    def manifest(self) -> pd.DataFrame:
        """Return the manifest as its file is now, a table of the caller's own."""
        return self._listed().copy()

    def rows(self, patient: str, modality: str, session: str | None = None) -> pd.DataFrame:
        """Return the manifest rows of a patient's images of one modality, by session and time."""
        table = self._listed()
        chosen = table[(table["patient"] == patient) & (table["modality"] == modality)]
        if session is not None:
            chosen = chosen[chosen["session"] == session]
        return chosen.sort_values(["session", "time_h"], ignore_index=True)

    def _listed(self) -> pd.DataFrame:
        """Return the manifest, not to be changed; DataError when it is missing or wrong."""
        if not self.manifest_file.is_file():
            return read_table(self.manifest_file, MANIFEST)
        about = self.manifest_file.stat()
        return _manifest(self.manifest_file.resolve(), about.st_mtime_ns, about.st_size)

    def load(self, row: pd.Series) -> Volume:
        """Read the image of a manifest row after checking its hash."""
        path = self.root / str(row["file"])
        verify_file(path, str(row["sha256"]), Where(patient=str(row["patient"]), file=str(row["file"])))
        return read_volume(path)

    def load_one(self, patient: str, modality: str, session: str | None = None) -> Volume:
        """Read the only image of its kind; DataError when there is none or more than one."""
        rows = self.rows(patient, modality, session)
        if len(rows) != 1:
            raise DataError(
                f"need one {modality} image",
                where=Where(patient=patient),
                got=f"{len(rows)} in the manifest",
                expected=1,
                code="THR-205",
                remedy="add the image to the data set or exclude the patient",
            )
        return self.load(rows.iloc[0])

    def write_manifest(self, images: pd.DataFrame) -> Path:
        """Hash images (columns patient, session, modality, time_h, file under the root) and write the manifest."""
        table = images.copy()
        table["sha256"] = [sha256_file(self.root / file) for file in table["file"]]
        table["n_bytes"] = [(self.root / file).stat().st_size for file in table["file"]]
        table = table.sort_values("file", ignore_index=True)
        return write_table(table, self.manifest_file, MANIFEST)


def cycle_of(session: str) -> int:
    """Return the cycle number of a therapy session, 1 for `ses-tx1`."""
    return int(session.removeprefix(CYCLE_PREFIX))


def patients_of_chunk(patients: list[str], chunk: int, of: int) -> list[str]:
    """Return the patients of chunk `chunk` (from 0) out of `of`; every patient falls in exactly one."""
    return sorted(patients)[chunk::of]
