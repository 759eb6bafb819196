"""The smallest possible error of every target, organ and difficulty, in several ways that must agree.

closed_form: error budget; asymptotic: the best of models trained on tens of thousands of patients; resimulated:
spread of dose over therapies of the same patient; ladder: with hidden causes revealed. One limit per information set
and per reference: against labels from SPECT, whose log error `label_log_sd` is independent, s^2 grows by its square.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from theradose.cohort.virtual.asymptotic import Asymptote, ladder, learned
from theradose.cohort.virtual.exposures import exposure_of_many
from theradose.cohort.virtual.floors import budget, floor_mape
from theradose.cohort.virtual.latents import draw_many
from theradose.cohort.virtual.ligands import LIGANDS
from theradose.cohort.virtual.observables import INFORMATION, Clinic, observables
from theradose.cohort.virtual.outcome_scores import (
    LATENCY_FLOOR,
    bayes_auc,
    brier_floor,
    expected_auc,
    literal_latency_floor,
)
from theradose.cohort.virtual.outcomes import impairment_probability, latency_of, log_latency, probabilities
from theradose.cohort.virtual.resimulation import another_therapy, within_log_sd
from theradose.cohort.virtual.tier_one import TierOne, tier_one_of
from theradose.physics.nuclides import nuclide
from theradose.vocabulary import OUTCOME_EVENTS

Array = NDArray[np.float64]
PLANTED, LABEL = "planted", "label"
THERAPIES = 20


@dataclass(frozen=True)
class World:
    """The virtual world a limit holds for."""

    ligand: str
    radionuclide: str
    texture_coupling: float
    clinic: Clinic
    seed: int = 20260115

    def organs(self) -> tuple[str, ...]:
        """Return the organs that have a limit."""
        return tuple(LIGANDS[self.ligand].organs)

    def cohort(self, patients: int, cycles: int = 1) -> TierOne:
        """Return patients of this world; the last one asked for is kept."""
        return _kept(self, patients, cycles)

    def again(self, patients: int, therapy: int | None, cycles: int = 1) -> TierOne:
        """Return the same patients, with another therapy drawn when it has a number."""
        latents = draw_many(self.seed, patients)
        return tier_one_of(
            latents if therapy is None else another_therapy(latents, self.seed, therapy), ligand=self.ligand,
            radionuclide=self.radionuclide, texture_coupling=self.texture_coupling, cycles=cycles,
            difficulty=self.clinic.difficulty,
        )  # fmt: skip


@lru_cache(maxsize=1)
def _kept(world: World, patients: int, cycles: int) -> TierOne:
    """Return patients of a world."""
    return world.again(patients, None, cycles)


@dataclass(frozen=True)
class Limit:
    """A limit: how it was found, for which information set, spread of log dose and smallest MAPE (fractions)."""

    way: str
    information: str
    log_sd: float
    mape: float


def closed_form(world: World, organ: str, information: str) -> dict[str, float]:
    """Return the error budget of an organ, averaged (in variance) over the centres; see `floors.budget`."""
    parts = []
    for view in world.clinic.views(organ):
        told = {"table": 0.0, "log": view.texture_r2, "image": 1.0}[information]
        parts.append(
            budget(
                world.ligand, organ, half_life_h=nuclide(world.radionuclide).half_life_h,
                difficulty=world.clinic.difficulty, texture_known=world.texture_coupling**2 * told,
                pet_log_sd=0.0 if information == "image" else view.log_sd,
            )
        )  # fmt: skip
    return {name: float(np.sqrt(np.mean([part[name] ** 2 for part in parts]))) for name in parts[0]}


def asymptotic(world: World, organ: str, information: str, patients: int) -> dict[str, Asymptote]:
    """Return what models trained on two thirds of `patients` leave, by model."""
    cohort = world.cohort(patients)
    x = observables(cohort, world.clinic, information, world.seed)
    return learned(x, np.log(np.asarray(cohort.dose_gy_per_gbq[organ][0])))


def oracle_ladder(world: World, organ: str, patients: int) -> dict[str, Asymptote]:
    """Return what is left when hidden causes are revealed one after the other."""
    return ladder(world.cohort(patients), organ, world.clinic, world.seed)


@lru_cache(maxsize=1)
def _within(world: World, patients: int, therapies: int) -> dict[str, float]:
    """Return organ -> spread of log dose over therapies of the same patient."""
    runs = [world.again(patients, number).dose_gy_per_gbq for number in range(therapies)]
    return {organ: within_log_sd(np.array([run[organ][0] for run in runs])) for organ in world.organs()}


def resimulated(world: World, organ: str, patients: int, therapies: int = THERAPIES) -> Limit:
    """Return the limit of any model of images, over `therapies` of each patient."""
    spread = _within(world, patients, therapies)[organ]
    return Limit("resimulated", "image", spread, float(floor_mape(spread)))


def dose_limits(world: World, organ: str, patients: int = 60000) -> list[Limit]:
    """Return the limits of the dose per activity of an organ against the planted truth, by information set and way."""
    found = []
    for information in INFORMATION:
        spread = closed_form(world, organ, information)["total"]
        found.append(Limit("closed_form", information, spread, float(floor_mape(spread))))
        if information != "image":
            best = min(asymptotic(world, organ, information, patients).values(), key=lambda one: one.log_sd)
            found.append(Limit("asymptotic", information, best.log_sd, best.mape))
    return [*found, resimulated(world, organ, patients // 20)]


def against_label(found: list[Limit], label_log_sd: float) -> list[Limit]:
    """Return the limits of a score against labels, whose log error of `label_log_sd` adds in quadrature."""
    spreads = [float(np.hypot(one.log_sd, label_log_sd)) for one in found]
    return [Limit(one.way, one.information, s, float(floor_mape(s))) for one, s in zip(found, spreads, strict=True)]


def _chances(cohort: TierOne, preset: str) -> tuple[dict[str, Array], Array]:
    """Return the planted chances of events and of kidney impairment, and the mean log latency, of many patients."""
    exposure = exposure_of_many(cohort)
    chances = {name: np.asarray(p) for name, p in probabilities(exposure, preset).items()}
    chances["impairment"] = np.asarray(impairment_probability(exposure, cohort.body.egfr_ml_min, preset))
    return chances, np.asarray(log_latency(exposure))


def outcome_limits(
    world: World, *, patients: int = 20000, cycles: int = 4, preset: str = "default", therapies: int = THERAPIES
) -> dict[str, dict[str, float]]:
    """Return, per event, prevalence, best AUC and Brier score; for latency the best RMSE of its logarithm.

    `known`: all doses and risks known. `image`: everything before therapy known, chances averaged over therapies.
    """
    cohort = world.cohort(patients, cycles)
    known, log_time = _chances(cohort, preset)
    seen = latency_of(exposure_of_many(cohort), cohort.latents.z("latency"), cohort.latents.z("dropout"))
    again = [_chances(world.again(patients, number, cycles), preset) for number in range(therapies)]
    found = {}
    for name in (*OUTCOME_EVENTS, "impairment"):
        before = np.mean([chances[name] for chances, _ in again], axis=0)
        found[name] = {
            "prevalence": float(known[name].mean()),
            "auc_known": bayes_auc(known[name]),
            "auc_image": expected_auc(known[name], before),
            "brier_known": brier_floor(known[name]),
            "brier_image": float(np.mean(known[name] * (1 - before) ** 2 + (1 - known[name]) * before**2)),
        }
    within = float(np.var([time for _, time in again], axis=0, ddof=1).mean())
    found["latency"] = {
        "log_rmse_known": LATENCY_FLOOR,
        "log_rmse_image": float(np.hypot(LATENCY_FLOOR, np.sqrt(within))),
        "log_rmse_uncensored_known": literal_latency_floor(log_time, seen.time_months, seen.observed),
        "median_months": float(np.exp(np.median(log_time))),
    }
    return found
