"""One virtual patient, from seed and number to person, kinetics, anatomy and uptake pattern."""

from dataclasses import dataclass

import numpy as np

from theradose.cohort.virtual.activity import organ_masses_g, per_label, shares, spread, tumour_volume_ml
from theradose.cohort.virtual.anatomy import Anatomy, anatomy_of
from theradose.cohort.virtual.body import Body, body_of
from theradose.cohort.virtual.courses import coefficients_h, fractions_at
from theradose.cohort.virtual.covariates import administered_mbq
from theradose.cohort.virtual.difficulty import DIFFICULTY
from theradose.cohort.virtual.kinetics import Kinetics, kinetics_of
from theradose.cohort.virtual.latents import Latents, draw_latents, stream
from theradose.cohort.virtual.lesions import Lesion, lesions_of
from theradose.cohort.virtual.texture import textured
from theradose.vocabulary import LESIONS, is_target, organ_of, voi_of_label


@dataclass(frozen=True)
class VirtualPatient:
    """Everything that is true about a virtual patient before any scanner looks at it."""

    seed: int
    index: int
    centre: str
    latents: Latents
    body: Body
    lesions: list[Lesion]
    anatomy: Anatomy
    kinetics: Kinetics
    pattern: np.ndarray
    administered_mbq: float
    administered_pet_mbq: float

    @property
    def name(self) -> str:
        """The patient's ID, `v001` for index 0."""
        return f"v{self.index + 1:03d}"

    def injected_mbq(self, therapeutic: bool) -> float:
        """Return the activity of the therapy or of the PET in MBq."""
        return self.administered_mbq if therapeutic else self.administered_pet_mbq

    def label_activities_mbq(self, time_h: float, lambda_per_h: float, *, therapeutic: bool) -> dict[int, float]:
        """Return the activity of every label in MBq at `time_h`; lambda 0 leaves decay out."""
        fractions = fractions_at(self.kinetics, time_h, lambda_per_h, therapeutic=therapeutic)
        injected = self.injected_mbq(therapeutic)
        parts = shares(self.anatomy, self.body, self.lesions)
        return {label: injected * amount for label, amount in per_label(fractions, parts).items()}

    def label_tia_mbq_h(self, lambda_per_h: float) -> dict[int, float]:
        """Return the time-integrated activity of every label in MBq.h, for the therapy."""
        coefficients = coefficients_h(self.kinetics, lambda_per_h, therapeutic=True)
        parts = shares(self.anatomy, self.body, self.lesions)
        return {label: self.administered_mbq * amount for label, amount in per_label(coefficients, parts).items()}

    def activity_map_mbq_per_ml(self, time_h: float, lambda_per_h: float, *, therapeutic: bool) -> np.ndarray:
        """Return the activity concentration at `time_h`, MBq/mL, shape (z, y, x)."""
        amounts = self.label_activities_mbq(time_h, lambda_per_h, therapeutic=therapeutic)
        return spread(self.anatomy, self.pattern, amounts)


def _textures(latents: Latents, anatomy: Anatomy) -> dict[int, float]:
    """Return the texture latent of every label of a target; all lesions share that of the tumour."""
    found = {}
    for label in anatomy.volumes_ml():
        voi = voi_of_label(label)
        if is_target(voi):
            organ = organ_of(voi)
            found[label] = float(latents.z("tumour_texture") if organ == LESIONS else latents.z("texture", organ))
    return found


def virtual_patient(
    seed: int, index: int, *, centres: tuple[str, ...], spacing_mm: float, difficulty: str, texture_coupling: float
) -> VirtualPatient:
    """Return patient `index` (from 0) of the cohort with this seed; it does not depend on the cohort's size.

    Centres take turns. SettingsError when an organ does not fit into the body.
    """
    latents = draw_latents(seed, index)
    body = body_of(latents)
    lesions = lesions_of(latents, float(body.tumour_volume_ml))
    anatomy = anatomy_of(latents, body, lesions, spacing_mm)
    kinetics = kinetics_of(
        latents,
        body,
        mass_g=dict(organ_masses_g(anatomy)),
        tumour_volume_ml=tumour_volume_ml(anatomy),
        texture_coupling=texture_coupling,
        least_drift_sd=DIFFICULTY[difficulty].least_drift_sd,
    )
    rng = stream(seed, index, "texture")
    pattern = textured(anatomy.labels, anatomy.relative_uptake, _textures(latents, anatomy), spacing_mm, rng)
    centre = centres[index % len(centres)]
    injected, injected_pet = administered_mbq(latents)
    return VirtualPatient(
        seed, index, centre, latents, body, lesions, anatomy, kinetics, pattern, injected, injected_pet
    )
