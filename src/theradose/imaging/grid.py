"""Where voxels lie: shape, spacing, origin and direction in LPS millimetres."""

from dataclasses import dataclass, field

import numpy as np

from theradose.errors import GeometryError, Where

IDENTITY = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class Grid:
    """A regular voxel grid.

    `shape_zyx` is the shape of the array; `spacing_mm`, `origin_mm` (centre of the first voxel) and the columns of
    `direction` follow the image axes x, y, z in LPS coordinates, as in ITK.
    """

    shape_zyx: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    origin_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[tuple[float, float, float], ...] = field(default=IDENTITY)

    def __post_init__(self) -> None:
        if len(self.shape_zyx) != 3 or min(self.shape_zyx) < 1:
            raise GeometryError("an image needs three axes", got=self.shape_zyx, expected="3 positive sizes")
        if min(self.spacing_mm) <= 0 or not np.isfinite(self.spacing_mm).all():
            raise GeometryError("voxel spacing must be positive", got=self.spacing_mm, expected="> 0 mm")

    @property
    def voxel_ml(self) -> float:
        """The volume of one voxel in mL."""
        return float(np.prod(self.spacing_mm)) / 1000.0

    @property
    def spacing_zyx_mm(self) -> tuple[float, float, float]:
        """The spacing in the order of the array axes, mm."""
        x, y, z = self.spacing_mm
        return (z, y, x)

    def affine_lps(self) -> np.ndarray:
        """Return the 4 x 4 matrix from (x, y, z) voxel indices to LPS mm."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.asarray(self.direction) * np.asarray(self.spacing_mm)
        matrix[:3, 3] = self.origin_mm
        return matrix

    def corners_lps_mm(self) -> np.ndarray:
        """Return the centres of the eight corner voxels, (8, 3) LPS mm."""
        nz, ny, nx = self.shape_zyx
        index = np.array([(x, y, z, 1) for z in (0, nz - 1) for y in (0, ny - 1) for x in (0, nx - 1)], float)
        return np.asarray((index @ self.affine_lps().T)[:, :3])

    def same_as(self, other: "Grid", tolerance_voxel: float = 1e-3) -> bool:
        """Tell whether two grids agree in shape and, within a part of a voxel, in the place of every corner."""
        if self.shape_zyx != other.shape_zyx:
            return False
        gap_mm = np.abs(self.corners_lps_mm() - other.corners_lps_mm()).max()
        return bool(gap_mm <= tolerance_voxel * min(self.spacing_mm))

    def require_same(self, other: "Grid", what: str, where: Where | None = None) -> None:
        """Raise GeometryError unless `other` lies on this grid."""
        if not self.same_as(other):
            raise GeometryError(
                f"{what} lies on another grid",
                where=where,
                got=other.describe(),
                expected=self.describe(),
                remedy="resample it on the image's grid (theradose keeps both files) or export it again",
            )

    def describe(self) -> str:
        """Return shape, spacing, origin and direction in one phrase."""
        spacing = " x ".join(f"{s:.4g}" for s in self.spacing_mm)
        origin = ", ".join(f"{o:.4g}" for o in self.origin_mm)
        direction = "" if self.direction == IDENTITY else f", direction {np.round(self.direction, 4).tolist()}"
        nz, ny, nx = self.shape_zyx
        return f"{nx} x {ny} x {nz} voxels of {spacing} mm at ({origin}) mm{direction}"
