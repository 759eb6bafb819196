"""The plan for a new patient: predicted organ doses with the errors their model made out of fold, beside the limits."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from theradose.errors import DataError
from theradose.models.conformal import log_spread
from theradose.models.organ_dose import RESIDUALS
from theradose.models.store import Trained
from theradose.physics.limits import LIMITS, constants, has_constant
from theradose.physics.planning import ActivityPlan, OrganRisk, organ_risks, plan_activity
from theradose.sections import POPULATION_T_EFF_H
from theradose.vocabulary import LESIONS

# Own choice: below, the spread is a guess, and Student's quantile rests on its shape alone.
FEWEST_RESIDUALS = 5
# The radionuclide that the declared half-lives of the population belong to.
HALF_LIVES_OF = "Lu-177"


@dataclass(frozen=True)
class PlanRequest:
    """What is asked for: cycles of equal activity (cap in GBq), and the probability (1) of exceeding limits, at most.

    `joint`: of exceeding any of them. By organ: `t_eff_h` in h, `given_gy` (one for each earlier cycle, Gy), and
    `chosen` constants as `organ_risks` takes them. `case` of the table of limits.
    """

    cycles: int = 1
    probability: float = 0.05
    joint: bool = False
    max_activity_gbq: float = math.inf
    case: str = "standard"
    t_eff_h: Mapping[str, float] = field(default_factory=dict)
    given_gy: Mapping[str, Sequence[float]] = field(default_factory=dict)
    chosen: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def has_limit(self, organ: str) -> bool:
        """Tell whether an organ has a limit, in the table or of one's own."""
        own = self.chosen.get(organ, {})
        return any(
            name in own or (organ != LESIONS and has_constant(organ, name, self.case)) for name in LIMITS.values()
        )


@dataclass(frozen=True)
class PatientPlan:
    """A patient's plan, the risks it rests on, and the organs that it leaves out.

    `assumed_t_eff_h`: half-lives in h that nobody gave. `without_limit`: predicted organs that nothing limits.
    `not_predicted`: organs with a limit that the model does not know.
    """

    request: PlanRequest
    risks: tuple[OrganRisk, ...]
    plan: ActivityPlan
    assumed_t_eff_h: Mapping[str, float]
    without_limit: tuple[str, ...]
    not_predicted: tuple[str, ...]


def _doubts(row: Mapping[Hashable, Any], residuals: int) -> list[str]:
    """Return why nothing can be planned from a prediction."""
    few = f"{residuals} out-of-fold errors are too few" if residuals < FEWEST_RESIDUALS else ""
    return [*row["reasons"], *([few] if few else [])]


def _half_life_h(
    organ: str, request: PlanRequest, radionuclide: str, of_the_study: Mapping[str, float]
) -> tuple[float | None, bool]:
    """Return an organ's effective half-life in h, and whether it is one that the population is declared to have.

    For Lu-177, what the study of the model has declared goes before what stands otherwise.
    """
    if organ in request.t_eff_h:
        return request.t_eff_h[organ], False
    declared = {**POPULATION_T_EFF_H, **of_the_study}.get(organ) if radionuclide == HALF_LIVES_OF else None
    return declared, declared is not None


def _risks(
    trained: Trained, row: Mapping[Hashable, Any], request: PlanRequest, t_eff_h: float | None
) -> list[OrganRisk]:
    """Return the risks of one predicted organ: log-normal about the median, spread of the out-of-fold log errors."""
    organ, residuals = str(row["voi"]), trained.calibration[str(row["voi"])][RESIDUALS]
    return organ_risks(
        organ,
        float(row["median_gy_per_gbq"]),
        relative_std=math.sqrt(math.expm1(log_spread(residuals) ** 2)),
        residuals=float(len(residuals)),
        case=request.case,
        t_eff_h=t_eff_h,
        given_gy=request.given_gy.get(organ, ()),
        chosen=request.chosen.get(organ, {}),
    )


def plan_patient(trained: Trained, predicted: pd.DataFrame, request: PlanRequest, *, radionuclide: str) -> PatientPlan:
    """Return the highest activity per cycle for one patient, from the rows of `predict_new`.

    Lesions have no limit unless one is chosen. An organ without `t_eff_h` takes the half-life that the study of the
    model has declared (on its card), or the population's of Lu-177. DataError (THR-435) when an organ with a limit is
    in doubt or has no number, for then its limit cannot be kept; otherwise errors as `plan_activity`, `organ_risks`.
    """
    rows = {str(row["voi"]): row for row in predicted.to_dict("records")}
    doubts = {organ: _doubts(row, len(trained.calibration[organ][RESIDUALS])) for organ, row in rows.items()}
    limited = [organ for organ in rows if request.has_limit(organ)]
    in_doubt = [f"{organ}: {'; '.join(doubts[organ])}" for organ in limited if doubts[organ]]
    if in_doubt:
        raise DataError(
            "the dose of organs at risk is in doubt, so nothing is planned",
            got=", ".join(in_doubt),
            remedy="look at the images and the inputs, or plan from doses of your own (--dose-gy-per-gbq)",
            code="THR-435",
        )
    lesions = [LESIONS] if LESIONS in rows and LESIONS not in limited and not doubts[LESIONS] else []
    ours = trained.card.get("t_eff_h", {})
    half_lives = {organ: _half_life_h(organ, request, radionuclide, ours) for organ in [*limited, *lesions]}
    risks = [risk for organ, (hours, _) in half_lives.items() for risk in _risks(trained, rows[organ], request, hours)]
    found = plan_activity(
        risks,
        cycles=request.cycles,
        probability=request.probability,
        max_activity_gbq=request.max_activity_gbq,
        joint=request.joint,
    )
    used = {risk.organ for risk in risks if risk.g}
    assumed = {organ: hours for organ, (hours, guess) in half_lives.items() if guess and hours and organ in used}
    without = tuple(organ for organ in rows if organ not in limited and organ != LESIONS)
    return PatientPlan(request, tuple(risks), found, assumed, without, not_predicted(list(rows), request))


def not_predicted(organs: Sequence[str], request: PlanRequest) -> tuple[str, ...]:
    """Return the organs of the table of limits that a plan for `organs` cannot protect."""
    listed = dict.fromkeys(organ for organ, _, _ in constants())
    return tuple(organ for organ in listed if organ not in organs and request.has_limit(organ))
