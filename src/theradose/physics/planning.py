"""The highest activity per cycle that keeps every organ at risk below its limit with a stated probability.

Of each organ one knows a prediction of its dose per activity, x (Gy/GBq), as a distribution; what earlier cycles gave;
and a limit on dose or BED over all cycles. In the n cycles to come activity A is given each time. The cycles repeat one
another: the organ's x is the same in all of them (fully correlated, the cautious reading for p below one half; were
they independent, errors would average out). With d = A x per cycle the limit is met when
    d + d^2 G / (alpha/beta) <= (limit - given) / n          (a limit on dose: G = 0)
which is d <= d*, a number without A. So P(limit exceeded) = P(x > d*/A), and the highest activity is d* / q, q the
(1 - p) quantile of x. A spread found from n residuals is itself uncertain: the score of x is then Student's t with n
degrees of freedom instead of normal. Each organ is held to p by itself, or all organs jointly: the probability that any
limit is exceeded is at most the sum over organs, whatever ties their errors together, and that sum is held to p.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from theradose.errors import DataError, SettingsError, Where
from theradose.physics.limits import LIMITS, constant, has_constant
from theradose.physics.radiobiology import bed_gy, bed_over_cycles_gy, dose_at_bed_gy, g_factor_single, require
from theradose.vocabulary import LESIONS

# The prediction over its centre, for a relative standard deviation s. Log-normal: the centre is the median, sigma of
# the logarithm sqrt(ln(1 + s^2)), so that s is standard deviation over mean. Normal: the centre is the mean.
# Each as two functions of s: ratio to the centre from a standard normal score, and back.
DISTRIBUTIONS: dict[str, tuple[Callable[[float, float], float], Callable[[float, float], float]]] = {
    "lognormal": (lambda z, s: math.exp(z * _sigma(s)), lambda ratio, s: math.log(ratio) / _sigma(s)),
    "normal": (lambda z, s: 1.0 + z * s, lambda ratio, s: (ratio - 1.0) / s),
}
# Own choices: above, the number is a percentage or a slip.
HIGHEST_RELATIVE_STD, HIGHEST_CYCLES = 2.0, 100
SAME = 1e-12  # a certain dose at its limit does not exceed it by a rounding error
TARGET = "target"


def _sigma(relative_std: float) -> float:
    """Return the standard deviation of the logarithm of a log-normal number."""
    return math.sqrt(math.log1p(relative_std**2))


@dataclass(frozen=True)
class OrganRisk:
    """An organ in the plan: predicted dose per activity, limit, radiobiology, what earlier cycles gave.

    `kind` is `bed`, `dose`, or `target` for a lesion, which has no limit. Without radiobiology alpha/beta is infinite.
    `residuals` is how many errors `relative_std` was found from; infinite when it is known.
    """

    organ: str
    dose_gy_per_gbq: float
    relative_std: float = 0.0
    limit_gy: float = math.inf
    kind: str = TARGET
    g: float = 0.0
    alpha_beta_gy: float = math.inf
    given_dose_gy: float = 0.0
    given_bed_gy: float = 0.0
    distribution: str = "lognormal"
    residuals: float = math.inf

    def allowed_dose_gy(self, cycles: int) -> float:
        """Return d*, the highest dose in Gy of one coming cycle; DataError when nothing is left of the limit."""
        given = self.given_bed_gy if self.kind == "bed" else self.given_dose_gy
        if given >= self.limit_gy:
            raise DataError(
                f"earlier cycles have used up the {self.kind} limit of {self.organ}",
                where=Where(field=f"limit_{self.kind}_gy"),
                got=f"{given:.4g} Gy given",
                expected=f"less than {self.limit_gy:g} Gy",
                code="limit_exceeded",
            )
        left = (self.limit_gy - given) / cycles
        return dose_at_bed_gy(left, self.g, self.alpha_beta_gy) if self.kind == "bed" else left

    def activity_limit_gbq(self, cycles: int, probability: float) -> float:
        """Return the activity per cycle in GBq at which the limit is exceeded with `probability`: d* / quantile."""
        ratio_of = DISTRIBUTIONS[self.distribution][0]
        quantile = ratio_of(-float(stdtrit(self.residuals, probability)), self.relative_std)
        require(quantile > 0, f"quantile of {self.organ}", quantile, "a dose above zero: use lognormal")
        return self.allowed_dose_gy(cycles) / (self.dose_gy_per_gbq * quantile)

    def exceedance(self, activity_gbq: float, cycles: int) -> float:
        """Return the probability (1) that `cycles` of `activity_gbq` each break the limit."""
        ratio = self.allowed_dose_gy(cycles) / (activity_gbq * self.dose_gy_per_gbq)
        if not self.relative_std:
            return float(ratio < 1.0 - SAME)
        return float(stdtr(self.residuals, -DISTRIBUTIONS[self.distribution][1](ratio, self.relative_std)))

    def total_dose_gy(self, activity_gbq: float, cycles: int) -> float:
        """Return the predicted dose in Gy of earlier and coming cycles together."""
        return self.given_dose_gy + cycles * activity_gbq * self.dose_gy_per_gbq

    def total_bed_gy(self, activity_gbq: float, cycles: int) -> float:
        """Return the predicted BED in Gy of earlier and coming cycles together; NaN without radiobiology."""
        each = bed_gy(activity_gbq * self.dose_gy_per_gbq, self.g, self.alpha_beta_gy)
        return self.given_bed_gy + cycles * float(each) if math.isfinite(self.alpha_beta_gy) else math.nan


@dataclass(frozen=True)
class ActivityPlan:
    """The activity per cycle in GBq and what holds it there: an organ's limit, or, when empty, the cap."""

    activity_gbq: float
    total_gbq: float
    binding_organ: str
    limits_gbq: tuple[float, ...]
    binding_kind: str = ""


