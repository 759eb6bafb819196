"""Where the injected activity is at a time after injection, and its integral: closed forms of the tier-1 kinetics.

All functions return fractions of the injected activity (or h, per injected activity). With l = ln2 / half-life,

    organ      f(t) = U (exp(-(l_bio + l_phys) t) - exp(-(l_up + l_phys) t))
    remainder  f(t) = [(1 - sum U) exp(-l_R t) + sum U exp(-l_up t)] exp(-l_phys t)
    bladder    f(t) = (1 - sum U) [exp(-l_R max(t - tau, 0)) - exp(-l_R t)] exp(-l_phys t)

so the remainder holds what is still on its way into the organs, and the bladder what was excreted in the last
`tau` = 1 h (the patient voids before the scan). The sum never exceeds exp(-l_phys t).
"""

from collections.abc import Mapping

import numpy as np

from theradose.cohort.virtual.kinetics import KINETICS, Kinetics
from theradose.cohort.virtual.latents import Value

LN2 = float(np.log(2.0))
VOIDING_INTERVAL_H = 1.0
REMAINDER, BLADDER = "remainder", "bladder"


def fractions_at(kinetics: Kinetics, time_h: float, lambda_per_h: float, *, therapeutic: bool) -> dict[str, Value]:
    """Return the fraction of the injected activity in each organ, in `remainder` and in `bladder` at `time_h`.

    `lambda_per_h` is the decay constant of the radionuclide; 0 gives decay-corrected fractions.
    """
    uptake = kinetics.injection(therapeutic)
    found: dict[str, Value] = {}
    on_the_way: Value = 0.0
    for organ, fraction in uptake.items():
        arriving = np.exp(-LN2 / KINETICS[organ].uptake_half_time_h * time_h)
        found[organ] = fraction * (np.exp(-LN2 / kinetics.t_bio_h[organ] * time_h) - arriving)
        on_the_way = on_the_way + fraction * arriving
    free = _free(uptake)
    washout = LN2 / kinetics.remainder_t_bio_h
    found[REMAINDER] = free * np.exp(-washout * time_h) + on_the_way
    since = np.maximum(time_h - VOIDING_INTERVAL_H, 0.0)
    found[BLADDER] = free * (np.exp(-washout * since) - np.exp(-washout * time_h))
    decay = np.exp(-lambda_per_h * time_h)
    return {organ: fraction * decay for organ, fraction in found.items()}


def coefficients_h(kinetics: Kinetics, lambda_per_h: float, *, therapeutic: bool) -> dict[str, Value]:
    """Return the time-integrated activity coefficient in h of each organ, of `remainder` and of `bladder`.

    The integrals from 0 to infinity of `fractions_at`; an organ's is U (1 / l_eff - 1 / (l_up + l_phys)).
    """
    uptake = kinetics.injection(therapeutic)
    found: dict[str, Value] = {}
    on_the_way: Value = 0.0
    for organ, fraction in uptake.items():
        arriving = LN2 / KINETICS[organ].uptake_half_time_h + lambda_per_h
        found[organ] = fraction * (1.0 / (LN2 / kinetics.t_bio_h[organ] + lambda_per_h) - 1.0 / arriving)
        on_the_way = on_the_way + fraction / arriving
    free = _free(uptake)
    clearance = LN2 / kinetics.remainder_t_bio_h + lambda_per_h
    found[REMAINDER] = free / clearance + on_the_way
    late = np.exp(-lambda_per_h * VOIDING_INTERVAL_H)
    filling = (1.0 - late) / lambda_per_h
    found[BLADDER] = free * (filling + late / clearance - 1.0 / clearance)
    return found


def effective_half_life_h(t_bio_h: Value, half_life_h: float) -> Value:
    """Return T_b T_p / (T_b + T_p); 40 h with 177Lu (159.5 h) is 31.98 h."""
    return t_bio_h * half_life_h / (t_bio_h + half_life_h)


def _free(uptake: Mapping[str, Value]) -> Value:
    """Return the fraction that no organ takes up."""
    return 1.0 - sum(uptake.values())
