"""What a model may know of patients without images: one matrix of numbers per information set.

`table`: mean uptake of every organ as PET shows it, masses, tumour volume, measured eGFR, age, size, centre. `log`: the
texture of every organ as LoG features tell it, too. Everything in logarithms where it multiplies. Noise is drawn first.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from theradose.cohort.virtual.covariates import EGFR_ERROR
from theradose.cohort.virtual.difficulty import DIFFICULTY
from theradose.cohort.virtual.latents import MANY, stream
from theradose.cohort.virtual.observation import PetView, pet_views
from theradose.cohort.virtual.scanner import centre
from theradose.cohort.virtual.tier_one import TierOne
from theradose.vocabulary import LESIONS

Array = NDArray[np.float64]
INFORMATION = ("table", "log", "image")
"""What is known before therapy: numbers; with texture; everything that an image can hold."""


@dataclass(frozen=True)
class Clinic:
    """Where and how patients are seen: centres in turn, voxel size, difficulty of the cohort."""

    centres: tuple[str, ...]
    spacing_mm: float
    difficulty: str

    def views(self, organ: str) -> list[PetView]:
        """Return what the PET of every centre shows of an organ, on the measured grid nearest to the clinic's."""
        return [pet_views()[organ, name, self.grid_mm()] for name in self.centres]

    def grid_mm(self) -> float:
        """Return the voxel size of the measured grid nearest to the clinic's, mm."""
        known = {spacing for _, _, spacing in pet_views()}
        return min(sorted(known), key=lambda mm: abs(np.log(mm / self.spacing_mm)))


def seen_suv(cohort: TierOne, organ: str, clinic: Clinic, seed: int) -> Array:
    """Return the mean uptake as PET shows it, g/mL x mL/g: recovery by mass, calibration of the centre, scatter."""
    noise = stream(seed, MANY, f"pet view {organ}").standard_normal(np.size(cohort.mass_g[organ]))
    turn = np.arange(noise.size) % len(clinic.centres)
    views, factor = clinic.views(organ), DIFFICULTY[clinic.difficulty].pet_bias_factor
    level, slope, spread, median_g = np.array([(v.level, v.slope, v.log_sd, v.median_mass_g) for v in views]).T[:, turn]
    bias = np.array([centre(name).pet.log_bias * factor for name in clinic.centres])[turn]
    shown = level + slope * np.log(cohort.mass_g[organ] / median_g) + bias + spread * noise
    return np.asarray(cohort.suv(organ) * np.exp(shown))


def seen_texture(cohort: TierOne, organ: str, clinic: Clinic, seed: int) -> Array:
    """Return the texture latent as features of the PET tell it, with the correlation that was measured on images."""
    noise = stream(seed, MANY, f"texture view {organ}").standard_normal(np.size(cohort.mass_g[organ]))
    turn = np.arange(noise.size) % len(clinic.centres)
    r2 = np.array([view.texture_r2 for view in clinic.views(organ)])[turn]
    z = cohort.latents.z("tumour_texture") if organ == LESIONS else cohort.latents.z("texture", organ)
    return np.asarray(r2 * z + np.sqrt(r2 * (1.0 - r2)) * noise)


def measured_egfr_ml_min(cohort: TierOne) -> Array:
    """Return the eGFR as it is measured before therapy, mL/min."""
    return np.maximum(cohort.body.egfr_ml_min * (1.0 + EGFR_ERROR * cohort.latents.z("egfr_error")), 5.0)


def observables(cohort: TierOne, clinic: Clinic, information: str, seed: int) -> Array:
    """Return the matrix (patients, columns) of the information set `table` or `log`."""
    body = cohort.body
    columns = [np.log(seen_suv(cohort, organ, clinic, seed)) for organ in cohort.mass_g]
    columns += [np.log(mass_g) for mass_g in cohort.mass_g.values()]
    columns += [np.log(measured_egfr_ml_min(cohort)), np.asarray(body.age_y)]
    columns += [np.log(body.weight_kg), np.log(body.height_cm)]
    turn = np.arange(np.size(body.age_y)) % len(clinic.centres)
    columns += [1.0 * (turn == i) for i in range(1, len(clinic.centres))]
    if information == "log":
        columns += [seen_texture(cohort, organ, clinic, seed) for organ in cohort.mass_g]
    return np.column_stack(columns)
