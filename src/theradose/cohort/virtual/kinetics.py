"""Tier-1 kinetics: one ligand shared out between organs, tumour and excretion, in closed form.

Mass balance with a sink (design of the cohort, section 2). Each taker o has a weight

    Q_organ = F0 / 0.88  rho  m / M      Q_tumour = 4.5e-4 V[mL] r      Q_excreted = 0.70 (eGFR / 81)^0.6
    Q_remainder = 0.19

and the uptake fraction U_o = Q_o / sum Q: a large tumour lowers every organ (sink), a low eGFR raises them all.
Diagnostic and therapeutic injection share rho except for a drift, rho' = rho exp(sd z).
The texture of an organ may be coupled to its half-life:

    log T_b = log T_0 + s_T (rho_tex z_tex + sqrt(1 - rho_tex^2) z)
"""

from dataclasses import dataclass

import numpy as np

from theradose.cohort.virtual.body import Body, log_sd
from theradose.cohort.virtual.latents import Latents, Value
from theradose.cohort.virtual.organs import ORGAN_TABLE
from theradose.vocabulary import LESIONS

NORMALISATION = 0.88
TUMOUR_WEIGHT_PER_ML = 4.5e-4
EXCRETED_WEIGHT, EGFR_REFERENCE, EGFR_EXPONENT = 0.70, 81.0, 0.6
REMAINDER_WEIGHT = 0.19
KIDNEY_EGFR_EXPONENT = -0.15

# What no organ takes up leaves the body with two half-lives: the excreted part fast, and slower where the kidneys
# filter less; the remainder slowly. 10 h and 40 h leave 37 % of 177Lu-PSMA-617 in the body after a day
# (whole-body retention curves, unverified).
EXCRETED, REMAINDER = "excreted", "remainder"
EXCRETED_T_BIO_H, REMAINDER_T_BIO_H, CLEARANCE_LOG_SD = 10.0, 40.0, 0.20


@dataclass(frozen=True)
class Takeup:
    """How one organ takes up and keeps the ligand; spreads are coefficients of variation or sd of the log."""

    f0: float
    receptor_cv: float
    t_bio_h: float
    t_bio_cv: float
    drift_sd: float
    uptake_half_time_h: float
    source: str


# F0, spreads, half-lives: design of the cohort, section 2 (receptor densities and release rates of a published
# PBPK model of PSMA). Uptake half-times 0.5 to 2 h: same place.
KINETICS: dict[str, Takeup] = {
    "kidneys": Takeup(0.034, 0.33, 40.0, 0.19, 0.12, 0.5, "PBPK: 30 +- 10 nmol/L, release 2.88e-4/min"),
    "parotids": Takeup(0.0095, 0.33, 30.0, 0.16, 0.15, 1.0, "PBPK: 60 +- 20 nmol/L, release 3.9e-4/min"),
    "submandibulars": Takeup(0.0042, 0.33, 30.0, 0.16, 0.15, 1.0, "as parotids"),
    "lacrimals": Takeup(0.0009, 0.33, 30.0, 0.16, 0.15, 1.0, "as parotids; F0 set for the label's 2.1 Gy/GBq"),
    "liver": Takeup(0.045, 0.30, 38.0, 0.22, 0.18, 0.75, "prototype, 0.11 Gy/GBq"),
    "spleen": Takeup(0.003, 0.40, 45.0, 0.25, 0.22, 0.75, "half the prototype's 0.006: label 0.067 Gy/GBq"),
    "marrow": Takeup(0.010, 0.30, 30.0, 0.25, 0.25, 0.5, "2.5 times the prototype's 0.004: label 0.035 Gy/GBq"),
    LESIONS: Takeup(0.0, 0.0, 77.0, 0.35, 0.25, 2.0, "PBPK: release 1.5e-4/min"),
}
TUMOUR_RECEPTOR_LOG_SD = 0.55


