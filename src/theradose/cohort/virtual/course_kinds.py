"""The two tiers of kinetics behind one name each: the closed form, and the ODE with receptors and peptide mass."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from theradose.cohort.virtual.body import Body
from theradose.cohort.virtual.courses import ClosedForm, Course
from theradose.cohort.virtual.difficulty import DIFFICULTY
from theradose.cohort.virtual.kinetics import Kinetics, kinetics_of, receptors, shrunk_ml
from theradose.cohort.virtual.latents import Latents, Value
from theradose.cohort.virtual.ligands import LIGANDS
from theradose.cohort.virtual.ode import Injection, solve_course

PET_PEPTIDE_PART = 0.8
"""Peptide of a PET injection over the therapy's median. Real PET has a tenth; but the densities of the ODE are set at
the therapy's mass, and far below it glands and lesions would outshine the kidneys as they do in nobody."""

PEPTIDE_LOG_SD = 0.3
"""Spread of the peptide of a therapy between productions; the design's range is 50 to 250 ug."""


@dataclass(frozen=True)
class Habit:
    """What kinetics need to know of a patient besides the latents; masses in g are those of the label map."""

    ligand: str
    body: Body
    mass_g: dict[str, Value]
    tumour_volume_ml: Value
    texture_coupling: float
    difficulty: str
    cycles: int

    @property
    def least_drift_sd(self) -> float:
        """The least sd of the log drift of receptors."""
        return DIFFICULTY[self.difficulty].least_drift_sd

    def kinetics(self, latents: Latents) -> Kinetics:
        """Return the tier-1 kinetics."""
        return kinetics_of(
            latents, self.body, ligand=LIGANDS[self.ligand], mass_g=self.mass_g, cycles=self.cycles,
            tumour_volume_ml=self.tumour_volume_ml, texture_coupling=self.texture_coupling,
            least_drift_sd=self.least_drift_sd,
        )  # fmt: skip


def closed_form(latents: Latents, habit: Habit) -> Course:
    """Return the courses of tier 1."""
    return ClosedForm(habit.kinetics(latents))


def ode(latents: Latents, habit: Habit) -> Course:
    """Return the courses of tier 2: one solved injection for PET and for each cycle, with its peptide."""
    ligand, half_lives = LIGANDS[habit.ligand], habit.kinetics(latents).t_bio_h
    given_ug = ligand.peptide_ug * float(np.exp(PEPTIDE_LOG_SD * latents.z("peptide")))
    injections = [
        Injection(
            receptors={name: float(v) for name, v in receptors(latents, ligand, habit.least_drift_sd, cycle).items()},
            mass_g={name: float(mass) for name, mass in habit.mass_g.items()},
            tumour_volume_ml=float(shrunk_ml(latents, habit.tumour_volume_ml, cycle)),
            egfr_ml_min=float(habit.body.egfr_ml_min),
            t_bio_h={name: float(hours) for name, hours in half_lives.items()},
            peptide_ug=given_ug if cycle else PET_PEPTIDE_PART * ligand.peptide_ug,
        )
        for cycle in range(habit.cycles + 1)
    ]
    return solve_course(habit.ligand, injections)


# Every kind: (latents of one patient, habit) -> course. The closed form also takes the latents of many.
COURSES: dict[str, Callable[[Latents, Habit], Course]] = {"closed_form": closed_form, "ode": ode}
