"""An image is numbers, a grid and a unit, never a bare array."""

from dataclasses import dataclass, replace

import numpy as np

from theradose.errors import GeometryError, UnitError
from theradose.imaging.grid import Grid


@dataclass(frozen=True)
class Volume:
    """A three-dimensional image: `values` in (z, y, x) order, its `grid`, and the `unit` of the values."""

    values: np.ndarray
    grid: Grid
    unit: str

    def __post_init__(self) -> None:
        if self.values.shape != self.grid.shape_zyx:
            raise GeometryError("values do not fill the grid", got=self.values.shape, expected=self.grid.shape_zyx)

    def with_values(self, values: np.ndarray, unit: str | None = None) -> "Volume":
        """Return an image on the same grid with other values (and unit)."""
        return replace(self, values=values, unit=unit or self.unit)

    def require_unit(self, unit: str, what: str = "image") -> "Volume":
        """Return itself; raise UnitError when the unit is another one."""
        if self.unit != unit:
            raise UnitError(f"{what} is in the wrong unit", got=self.unit, expected=unit)
        return self

    def total_mbq(self) -> float:
        """Return the activity in the field of view in MBq; the unit must be Bq/mL."""
        self.require_unit("Bq/mL")
        return float(self.values.sum(dtype=np.float64)) * self.grid.voxel_ml * 1e-6
