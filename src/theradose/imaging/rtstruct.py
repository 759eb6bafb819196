"""Contours of an RTSTRUCT to masks: a voxel belongs to a structure when the polygon holds at least half of it.

Half is counted over the centres of 5 x 5 sub-pixels: one centre a pixel errs by more than 2 % of a lesion of 3 mL,
and an odd number knows no tie. Contours of one slice are combined by exclusive or, so that an inner contour is a
hole. Slices are found by position along the image's normal, in any orientation. A centre on the border counts on two
of four sides, so that structures that touch share no voxel and none grows.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from theradose.errors import DataError, GeometryError, Where
from theradose.imaging.acquisition import first
from theradose.imaging.dicom import DAMAGE, read_header
from theradose.imaging.grid import Grid

OFF_PLANE = 0.25  # of a slice: farther from every slice, a contour was drawn on other slices (own choice)
LARGEST_LOSS = 0.05  # of the volume outside the image
EDGE = 1e-6  # of a voxel
SUB, HALF = 5, 0.5


@dataclass(frozen=True)
class Roi:
    """One structure: its number and name in the file, closed contours as (n, 3) LPS mm, and how many were skipped."""

    number: int
    name: str
    contours: tuple[np.ndarray, ...]
    skipped: int

    @property
    def empty(self) -> bool:
        """Tell whether nothing is left to fill."""
        return not self.contours

    def draw(self, grid: Grid) -> tuple[np.ndarray, float]:
        """Return the mask on a grid, (z, y, x) bool, and the volume that lies outside it, mL."""
        return _raster(self, grid)

    def volume_ml(self, grid: Grid) -> float:
        """Return the area inside the contours times the slice thickness of `grid`, mL."""
        return polygon_volume_ml(self, grid)


@dataclass(frozen=True)
class StructureSet:
    """All structures of a file and the UIDs of the series and frame of reference they were drawn on."""

    rois: tuple[Roi, ...]
    series: str
    frame_of_reference: str

    def empty_rois(self) -> list[int]:
        """Return the numbers of structures without a closed contour."""
        return [roi.number for roi in self.rois if roi.empty]


def _contours(item: Dataset, path: Path) -> tuple[tuple[np.ndarray, ...], int]:
    """Return the closed contours of a structure and the number of those that are points or lines."""
    contours = []
    skipped = 0
    for contour in item.get("ContourSequence") or ():
        points = np.asarray(contour.ContourData, float).reshape(-1, 3)
        if int(contour.get("NumberOfContourPoints") or len(points)) != len(points):
            raise EOFError("contour is cut off")
        if contour.get("ContourGeometricType") != "CLOSED_PLANAR" or len(points) < 3:
            skipped += 1
            continue
        if not np.isfinite(points).all():
            raise DataError("contour is not finite", where=Where(file=path.name, field="ContourData"), code="THR-204")
        contours.append(points)
    return tuple(contours), skipped


def read_rtstruct(path: Path) -> StructureSet:
    """Read an RTSTRUCT file; DataError when it is damaged or no structure set."""
    header = read_header(path)
    if header.get("Modality") != "RTSTRUCT":
        raise DataError(
            "not a structure set", where=Where(file=path.name), got=header.get("Modality"), expected="RTSTRUCT"
        )
    try:
        names = {
            int(item.ROINumber): str(item.get("ROIName", "")) for item in header.get("StructureSetROISequence") or ()
        }
        found = {int(i.ReferencedROINumber): _contours(i, path) for i in header.get("ROIContourSequence") or ()}
        frame = first(header, "ReferencedFrameOfReferenceSequence")
        series = first(first(frame, "RTReferencedStudySequence"), "RTReferencedSeriesSequence")
    except DAMAGE as error:
        raise DataError(
            "structure set is damaged", where=Where(file=path.name), got=type(error).__name__, code="THR-204",
            remedy="export it again",
        ) from error  # fmt: skip
    rois = tuple(Roi(number, name, *found.get(number, ((), 0))) for number, name in sorted(names.items()))
    return StructureSet(rois, str(series.get("SeriesInstanceUID", "")), str(frame.get("FrameOfReferenceUID", "")))


def _inside(polygon: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return which pixel centres (row, column) lie in a polygon of (x, y) index points: even-odd rule, half-open.

    For each row of pixels: the crossings of the row with the polygon, sorted, filled between pairs.
    """
    x, y = polygon[:, 0], polygon[:, 1]
    x2, y2 = np.roll(x, -1), np.roll(y, -1)
    mask = np.zeros(shape, bool)
    rows = range(max(0, int(np.ceil(y.min() - EDGE))), min(shape[0] - 1, int(np.floor(y.max() + EDGE))) + 1)
    for row in rows:
        crosses = (y <= row) != (y2 <= row)
        at = np.sort(x[crosses] + (row - y[crosses]) / (y2[crosses] - y[crosses]) * (x2[crosses] - x[crosses]))
        # Columns from the first centre at or right of a crossing up to the next crossing, which is left out.
        edges = np.clip(np.ceil(at - EDGE).astype(int), 0, shape[1])
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            mask[row, start:stop] ^= True
    return mask


