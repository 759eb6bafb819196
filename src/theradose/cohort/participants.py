"""The clinical columns that a participants table may hold, besides those its schema demands."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from theradose.vocabulary import QUANTITIES

CLINICAL, BIOLOGICAL = "clinical", "biological"


@dataclass(frozen=True)
class ClinicalColumn:
    """A column that models may use as a covariate: unit, plausible range, block and meaning; known before therapy."""

    unit: str
    low: float
    high: float
    block: str
    meaning: str


# Ranges are those outside which a value is a typing error, not those of health. Events are 0 or 1.
CLINICAL_COLUMNS: dict[str, ClinicalColumn] = {
    "age_y": ClinicalColumn("y", 0, 120, CLINICAL, "age at therapy"),
    "weight_kg": ClinicalColumn("kg", 20, 250, CLINICAL, "body weight"),
    "height_cm": ClinicalColumn("cm", 100, 230, CLINICAL, "body height"),
    "ecog": ClinicalColumn("1", 0, 4, CLINICAL, "performance status (ECOG)"),
    "gleason": ClinicalColumn("1", 6, 10, CLINICAL, "Gleason score at diagnosis"),
    "grade": ClinicalColumn("1", 1, 3, CLINICAL, "grade of a neuroendocrine tumour (WHO)"),
    "amino_acids": ClinicalColumn("1", 0, 1, CLINICAL, "amino acids given with the therapy to protect the kidneys"),
    "years_since_diagnosis_y": ClinicalColumn("y", 0, 60, CLINICAL, "time since diagnosis"),
    "hypertension": ClinicalColumn("1", 0, 1, CLINICAL, "arterial hypertension"),
    "diabetes": ClinicalColumn("1", 0, 1, CLINICAL, "diabetes mellitus"),
    "smoker": ClinicalColumn("1", 0, 1, CLINICAL, "smokes or has smoked"),
    "prior_cycles": ClinicalColumn("1", 0, 12, CLINICAL, "cycles of radionuclide therapy before this one"),
    "prior_chemotherapy": ClinicalColumn("1", 0, 1, CLINICAL, "taxane chemotherapy before"),
    "prior_arpi": ClinicalColumn("1", 0, 1, CLINICAL, "androgen receptor pathway inhibitor before"),
    "egfr_ml_min": ClinicalColumn("mL/min/1.73 m2", 1, 200, BIOLOGICAL, "estimated glomerular filtration rate"),
    "psa_ng_per_ml": ClinicalColumn("ng/mL", 0, 50000, BIOLOGICAL, "prostate-specific antigen"),
    "cga_ng_per_ml": ClinicalColumn("ng/mL", 0, 500000, BIOLOGICAL, "chromogranin A"),
    "ki67_percent": ClinicalColumn("%", 0, 100, BIOLOGICAL, "proliferation index Ki-67"),
    "alp_u_per_l": ClinicalColumn("U/L", 5, 5000, BIOLOGICAL, "alkaline phosphatase"),
    "ldh_u_per_l": ClinicalColumn("U/L", 50, 10000, BIOLOGICAL, "lactate dehydrogenase"),
    "haemoglobin_g_per_dl": ClinicalColumn("g/dL", 3, 22, BIOLOGICAL, "haemoglobin"),
    "platelets_per_nl": ClinicalColumn("1/nL", 5, 1500, BIOLOGICAL, "platelets"),
    "leukocytes_per_nl": ClinicalColumn("1/nL", 0.2, 200, BIOLOGICAL, "leukocytes"),
    "albumin_g_per_l": ClinicalColumn("g/L", 10, 70, BIOLOGICAL, "albumin"),
    "crp_mg_per_l": ClinicalColumn("mg/L", 0, 500, BIOLOGICAL, "C-reactive protein"),
    "testosterone_ng_per_dl": ClinicalColumn("ng/dL", 0, 2000, BIOLOGICAL, "testosterone"),
}

EMPTY = ("", "n/a")
NEEDED = ("weight_kg", "height_cm", "administered_mbq")


def number_of(cell: str) -> float | None:
    """Return a cell as a number, None when it is empty or no number."""
    try:
        return float(cell) if cell not in EMPTY else None
    except ValueError:
        return None


def wrong_cells(row: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return (column, cell, what is allowed) for every clinical cell that is no number or out of its range."""
    ranges = {name: (QUANTITIES[name].low or 0.0, QUANTITIES[name].high or math.inf) for name in NEEDED}
    ranges |= {name: (column.low, column.high) for name, column in CLINICAL_COLUMNS.items()}
    wrong = []
    for name, (low, high) in ranges.items():
        cell = row.get(name, "")
        value = number_of(cell)
        if cell not in EMPTY and (value is None or not low <= value <= high):
            wrong.append((name, cell, f"{low:g} to {high:g}, with a decimal point"))
    return wrong
