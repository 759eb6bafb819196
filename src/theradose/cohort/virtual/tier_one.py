"""Tier 1: many virtual patients at once without images, from the same latents and closed forms as those with images."""

import numpy as np
import pandas as pd

from theradose.cohort.virtual.body import body_of
from theradose.cohort.virtual.courses import coefficients_h, effective_half_life_h
from theradose.cohort.virtual.difficulty import DIFFICULTY
from theradose.cohort.virtual.kinetics import kinetics_of
from theradose.cohort.virtual.latents import draw_many
from theradose.cohort.virtual.organs import SOFT_TISSUE_G_PER_ML
from theradose.cohort.virtual.planted import MBQ_PER_GBQ, planted_self_dose_gy
from theradose.physics.nuclides import nuclide
from theradose.vocabulary import LESIONS

G_PER_KG = 1000.0


def tier_one(
    rng: np.random.Generator, patients: int, *, radionuclide: str, texture_coupling: float, difficulty: str
) -> pd.DataFrame:
    """Return one row a patient and organ: planted self-dose in Gy/GBq beside what it came from.

    Columns: patient (number), voi (organ), egfr_ml_min (true), tumour_volume_ml, mass_g, uptake_fraction,
    uptake_fraction_pet, suv_pet (uptake per g of the diagnostic injection x body weight), t_eff_h, dose_gy_per_gbq.
    """
    latents = draw_many(rng, patients)
    body = body_of(latents)
    kinetics = kinetics_of(
        latents, body, mass_g=body.mass_g, tumour_volume_ml=body.tumour_volume_ml,
        texture_coupling=texture_coupling, least_drift_sd=DIFFICULTY[difficulty].least_drift_sd,
    )  # fmt: skip
    decay = nuclide(radionuclide)
    coefficients = coefficients_h(kinetics, decay.lambda_per_h, therapeutic=True)
    masses = body.mass_g | {LESIONS: body.tumour_volume_ml * SOFT_TISSUE_G_PER_ML}
    parts = []
    for organ, mass_g in masses.items():
        tia_mbq_h = MBQ_PER_GBQ * coefficients[organ]
        columns = {
            "patient": np.arange(patients),
            "voi": organ,
            "egfr_ml_min": body.egfr_ml_min,
            "tumour_volume_ml": body.tumour_volume_ml,
            "mass_g": mass_g,
            "uptake_fraction": kinetics.uptake[organ],
            "uptake_fraction_pet": kinetics.uptake_pet[organ],
            "suv_pet": kinetics.uptake_pet[organ] / mass_g * body.weight_kg * G_PER_KG,
            "t_eff_h": effective_half_life_h(kinetics.t_bio_h[organ], decay.half_life_h),
            "dose_gy_per_gbq": planted_self_dose_gy(organ, tia_mbq_h, mass_g, radionuclide),
        }
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)
