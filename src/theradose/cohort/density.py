"""The density of a patient's voxels by a CT, on the grid of the dose."""

import numpy as np

from theradose.errors import DataError, Where
from theradose.imaging.grid import Grid
from theradose.imaging.resample import resample
from theradose.imaging.volume import Volume
from theradose.physics.density import density_from_hu
from theradose.vocabulary import is_target, voi_of_label

# Own choice: with less of a VOI inside the CT, the two images hardly belong together.
LEAST_COVERED = 0.5


def density_by_ct(ct: Volume, grid: Grid, labels: np.ndarray, by_label: np.ndarray) -> np.ndarray:
    """Return the density in g/mL of every voxel of a grid, (z, y, x), by a CT in HU on any grid.

    Densities, not CT numbers, are averaged over voxels, so that mass is kept. A voxel that the CT does not cover wholly
    keeps its density in `by_label`. DataError (THR-278) when a target VOI of `labels` lies mostly beyond the CT.
    """
    values = density_from_hu(ct.require_unit("HU", "CT").values).astype(np.float32)
    found = resample(ct.with_values(values, "g/mL"), grid, outside=np.nan).values.astype(np.float64)
    covered = np.isfinite(found)
    for label in (int(label) for label in np.unique(labels) if label):
        part = float(covered[labels == label].mean())
        if is_target(voi_of_label(label)) and part < LEAST_COVERED:
            raise DataError(
                "CT does not cover a VOI", where=Where(voi=voi_of_label(label)), got=f"{part:.0%} of it",
                expected=f"at least {LEAST_COVERED:.0%}", remedy="check the CT, or set dose.density: labels",
                code="THR-278",
            )  # fmt: skip
    return np.where(covered, found, by_label)
