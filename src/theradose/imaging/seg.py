"""Segments of a DICOM SEG: each a mask of its own, placed by position and orientation on the grid of an image.

UIDs decide only whether segments on another grid may be meant for an image. Names are matched and forgotten, as those
of contours: they reach no note.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset

from theradose.errors import DataError, GeometryError, Where
from theradose.imaging.dicom import DAMAGE, read_header
from theradose.imaging.grid import Grid
from theradose.imaging.resample import resample
from theradose.imaging.rtstruct import LARGEST_LOSS, Roi, StructureSet
from theradose.imaging.volume import Volume
from theradose.vocabulary import voi_of_label

# Segmentation and Label Map Segmentation Storage (DICOM PS3.4 table B.5-1).
SEG_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
HALF = 0.5  # of a voxel: fractional segments hold what they fill by half or more
SAME_PLACE = 1e-3  # of a voxel
SAME_COSINE = 1e-4


@dataclass(frozen=True)
class Segment(Roi):
    """One segment: number, a name of its own, and what it fills: `inside` (z, y, x) from `start` in the file's grid."""

    start: tuple[int, int, int]
    inside: np.ndarray

    @property
    def empty(self) -> bool:
        """Tell whether the segment fills no voxel."""
        return not self.inside.size


@dataclass(frozen=True)
class SegmentSet(StructureSet):
    """All segments of a file as `rois`, the UIDs they name, the grid of the file and what was accepted with a note."""

    grid: Grid
    notes: tuple[str, ...]


def _unique(names: list[str]) -> list[str]:
    """Return the names with `_1`, `_2`, ... behind those that come more than once.

    >>> _unique(["node", "liver", "node"])
    ['node_1', 'liver', 'node_2']
    """
    return [f"{name}_{names[: i + 1].count(name)}" if names.count(name) > 1 else name for i, name in enumerate(names)]


def _opened(header: Dataset) -> hd.seg.Segmentation:
    """Return a file as segmentation: where nothing states how far apart its frames are, they are as far as thick."""
    shared = header.get("SharedFunctionalGroupsSequence") or [{}]
    measures = (shared[0].get("PixelMeasuresSequence") or [{}])[0]
    thickness = measures.get("SliceThickness")
    if thickness and "SpacingBetweenSlices" not in measures:
        measures.SpacingBetweenSlices = thickness
        assumed = hd.seg.Segmentation.from_dataset(header)
        if assumed.get_volume_geometry() is not None:
            return assumed
        del measures.SpacingBetweenSlices
    return hd.seg.Segmentation.from_dataset(header, copy=False)


def _grid(image: hd.seg.Segmentation, where: Where) -> tuple[Grid, int]:
    """Return the grid of the frames, slices along their normal, and the step (1 or -1) that takes them there."""
    geometry = image.get_volume_geometry()
    if geometry is None or geometry.coordinate_system != hd.CoordinateSystemNames.PATIENT:
        raise GeometryError(
            "segments lie on no regular grid", where=where, expected="parallel frames, evenly spaced",
            remedy="export the segments on the grid of the image", code="THR-311",
        )  # fmt: skip
    affine = np.asarray(geometry.affine, float)[:, [2, 1, 0, 3]]  # columns from (z, y, x) to (x, y, z)
    shape, step = geometry.spatial_shape, 1
    if np.linalg.det(affine[:3, :3]) < 0:
        affine[:3, 3] += affine[:3, 2] * (shape[0] - 1)
        affine[:3, 2] *= -1.0
        step = -1
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    axes = np.round(affine[:3, :3] / spacing, 7) + 0.0
    if np.abs(axes.T @ axes - np.eye(3)).max() > SAME_COSINE:
        raise GeometryError("image axes are no right angle of unit vectors", where=where, got=axes.tolist())
    direction = tuple((float(a), float(b), float(c)) for a, b, c in axes)
    nz, ny, nx = map(int, shape)
    (sx, sy, sz), (x, y, z) = map(float, spacing), map(float, affine[:3, 3])
    return Grid((nz, ny, nx), (sx, sy, sz), (x, y, z), direction), step


