"""From fractions of the injected activity to an activity map: each region's share, spread over its voxels."""

from collections.abc import Mapping

import numpy as np

from theradose.cohort.virtual.anatomy import AIR, BODY, Anatomy
from theradose.cohort.virtual.body import Body
from theradose.cohort.virtual.courses import BLADDER
from theradose.cohort.virtual.kinetics import REMAINDER
from theradose.cohort.virtual.latents import Value
from theradose.cohort.virtual.lesions import Lesion
from theradose.cohort.virtual.organs import SOFT_TISSUE_G_PER_ML
from theradose.physics.engines import LUNG_G_PER_ML
from theradose.vocabulary import LESION_LABEL_FROM, LESIONS, VOIS, organ_of, voi_of_label

BLADDER_LABEL = VOIS["urinary_bladder"].label
LUNG_LABELS = (VOIS["lung_left"].label, VOIS["lung_right"].label)
G_PER_KG = 1000.0


def shares(anatomy: Anatomy, body: Body, lesions: list[Lesion]) -> dict[int, tuple[str, float]]:
    """Return label -> (organ of the kinetics, the part of that organ's activity which lies in the label).

    Left and right share by volume, lesions by volume x receptors. What no organ holds is spread evenly per gram
    over the whole body weight, so the parts of `remainder` add up to less than 1: legs and arms are out of view.
    """
    volumes = anatomy.volumes_ml()
    weights = {label: volume for label, volume in volumes.items() if label not in (BODY, BLADDER_LABEL, *LUNG_LABELS)}
    for i, lesion in enumerate(lesions):
        weights[LESION_LABEL_FROM + i] *= lesion.receptors
    organs = {label: organ_of(voi_of_label(label)) for label in weights}
    totals = {o: sum(w for label, w in weights.items() if organs[label] == o) for o in set(organs.values())}
    found = {label: (organs[label], weight / totals[organs[label]]) for label, weight in weights.items()}
    target_g = SOFT_TISSUE_G_PER_ML * sum(volumes[label] for label in weights)
    rest_g = float(body.weight_kg) * G_PER_KG - target_g
    for label in (BODY, *LUNG_LABELS):
        density = SOFT_TISSUE_G_PER_ML if label == BODY else LUNG_G_PER_ML
        found[label] = (REMAINDER, volumes.get(label, 0.0) * density / rest_g)
    return found | {BLADDER_LABEL: (BLADDER, 1.0)}


def per_label(fractions: Mapping[str, Value], parts: dict[int, tuple[str, float]]) -> dict[int, float]:
    """Share out per-organ amounts (fractions or h) over the labels."""
    return {label: float(fractions[organ]) * part for label, (organ, part) in parts.items()}


def spread(anatomy: Anatomy, pattern: np.ndarray, amounts: dict[int, float]) -> np.ndarray:
    """Return a map of amount per mL, shape (z, y, x): each label's amount spread over its voxels by `pattern`.

    `pattern` has mean 1 in every label, so the map adds up to the amounts: sum(map) x voxel_ml = sum(amounts).
    """
    volumes = anatomy.volumes_ml()
    per_ml = np.zeros(int(anatomy.labels.max()) + 1)
    for label, amount in amounts.items():
        if label != AIR and volumes.get(label):
            per_ml[label] = amount / volumes[label]
    return np.asarray(per_ml[anatomy.labels] * pattern)


def organ_masses_g(anatomy: Anatomy) -> dict[str, float]:
    """Return the mass of every organ on the label map in g: its voxels x 1.04 g/mL."""
    masses: dict[str, float] = {}
    for label, volume in anatomy.volumes_ml().items():
        organ = organ_of(voi_of_label(label))
        masses[organ] = masses.get(organ, 0.0) + volume * SOFT_TISSUE_G_PER_ML
    return masses


def tumour_volume_ml(anatomy: Anatomy) -> float:
    """Return the volume of all lesions on the label map in mL."""
    return organ_masses_g(anatomy)[LESIONS] / SOFT_TISSUE_G_PER_ML