def any_exceedance(organs: Sequence[OrganRisk], activity_gbq: float, cycles: int) -> float:
    """Return the most (1) that the probability of exceeding any organ's limit can be: the sum over organs, at most 1.

    It holds however the organs' errors hang together. An organ with several limits counts once, with the strictest.

    >>> marrow, liver = OrganRisk("marrow", 0.03, 0.3, 2.0, "dose"), OrganRisk("liver", 0.5, 0.3, 30.0, "dose")
    >>> [round(any_exceedance(some, 10.284, 4), 3) for some in ([marrow], [marrow, marrow], [marrow, liver])]
    [0.05, 0.05, 0.149]
    """
    worst: dict[str, float] = {}
    for organ in organs:
        worst[organ.organ] = max(worst.get(organ.organ, 0.0), organ.exceedance(activity_gbq, cycles))
    return min(sum(worst.values()), 1.0)


def _joint_limit_gbq(organs: Sequence[OrganRisk], cycles: int, probability: float, lowest_gbq: float) -> float:
    """Return the activity at which the organs together reach `probability`; `lowest_gbq` is where the first does."""

    def above(activity_gbq: float) -> float:
        return any_exceedance(organs, activity_gbq, cycles) - probability

    if above(lowest_gbq) <= SAME:
        return lowest_gbq
    part = probability / (2 * len(organs))  # where each has this much, all have less than `probability`
    return float(brentq(above, min(organ.activity_limit_gbq(cycles, part) for organ in organs), lowest_gbq))


def plan_activity(
    organs: Sequence[OrganRisk],
    *,
    cycles: int,
    probability: float,
    max_activity_gbq: float = math.inf,
    joint: bool = False,
) -> ActivityPlan:
    """Return the highest equal activity per cycle with P(limit exceeded) <= `probability` at every organ.

    `joint`: with P(any limit exceeded) <= `probability`, as `any_exceedance` bounds it. The plan says which organ
    binds; `limits_gbq` holds each organ's own highest activity, in the order of `organs`.
    DataError when a number cannot be or (code `limit_exceeded`) earlier cycles used up a limit; SettingsError
    (`no_limit`) when nothing bounds the activity.

    >>> kidneys = OrganRisk("kidneys", 0.5, 0.2, 40.0, "bed", g=0.053030, alpha_beta_gy=2.6)
    >>> marrow = OrganRisk("marrow", 0.03, 0.3, 2.0, "dose")
    >>> plan = plan_activity([kidneys, marrow], cycles=4, probability=0.05)
    >>> plan.binding_organ, round(plan.activity_gbq, 2)
    ('marrow', 10.28)
    >>> round(plan_activity([kidneys], cycles=4, probability=0.05).activity_gbq, 2)
    12.3
    >>> round(plan_activity([kidneys, marrow], cycles=4, probability=0.05, joint=True).activity_gbq, 2)
    10.15
    """
    whole = 1 <= cycles <= HIGHEST_CYCLES and int(cycles) == cycles
    require(whole, "cycles", cycles, f"a whole number from 1 to {HIGHEST_CYCLES}")
    require(0 < probability < 1, "probability", probability, "between 0 and 1")
    require(max_activity_gbq > 0, "max_activity_gbq", max_activity_gbq, "above zero, GBq")
    for organ in organs:
        require(0 < organ.dose_gy_per_gbq < math.inf, "dose_gy_per_gbq", organ.dose_gy_per_gbq, "above zero, Gy/GBq")
        std, highest = organ.relative_std, HIGHEST_RELATIVE_STD
        require(0 <= std <= highest, "relative_std", std, f"0 to {highest:g}, a part of the prediction, not per cent")
        require(organ.limit_gy > 0, "limit_gy", organ.limit_gy, "above zero, Gy")
        require(min(organ.given_dose_gy, organ.given_bed_gy) >= 0, "given_gy", organ.given_bed_gy, "not negative, Gy")
        require(organ.residuals >= 1, "residuals", organ.residuals, "at least 1")
        require(organ.distribution in DISTRIBUTIONS, "distribution", organ.distribution, f"one of {[*DISTRIBUTIONS]}")
    limits = tuple(organ.activity_limit_gbq(cycles, probability) for organ in organs)
    lowest = min(limits, default=math.inf)
    held = _joint_limit_gbq(organs, cycles, probability, lowest) if joint and lowest < math.inf else lowest
    activity = min(held, max_activity_gbq)
    if math.isinf(activity):
        raise SettingsError(
            "nothing bounds the activity",
            remedy="name an organ at risk, or the highest activity that may be given",
            code="no_limit",
        )
    if held > max_activity_gbq:
        return ActivityPlan(activity, cycles * activity, "", limits)
    binding = organs[limits.index(lowest)]
    return ActivityPlan(activity, cycles * activity, binding.organ, limits, binding.kind)