@dataclass(frozen=True)
class Kinetics:
    """Uptake fractions for the diagnostic and the therapeutic injection, and biological half-lives, h.

    Keys are the organs of KINETICS and `excreted` and `remainder`; the fractions of an injection add up to 1.
    """

    uptake_pet: dict[str, Value]
    uptake: dict[str, Value]
    t_bio_h: dict[str, Value]

    def injection(self, therapeutic: bool) -> dict[str, Value]:
        """Return the uptake fractions of the therapeutic or of the diagnostic injection."""
        return self.uptake if therapeutic else self.uptake_pet


def receptors(latents: Latents, least_drift_sd: float, therapeutic: bool) -> dict[str, Value]:
    """Return receptor density relative to the median, by organ; lesions: of the tumour as a whole."""
    density: dict[str, Value] = {}
    for organ, row in KINETICS.items():
        tumour = organ == LESIONS
        spread = TUMOUR_RECEPTOR_LOG_SD if tumour else log_sd(row.receptor_cv)
        name, drift, voi = ("tumour_receptors", "tumour_drift", "") if tumour else ("receptors", "drift", organ)
        exponent = spread * latents.z(name, voi)
        if therapeutic:
            exponent = exponent + max(row.drift_sd, least_drift_sd) * latents.z(drift, voi)
        density[organ] = np.exp(exponent)
    return density


def uptake_fractions(
    density: dict[str, Value], mass_g: dict[str, Value], tumour_volume_ml: Value, egfr_ml_min: Value
) -> dict[str, Value]:
    """Return the fraction of the injected activity that goes to each organ of KINETICS, excretion and remainder."""
    weights = {
        organ: KINETICS[organ].f0 / NORMALISATION * density[organ] * mass_g[organ] / ORGAN_TABLE[organ].mass_g
        for organ in ORGAN_TABLE
    }
    weights[LESIONS] = TUMOUR_WEIGHT_PER_ML * tumour_volume_ml * density[LESIONS]
    weights[EXCRETED] = EXCRETED_WEIGHT * (egfr_ml_min / EGFR_REFERENCE) ** EGFR_EXPONENT
    weights[REMAINDER] = REMAINDER_WEIGHT
    total = sum(weights.values())
    return {organ: weight / total for organ, weight in weights.items()}


def biological_half_lives_h(latents: Latents, egfr_ml_min: Value, texture_coupling: float) -> dict[str, Value]:
    """Return the biological half-life of every organ, of `excreted` and of `remainder` in h; formula: see module."""
    half_lives: dict[str, Value] = {}
    for organ, row in KINETICS.items():
        if organ == LESIONS:
            texture, own = latents.z("tumour_texture"), latents.z("tumour_t_bio")
        else:
            texture, own = latents.z("texture", organ), latents.z("t_bio", organ)
        mixed = texture_coupling * texture + np.sqrt(1.0 - texture_coupling**2) * own
        half_lives[organ] = row.t_bio_h * np.exp(log_sd(row.t_bio_cv) * mixed)
    filtration = egfr_ml_min / EGFR_REFERENCE
    half_lives["kidneys"] = half_lives["kidneys"] * filtration**KIDNEY_EGFR_EXPONENT
    excreted = EXCRETED_T_BIO_H * np.exp(CLEARANCE_LOG_SD * latents.z("excreted_t_bio"))
    half_lives[EXCRETED] = excreted * filtration**-EGFR_EXPONENT
    half_lives[REMAINDER] = REMAINDER_T_BIO_H * np.exp(CLEARANCE_LOG_SD * latents.z("remainder_t_bio"))
    return half_lives


def kinetics_of(
    latents: Latents,
    body: Body,
    *,
    mass_g: dict[str, Value],
    tumour_volume_ml: Value,
    texture_coupling: float,
    least_drift_sd: float,
) -> Kinetics:
    """Return the kinetics of a patient (or of many) whose organs have these masses in g and tumour this volume.

    Masses are an argument because images carry those of their label map and tables those that were drawn.
    """
    uptake_pet, uptake = (
        uptake_fractions(receptors(latents, least_drift_sd, therapeutic), mass_g, tumour_volume_ml, body.egfr_ml_min)
        for therapeutic in (False, True)
    )
    return Kinetics(uptake_pet, uptake, biological_half_lives_h(latents, body.egfr_ml_min, texture_coupling))
