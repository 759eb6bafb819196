"""What PET shows of an organ, without making the image: recovery, scatter, texture, as measured on images.

`data/pet_view.csv` is made by `scripts/observation_table.py`. For organ, centre and grid it holds a line
log(seen / true mean uptake) = level + slope log(mass / median mass), the scatter about it, and the part R2 of the
variance of the texture latent that texture features of the image explain.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy import ndimage

TABLE = Path(__file__).parent / "data" / "pet_view.csv"
COLUMNS = ("organ", "centre", "spacing_mm", "median_mass_g", "level", "slope", "log_sd", "texture_r2")
LOG_SCALES_MM = {8.0: (8.0, 12.0, 16.0, 24.0), 4.0: (4.0, 8.0, 12.0)}
"""Sigmas of the LoG filters by voxel size (design of the systems, A)."""


@dataclass(frozen=True)
class PetView:
    """One row of the table."""

    median_mass_g: float
    level: float
    slope: float
    log_sd: float
    texture_r2: float


@cache
def pet_views() -> dict[tuple[str, str, float], PetView]:
    """Return (organ, centre, spacing in mm) -> what PET shows there."""
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    rows = [line.split(",") for line in lines[1:]]
    return {(row[0], row[1], float(row[2])): PetView(*map(float, row[3:])) for row in rows}


def texture_features(image: np.ndarray, inside: np.ndarray, spacing_mm: float) -> np.ndarray:
    """Return texture features of a VOI, (n,): log sd of its LoG responses, of its values, and its correlation to
    neighbours, all relative to its mean; nan where the VOI has too few voxels.
    """
    box = ndimage.find_objects(inside.astype(np.int8))[0]
    mean, found = float(image[inside].mean()), []
    with np.errstate(divide="ignore", invalid="ignore"):
        for sigma_mm in LOG_SCALES_MM[spacing_mm]:
            sigma = sigma_mm / spacing_mm
            wide = tuple(slice(max(0, s.start - int(4 * sigma) - 1), s.stop + int(4 * sigma) + 1) for s in box)
            response = ndimage.gaussian_laplace(image[wide], sigma)[inside[wide]] * sigma**2
            found.append(np.log(response.std() / mean))
        excess = np.where(inside, image - mean, 0.0)
        variance = float((excess[inside] ** 2).mean())
        found.append(0.5 * np.log(variance) - np.log(mean))
        for axis in range(3):
            pair = inside & np.roll(inside, 1, axis)
            found.append(float((excess * np.roll(excess, 1, axis))[pair].mean()) / variance if pair.any() else np.nan)
    return np.array(found)
