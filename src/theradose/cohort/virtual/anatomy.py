"""The label map of a virtual patient: every organ has its drawn volume to the voxel.

An organ of volume V claims, among the voxels still free inside the body, the V / voxel ones with the smallest
sum |(x - centre) / half axis|^power: a superquadric scaled to the volume, whatever its neighbours cover.
"""

from dataclasses import dataclass

import numpy as np

from theradose.cohort.virtual.body import Body
from theradose.cohort.virtual.latents import Latents
from theradose.cohort.virtual.lesions import NECROTIC_UPTAKE, Lesion
from theradose.cohort.virtual.organs import (
    AIR_HU,
    BLADDER,
    BLADDER_HU,
    BODY_HU,
    BODY_HU_SD,
    BODY_PARTS,
    CORE_VOLUME,
    EXTENT_ZYX_MM,
    HALF_AXIS_LOG_SD,
    LUNG_HU,
    LUNGS,
    ORGAN_TABLE,
    SHIFT_SD_MM,
    SOFT_TISSUE_G_PER_ML,
    Organ,
    Shape,
)
from theradose.errors import SettingsError, Where
from theradose.imaging.grid import Grid
from theradose.vocabulary import LESION_LABEL_FROM, VOIS

AIR = 0
BODY = VOIS["remainder"].label
REFERENCE_WEIGHT_KG, REFERENCE_HEIGHT_CM = 84.0, 176.0
SHOULDER_MM = 170.0
"""Above this height head and neck begin, which do not widen with weight."""

HOSTS = ("liver", "marrow")
"""Organs that hold lesions: they take their voxels after the lesions did, and keep their own mass."""


@dataclass(frozen=True)
class Anatomy:
    """A label map on its grid, the CT number of each label, and uptake within each VOI relative to its rim."""

    grid: Grid
    labels: np.ndarray
    relative_uptake: np.ndarray
    hu: dict[int, float]

    def volumes_ml(self) -> dict[int, float]:
        """Return the volume of every label in mL (air left out)."""
        counts = np.bincount(self.labels.ravel())
        return {label: float(n) * self.grid.voxel_ml for label, n in enumerate(counts.tolist()) if n and label != AIR}


def grid_of(spacing_mm: float) -> Grid:
    """Return the isotropic grid over the field of view, its centre at 0; 8 mm give 96 x 48 x 64 (z, y, x)."""
    nz, ny, nx = (round(extent / spacing_mm) for extent in EXTENT_ZYX_MM)
    origin = tuple(-0.5 * (n - 1) * spacing_mm for n in (nx, ny, nz))
    return Grid((nz, ny, nx), (spacing_mm,) * 3, (origin[0], origin[1], origin[2]))


def axes_mm(grid: Grid) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the LPS coordinates of the voxel centres along z, y and x in mm."""
    steps = zip(grid.shape_zyx, grid.origin_mm[::-1], grid.spacing_zyx_mm, strict=True)
    z, y, x = (start + spacing * np.arange(n) for n, start, spacing in steps)
    return z, y, x


def superquadric(shape: Shape, axes: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    """Return sum |(x - centre) / half axis|^power on the grid of three axes; at most 1 inside the shape."""
    z, y, x = (
        np.abs((axis - centre) / half) ** shape.power
        for axis, centre, half in zip(axes, shape.centre_mm, shape.half_axes_mm, strict=True)
    )
    return np.asarray(z[:, None, None] + y[None, :, None] + x[None, None, :])


def _box(shape: Shape, axes: tuple[np.ndarray, np.ndarray, np.ndarray], reach: float) -> tuple[slice, slice, slice]:
    """Return the part of the grid within `reach` half axes of the centre, never empty."""
    found = []
    for axis, centre, half in zip(axes, shape.centre_mm, shape.half_axes_mm, strict=True):
        low, high = np.searchsorted(axis, [centre - reach * half, centre + reach * half])
        low = min(int(low), axis.size - 1)
        found.append(slice(low, max(int(high), low + 1)))
    return found[0], found[1], found[2]


def claim(labels: np.ndarray, shape: Shape, axes: tuple[np.ndarray, np.ndarray, np.ndarray], voxels: int) -> np.ndarray:
    """Return the flat indices of the `voxels` free body voxels nearest to the shape's centre, nearest first.

    Raises SettingsError when the body has fewer free voxels.
    """
    reach = 2.0
    while True:
        box = _box(shape, axes, reach)
        inside = np.flatnonzero(labels[box] == BODY)
        measure = superquadric(shape, tuple(a[s] for a, s in zip(axes, box, strict=True))).ravel()[inside]  # type: ignore[arg-type]
        whole = all(s.stop - s.start == axis.size for s, axis in zip(box, axes, strict=True))
        if inside.size >= voxels:
            order = np.argsort(measure, kind="stable")[:voxels]
            # Outside the box the measure exceeds reach^power, so nothing nearer can have been missed.
            if whole or measure[order[-1]] <= reach**shape.power:
                z, y, x = np.unravel_index(inside[order], labels[box].shape)
                corner = (z + box[0].start, y + box[1].start, x + box[2].start)
                return np.asarray(np.ravel_multi_index(corner, labels.shape))
        elif whole:
            raise SettingsError(
                "an organ does not fit into the virtual body",
                where=Where(field="cohort.virtual"),
                got=f"{inside.size} free voxels",
                expected=voxels,
            )
        reach *= 1.5


class _Canvas:
    """The label map while it is painted."""

    def __init__(self, grid: Grid, hu_body: float) -> None:
        self.grid, self.axes = grid, axes_mm(grid)
        self.labels = np.full(grid.shape_zyx, AIR, dtype=np.int16)
        self.relative = np.ones(grid.shape_zyx)
        self.hu: dict[int, float] = {AIR: AIR_HU, BODY: hu_body}

    def fill(self, shape: Shape, label: int, over: int) -> None:
        """Give the voxels inside a shape a label where they carry `over`."""
        self.labels[(superquadric(shape, self.axes) <= 1.0) & (self.labels == over)] = label

    def paint(self, shape: Shape, label: int, volume_ml: float, hu: float, core_uptake: float = 1.0) -> None:
        """Give a shape of `volume_ml` (at least one voxel) its label, CT number and core."""
        voxels = max(1, round(volume_ml / self.grid.voxel_ml))
        chosen = claim(self.labels, shape, self.axes, voxels)
        self.labels.ravel()[chosen] = label
        self.relative.ravel()[chosen[: int(CORE_VOLUME * voxels)]] = core_uptake
        self.hu[label] = hu


def _varied(shape: Shape, latents: Latents, voi: str, width: float) -> Shape:
    """Return the shape of this patient: shifted, its half axes varied, its place scaled with the trunk's width."""
    z, y, x = shape.centre_mm
    scale = width if z < SHOULDER_MM else 1.0
    shift = [SHIFT_SD_MM * float(latents.z(f"shift_{axis}", voi)) for axis in "zyx"]
    factor = [np.exp(HALF_AXIS_LOG_SD * float(latents.z(f"half_axis_{axis}", voi))) for axis in "zyx"]
    half = [float(a * f) for a, f in zip(shape.half_axes_mm, factor, strict=True)]
    return Shape((z + shift[0], y * scale + shift[1], x * scale + shift[2]), (half[0], half[1], half[2]), shape.power)