def _cut(number: int, name: str, inside: np.ndarray) -> Segment:
    """Return a segment cut to the box it fills."""
    filled = [np.flatnonzero(inside.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    if not filled[0].size:
        return Segment(number, name, (), 0, (0, 0, 0), np.zeros((0, 0, 0), bool))
    z, y, x = (int(places[0]) for places in filled)
    box = tuple(slice(int(places[0]), int(places[-1]) + 1) for places in filled)
    return Segment(number, name, (), 0, (z, y, x), inside[box].copy())


def _segments(image: hd.seg.Segmentation, where: Where) -> SegmentSet:
    """Return all segments of a file, with notes on names, overlap and fractions."""
    grid, step = _grid(image, where)
    numbers = [int(number) for number in image.segment_numbers]
    given = [str(image.get_segment_description(number).get("SegmentLabel", "")).strip() for number in numbers]
    times = np.zeros(grid.shape_zyx, np.uint16)
    segments = []
    for number, name in zip(numbers, _unique(given), strict=True):
        part = image.get_volume(segment_numbers=[number], combine_segments=False).array[::step, ..., 0]
        times += part >= HALF
        segments.append(_cut(number, name, part >= HALF))
    notes = []
    same = [number for number, name in zip(numbers, given, strict=True) if given.count(name) > 1]
    if same:
        notes.append(f"WARN segments {', '.join(map(str, same))} share names: numbered in the order of the file")
    if (overlap := int((times > 1).sum())) > 0:
        notes.append(f"segments overlap in {overlap * grid.voxel_ml:.2f} mL")
    if image.get("SegmentationType") == "FRACTIONAL":
        notes.append("segments are fractional: voxels filled by half or more are taken")
    series = (image.get("ReferencedSeriesSequence") or [{}])[0]
    uids = str(series.get("SeriesInstanceUID", "")), str(image.get("FrameOfReferenceUID", ""))
    return SegmentSet(tuple(segments), *uids, grid, tuple(notes))


def read_seg(path: Path) -> SegmentSet:
    """Read the segments of a SEG file, binary, fractional or label map.

    DataError when it is damaged (THR-204) or no segmentation (THR-310), GeometryError (THR-311) without a regular grid.
    """
    header, where = read_header(path, pixels=True), Where(file=path.name)
    if header.get("SOPClassUID") not in SEG_CLASSES:
        raise DataError("not a segmentation", where=where, got=header.get("Modality"), expected="SEG", code="THR-310")
    try:
        return _segments(_opened(header), where)
    except DAMAGE as error:
        raise DataError(
            "segmentation is damaged", where=where, got=type(error).__name__, code="THR-204",
            remedy="export the segments again",
        ) from error  # fmt: skip


def _same_voxels(own: Grid, grid: Grid) -> bool:
    """Tell whether every voxel of a grid is a voxel of another, or would be if that went on beyond its border."""
    corners = np.column_stack([own.corners_lps_mm(), np.ones(8)]) @ np.linalg.inv(grid.affine_lps()).T
    steps = (np.linalg.inv(grid.affine_lps()) @ own.affine_lps())[:3, :3]
    near = np.abs(corners - np.rint(corners)).max() <= SAME_PLACE
    return bool(near and np.array_equal(np.abs(np.rint(steps)).sum(axis=0), np.ones(3)))


def _placed(segment: Segment, own: Grid, grid: Grid, *, same: bool, where: Where) -> np.ndarray:
    """Return a segment of the grid `own` on a grid, (z, y, x) bool; GeometryError when over 5 % lie outside."""
    mask = np.zeros(grid.shape_zyx, bool)
    matrix = np.linalg.inv(grid.affine_lps()) @ own.affine_lps()
    last, lost = np.asarray(grid.shape_zyx[::-1]) - 1, 0
    for k, plane in enumerate(segment.inside):
        rows, columns = np.nonzero(plane)
        index = np.column_stack([columns, rows, np.full(len(rows), k), np.ones(len(rows))])
        index[:, :3] += segment.start[::-1]
        places = np.rint((index @ matrix.T)[:, :3]).astype(int)
        held = ((places >= 0) & (places <= last)).all(axis=1)
        lost += int((~held).sum())
        if same:
            mask[tuple(places[held].T[::-1])] = True
    if lost > LARGEST_LOSS * segment.inside.sum():
        raise GeometryError(
            "segment reaches out of the image", where=where,
            got=f"{100 * lost / segment.inside.sum():.0f} % of its volume outside",
            expected=f"at most {100 * LARGEST_LOSS:g} %", remedy="give the series it was drawn on", code="THR-313",
        )  # fmt: skip
    if same:
        return mask
    x, y, z = (own.affine_lps() @ (*segment.start[::-1], 1))[:3]
    nz, ny, nx = segment.inside.shape
    box = Grid((nz, ny, nx), own.spacing_mm, (float(x), float(y), float(z)), own.direction)
    moved = resample(Volume(segment.inside.astype(np.uint8), box, "label"), grid, interpolation="nearest")
    return np.asarray(moved.values > 0)


def place_segments(
    found: SegmentSet, grid: Grid, where: Where, frame_of_reference: str = ""
) -> tuple[dict[int, np.ndarray], list[str]]:
    """Return number -> mask (z, y, x; bool) of every segment that is not empty, on the grid of an image, and notes.

    Segments on the image's voxels are taken as they are, whatever UIDs say. On other voxels of the same frame of
    reference they are taken by the nearest voxel, with a note; GeometryError (THR-312) in another frame.
    """
    same, notes = _same_voxels(found.grid, grid), []
    if not same and found.frame_of_reference != frame_of_reference:
        raise GeometryError(
            "segments lie on another grid and in another frame of reference", where=where, got=found.grid.describe(),
            expected=grid.describe(), remedy="give the series they were drawn on", code="THR-312",
        )  # fmt: skip
    if not same:
        notes.append("segments lie on another grid of the same frame of reference: taken by the nearest voxel")
    elif frame_of_reference and found.frame_of_reference != frame_of_reference:
        notes.append("WARN segments name another frame of reference, and lie on the voxels of the image: accepted")
    place = {"own": found.grid, "grid": grid, "same": same, "where": where}
    drawn = (roi for roi in found.rois if isinstance(roi, Segment) and not roi.empty)
    return {segment.number: _placed(segment, **place) for segment in drawn}, notes  # type: ignore[arg-type]


def segment_mask(
    found: SegmentSet, grid: Grid, labels: Mapping[int, int | None], where: Where, frame_of_reference: str = ""
) -> tuple[Volume, list[str]]:
    """Return segments as one label mask on a grid and lines about each, as `label_mask` does for contours.

    `labels` gives the label of a segment's number, None when its name says neither organ nor lesion; larger labels lie
    on top. Errors of `place_segments`; DataError (THR-317) when two have one label, or nothing is drawn.
    """
    known = {number: label for number, label in labels.items() if label is not None}
    masks, notes = place_segments(found, grid, where, frame_of_reference)
    drawn = sorted((known[number], number) for number in masks if number in known)
    if not drawn or len({label for label, _ in drawn}) < len(drawn):
        raise DataError(
            "segments cannot be told apart" if drawn else "segmentation holds nothing to use", where=where,
            got=[number for _, number in drawn] or "no segment with a known name", expected="one segment a VOI",
            code="THR-317",
        )  # fmt: skip
    values, lines = np.zeros(grid.shape_zyx, np.uint16), [*found.notes, *notes]
    stored = {r.number: int(r.inside.sum()) * found.grid.voxel_ml for r in found.rois if isinstance(r, Segment)}
    for label, number in drawn:
        covered = int((values[masks[number]] > 0).sum()) * grid.voxel_ml
        values[masks[number]] = label
        overlap = f"; {covered:.2f} mL lie in another segment" if covered else ""
        volume_ml = int(masks[number].sum()) * grid.voxel_ml
        lines.append(
            f"segment {number} -> {voi_of_label(label)}: {volume_ml:.2f} mL (file {stored[number]:.2f} mL){overlap}"
        )
    aside = {number: "has the name of no organ and no lesion" for number in masks if number not in known}
    aside |= {roi.number: "is empty in the file" for roi in found.rois if roi.empty}
    lines += [f"segment {number} {why}: left aside" for number, why in sorted(aside.items())]
    return Volume(values, grid, "label"), lines
