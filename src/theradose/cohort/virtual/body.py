"""The person behind a virtual patient: age, size, kidney function, organ masses and tumour volume."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from theradose.cohort.virtual.latents import Latents, Value
from theradose.cohort.virtual.ligands import Ligand
from theradose.cohort.virtual.organs import MASS_EXPONENT, ORGAN_TABLE, REFERENCE_BSA_M2

# Weight N(84, 13), height N(176, 7), eGFR N(81, 18) falling 0.4 a year after 71, age by ligand (design of the cohort,
# section 5; clips keep a person in the physiological range). Women are 12 cm and 12 kg below men (unverified).
AGE_RANGE_Y = (30.0, 95.0)
WEIGHT_MEAN_KG, WEIGHT_SD_KG, WEIGHT_RANGE_KG = 84.0, 13.0, (50.0, 140.0)
HEIGHT_MEAN_CM, HEIGHT_SD_CM, HEIGHT_RANGE_CM = 176.0, 7.0, (150.0, 205.0)
EGFR_MEAN, EGFR_SD, EGFR_PER_YEAR, EGFR_AT_Y, EGFR_RANGE = 81.0, 18.0, 0.4, 71.0, (25.0, 125.0)
WOMEN_LESS_KG, WOMEN_LESS_CM = 12.0, 12.0

# Total tumour volume is drawn within 2 sd, 3.5 to 1710 mL: beyond it the tumour does not fit the body.
TUMOUR_Z_LIMIT = 2.0


@dataclass(frozen=True)
class Body:
    """A person; the values are numbers for one patient or arrays for many."""

    female: Value
    age_y: Value
    weight_kg: Value
    height_cm: Value
    bsa_m2: Value
    egfr_ml_min: Value
    mass_g: dict[str, Value]
    tumour_volume_ml: Value


def log_sd(cv: float) -> float:
    """Return the sd of the logarithm of a log-normal quantity with coefficient of variation `cv`.

    sqrt(ln(1 + CV^2)); `log_sd(0.33)` is 0.3214.
    """
    return float(np.sqrt(np.log1p(cv**2)))


def body_surface_m2(weight_kg: Value, height_cm: Value) -> Value:
    """Return the body surface sqrt(weight height / 3600) (Mosteller 1987); 84 kg and 176 cm give 2.026 m2."""
    return np.sqrt(weight_kg * height_cm / 3600.0)


def truncated(z: Value, limit: float) -> Value:
    """Map a standard normal draw to one truncated at +-`limit` standard deviations, rank kept."""
    low, high = ndtr(-limit), ndtr(limit)
    return ndtri(low + ndtr(z) * (high - low))


def body_of(latents: Latents, ligand: Ligand) -> Body:
    """Return the person that the latents describe, of those who get this ligand."""
    female = 1.0 * (latents.uniform("sex") < ligand.female_part)
    age_y = np.clip(ligand.age_mean_y + ligand.age_sd_y * latents.z("age"), *AGE_RANGE_Y)
    weight = WEIGHT_MEAN_KG - WOMEN_LESS_KG * female + WEIGHT_SD_KG * latents.z("weight")
    height = HEIGHT_MEAN_CM - WOMEN_LESS_CM * female + HEIGHT_SD_CM * latents.z("height")
    weight_kg, height_cm = np.clip(weight, *WEIGHT_RANGE_KG), np.clip(height, *HEIGHT_RANGE_CM)
    egfr = EGFR_MEAN + EGFR_SD * latents.z("egfr") - EGFR_PER_YEAR * (age_y - EGFR_AT_Y)
    bsa_m2 = body_surface_m2(weight_kg, height_cm)
    size = (bsa_m2 / REFERENCE_BSA_M2) ** MASS_EXPONENT
    mass_g = {
        name: organ.mass_g * size * np.exp(log_sd(organ.mass_cv) * latents.z("mass", name))
        for name, organ in ORGAN_TABLE.items()
    }
    z_tumour = truncated(latents.z("tumour_volume"), TUMOUR_Z_LIMIT)
    tumour_ml = np.exp(ligand.tumour_log_mean_ml + ligand.tumour_log_sd * z_tumour)
    return Body(female, age_y, weight_kg, height_cm, bsa_m2, np.clip(egfr, *EGFR_RANGE), mass_g, tumour_ml)
