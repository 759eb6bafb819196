"""Where the injected activity is at a time after injection, and its integral: closed forms of the tier-1 kinetics.

`ClosedForm` returns fractions of the injected activity (or h, per injected activity). With l = ln2 / half-life, U the
uptake fractions (they add up to 1), x the excreted part and r the remainder,

    organ      f(t) = U (exp(-(l_bio + l_phys) t) - exp(-(l_up + l_phys) t))
    remainder  f(t) = [U_r exp(-l_r t) + U_x exp(-l_x t) + sum over organs U exp(-l_up t)] exp(-l_phys t)
    bladder    f(t) = U_x [exp(-l_x max(t - tau, 0)) - exp(-l_x t)] exp(-l_phys t)

so the remainder holds what is still on its way into the organs, and the bladder what was excreted in the last
`tau` = 1 h (the patient voids before the scan). The sum never exceeds exp(-l_phys t).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from theradose.cohort.virtual.kinetics import EXCRETED, REMAINDER, Kinetics
from theradose.cohort.virtual.latents import Value

LN2 = float(np.log(2.0))
VOIDING_INTERVAL_H = 1.0
BLADDER = "bladder"


class Course(Protocol):
    """Where the activity of an injection is: `cycle` counts therapy cycles from 1, 0 is the diagnostic injection."""

    def fractions_at(self, time_h: float, lambda_per_h: float, *, cycle: int) -> Mapping[str, Value]:
        """Return the fraction of the injected activity in each organ, in `remainder` and in `bladder` at `time_h`.

        `lambda_per_h` is the decay constant of the radionuclide; 0 gives decay-corrected fractions.
        """

    def coefficients_h(self, lambda_per_h: float, *, cycle: int) -> Mapping[str, Value]:
        """Return the time-integrated activity coefficient in h of each organ, of `remainder` and of `bladder`."""


@dataclass(frozen=True)
class ClosedForm:
    """The courses of tier 1, for one patient or for many at once."""

    kinetics: Kinetics

    def fractions_at(self, time_h: float, lambda_per_h: float, *, cycle: int) -> dict[str, Value]:
        """Return the fractions of the module's formulas."""
        kinetics, uptake = self.kinetics, self.kinetics.injection(cycle)
        kept = {name: np.exp(-LN2 / t_bio_h * time_h) for name, t_bio_h in kinetics.t_bio_h.items()}
        found: dict[str, Value] = {}
        on_the_way: Value = 0.0
        for organ, half_time_h in kinetics.uptake_half_time_h.items():
            arriving = np.exp(-LN2 / half_time_h * time_h)
            found[organ] = uptake[organ] * (kept[organ] - arriving)
            on_the_way = on_the_way + uptake[organ] * arriving
        found[REMAINDER] = uptake[REMAINDER] * kept[REMAINDER] + uptake[EXCRETED] * kept[EXCRETED] + on_the_way
        voided_h = max(time_h - VOIDING_INTERVAL_H, 0.0)
        found[BLADDER] = uptake[EXCRETED] * (np.exp(-LN2 / kinetics.t_bio_h[EXCRETED] * voided_h) - kept[EXCRETED])
        decay = np.exp(-lambda_per_h * time_h)
        return {organ: fraction * decay for organ, fraction in found.items()}

    def coefficients_h(self, lambda_per_h: float, *, cycle: int) -> dict[str, Value]:
        """Return the integrals of `fractions_at` from 0 to infinity; an organ's is U (1/l_eff - 1/(l_up + l_phys))."""
        kinetics, uptake = self.kinetics, self.kinetics.injection(cycle)
        stay_h = {name: 1.0 / (LN2 / t_bio_h + lambda_per_h) for name, t_bio_h in kinetics.t_bio_h.items()}
        found: dict[str, Value] = {}
        on_the_way: Value = 0.0
        for organ, half_time_h in kinetics.uptake_half_time_h.items():
            arriving_h = 1.0 / (LN2 / half_time_h + lambda_per_h)
            found[organ] = uptake[organ] * (stay_h[organ] - arriving_h)
            on_the_way = on_the_way + uptake[organ] * arriving_h
        found[REMAINDER] = uptake[REMAINDER] * stay_h[REMAINDER] + uptake[EXCRETED] * stay_h[EXCRETED] + on_the_way
        late = np.exp(-lambda_per_h * VOIDING_INTERVAL_H)
        filling_h = (1.0 - late) / lambda_per_h
        found[BLADDER] = uptake[EXCRETED] * (filling_h - (1.0 - late) * stay_h[EXCRETED])
        return found


def effective_half_life_h(t_bio_h: Value, half_life_h: float) -> Value:
    """Return T_b T_p / (T_b + T_p); 40 h with 177Lu (159.5 h) is 31.98 h."""
    return t_bio_h * half_life_h / (t_bio_h + half_life_h)
