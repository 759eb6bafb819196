"""Which series of a folder a structure set was drawn on, and its structures as labels on that series' grid."""

import hashlib
from collections.abc import Mapping

from theradose.cohort.placing import Placed
from theradose.cohort.structures import label_mask, labels_by_number
from theradose.errors import DataError, Where
from theradose.imaging.rtstruct import StructureSet
from theradose.imaging.seg import SegmentSet, segment_mask
from theradose.imaging.volume import Volume

FINGERPRINT = 8


def fingerprint(uid: str) -> str:
    """Return the first digits of the SHA-256 of a UID: it can be compared, and tells nothing of the hospital.

    >>> fingerprint("1.2.3.4")
    '5b5ac2de'
    """
    return hashlib.sha256(uid.encode()).hexdigest()[:FINGERPRINT]


def partner(
    structures: StructureSet, placed: list[Placed], refused: Mapping[str, str], *, allow_frame_match: bool
) -> tuple[Placed, list[str]]:
    """Return the series a structure set was drawn on, and warnings.

    It is the series that the set names. Segments carry their own grid, so for them the only series of their frame of
    reference will do; for contours it does with `allow_frame_match`. DataError otherwise: THR-345 when
    that series is among those `refused` (UID to our name), THR-342 when there is another in the frame, else THR-259.
    """
    named = [p for p in placed if p.series.acquisition.series == structures.series]
    if named:
        return named[0], []
    frame = [p for p in placed if p.series.acquisition.frame_of_reference == structures.frame_of_reference]
    if len(frame) == 1 and (allow_frame_match or isinstance(structures, SegmentSet)):
        return frame[0], [
            f"WARN drawn on a series that is not here; {frame[0].name} of its frame of reference was taken"
        ]
    if structures.series in refused:
        raise DataError(
            "series of the structure set was refused", where=Where(field="RTReferencedSeriesSequence"),
            got=refused[structures.series], remedy="see what is said of that series", code="THR-345",
        )  # fmt: skip
    given = [f"{p.name} (SeriesInstanceUID {fingerprint(p.series.acquisition.series)})" for p in frame or placed]
    one, remedy = len(frame) == 1, "add the series it was drawn on"
    raise DataError(
        "structure set was drawn on another series" if one else "structure set belongs to no series of this folder",
        where=Where(field="RTReferencedSeriesSequence" if frame else "ReferencedFrameOfReferenceSequence"),
        got=f"SeriesInstanceUID {fingerprint(structures.series)}, {len(frame)} series of its frame of reference",
        expected=" or ".join(given) or "the series it was drawn on",
        remedy=f"{remedy}, or take that of its frame of reference with --allow-frame-match" if one else remedy,
        code="THR-342" if one else "THR-259",
    )


def drawn(structures: StructureSet, on: Placed, labels: dict[str, int], where: Where) -> tuple[Volume, list[str]]:
    """Return contours or segments as one label mask on the grid of a series, and lines about them."""
    grid = on.series.volume.grid
    if isinstance(structures, SegmentSet):
        numbers = labels_by_number(structures.rois, labels)
        return segment_mask(structures, grid, numbers, where, on.series.acquisition.frame_of_reference)
    return label_mask(structures.rois, grid, labels, where)
