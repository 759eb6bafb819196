"""One virtual patient, from seed and number to person, kinetics, anatomy and uptake pattern."""

from dataclasses import dataclass, replace

import numpy as np

from theradose.cohort.virtual.activity import organ_masses_g, per_label, shares, spread, tumour_volume_ml
from theradose.cohort.virtual.anatomy import Anatomy, anatomy_of
from theradose.cohort.virtual.body import Body, body_of
from theradose.cohort.virtual.course_kinds import COURSES, Habit
from theradose.cohort.virtual.courses import Course
from theradose.cohort.virtual.covariates import administered_mbq, administered_pet_mbq
from theradose.cohort.virtual.kinetics import Kinetics, shrunk_ml
from theradose.cohort.virtual.latents import Latents, draw_latents, stream
from theradose.cohort.virtual.lesions import Lesion, lesions_of
from theradose.cohort.virtual.ligands import LIGANDS
from theradose.cohort.virtual.texture import textured
from theradose.vocabulary import LESIONS, is_target, organ_of, voi_of_label


@dataclass(frozen=True)
class VirtualPatient:
    """Everything that is true about a virtual patient before any scanner looks at it."""

    seed: int
    index: int
    ligand: str
    centre: str
    latents: Latents
    body: Body
    lesions: list[Lesion]
    anatomy: Anatomy
    habit: Habit
    kinetics: Kinetics
    course: Course
    pattern: np.ndarray
    administered_by_cycle_mbq: tuple[float, ...]
    administered_pet_mbq: float

    @property
    def name(self) -> str:
        """The patient's ID, `v001` for index 0."""
        return f"v{self.index + 1:03d}"

    @property
    def administered_mbq(self) -> float:
        """The activity of the first therapy cycle in MBq."""
        return self.administered_by_cycle_mbq[0]

    def injected_mbq(self, cycle: int) -> float:
        """Return the activity of a therapy cycle (from 1) or of the PET (0) in MBq."""
        return self.administered_by_cycle_mbq[cycle - 1] if cycle else self.administered_pet_mbq

    def label_activities_mbq(self, time_h: float, lambda_per_h: float, *, cycle: int) -> dict[int, float]:
        """Return the activity of every label in MBq at `time_h`; lambda 0 leaves decay out."""
        fractions = self.course.fractions_at(time_h, lambda_per_h, cycle=cycle)
        injected = self.injected_mbq(cycle)
        parts = shares(self.anatomy, self.body, self.lesions)
        return {label: injected * amount for label, amount in per_label(fractions, parts).items()}

    def label_tia_mbq_h(self, lambda_per_h: float, *, cycle: int) -> dict[int, float]:
        """Return the time-integrated activity of every label in MBq.h at a therapy cycle."""
        coefficients = self.course.coefficients_h(lambda_per_h, cycle=cycle)
        parts = shares(self.anatomy, self.body, self.lesions)
        return {label: self.injected_mbq(cycle) * amount for label, amount in per_label(coefficients, parts).items()}

    def activity_map_mbq_per_ml(self, time_h: float, lambda_per_h: float, *, cycle: int) -> np.ndarray:
        """Return the activity concentration at `time_h`, MBq/mL, shape (z, y, x)."""
        amounts = self.label_activities_mbq(time_h, lambda_per_h, cycle=cycle)
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


def in_cycle(patient: VirtualPatient, cycle: int) -> VirtualPatient:
    """Return the patient as a later cycle finds him or her: the tumour has shrunk, every lesion by the same part."""
    if cycle == 1:
        return patient
    left = float(shrunk_ml(patient.latents, 1.0, cycle))
    lesions = [replace(lesion, volume_ml=lesion.volume_ml * left) for lesion in patient.lesions]
    spacing_mm = patient.anatomy.grid.spacing_mm[0]
    anatomy = anatomy_of(patient.latents, patient.body, lesions, spacing_mm)
    rng = stream(patient.seed, patient.index, "texture")
    textures = _textures(patient.latents, anatomy)
    pattern = textured(anatomy.labels, anatomy.relative_uptake, textures, spacing_mm, rng)
    return replace(patient, lesions=lesions, anatomy=anatomy, pattern=pattern)


def virtual_patient(
    seed: int,
    index: int,
    *,
    centres: tuple[str, ...],
    spacing_mm: float,
    difficulty: str,
    texture_coupling: float,
    ligand: str = "psma",
    cycles: int = 1,
    kinetics: str = "closed_form",
) -> VirtualPatient:
    """Return patient `index` (from 0) of the cohort with this seed; it does not depend on the cohort's size.

    Centres take turns. SettingsError when an organ does not fit into the body.
    """
    latents = draw_latents(seed, index)
    body = body_of(latents, LIGANDS[ligand])
    lesions = lesions_of(latents, float(body.tumour_volume_ml), ligand)
    anatomy = anatomy_of(latents, body, lesions, spacing_mm)
    masses_g, tumour_ml = organ_masses_g(anatomy), tumour_volume_ml(anatomy)
    habit = Habit(ligand, body, dict(masses_g), tumour_ml, texture_coupling, difficulty, cycles)
    rng = stream(seed, index, "texture")
    pattern = textured(anatomy.labels, anatomy.relative_uptake, _textures(latents, anatomy), spacing_mm, rng)
    centre = centres[index % len(centres)]
    return VirtualPatient(
        seed, index, ligand, centre, latents, body, lesions, anatomy, habit,
        habit.kinetics(latents), COURSES[kinetics](latents, habit), pattern,
        tuple(float(mbq) for mbq in administered_mbq(latents, cycles)), float(administered_pet_mbq(latents)),
    )  # fmt: skip