def _ellipsoid_ml(shape: Shape) -> float:
    """Return the volume of the ellipsoid with these half axes in mL."""
    return float(4.0 / 3.0 * np.pi * np.prod(shape.half_axes_mm)) / 1000.0


def _paint_organ(canvas: _Canvas, organ: Organ, latents: Latents, mass_g: float, width: float) -> None:
    """Paint an organ; a pair shares the mass in proportion to the volumes that the varied half axes span."""
    shapes = {voi: _varied(shape, latents, voi, width) for voi, shape in organ.shapes.items()}
    spans = {voi: _ellipsoid_ml(shape) for voi, shape in shapes.items()}
    for voi, shape in shapes.items():
        part = spans[voi] / sum(spans.values())
        canvas.paint(shape, VOIS[voi].label, part * mass_g / SOFT_TISSUE_G_PER_ML, organ.hu, organ.core_uptake)


def _paint_body(canvas: _Canvas, width: float) -> None:
    """Fill head, neck and trunk; only the trunk widens with weight."""
    for name, part in BODY_PARTS.items():
        scale = width if name == "trunk" else 1.0
        half_z, half_y, half_x = part.half_axes_mm
        canvas.fill(Shape(part.centre_mm, (half_z, half_y * scale, half_x * scale), part.power), BODY, over=AIR)


def _paint_lesions(canvas: _Canvas, lesions: list[Lesion], width: float) -> None:
    """Paint lesions in their order from label 101 on."""
    for i, lesion in enumerate(lesions):
        z, y, x = lesion.shape.centre_mm
        shape = Shape((z, y * width, x * width), lesion.shape.half_axes_mm)
        core = NECROTIC_UPTAKE if lesion.necrotic else 1.0
        canvas.paint(shape, LESION_LABEL_FROM + i, lesion.volume_ml, lesion.hu, core)


def anatomy_of(latents: Latents, body: Body, lesions: list[Lesion], spacing_mm: float) -> Anatomy:
    """Return the label map of a patient on the grid of `spacing_mm`; lesion i of the list has label 101 + i.

    Raises SettingsError when an organ does not fit into the body.
    """
    width = float(np.sqrt(body.weight_kg / REFERENCE_WEIGHT_KG * REFERENCE_HEIGHT_CM / body.height_cm))
    canvas = _Canvas(grid_of(spacing_mm), BODY_HU + BODY_HU_SD * float(latents.z("body_hu")))
    _paint_body(canvas, width)
    for name in [name for name in ORGAN_TABLE if name not in HOSTS]:
        _paint_organ(canvas, ORGAN_TABLE[name], latents, float(body.mass_g[name]), width)
    bladder = _varied(BLADDER, latents, "urinary_bladder", width)
    canvas.paint(bladder, VOIS["urinary_bladder"].label, _ellipsoid_ml(bladder), BLADDER_HU)
    _paint_lesions(canvas, lesions, width)
    for name in HOSTS:
        _paint_organ(canvas, ORGAN_TABLE[name], latents, float(body.mass_g[name]), width)
    for voi, shape in LUNGS.items():
        canvas.fill(_varied(shape, latents, voi, width), VOIS[voi].label, over=BODY)
        canvas.hu[VOIS[voi].label] = LUNG_HU
    return Anatomy(canvas.grid, canvas.labels, canvas.relative, canvas.hu)
