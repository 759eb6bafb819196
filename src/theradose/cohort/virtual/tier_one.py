"""Tier 1: many virtual patients at once without images, from the same latents and closed forms as those with images."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from theradose.cohort.virtual.body import Body, body_of
from theradose.cohort.virtual.courses import ClosedForm, effective_half_life_h
from theradose.cohort.virtual.covariates import administered_mbq
from theradose.cohort.virtual.difficulty import DIFFICULTY
from theradose.cohort.virtual.kinetics import Kinetics, kinetics_of, shrunk_ml
from theradose.cohort.virtual.latents import Latents, Value, draw_many
from theradose.cohort.virtual.ligands import LIGANDS
from theradose.cohort.virtual.organs import SOFT_TISSUE_G_PER_ML
from theradose.cohort.virtual.planted import MBQ_PER_GBQ, planted_self_dose_gy
from theradose.physics.nuclides import nuclide
from theradose.vocabulary import LESIONS

G_PER_KG = 1000.0


@dataclass(frozen=True)
class TierOne:
    """Many patients: arrays of shape (patients,), doses under organ and therapy cycle (from 0)."""

    ligand: str
    latents: Latents
    body: Body
    kinetics: Kinetics
    mass_g: dict[str, Value]
    t_eff_h: dict[str, Value]
    administered_mbq: tuple[Value, ...]
    dose_gy_per_gbq: dict[str, tuple[Value, ...]]

    def suv(self, organ: str) -> Value:
        """Return the mean uptake of the diagnostic injection per g, times body weight (decay left out), g/mL x mL/g."""
        return self.kinetics.uptake_pet[organ] / self.mass_g[organ] * self.body.weight_kg * G_PER_KG

    def dose_gy(self, organ: str) -> tuple[Value, ...]:
        """Return the planted self-dose of every cycle in Gy."""
        per_gbq = zip(self.dose_gy_per_gbq[organ], self.administered_mbq, strict=True)
        return tuple(dose * mbq / MBQ_PER_GBQ for dose, mbq in per_gbq)

    def table(self) -> pd.DataFrame:
        """Return one row a patient and organ: the planted self-dose of the first cycle beside what it came from."""
        body, kinetics = self.body, self.kinetics
        parts = [
            pd.DataFrame(
                {
                    "patient": np.arange(np.size(mass_g)), "voi": organ, "egfr_ml_min": body.egfr_ml_min,
                    "tumour_volume_ml": body.tumour_volume_ml, "mass_g": mass_g,
                    "uptake_fraction": kinetics.uptake[organ], "uptake_fraction_pet": kinetics.uptake_pet[organ],
                    "suv_pet": self.suv(organ), "t_eff_h": self.t_eff_h[organ],
                    "dose_gy_per_gbq": self.dose_gy_per_gbq[organ][0],
                }
            )
            for organ, mass_g in self.mass_g.items()
        ]  # fmt: skip
        return pd.concat(parts, ignore_index=True)


def _mass_g(latents: Latents, organ: str, mass_g: Value, cycle: int) -> Value:
    """Return the mass at a therapy cycle in g; the tumour shrinks."""
    return shrunk_ml(latents, mass_g, cycle) if organ == LESIONS else mass_g


def tier_one_of(
    latents: Latents, *, ligand: str, radionuclide: str, texture_coupling: float, difficulty: str, cycles: int = 1
) -> TierOne:
    """Return the patients that these latents describe, without images, for `cycles` therapy cycles."""
    drug, decay = LIGANDS[ligand], nuclide(radionuclide)
    body = body_of(latents, drug)
    kinetics = kinetics_of(
        latents, body, ligand=drug, mass_g=body.mass_g, tumour_volume_ml=body.tumour_volume_ml,
        texture_coupling=texture_coupling, least_drift_sd=DIFFICULTY[difficulty].least_drift_sd, cycles=cycles,
    )  # fmt: skip
    masses = body.mass_g | {LESIONS: body.tumour_volume_ml * SOFT_TISSUE_G_PER_ML}
    course = ClosedForm(kinetics)
    tiac_h = [course.coefficients_h(decay.lambda_per_h, cycle=cycle) for cycle in range(1, cycles + 1)]
    doses = {
        organ: tuple(
            planted_self_dose_gy(organ, MBQ_PER_GBQ * own[organ], _mass_g(latents, organ, mass_g, i + 1), radionuclide)
            for i, own in enumerate(tiac_h)
        )
        for organ, mass_g in masses.items()
    }
    t_eff_h = {organ: effective_half_life_h(kinetics.t_bio_h[organ], decay.half_life_h) for organ in masses}
    return TierOne(ligand, latents, body, kinetics, masses, t_eff_h, administered_mbq(latents, cycles), doses)


def tier_one(
    seed: int,
    patients: int,
    *,
    ligand: str,
    radionuclide: str,
    texture_coupling: float,
    difficulty: str,
    cycles: int = 1,
) -> TierOne:
    """Draw many patients without images; the first k are the same whatever their number."""
    return tier_one_of(
        draw_many(seed, patients), ligand=ligand, radionuclide=radionuclide, texture_coupling=texture_coupling,
        difficulty=difficulty, cycles=cycles,
    )  # fmt: skip