def _kinds(organ: str, own: Mapping[str, float], case: str) -> list[str]:
    """Return the kinds of limit that hold for an organ: the chosen ones and that of the table."""
    usual = next((kind for kind, name in LIMITS.items() if has_constant(organ, name, case)), "")
    kinds = [kind for kind, name in LIMITS.items() if name in own or kind == usual]
    return kinds or [TARGET if organ == LESIONS else "dose"]


def organ_risks(
    organ: str,
    dose_gy_per_gbq: float,
    *,
    relative_std: float = 0.0,
    distribution: str = "lognormal",
    case: str = "standard",
    t_eff_h: float | None = None,
    given_gy: Sequence[float] = (),
    given_bed_gy: float | None = None,
    chosen: Mapping[str, float] | None = None,
    residuals: float = math.inf,
) -> list[OrganRisk]:
    """Return an organ with its limits and constants, from `chosen` or else from the table of limits.

    `chosen` may hold limit_bed_gy, limit_dose_gy, alpha_beta_gy, t_repair_h. The table's limit, on BED or on dose where
    there is none on BED, counts too unless one of its kind is chosen: the organ is held to all. Lesions without a
    chosen limit are targets. `given_gy` is the dose of each earlier cycle, with the same half-life; `given_bed_gy`
    takes its place where only BED counts. SettingsError when the table has no such number, when (`missing_t_eff`) a
    BED limit comes without `t_eff_h`, or (`wrong_given`) earlier cycles are given twice, or as BED to a limit on dose.

    >>> [risk] = organ_risks("kidneys", 0.5, t_eff_h=50.0, given_gy=[5.75, 5.75])
    >>> risk.kind, risk.limit_gy, round(risk.given_bed_gy, 2)
    ('bed', 40.0, 12.85)
    """
    own = dict(chosen or {})

    def value(name: str) -> float:
        return own[name] if name in own else constant(organ, name, case).value

    kinds = _kinds(organ, own, case)
    if given_bed_gy is not None and (given_gy or "dose" in kinds):
        raise SettingsError(
            f"the earlier cycles of {organ} " + ("are given twice" if given_gy else "need doses for its limit on dose"),
            where=Where(field="given_bed_gy"),
            remedy="give --given-gy only, once for each earlier cycle",
            code="wrong_given",
        )
    if "bed" in kinds and t_eff_h is None:
        raise SettingsError(
            f"the BED limit of {organ} needs its effective half-life",
            where=Where(field="t_eff_h"),
            expected="h",
            remedy=f"give --t-eff-h {organ}=...",
            code="missing_t_eff",
        )
    g, alpha_beta_gy = 0.0, math.inf
    names = ("alpha_beta_gy", "t_repair_h")
    if t_eff_h is not None and ("bed" in kinds or all(n in own or has_constant(organ, n, case) for n in names)):
        g, alpha_beta_gy = g_factor_single(t_eff_h, value("t_repair_h")), value("alpha_beta_gy")
    earlier = float(bed_over_cycles_gy(np.asarray(given_gy, float), g, alpha_beta_gy)) if given_gy else 0.0
    return [
        OrganRisk(
            organ, dose_gy_per_gbq, relative_std, math.inf if kind == TARGET else value(LIMITS[kind]), kind, g,
            alpha_beta_gy, float(sum(given_gy)), earlier if given_bed_gy is None else given_bed_gy, distribution,
            residuals,
        )
        for kind in kinds
    ]  # fmt: skip
