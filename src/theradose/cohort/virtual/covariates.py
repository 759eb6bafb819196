"""The participants table of virtual patients: what a clinic would know before the therapy.

Most columns say nothing about the dose on purpose (smoker, Gleason, albumin ...): about half of a real table is
such noise. The ties that are planted: eGFR (kidney function, measured with 8 % error), PSA or CgA, ALP, LDH and
haemoglobin (tumour volume), weight and height (organ masses), hypertension, diabetes and age (kidney toxicity).
"""

import numpy as np
from scipy.special import ndtr

from theradose.cohort.virtual.body import Body
from theradose.cohort.virtual.kinetics import drift_name
from theradose.cohort.virtual.latents import Latents, Value
from theradose.cohort.virtual.lesions import Lesion

EGFR_ERROR = 0.08
ADMINISTERED_MEAN_MBQ, ADMINISTERED_SD_MBQ, ADMINISTERED_RANGE_MBQ = 7400.0, 300.0, (6000.0, 8800.0)
PET_MEAN_MBQ, PET_SD_MBQ, PET_RANGE_MBQ = 150.0, 20.0, (80.0, 230.0)
MISSING_BY_CHANCE, MISSING_BY_AGE, AGE_MEAN_Y, AGE_SD_Y = 0.05, 0.20, 71.0, 8.0
"""Blood values are missing by chance (5 %) and more often in the old, 0.20 Phi((age - 71) / 8), 10 % on the mean of
PSMA patients; eGFR is never missing, it decides on the therapy."""

# Part of patients with the event (design of the cohort, section 5: hypertension, diabetes; the others plausible).
EVENTS = {"hypertension": 0.35, "diabetes": 0.20, "smoker": 0.45, "prior_chemotherapy": 0.55}
# Part of patients with each value.
GRADES: dict[str, dict[int, float]] = {
    "prior_cycles": {0: 0.60, 1: 0.18, 2: 0.12, 3: 0.10},
    "ecog": {0: 0.40, 1: 0.48, 2: 0.12},
}
LABORATORY = {
    "alp": "alp_u_per_l",
    "ldh": "ldh_u_per_l",
    "haemoglobin": "haemoglobin_g_per_dl",
    "platelets": "platelets_per_nl",
    "leukocytes": "leukocytes_per_nl",
    "albumin": "albumin_g_per_l",
    "crp": "crp_mg_per_l",
}
# What is asked of patients of one ligand only: events, grades, blood values.
OWN_EVENTS = {"psma": {"prior_arpi": 0.85}, "dotatate": {"amino_acids": 0.92}}
OWN_GRADES: dict[str, dict[str, dict[int, float]]] = {
    "psma": {"gleason": {6: 0.08, 7: 0.30, 8: 0.22, 9: 0.33, 10: 0.07}},
    "dotatate": {"grade": {1: 0.35, 2: 0.55, 3: 0.10}},
}
OWN_LABORATORY = {
    "psma": {"psa": "psa_ng_per_ml", "testosterone": "testosterone_ng_per_dl"},
    "dotatate": {"cga": "cga_ng_per_ml", "ki67": "ki67_percent"},
}
MEDIAN_TUMOUR_ML, TUMOUR_LOG_SD = 77.0, 1.55
MARKER_MEDIAN = {"psa": 60.0, "cga": 400.0}
MARKER_LOG_SD, MARKER_TIE = 1.4, 0.6


def graded(uniform: float, parts: dict[int, float]) -> int:
    """Return the value whose part of [0, 1) holds `uniform`."""
    edges = np.cumsum(list(parts.values()))
    return list(parts)[min(int(np.searchsorted(edges, uniform, side="right")), len(parts) - 1)]


def administered_mbq(latents: Latents, cycles: int) -> tuple[Value, ...]:
    """Return the activity of every therapy cycle, N(7400, 300) MBq, to 1 MBq."""
    z = [latents.z(drift_name("administered", cycle)) for cycle in range(1, cycles + 1)]
    return tuple(
        np.round(np.clip(ADMINISTERED_MEAN_MBQ + ADMINISTERED_SD_MBQ * own, *ADMINISTERED_RANGE_MBQ)) for own in z
    )


