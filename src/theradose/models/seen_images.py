"""Which images a model has learned from, and why a new patient's are of another kind: tracer, voxels, centre, quality.

The quality of a PET (`imaging.quality`) belongs to its scanner. It is compared with that of the training patients of
the same centre, so that a centre with a new scanner is noticed though its name is known.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from theradose.cohort.layout import PRE, Dataset
from theradose.imaging.nifti import read_sidecar
from theradose.imaging.plausible import tracer_of
from theradose.imaging.quality import QUALITIES, image_quality
from theradose.models.conformal import rank

# Own choice: a voxel half as large again, or a third smaller, shows other noise and recovery.
OTHER_VOXEL = 1.5
NOT_STATED = "not stated"
LOGGED = ("noise", "counts")  # the others can be zero or below
ONE_SIDED = ("noise",)  # tissue with more uptake has less noise, which harms nothing
# Own choices: how often a normal patient may be beyond any of the limits of quality; which part of training patients
# out of fold stays inside where they are not normal; below how many nothing is said; in which part a quality is known.
BEYOND, INSIDE, FEWEST, KNOWN = 0.01, 0.95, 10, 0.5


def pet_of(data: Dataset, patient: str) -> dict[str, Any]:
    """Return tracer, voxel size (x, y, z mm) and quality of a patient's first PET before therapy; empty without one."""
    rows = data.rows(patient, "pet", PRE)
    if rows.empty:
        return {}
    row = rows.sort_values("time_h").iloc[0]
    about = read_sidecar(data.root / str(row["file"]))
    tracer = tracer_of(about) or NOT_STATED
    pet, masks = data.load(row), data.rows(patient, "mask", PRE)
    quality = image_quality(pet, data.load(masks.iloc[0]), about) if len(masks) else {}
    return {"tracer": tracer, "spacing_mm": [round(mm, 3) for mm in pet.grid.spacing_mm], "quality": quality}


def _scaled(quality: Mapping[str, float], names: Sequence[str]) -> np.ndarray:
    """Return named qualities, (k,), as logarithms where they have to be positive, NaN for what is missing."""
    values = np.array([quality.get(name, np.nan) for name in names], float)
    logged = np.array([name in LOGGED for name in names])
    return np.where(logged, np.log(np.where(logged & (values > 0.0), values, np.nan)), values)


def _learned(values: np.ndarray, centres: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Return of qualities (n, k) the mean of each centre and the spread about them, JSON-like."""
    own = {str(c): values[centres == c] for c in sorted(set(centres))}
    squares = sum(((rows - rows.mean(axis=0)) ** 2).sum(axis=0) for rows in own.values())
    spread = np.sqrt(squares / max(len(values) - len(own), 1))
    means = {c: {"patients": len(rows), "mean": rows.mean(axis=0).tolist()} for c, rows in own.items()}
    return {"names": list(names), "sd": spread.tolist(), "centres": means}


def _spread(centre: str, usual: Mapping[str, Any]) -> np.ndarray:
    """Return the spread of a new patient's difference from the mean of his centre, (k,)."""
    return np.asarray(np.array(usual["sd"]) * np.sqrt(1.0 + 1.0 / usual["centres"][centre]["patients"]))


def _apart(values: np.ndarray, centre: str, usual: Mapping[str, Any]) -> np.ndarray:
    """Return how far one patient, (k,), is from those of his centre, in spreads; below zero is a good side."""
    apart = (values - usual["centres"][centre]["mean"]) / _spread(centre, usual)
    return np.where([name in ONE_SIDED for name in usual["names"]], apart, np.abs(apart))


def usual_quality(qualities: Sequence[Mapping[str, float]], centres: Sequence[str]) -> dict[str, Any]:
    """Return what a card keeps of the quality of training patients' PETs, without names; empty for fewer than ten.

    A limit, in spreads about the centre's mean, is what 99 % of normal patients stay below in all qualities together,
    or what 95 % of the training patients do out of fold when that is more.
    """
    table = np.array([_scaled(quality, list(QUALITIES)) for quality in qualities]).reshape(-1, len(QUALITIES))
    kept = np.isfinite(table).mean(axis=0) > KNOWN if len(table) else np.zeros(len(QUALITIES), bool)
    whole = np.isfinite(table[:, kept]).all(axis=1)
    if not kept.any() or whole.sum() < FEWEST:
        return {}
    names = [name for name, own in zip(QUALITIES, kept, strict=True) if own]
    values, places = table[whole][:, kept], np.array(centres)[whole]
    others = [np.arange(len(values)) != i for i in range(len(values)) if (places == places[i]).sum() > 1]
    out_of_fold = sorted(
        float(_apart(values[~keep][0], str(places[~keep][0]), _learned(values[keep], places[keep], names)).max())
        for keep in others
    )
    normal = float(stats.t.ppf(1.0 - BEYOND / (2.0 * len(names)), max(len(values) - len(set(places)), 1)))
    nth = min(rank(len(out_of_fold), INSIDE), len(out_of_fold))
    limit = max([normal, *out_of_fold[nth - 1 : nth]])
    return {"limit": limit, **_learned(values, places, names)}


def seen(data: Dataset, patients: Sequence[str]) -> dict[str, Any]:
    """Return what a card keeps of the PETs of training patients: tracers, smallest and largest voxels, centres.

    And the usual quality of the PETs of each centre.
    """
    pets = {patient: found for patient in patients if (found := pet_of(data, patient))}
    centre = data.participants().set_index("patient")["centre"].astype(str).to_dict()
    if not pets:
        return {}
    sizes = [pet["spacing_mm"] for pet in pets.values()]
    return {
        "tracers": sorted({pet["tracer"] for pet in pets.values()}),
        "voxel_mm": [
            [min(axis) for axis in zip(*sizes, strict=True)],
            [max(axis) for axis in zip(*sizes, strict=True)],
        ],
        "centres": sorted({centre[patient] for patient in patients}),
        "quality": usual_quality([pet["quality"] for pet in pets.values()], [centre[patient] for patient in pets]),
    }


def _other_quality(usual: Mapping[str, Any], quality: Mapping[str, float], centre: str) -> list[str]:
    """Return one sentence for each quality beyond the limit; a centre never seen has no limits."""
    if centre not in usual.get("centres", {}):
        return []
    names, mean = usual["names"], np.array(usual["centres"][centre]["mean"])
    apart, reach = _apart(_scaled(quality, names), centre, usual), usual["limit"] * _spread(centre, usual)
    found = []
    for k in np.flatnonzero(apart > usual["limit"]):
        low, high = (np.exp(x) if names[k] in LOGGED else x for x in (mean[k] - reach[k], mean[k] + reach[k]))
        what = f"{QUALITIES[names[k]]} {quality[names[k]]:.3g}"
        found.append(f"PET quality: {what}, usual at centre {centre} {low:.3g} to {high:.3g}")
    return found


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
    return reasons + _other_quality(card.get("quality", {}), pet.get("quality", {}), centre)