def _fill(contours: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Return which pixels (row, column) one slice's contours of (x, y) index points hold by half or more."""
    points = np.vstack(contours)
    low = np.clip(np.floor(points.min(0)).astype(int) - 1, 0, None)
    nx, ny = np.minimum(np.ceil(points.max(0)).astype(int) + 2, shape[::-1]) - low
    whole = np.zeros(shape, bool)
    if nx <= 0 or ny <= 0:
        return whole
    # Sub-pixel j of pixel i lies at index i + (j + 1/2) / SUB - 1/2.
    fine = [(contour - low) * SUB + (SUB - 1) / 2 for contour in contours]
    inside = np.logical_xor.reduce([_inside(contour, (int(ny) * SUB, int(nx) * SUB)) for contour in fine])
    part = inside.reshape(int(ny), SUB, int(nx), SUB).mean(axis=(1, 3))
    whole[low[1] : low[1] + ny, low[0] : low[0] + nx] = part >= HALF
    return whole


def _area(polygon: np.ndarray) -> float:
    """Return the area inside a polygon of (x, y) points (shoelace formula)."""
    x, y = polygon[:, 0], polygon[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2.0


def _by_slice(roi: Roi, grid: Grid) -> tuple[dict[int, list[np.ndarray]], list[np.ndarray], float]:
    """Return contours as (x, y) voxel indices: those of each slice, those between, and the largest gap, slices."""
    to_index = np.linalg.inv(grid.affine_lps())
    slices: dict[int, list[np.ndarray]] = defaultdict(list)
    between: list[np.ndarray] = []
    farthest = 0.0
    for points in roi.contours:
        index = np.column_stack([points, np.ones(len(points))]) @ to_index.T
        k = round(float(np.median(index[:, 2])))
        off = float(np.abs(index[:, 2] - k).max())
        farthest = max(farthest, off)
        (slices[k] if off <= OFF_PLANE else between).append(index[:, :2])
    return dict(slices), between, farthest


def _signed_areas(contours: list[np.ndarray]) -> list[float]:
    """Return the areas of one slice's contours, negative for those that lie inside an odd number of others (holes)."""
    signed = []
    for i, contour in enumerate(contours):
        around = sum(_holds(other, contour[0]) for j, other in enumerate(contours) if j != i)
        signed.append(_area(contour) * (-1) ** around)
    return signed


def _holds(polygon: np.ndarray, point: np.ndarray) -> bool:
    """Tell whether a point lies in a polygon (even-odd)."""
    x, y = polygon[:, 0], polygon[:, 1]
    x2, y2 = np.roll(x, -1), np.roll(y, -1)
    crosses = (y <= point[1]) != (y2 <= point[1])
    at = x[crosses] + (point[1] - y[crosses]) / (y2[crosses] - y[crosses]) * (x2[crosses] - x[crosses])
    return bool((at > point[0]).sum() % 2)


def polygon_volume_ml(roi: Roi, grid: Grid) -> float:
    """Return the area inside the contours times the slice thickness of `grid`, mL; contours must not cross."""
    slices, between, _ = _by_slice(roi, grid)
    area = sum(sum(_signed_areas(contours)) for contours in slices.values()) + sum(map(_area, between))
    return area * grid.voxel_ml


def _require_inside(roi: Roi, grid: Grid, part: float, between: bool, off: float) -> None:
    """Raise GeometryError when more than 5 % of a structure is lost outside the image or between its slices."""
    if part <= LARGEST_LOSS:
        return
    thickness_mm = grid.spacing_mm[2]
    got = f"{off * thickness_mm:.2f} mm from the nearest slice" if between else f"{100 * part:.0f} % of it outside"
    near, few = f"{OFF_PLANE * thickness_mm:.2f} mm", f"{100 * LARGEST_LOSS:g} %"
    raise GeometryError(
        "contour lies between the slices of the image" if between else "structure reaches out of the image",
        where=Where(field=f"structure {roi.number}"), got=got, expected=f"at most {near if between else few}",
        remedy="give the series it was drawn on", code="THR-222" if between else "THR-223",
    )  # fmt: skip


def _raster(roi: Roi, grid: Grid) -> tuple[np.ndarray, float]:
    """Return the mask of a structure and its volume outside the image or between slices, mL; as `rasterise`."""
    nz, ny, nx = grid.shape_zyx
    mask = np.zeros(grid.shape_zyx, bool)
    slices, between, off = _by_slice(roi, grid)
    everything = lost = float(sum(map(_area, between)))
    for k, contours in slices.items():
        area = abs(sum(_signed_areas(contours)))
        everything += area
        if not 0 <= k < nz:
            lost += area
            continue
        whole = mask[k] = _fill(contours, (ny, nx))
        rim = np.vstack(contours)
        if rim.min() < 0 or rim[:, 0].max() > nx - 1 or rim[:, 1].max() > ny - 1:
            lost += max(0.0, area - float(whole.sum()))
    _require_inside(roi, grid, lost / everything if everything else 0.0, bool(between), off)
    return mask, lost * grid.voxel_ml


def rasterise(roi: Roi, grid: Grid) -> np.ndarray:
    """Return the mask of a structure on a grid, (z, y, x) bool.

    GeometryError when over 5 % of it lie outside the image or between its slices.
    """
    return _raster(roi, grid)[0]