def administered_pet_mbq(latents: Latents) -> Value:
    """Return the activity of the PET, N(150, 20) MBq, to 1 MBq."""
    return np.round(np.clip(PET_MEAN_MBQ + PET_SD_MBQ * latents.z("administered_pet"), *PET_RANGE_MBQ))


def event(latents: Latents, name: str) -> Value:
    """Return 1 where the patient has the event of EVENTS, else 0."""
    return 1.0 * (latents.uniform(name) < EVENTS[name])


def laboratory(latents: Latents, tumour_ml: float, bone_ml: float) -> dict[str, float]:
    """Return blood values; tumour and bone tumour volume in mL act on PSA, CgA, ALP, LDH and haemoglobin."""
    z = {name: float(latents.z(name)) for name in (*LABORATORY, "psa", "testosterone", "cga", "ki67")}
    burden = np.log(tumour_ml / MEDIAN_TUMOUR_ML) / TUMOUR_LOG_SD
    bone = np.log1p(bone_ml / MEDIAN_TUMOUR_ML)
    psa, cga = (
        median * np.exp(MARKER_LOG_SD * (MARKER_TIE * burden + np.sqrt(1.0 - MARKER_TIE**2) * z[name]))
        for name, median in MARKER_MEDIAN.items()
    )
    return {
        "psa_ng_per_ml": round(float(psa), 2),
        "cga_ng_per_ml": round(float(cga), 0),
        "ki67_percent": round(float(np.clip(6.0 * np.exp(0.8 * z["ki67"]), 0.5, 55.0)), 1),
        "alp_u_per_l": round(float(85.0 * np.exp(0.45 * bone + 0.35 * z["alp"])), 0),
        "ldh_u_per_l": round(float(220.0 * np.exp(0.18 * burden + 0.25 * z["ldh"])), 0),
        "haemoglobin_g_per_dl": round(float(np.clip(12.4 - 0.6 * bone + 1.5 * z["haemoglobin"], 6.0, 18.0)), 1),
        "platelets_per_nl": round(float(np.clip(235.0 + 70.0 * z["platelets"], 40.0, 600.0)), 0),
        "leukocytes_per_nl": round(float(6.0 * np.exp(0.30 * z["leukocytes"])), 1),
        "albumin_g_per_l": round(float(np.clip(39.0 + 4.0 * z["albumin"], 18.0, 55.0)), 0),
        "crp_mg_per_l": round(float(6.0 * np.exp(1.0 * z["crp"])), 1),
        "testosterone_ng_per_dl": round(float(12.0 * np.exp(0.6 * z["testosterone"])), 1),
    }


def covariates_of(latents: Latents, body: Body, lesions: list[Lesion], ligand: str) -> dict[str, object]:
    """Return the clinical columns of one patient (names of CLINICAL_COLUMNS), missing values as nan."""
    bone_ml = sum(lesion.volume_ml for lesion in lesions if lesion.bone)
    values = laboratory(latents, float(body.tumour_volume_ml), bone_ml)
    asked = OWN_LABORATORY[ligand] | LABORATORY
    missing = MISSING_BY_CHANCE + MISSING_BY_AGE * float(ndtr((body.age_y - AGE_MEAN_Y) / AGE_SD_Y))
    blood = {
        column: float("nan") if float(latents.uniform(f"missing_{name}")) < missing else values[column]
        for name, column in asked.items()
    }
    egfr = float(body.egfr_ml_min) * (1.0 + EGFR_ERROR * float(latents.z("egfr_error")))
    years = 6.0 * np.exp(0.6 * float(latents.z("years_since_diagnosis")))
    events, grades = EVENTS | OWN_EVENTS[ligand], GRADES | OWN_GRADES[ligand]
    return {
        "age_y": round(float(body.age_y)),
        "weight_kg": round(float(body.weight_kg), 1),
        "height_cm": round(float(body.height_cm), 0),
        "egfr_ml_min": round(max(egfr, 5.0), 0),
        "years_since_diagnosis_y": round(float(np.clip(years, 0.2, 30.0)), 1),
        **{name: int(float(latents.uniform(name)) < part) for name, part in events.items()},
        **{name: graded(float(latents.uniform(name)), parts) for name, parts in grades.items()},
        **blood,
    }
