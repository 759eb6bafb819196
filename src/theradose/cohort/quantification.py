"""From the time points of a cycle to rows of the time-activity and quality tables."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from theradose.cohort.layout import PRE, Dataset
from theradose.cohort.time_points import TimePoint
from theradose.errors import TheradoseError
from theradose.imaging.activity import Accuracy, Regions, regions_of, resolution_mm, voi_activities
from theradose.imaging.register import register_to
from theradose.physics.decay import decay_factor

Rows = list[dict[str, Any]]


def note(point: TimePoint, name: str, value: float, unit: str, remark: str = "") -> dict[str, Any]:
    """Return a row of the QC table about a time point."""
    subject = f"cycle {point.cycle}, {point.time_h:g} h"
    place = {"patient": point.patient, "step": "quantify", "subject": subject}
    return {**place, "name": name, "value": value, "unit": unit, "note": remark}


def totals(points: list[TimePoint], administered_mbq: float, half_life_h: float) -> Rows:
    """Return what each image holds in all, and its share of what decay has left of the administered activity."""
    rows: Rows = []
    for point in points:
        total = point.image.total_mbq()
        share = total / (administered_mbq * decay_factor(half_life_h, point.time_h))
        remark = "more than was administered" if share > 1 else ""
        rows.append(note(point, "total_activity", total, "MBq"))
        rows.append(note(point, "share_of_decayed_administered_activity", share, "1", remark))
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


def measured(
    data: Dataset,
    points: list[TimePoint],
    aligned: list[TimePoint],
    *,
    recovery: str,
    fwhm_mm: float | None,
    accuracy: Accuracy,
) -> Rows:
    """Return the rows of the time-activity table.

    A mask of the time point's own is used on the image as it was taken, one from before therapy on the aligned image.
    """
    prepared: dict[tuple[str, float | None], Regions] = {}
    rows: Rows = []
    for native, moved in zip(points, aligned, strict=True):
        point = moved if native.mask["session"] == PRE else native
        try:
            width_mm = resolution_mm(point.sidecar, fwhm_mm, recovery)
            key = (str(point.mask["file"]), width_mm)
            if key not in prepared:
                prepared[key] = regions_of(data.load(point.mask), method=recovery, fwhm_mm=width_mm)
            found = voi_activities(point.image, prepared[key], accuracy)
        except TheradoseError as error:
            raise error.at(patient=point.patient, time_h=point.time_h, file=str(point.mask["file"])) from None
        place = {"patient": point.patient, "cycle": point.cycle, "time_h": point.time_h}
        correction = prepared[key].correction
        rows += [{**place, **asdict(voi), "correction": correction, "flags": ";".join(voi.flags)} for voi in found]
    return rows
