"""The participants table of virtual patients: what a clinic would know before the therapy.

Most columns say nothing about the dose on purpose (smoker, Gleason, albumin ...): about half of a real table is
such noise. The ties that are planted: eGFR (kidney function, measured with 8 % error), PSA, ALP, LDH and
haemoglobin (tumour volume), weight and height (organ masses), hypertension and diabetes (none yet on the dose).
"""

import numpy as np

from theradose.cohort.virtual.body import Body
from theradose.cohort.virtual.latents import Latents
from theradose.cohort.virtual.lesions import Lesion

EGFR_ERROR = 0.08
ADMINISTERED_MEAN_MBQ, ADMINISTERED_SD_MBQ, ADMINISTERED_RANGE_MBQ = 7400.0, 300.0, (6000.0, 8800.0)
PET_MEAN_MBQ, PET_SD_MBQ, PET_RANGE_MBQ = 150.0, 20.0, (80.0, 230.0)
MISSING_PART = 0.05
"""Laboratory values that are missing, completely at random; eGFR is never missing, it decides on the therapy."""

# Part of patients with the event (design of the cohort, section 5: hypertension, diabetes; the others plausible).
EVENTS = {"hypertension": 0.35, "diabetes": 0.20, "smoker": 0.45, "prior_chemotherapy": 0.55, "prior_arpi": 0.85}
# Part of patients with each value.
GRADES: dict[str, dict[int, float]] = {
    "prior_cycles": {0: 0.60, 1: 0.18, 2: 0.12, 3: 0.10},
    "ecog": {0: 0.40, 1: 0.48, 2: 0.12},
    "gleason": {6: 0.08, 7: 0.30, 8: 0.22, 9: 0.33, 10: 0.07},
}
LABORATORY = {
    "psa": "psa_ng_per_ml",
    "alp": "alp_u_per_l",
    "ldh": "ldh_u_per_l",
    "haemoglobin": "haemoglobin_g_per_dl",
    "platelets": "platelets_per_nl",
    "leukocytes": "leukocytes_per_nl",
    "albumin": "albumin_g_per_l",
    "crp": "crp_mg_per_l",
    "testosterone": "testosterone_ng_per_dl",
}
MEDIAN_TUMOUR_ML, TUMOUR_LOG_SD = 77.0, 1.55
PSA_MEDIAN, PSA_LOG_SD, PSA_TIE = 60.0, 1.4, 0.6


def graded(uniform: float, parts: dict[int, float]) -> int:
    """Return the value whose part of [0, 1) holds `uniform`."""
    edges = np.cumsum(list(parts.values()))
    return list(parts)[min(int(np.searchsorted(edges, uniform, side="right")), len(parts) - 1)]


def administered_mbq(latents: Latents) -> tuple[float, float]:
    """Return the activities of therapy (N(7400, 300) MBq) and PET (N(150, 20) MBq), to 1 MBq."""
    therapy = np.clip(ADMINISTERED_MEAN_MBQ + ADMINISTERED_SD_MBQ * latents.z("administered"), *ADMINISTERED_RANGE_MBQ)
    pet = np.clip(PET_MEAN_MBQ + PET_SD_MBQ * latents.z("administered_pet"), *PET_RANGE_MBQ)
    return round(float(therapy)), round(float(pet))


def laboratory(latents: Latents, tumour_ml: float, bone_ml: float) -> dict[str, float]:
    """Return blood values; tumour and bone tumour volume in mL act on PSA, ALP, LDH and haemoglobin."""
    z = {name: float(latents.z(name)) for name in LABORATORY}
    burden = np.log(tumour_ml / MEDIAN_TUMOUR_ML) / TUMOUR_LOG_SD
    bone = np.log1p(bone_ml / MEDIAN_TUMOUR_ML)
    psa = PSA_MEDIAN * np.exp(PSA_LOG_SD * (PSA_TIE * burden + np.sqrt(1.0 - PSA_TIE**2) * z["psa"]))
    return {
        "psa_ng_per_ml": round(float(psa), 2),
        "alp_u_per_l": round(float(85.0 * np.exp(0.45 * bone + 0.35 * z["alp"])), 0),
        "ldh_u_per_l": round(float(220.0 * np.exp(0.18 * burden + 0.25 * z["ldh"])), 0),
        "haemoglobin_g_per_dl": round(float(np.clip(12.4 - 0.6 * bone + 1.5 * z["haemoglobin"], 6.0, 18.0)), 1),
        "platelets_per_nl": round(float(np.clip(235.0 + 70.0 * z["platelets"], 40.0, 600.0)), 0),
        "leukocytes_per_nl": round(float(6.0 * np.exp(0.30 * z["leukocytes"])), 1),
        "albumin_g_per_l": round(float(np.clip(39.0 + 4.0 * z["albumin"], 18.0, 55.0)), 0),
        "crp_mg_per_l": round(float(6.0 * np.exp(1.0 * z["crp"])), 1),
        "testosterone_ng_per_dl": round(float(12.0 * np.exp(0.6 * z["testosterone"])), 1),
    }


def covariates_of(latents: Latents, body: Body, lesions: list[Lesion]) -> dict[str, object]:
    """Return the clinical columns of one patient (names of CLINICAL_COLUMNS), missing values as nan."""
    bone_ml = sum(lesion.volume_ml for lesion in lesions if lesion.bone)
    blood = laboratory(latents, float(body.tumour_volume_ml), bone_ml)
    for name, column in LABORATORY.items():
        if float(latents.uniform(f"missing_{name}")) < MISSING_PART:
            blood[column] = float("nan")
    egfr = float(body.egfr_ml_min) * (1.0 + EGFR_ERROR * float(latents.z("egfr_error")))
    years = 6.0 * np.exp(0.6 * float(latents.z("years_since_diagnosis")))
    return {
        "age_y": round(float(body.age_y)),
        "weight_kg": round(float(body.weight_kg), 1),
        "height_cm": round(float(body.height_cm), 0),
        "egfr_ml_min": round(max(egfr, 5.0), 0),
        "years_since_diagnosis_y": round(float(np.clip(years, 0.2, 30.0)), 1),
        **{name: int(float(latents.uniform(name)) < part) for name, part in EVENTS.items()},
        **{name: graded(float(latents.uniform(name)), parts) for name, parts in GRADES.items()},
        **blood,
    }
