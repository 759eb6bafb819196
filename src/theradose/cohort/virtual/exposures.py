"""What organs got over all planned cycles, for patients with and without images: the causes of outcomes."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from theradose.cohort.virtual.body import Body
from theradose.cohort.virtual.courses import effective_half_life_h
from theradose.cohort.virtual.covariates import event
from theradose.cohort.virtual.kinetics import shrunk_ml
from theradose.cohort.virtual.latents import Latents, Value
from theradose.cohort.virtual.ligands import LIGANDS
from theradose.cohort.virtual.outcomes import Exposure
from theradose.cohort.virtual.patient import VirtualPatient
from theradose.cohort.virtual.tier_one import TierOne
from theradose.physics.nuclides import nuclide
from theradose.vocabulary import LESIONS, organ_of


def _exposure(
    doses_gy: Mapping[str, tuple[Value, ...]],
    t_eff_h: Mapping[str, Value],
    latents: Latents,
    body: Body,
    bone_ml: Value,
) -> Exposure:
    """Return the exposure of doses per organ and cycle in Gy."""
    return Exposure(
        kidney_dose_gy=doses_gy["kidneys"], kidney_t_eff_h=t_eff_h["kidneys"],
        parotid_dose_gy=sum(doses_gy["parotids"]), marrow_dose_gy=sum(doses_gy["marrow"]),
        lesion_dose_gy=sum(doses_gy[LESIONS]), lesion_t_eff_h=t_eff_h[LESIONS], lesion_volume_ml=body.tumour_volume_ml,
        bone_tumour_ml=bone_ml, age_y=body.age_y, hypertension=event(latents, "hypertension"),
        diabetes=event(latents, "diabetes"), egfr_ml_min=body.egfr_ml_min,
    )  # fmt: skip


def exposure_of_many(cohort: TierOne) -> Exposure:
    """Return the exposures of patients without images; the tumour's part in bone is drawn, since they have no lesions.

    Of those who have bone lesions (all with PSMA, half with DOTATATE) the part follows a power of a uniform draw, set
    to the mean of the lesions that patients with images have.
    """
    latents, body, ligand = cohort.latents, cohort.body, LIGANDS[cohort.ligand]
    above = np.clip(latents.uniform("bone_fraction") - ligand.no_bone_part, 0.0, None) / (1.0 - ligand.no_bone_part)
    bone_ml = body.tumour_volume_ml * above**ligand.bone_power
    doses = {organ: cohort.dose_gy(organ) for organ in cohort.mass_g}
    return _exposure(doses, cohort.t_eff_h, latents, body, bone_ml)


def exposure_of(patient: VirtualPatient, vois: pd.DataFrame, radionuclide: str) -> Exposure:
    """Return the exposure of a patient with images, from the planted doses of the first cycle (schema TRUTH_VOI).

    Later cycles scale the dose of the first by TIA (of a tumour that shrinks: by TIA per volume left).
    """
    decay = nuclide(radionuclide)
    cycles = range(1, len(patient.administered_by_cycle_mbq) + 1)
    tia = [
        {organ: h * patient.injected_mbq(cycle) for organ, h in own.items()}
        for cycle, own in ((c, patient.course.coefficients_h(decay.lambda_per_h, cycle=c)) for c in cycles)
    ]
    left = [float(shrunk_ml(patient.latents, 1.0, cycle)) for cycle in cycles]
    own = vois[vois["cycle"] == 1].assign(organ=lambda table: table["voi"].map(organ_of))
    own["energy"] = own["dose_gy"] * own["mass_g"]
    sums = own.groupby("organ")[["energy", "mass_g"]].sum()
    first = {str(organ): gy for organ, gy in (sums["energy"] / sums["mass_g"]).items()}
    doses = {
        organ: tuple(
            gy * float(tia[i][organ] / tia[0][organ] / (left[i] if organ == LESIONS else 1.0)) for i in range(len(tia))
        )
        for organ, gy in first.items()
    }
    t_eff_h = {organ: effective_half_life_h(patient.kinetics.t_bio_h[organ], decay.half_life_h) for organ in doses}
    bone_ml = sum(lesion.volume_ml for lesion in patient.lesions if lesion.bone)
    return _exposure(doses, t_eff_h, patient.latents, patient.body, bone_ml)
