"""Every random cause of a virtual patient, named, drawn first and recorded: independent standard normal numbers."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtr

from theradose.cohort.virtual.organs import LUNGS, ORGAN_TABLE
from theradose.vocabulary import LESION_LABEL_FROM, lesion_name

Value = float | np.ndarray
MAX_LESIONS = 12
MAX_CYCLES = 6
MANY = 2**31 - 1
"""Stands for the patient's number where many are drawn at once."""

# A group has a random stream of its own, so a name added at the end of a group moves no other number.
PATIENT_GROUPS: dict[str, tuple[str, ...]] = {
    "body": ("age", "weight", "height", "egfr", "body_hu"),
    "tumour": (
        "tumour_volume", "lesion_count", "tumour_receptors", "tumour_drift", "tumour_t_bio", "tumour_texture",
        "bone_fraction", "tumour_shrink",
    ),
    "clearance": ("excreted_t_bio", "remainder_t_bio"),
    "injection": ("administered", "administered_pet", "peptide"),
    "history": (
        "hypertension", "diabetes", "prior_cycles", "prior_chemotherapy", "prior_arpi", "ecog", "gleason",
        "years_since_diagnosis", "smoker", "sex", "amino_acids", "grade",
    ),
    "laboratory": (
        "egfr_error", "psa", "alp", "ldh", "haemoglobin", "platelets", "leukocytes", "albumin", "crp", "testosterone",
        "cga", "ki67",
    ),
    "missing": (
        "missing_psa", "missing_alp", "missing_ldh", "missing_haemoglobin", "missing_platelets",
        "missing_leukocytes", "missing_albumin", "missing_crp", "missing_testosterone", "missing_cga", "missing_ki67",
    ),
    "outcome": (
        "kidney_toxicity", "xerostomia", "marrow_toxicity", "response", "latency", "dropout", "egfr_12m",
    ),
}  # fmt: skip
ORGAN_NAMES = ("mass", "receptors", "drift", "t_bio", "texture")
SHAPE_NAMES = ("shift_z", "shift_y", "shift_x", "half_axis_z", "half_axis_y", "half_axis_x")
LESION_NAMES = ("site", "volume", "receptors", "shift_z", "shift_y", "shift_x", "form_y", "form_x", "necrosis")


def _shape_vois() -> list[str]:
    """Return the VOIs whose place and form vary."""
    return [voi for organ in ORGAN_TABLE.values() for voi in organ.shapes] + list(LUNGS) + ["urinary_bladder"]


def _groups() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return stream name -> (VOI or "", names) for everything that is drawn."""
    groups = {name: ("", names) for name, names in PATIENT_GROUPS.items()}
    groups |= {f"organ {organ}": (organ, ORGAN_NAMES) for organ in ORGAN_TABLE}
    groups |= {f"shape {voi}": (voi, SHAPE_NAMES) for voi in _shape_vois()}
    lesions = [lesion_name(LESION_LABEL_FROM + i) for i in range(MAX_LESIONS)]
    groups |= {f"lesion {voi}": (voi, LESION_NAMES) for voi in lesions}
    for cycle in range(2, MAX_CYCLES + 1):
        groups[f"cycle {cycle}"] = ("", (f"tumour_drift_{cycle}", f"administered_{cycle}"))
        groups |= {f"cycle {cycle} {organ}": (organ, (f"drift_{cycle}",)) for organ in ORGAN_TABLE}
    return groups


GROUPS = _groups()


@dataclass(frozen=True)
class Latents:
    """Standard normal draws under (VOI or "", name): numbers for one patient, arrays for many at once."""

    draws: Mapping[tuple[str, str], Value]

    def z(self, name: str, voi: str = "") -> Value:
        """Return the standard normal draw of that name; KeyError when nothing of that name was drawn."""
        return self.draws[voi, name]

    def uniform(self, name: str, voi: str = "") -> Value:
        """Return the draw turned into a number uniform between 0 and 1."""
        return ndtr(self.draws[voi, name])

    def table(self, patient: str) -> pd.DataFrame:
        """Return one row a draw in the columns of schema LATENTS, names prefixed `z_`."""
        rows = [(patient, voi, f"z_{name}", float(value)) for (voi, name), value in self.draws.items()]
        return pd.DataFrame(rows, columns=["patient", "voi", "name", "value"])


def stream(seed: int, index: int, name: str) -> np.random.Generator:
    """Return the generator of one named cause of patient `index`; it depends on nothing else."""
    return np.random.default_rng(np.random.SeedSequence([seed, index, zlib.crc32(name.encode())]))


def draw_latents(seed: int, index: int) -> Latents:
    """Draw every latent of patient `index` (from 0); the same numbers whatever the size of the cohort."""
    draws: dict[tuple[str, str], Value] = {}
    for group, (voi, names) in GROUPS.items():
        values = stream(seed, index, group).standard_normal(len(names))
        draws |= {(voi, name): float(value) for name, value in zip(names, values, strict=True)}
    return Latents(draws)


def draw_many(seed: int, patients: int) -> Latents:
    """Draw the latents without shapes and lesions for many patients at once, arrays of shape (patients,).

    Every group has a stream of its own and every patient a row in it, so patient k is the same in any number of them.
    """
    draws: dict[tuple[str, str], Value] = {}
    for group, (voi, names) in GROUPS.items():
        if not group.startswith(("shape", "lesion ")):
            values = stream(seed, MANY, group).standard_normal((patients, len(names)))
            draws |= {(voi, name): values[:, i] for i, name in enumerate(names)}
    return Latents(draws)
