"""Tier-1 kinetics: one ligand shared out between organs, tumour and excretion, in closed form.

Mass balance with a sink (design of the cohort, section 2). Each taker o has a weight

    Q_organ = F0 / 0.88  rho  m / M      Q_tumour = q V[mL] r      Q_excreted = 0.70 (eGFR / 81)^0.6
    Q_remainder = 0.19

and the uptake fraction U_o = Q_o / sum Q: a large tumour lowers every organ (sink), a low eGFR raises them all.
The diagnostic injection and every therapy cycle share rho except for a drift, rho' = rho exp(sd z), with a z of its own
for each cycle; from cycle to cycle the tumour shrinks.
The texture of an organ may be coupled to its half-life:

    log T_b = log T_0 + s_T (rho_tex z_tex + sqrt(1 - rho_tex^2) z)
"""

from dataclasses import dataclass

import numpy as np

from theradose.cohort.virtual.body import Body, log_sd
from theradose.cohort.virtual.latents import Latents, Value
from theradose.cohort.virtual.ligands import Ligand
from theradose.cohort.virtual.organs import ORGAN_TABLE
from theradose.vocabulary import LESIONS

NORMALISATION = 0.88
EXCRETED_WEIGHT, EGFR_REFERENCE, EGFR_EXPONENT = 0.70, 81.0, 0.6
REMAINDER_WEIGHT = 0.19
KIDNEY_EGFR_EXPONENT = -0.15
SHRINK_PER_CYCLE, SHRINK_LOG_SD = 0.25, 0.6
"""Median of log(volume before / after) of a cycle and its spread between patients (plausible, unverified)."""

# What no organ takes up leaves the body with two half-lives: the excreted part fast, and slower where the kidneys
# filter less; the remainder slowly. 10 h and 40 h leave 37 % of 177Lu-PSMA-617 in the body after a day
# (whole-body retention curves, unverified).
EXCRETED, REMAINDER = "excreted", "remainder"
EXCRETED_T_BIO_H, REMAINDER_T_BIO_H, CLEARANCE_LOG_SD = 10.0, 40.0, 0.20


@dataclass(frozen=True)
class Kinetics:
    """Uptake fractions for every injection, biological half-lives and half-times of uptake, h.

    Keys are the organs of the ligand and `excreted` and `remainder`; the fractions of an injection add up to 1.
    """

    uptake_pet: dict[str, Value]
    uptake_by_cycle: tuple[dict[str, Value], ...]
    t_bio_h: dict[str, Value]
    uptake_half_time_h: dict[str, float]

    @property
    def uptake(self) -> dict[str, Value]:
        """The uptake fractions of the first therapy cycle."""
        return self.uptake_by_cycle[0]

    def injection(self, cycle: int) -> dict[str, Value]:
        """Return the uptake fractions of a therapy cycle (from 1), or of the diagnostic injection (0)."""
        return self.uptake_by_cycle[cycle - 1] if cycle else self.uptake_pet


def drift_name(stem: str, cycle: int) -> str:
    """Return the name of a cycle's draw: `drift` for the first therapy cycle, `drift_2` for the second."""
    return stem if cycle == 1 else f"{stem}_{cycle}"


def receptors(latents: Latents, ligand: Ligand, least_drift_sd: float, cycle: int) -> dict[str, Value]:
    """Return receptor density relative to the median, by organ, at an injection; lesions: of the tumour as a whole."""
    density: dict[str, Value] = {}
    for organ, row in ligand.organs.items():
        tumour = organ == LESIONS
        spread = ligand.tumour_receptor_log_sd if tumour else log_sd(row.receptor_cv)
        name, drift, voi = ("tumour_receptors", "tumour_drift", "") if tumour else ("receptors", "drift", organ)
        exponent = spread * latents.z(name, voi)
        if cycle:
            exponent = exponent + max(row.drift_sd, least_drift_sd) * latents.z(drift_name(drift, cycle), voi)
        density[organ] = np.exp(exponent)
    return density


def shrunk_ml(latents: Latents, tumour_volume_ml: Value, cycle: int) -> Value:
    """Return the tumour's volume in mL at a therapy cycle; at the first (and on PET) it has not shrunk yet."""
    rate = SHRINK_PER_CYCLE * np.exp(SHRINK_LOG_SD * latents.z("tumour_shrink"))
    return tumour_volume_ml * np.exp(-rate * max(cycle - 1, 0))


def uptake_fractions(
    ligand: Ligand,
    density: dict[str, Value],
    mass_g: dict[str, Value],
    tumour_volume_ml: Value,
    egfr_ml_min: Value,
) -> dict[str, Value]:
    """Return the fraction of the injected activity that goes to each organ, the tumour, excretion and remainder."""
    weights = {
        organ: ligand.organs[organ].f0 / NORMALISATION * density[organ] * mass_g[organ] / ORGAN_TABLE[organ].mass_g
        for organ in ORGAN_TABLE
    }
    weights[LESIONS] = ligand.tumour_weight_per_ml * tumour_volume_ml * density[LESIONS]
    weights[EXCRETED] = EXCRETED_WEIGHT * (egfr_ml_min / EGFR_REFERENCE) ** EGFR_EXPONENT
    weights[REMAINDER] = REMAINDER_WEIGHT
    total = sum(weights.values())
    return {organ: weight / total for organ, weight in weights.items()}


def biological_half_lives_h(
    latents: Latents, ligand: Ligand, egfr_ml_min: Value, texture_coupling: float
) -> dict[str, Value]:
    """Return the biological half-life of every organ, of `excreted` and of `remainder` in h; formula: see module."""
    half_lives: dict[str, Value] = {}
    for organ, row in ligand.organs.items():
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
    ligand: Ligand,
    mass_g: dict[str, Value],
    tumour_volume_ml: Value,
    texture_coupling: float,
    least_drift_sd: float,
    cycles: int = 1,
) -> Kinetics:
    """Return the kinetics of a patient (or of many) whose organs have these masses in g and tumour this volume.

    Masses are an argument because images carry those of their label map and tables those that were drawn.
    """
    uptake_pet, *uptake = (
        uptake_fractions(
            ligand, receptors(latents, ligand, least_drift_sd, cycle), mass_g,
            shrunk_ml(latents, tumour_volume_ml, cycle), body.egfr_ml_min,
        )
        for cycle in range(cycles + 1)
    )  # fmt: skip
    half_lives = biological_half_lives_h(latents, ligand, body.egfr_ml_min, texture_coupling)
    half_times = {organ: row.uptake_half_time_h for organ, row in ligand.organs.items()}
    return Kinetics(uptake_pet, tuple(uptake), half_lives, half_times)
