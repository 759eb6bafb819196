"""What was planted in a virtual patient: dose of every VOI, dose map, and the table of latents."""

import numpy as np
import pandas as pd

from theradose.cohort.virtual.activity import LUNG_LABELS, organ_masses_g, shares, spread, tumour_volume_ml
from theradose.cohort.virtual.courses import LN2, effective_half_life_h
from theradose.cohort.virtual.difficulty import DIFFICULTY
from theradose.cohort.virtual.organs import SOFT_TISSUE_G_PER_ML
from theradose.cohort.virtual.patient import VirtualPatient
from theradose.cohort.virtual.planted import ENGINE, MBQ_PER_GBQ, planted_self_dose_gy
from theradose.cohort.virtual.scanner import centre
from theradose.cohort.virtual.scans import spect_calibration
from theradose.imaging.volume import Volume
from theradose.physics.engines import LUNG_G_PER_ML, dose_engine
from theradose.physics.nuclides import nuclide
from theradose.physics.organ_level import cross_doses_gy
from theradose.vocabulary import is_target, voi_of_label


def _density(patient: VirtualPatient) -> np.ndarray:
    """Return the density of every voxel in g/mL, (z, y, x): lung or soft tissue."""
    lung = np.isin(patient.anatomy.labels, LUNG_LABELS)
    return np.where(lung, LUNG_G_PER_ML, SOFT_TISSUE_G_PER_ML)


def _uptake(patient: VirtualPatient, organ: str, cycle: int, lambda_per_h: float) -> float:
    """Return the uptake fraction that gives the organ's TIAC with the closed form's course, U of its own for tier 1."""
    kinetics = patient.kinetics
    stay_h = 1.0 / (LN2 / kinetics.t_bio_h[organ] + lambda_per_h)
    arriving_h = 1.0 / (LN2 / kinetics.uptake_half_time_h[organ] + lambda_per_h)
    return float(patient.course.coefficients_h(lambda_per_h, cycle=cycle)[organ] / (stay_h - arriving_h))


def truth_of_vois(patient: VirtualPatient, radionuclide: str, cycle: int = 1) -> pd.DataFrame:
    """Return mass, TIA, dose, effective half-life and uptake of every target VOI in a cycle (schema TRUTH_VOI).

    Dose = self S of its mass on the label map at 1.04 g/mL x TIA (marrow: its absorbed fraction) + what everything
    else in view gives it, each VOI's activity spread evenly.
    """
    decay = nuclide(radionuclide)
    tias = patient.label_tia_mbq_h(decay.lambda_per_h, cycle=cycle)
    present = set(patient.anatomy.volumes_ml())
    (cross,) = cross_doses_gy(
        patient.anatomy.labels, [{label: tia for label, tia in tias.items() if label in present}],
        density_g_per_ml=_density(patient), spacing_zyx_mm=patient.anatomy.grid.spacing_zyx_mm, nuclide=decay,
        engine=dose_engine(ENGINE),
    )  # fmt: skip
    parts = shares(patient.anatomy, patient.body, patient.lesions)
    volumes = patient.anatomy.volumes_ml()
    rows = []
    for label, tia_mbq_h in tias.items():
        voi = voi_of_label(label)
        if not is_target(voi):
            continue
        organ, part = parts[label]
        mass_g = volumes[label] * SOFT_TISSUE_G_PER_ML
        dose_gy = float(planted_self_dose_gy(organ, tia_mbq_h, mass_g, radionuclide)) + cross[label]
        t_bio_h = float(patient.kinetics.t_bio_h[organ])
        rows.append(
            {
                "patient": patient.name,
                "cycle": cycle,
                "voi": voi,
                "mass_g": mass_g,
                "tia_mbq_h": tia_mbq_h,
                "dose_gy": dose_gy,
                "dose_gy_per_gbq": dose_gy / patient.injected_mbq(cycle) * MBQ_PER_GBQ,
                "t_eff_h": float(effective_half_life_h(t_bio_h, decay.half_life_h)),
                "uptake_fraction": _uptake(patient, organ, cycle, decay.lambda_per_h) * part,
                "uptake_fraction_pet": _uptake(patient, organ, 0, decay.lambda_per_h) * part,
                "t_bio_h": t_bio_h,
            }
        )
    return pd.DataFrame(rows)


def dose_map(patient: VirtualPatient, radionuclide: str, cycle: int = 1) -> Volume:
    """Return the planted dose of every voxel of a cycle in Gy, float32, by the kernel engine.

    No blur, and zero outside the body. The map carries no absorbed fraction for marrow, which holds for a
    VOI's mean and not for a place in it.
    """
    decay = nuclide(radionuclide)
    anatomy, grid = patient.anatomy, patient.anatomy.grid
    per_ml = spread(anatomy, patient.pattern, patient.label_tia_mbq_h(decay.lambda_per_h, cycle=cycle))
    dose = dose_engine(ENGINE).dose_gy(per_ml * grid.voxel_ml, _density(patient), grid.spacing_zyx_mm, decay)
    return Volume(np.where(anatomy.labels > 0, dose, 0.0).astype(np.float32), grid, "Gy")


def _derived(
    patient: VirtualPatient, spect_times_h: tuple[float, ...], difficulty: str
) -> list[tuple[str, str, float]]:
    """Return (VOI or "", name, value) of what the draws were turned into."""
    body, kinetics = patient.body, patient.kinetics
    bias = centre(patient.centre).pet.log_bias * DIFFICULTY[difficulty].pet_bias_factor
    found = [
        ("", "age_y", body.age_y),
        ("", "weight_kg", body.weight_kg),
        ("", "height_cm", body.height_cm),
        ("", "bsa_m2", body.bsa_m2),
        ("", "egfr_true_ml_min", body.egfr_ml_min),
        ("", "tumour_volume_ml", tumour_volume_ml(patient.anatomy)),
        ("", "pet_calibration", np.exp(bias)),
    ]
    found += [("", f"spect_calibration_{time:g}_h", spect_calibration(patient, time)) for time in spect_times_h]
    masses_g = organ_masses_g(patient.anatomy)
    found += [(organ, "mass_g", mass) for organ, mass in masses_g.items() if organ in kinetics.uptake_half_time_h]
    found += [(organ, "uptake_fraction", value) for organ, value in kinetics.uptake.items()]
    found += [(organ, "uptake_fraction_pet", value) for organ, value in kinetics.uptake_pet.items()]
    found += [(organ, "t_bio_h", value) for organ, value in kinetics.t_bio_h.items()]
    found += [(lesion.voi, "receptors", lesion.receptors) for lesion in patient.lesions]
    found += [(lesion.voi, "necrotic", lesion.necrotic) for lesion in patient.lesions]
    return [(voi, name, float(value)) for voi, name, value in found]


def truth_of_latents(patient: VirtualPatient, spect_times_h: tuple[float, ...], difficulty: str) -> pd.DataFrame:
    """Return every random cause of the patient: the draws (`z_...`) and what they became (schema LATENTS)."""
    derived = _derived(patient, spect_times_h, difficulty)
    rows = pd.DataFrame(
        [(patient.name, voi, name, value) for voi, name, value in derived],
        columns=["patient", "voi", "name", "value"],
    )
    return pd.concat([patient.latents.table(patient.name), rows], ignore_index=True)
