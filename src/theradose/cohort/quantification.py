"""From the time points of a cycle to rows of the time-activity and quality tables."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from theradose.cohort.layout import PRE, Dataset
from theradose.cohort.time_points import TimePoint
from theradose.errors import TheradoseError
from theradose.imaging.activity import (
    Accuracy,
    Regions,
    regions_of,
    resolution_mm,
    voi_activities,
    voxel_recovered,
)
from theradose.imaging.register import register_to
from theradose.physics.decay import decay_factor

Rows = list[dict[str, Any]]
Prepared = dict[tuple[str, float | None], Regions]


def note(point: TimePoint, name: str, value: float, unit: str, remark: str = "") -> dict[str, Any]:
    """Return a row of the QC table about a time point."""
    subject = f"cycle {point.cycle}, {point.time_h:g} h"
    place = {"patient": point.patient, "step": "quantify", "subject": subject}
    return {**place, "name": name, "value": value, "unit": unit, "note": remark}


def totals(points: list[TimePoint], administered_mbq: float, half_life_h: float) -> Rows:
    """Return what each image holds in all, its share of the decayed administered activity, and how counts were read."""
    rows: Rows = []
    for point in points:
        total = point.image.total_mbq()
        share = total / (administered_mbq * decay_factor(half_life_h, point.time_h))
        remark = "more than was administered" if share > 1 else ""
        rows.append(note(point, "total_activity", total, "MBq"))
        rows.append(note(point, "share_of_decayed_administered_activity", share, "1", remark))
        if point.counted is not None:
            rows.append(note(point, "count_rate", point.counted.rate_cps, "cps", point.counted.source))
            rows.append(note(point, "dead_time_factor", point.counted.dead_time_factor, "1"))
    return rows


def on_first_grid(points: list[TimePoint], registration: Mapping[str, float] | None) -> tuple[list[TimePoint], Rows]:
    """Return the time points on the grid of the first one, and QC rows of what was done.

    With limits for `register_to` (max_shift_mm, min_overlap) later images are registered; without, they must lie on the
    first one's grid (GeometryError).
    """
    first, moved, rows = points[0], [points[0]], list[dict[str, Any]]()
    for point in points[1:]:
        if registration is None:
            first.image.grid.require_same(point.image.grid, "SPECT of a later time point", point.where)
            moved.append(point)
            continue
        try:
            found = register_to(first.image, point.image, **registration)
        except TheradoseError as error:
            raise error.at(patient=point.patient, time_h=point.time_h, file=point.file.name) from None
        moved.append(replace(point, image=found.moved, changed=True))
        shift_mm = sum(part**2 for part in found.shift_mm) ** 0.5
        rows.append(note(point, "registration_shift", shift_mm, "mm"))
        rows.append(note(point, "registration_overlap", found.overlap, "1"))
        rows.append(note(point, "registration_correlation", found.metric, "1"))
    return moved, rows


def _regions(data: Dataset, point: TimePoint, prepared: Prepared, recovery: str, fwhm_mm: float | None) -> Regions:
    """Return the regions of a time point's mask for its resolution, those `prepared` before where they are there."""
    width_mm = resolution_mm(point.sidecar, fwhm_mm, recovery)
    key = (str(point.mask["file"]), width_mm)
    if key not in prepared:
        prepared[key] = regions_of(data.load(point.mask), method=recovery, fwhm_mm=width_mm)
    return prepared[key]


def recovered(
    data: Dataset, aligned: list[TimePoint], prepared: Prepared, *, recovery: str, fwhm_mm: float | None
) -> list[TimePoint]:
    """Return the aligned time points corrected voxel by voxel, on the regions of the first one's mask."""
    found = []
    for point in aligned:
        try:
            regions = _regions(data, replace(point, mask=aligned[0].mask), prepared, recovery, fwhm_mm)
            image = voxel_recovered(point.image, regions, str(point.sidecar.get("RecoveryCorrection", "none")))
        except TheradoseError as error:
            raise error.at(patient=point.patient, time_h=point.time_h, file=point.file.name) from None
        sidecar = {**point.sidecar, "RecoveryCorrection": f"region_based {regions.fwhm_mm:g} mm"}
        found.append(replace(point, image=image, changed=True, sidecar=sidecar))
    return found


def measured(
    data: Dataset,
    points: list[TimePoint],
    aligned: list[TimePoint],
    prepared: Prepared,
    *,
    recovery: str,
    fwhm_mm: float | None,
    accuracy: Accuracy,
) -> Rows:
    """Return the rows of the time-activity table.

    A mask of the time point's own is used on the image as it was taken, one from before therapy on the aligned image.
    `prepared` keeps the regions of each mask.
    """
    rows: Rows = []
    for native, moved in zip(points, aligned, strict=True):
        point = moved if native.mask["session"] == PRE else native
        try:
            regions = _regions(data, point, prepared, recovery, fwhm_mm)
            found = voi_activities(point.image, regions, accuracy)
        except TheradoseError as error:
            raise error.at(patient=point.patient, time_h=point.time_h, file=str(point.mask["file"])) from None
        place = {"patient": point.patient, "cycle": point.cycle, "time_h": point.time_h}
        place["correction"] = regions.correction
        rows += [{**place, **asdict(voi), "flags": ";".join(voi.flags)} for voi in found]
    return rows
