"""The SPECT time points of a therapy cycle, each with its sidecar and the mask that belongs to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from theradose.cohort.layout import PRE, Dataset, cycle_of
from theradose.errors import DataError, Where
from theradose.imaging.activity import SAME_TIME_H, at_scan_start
from theradose.imaging.nifti import read_sidecar
from theradose.imaging.volume import Volume

MARKS = ("Virtual", "Notice")


@dataclass(frozen=True)
class TimePoint:
    """A SPECT of a cycle: hours after administration, file, image at scan start, sidecar, manifest row of its mask."""

    patient: str
    cycle: int
    time_h: float
    file: Path
    image: Volume
    changed: bool
    sidecar: dict[str, Any]
    mask: "pd.Series[Any]"

    @property
    def where(self) -> Where:
        """The place of this time point in messages."""
        return Where(patient=self.patient, time_h=self.time_h, file=self.file.name)


def mask_row(masks: pd.DataFrame, patient: str, session: str, time_h: float) -> "pd.Series[Any]":
    """Return the row of a SPECT's mask: of its session and time, else from before therapy (else DataError)."""
    own = masks[(masks["session"] == session) & ((masks["time_h"] - time_h).abs() < SAME_TIME_H)]
    before = masks[masks["session"] == PRE]
    for rows in (own, before):
        if len(rows):
            return rows.iloc[0]
    raise DataError(
        "SPECT has no mask", where=Where(patient=patient, time_h=time_h), expected="a mask of its own or of ses-pre",
        remedy="add a label mask to derivatives/masks", code="THR-205",
    )  # fmt: skip


def cycles(data: Dataset, patient: str) -> list[str]:
    """Return the sessions of a patient that hold SPECT images, in order."""
    return sorted(data.rows(patient, "spect")["session"].unique(), key=cycle_of)


def time_points(
    data: Dataset, patient: str, session: str, radionuclide: str, reference: str = "as_declared"
) -> Iterator[TimePoint]:
    """Read the SPECT images of a cycle in the order of time, as they were at the start of each scan."""
    masks = data.rows(patient, "mask")
    for _, row in data.rows(patient, "spect", session).iterrows():
        time_h, file = float(row["time_h"]), data.root / str(row["file"])
        stored, sidecar = data.load(row), read_sidecar(file)
        try:
            image = at_scan_start(stored, sidecar, radionuclide=radionuclide, start_h=time_h, reference=reference)
        except DataError as error:
            raise error.at(patient=patient, time_h=time_h, file=file.name) from None
        mask = mask_row(masks, patient, session, time_h)
        yield TimePoint(patient, cycle_of(session), time_h, file, image, image is not stored, sidecar, mask)


def marks(sidecar: dict[str, Any]) -> dict[str, Any]:
    """Return what every image derived from a marked one must carry on: that it is virtual, and its notice."""
    return {name: sidecar[name] for name in MARKS if name in sidecar}
