"""Which images a model has learned from, and why a new patient's are of another kind: tracer, voxels, centre."""

from collections.abc import Mapping, Sequence
from typing import Any

from theradose.cohort.layout import PRE, Dataset
from theradose.imaging.nifti import read_sidecar
from theradose.imaging.plausible import tracer_of

# Own choice: a voxel half as large again, or a third smaller, shows other noise and recovery.
OTHER_VOXEL = 1.5
NOT_STATED = "not stated"


def pet_of(data: Dataset, patient: str) -> dict[str, Any]:
    """Return tracer and voxel size (x, y, z mm) of a patient's first PET before therapy; empty without one."""
    rows = data.rows(patient, "pet", PRE)
    if rows.empty:
        return {}
    row = rows.sort_values("time_h").iloc[0]
    tracer = tracer_of(read_sidecar(data.root / str(row["file"]))) or NOT_STATED
    return {"tracer": tracer, "spacing_mm": [round(mm, 3) for mm in data.load(row).grid.spacing_mm]}


def seen(data: Dataset, patients: Sequence[str]) -> dict[str, Any]:
    """Return what a card keeps of the PETs of training patients: tracers, smallest and largest voxels, centres."""
    pets = [found for patient in patients if (found := pet_of(data, patient))]
    people = data.participants().set_index("patient")
    if not pets:
        return {}
    sizes = [pet["spacing_mm"] for pet in pets]
    return {
        "tracers": sorted({pet["tracer"] for pet in pets}),
        "voxel_mm": [
            [min(axis) for axis in zip(*sizes, strict=True)],
            [max(axis) for axis in zip(*sizes, strict=True)],
        ],
        "centres": sorted({str(people.loc[patient, "centre"]) for patient in patients}),
    }


def doubts(card: Mapping[str, Any], pet: Mapping[str, Any], centre: str) -> list[str]:
    """Return one sentence for each way in which a PET is not of the kind learned from; none without a record."""
    if not card or not pet:
        return []
    reasons = []
    if pet["tracer"] not in card["tracers"]:
        reasons.append(f"PET tracer {pet['tracer']}, the model learned from {', '.join(card['tracers'])}")
    small, large = card["voxel_mm"]
    fits = (a / OTHER_VOXEL <= mm <= b * OTHER_VOXEL for mm, a, b in zip(pet["spacing_mm"], small, large, strict=True))
    if not all(fits):
        size, known = (" x ".join(f"{mm:.3g}" for mm in one) for one in (pet["spacing_mm"], large))
        reasons.append(f"PET voxels of {size} mm, the model learned from {known} mm")
    if centre not in card["centres"]:
        reasons.append(f"centre {centre} was not among those learned from ({', '.join(card['centres'])})")
    return reasons
