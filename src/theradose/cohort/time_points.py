"""The SPECT time points of a therapy cycle, each with its sidecar and the mask that belongs to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from theradose.cohort.counts import COUNTS, Camera, Counted, activity_of_counts
from theradose.cohort.layout import PRE, Dataset, cycle_of
from theradose.errors import DataError, Where
from theradose.imaging.activity import AS_DECLARED, SAME_TIME_H, at_scan_start
from theradose.imaging.nifti import read_sidecar, read_volume
from theradose.imaging.suv import NOT_CORRECTED
from theradose.imaging.volume import Volume
from theradose.provenance import verify_file

MARKS = ("Virtual", "Notice", "RecoveryCorrection")
SPECT, RECOVERED = "spect", "spect_recovered"  # roles of images on the first grid: as taken, corrected voxel by voxel
UNKNOWN_CAMERA = Camera()


@dataclass(frozen=True)
class TimePoint:
    """A SPECT of a cycle: hours after administration, file, image at scan start, sidecar, manifest row of its mask.

    `counted` tells how counts were taken where the file holds counts.
    """

    patient: str
    cycle: int
    time_h: float
    file: Path
    image: Volume
    changed: bool
    sidecar: dict[str, Any]
    mask: "pd.Series[Any]"
    counted: Counted | None = None

    @property
    def where(self) -> Where:
        """The place of this time point in messages."""
        return Where(patient=self.patient, time_h=self.time_h, file=self.file.name)


def row_beside(
    images: pd.DataFrame, patient: str, session: str, time_h: float, *, what: str, remedy: str
) -> "pd.Series[Any]":
    """Return the row that goes with a SPECT: of its session and time, else from before therapy (else DataError)."""
    own = images[(images["session"] == session) & ((images["time_h"] - time_h).abs() < SAME_TIME_H)]
    before = images[images["session"] == PRE]
    for rows in (own, before):
        if len(rows):
            return rows.iloc[0]
    raise DataError(
        f"SPECT has no {what}", where=Where(patient=patient, time_h=time_h),
        expected=f"a {what} of its own or of ses-pre", remedy=remedy, code="THR-205",
    )  # fmt: skip


def mask_row(masks: pd.DataFrame, patient: str, session: str, time_h: float) -> "pd.Series[Any]":
    """Return the row of a SPECT's mask, see `row_beside`."""
    remedy = "add a label mask to derivatives/masks"
    return row_beside(masks, patient, session, time_h, what="mask", remedy=remedy)


def ct_row(cts: pd.DataFrame, patient: str, session: str, time_h: float) -> "pd.Series[Any]":
    """Return the row of the CT that densities come from, see `row_beside`."""
    return row_beside(cts, patient, session, time_h, what="ct", remedy="add a CT, or set dose.density: labels")


def map_rows(images: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Return the SPECT rows of a cycle that its dose map is made of, and the column of the TIA (TIAC) its VOIs hold.

    Images corrected voxel by voxel stand for the corrected TIA; without them the images as taken and the TIA they show.
    """
    corrected = images[images["role"] == RECOVERED]
    if len(corrected):
        return corrected, "tia_mbq_h"
    return images[images["role"] == SPECT], "tia_uncorrected_mbq_h"


def verified(row: "pd.Series[str]") -> Volume:
    """Read a SPECT of the list after checking its hash."""
    verify_file(Path(row["file"]), row["sha256"], Where(patient=row["patient"], file=row["file"]))
    return read_volume(Path(row["file"]))


def cycles(data: Dataset, patient: str) -> list[str]:
    """Return the sessions of a patient that hold SPECT images, in order."""
    return sorted(data.rows(patient, "spect")["session"].unique(), key=cycle_of)


def time_points(
    data: Dataset,
    patient: str,
    session: str,
    radionuclide: str,
    *,
    reference: str = AS_DECLARED,
    camera: Camera = UNKNOWN_CAMERA,
) -> Iterator[TimePoint]:
    """Read the SPECT images of a cycle in the order of time, as they were at the start of each scan, in Bq/mL."""
    masks = data.rows(patient, "mask")
    for _, row in data.rows(patient, "spect", session).iterrows():
        time_h, file = float(row["time_h"]), data.root / str(row["file"])
        stored, sidecar, read_as, counted = data.load(row), read_sidecar(file), reference, None
        image = stored
        try:
            if stored.unit == COUNTS:
                image, counted = activity_of_counts(stored, sidecar, camera, reference)
                read_as = NOT_CORRECTED
            image = at_scan_start(image, sidecar, radionuclide=radionuclide, start_h=time_h, reference=read_as)
        except DataError as error:
            raise error.at(patient=patient, time_h=time_h, file=file.name) from None
        mask = mask_row(masks, patient, session, time_h)
        yield TimePoint(patient, cycle_of(session), time_h, file, image, image is not stored, sidecar, mask, counted)


def marks(sidecar: dict[str, Any]) -> dict[str, Any]:
    """Return what every image derived from a marked one must carry on: that it is virtual, and its notice."""
    return {name: sidecar[name] for name in MARKS if name in sidecar}
