"""When to scan: the smallest mean error of the TIA that a schedule leaves, whatever method reads it.

The activity of a patient at time t, with noise of log-sd sigma that is new in each scan, is

    log A(t) = a + log f(t; lambda) + e,   a ~ N(0, 0.5^2),  log lambda ~ N(log(ln 2 / T), s_T^2),  e ~ N(0, sigma^2)

with f of `kinetic_models`, so log TIA = a - log lambda without an uptake phase. A schedule is judged before anything is
measured: the smallest E|d / TIA - 1| that an estimate d can have, averaged over what may be measured (Gauss-Hermite
nodes of lambda, a and e). The best d is the median, weighted with 1/TIA, of the posterior of `population_prior`
(quadrature over log lambda, a in closed form). Where that posterior of log TIA is normal with sd s, the error is
erf(s / sqrt 2).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from theradose.physics.kinetic_fit import Rates
from theradose.physics.kinetic_models import NO_UPTAKE, Array, shape
from theradose.physics.kinetic_tia import LATEST_H
from theradose.physics.population_prior import REACH, PopulationPrior, posterior
from theradose.physics.radiobiology import require

AMPLITUDE_LOG_SD = 0.5  # of a: the design's spread of the amplitude between patients
# Effective half-life in h and its log-sd between patients: the design's table of time points.
POPULATIONS = {"kidneys psma": (32.0, 0.16), "kidneys dotatate": (48.0, 0.20), "lesions": (60.0, 0.34)}
CANDIDATES_H = (4.0, 24.0, 48.0, 72.0, 96.0, 120.0, 168.0)
EARLIEST_SAFE_H = 24.0  # the design: before it an uptake phase that nobody has measured still shows
MOST_SCANS = 3
NODES, WEIGHTS = hermegauss(5)  # seven nodes change no floor of the design's table by 0.002 percentage points
LEAST_CHANGE = 0.03  # what moves a scan by less, in parts of its noise, tells nothing about lambda
SLOWEST_PER_H = 1e-9  # half-lives are log-normal: no physical decay bounds them


@dataclass(frozen=True)
class Target:
    """What is scanned: median effective half-life (h), its log-sd, noise of a scan (relative), uptake half-time (h).

    The uptake half-time is effective and taken as known. DataError (impossible_value) for numbers that cannot be.
    """

    t_eff_h: float
    t_eff_sd: float
    noise: float
    uptake_half_time_h: float | None = None

    def __post_init__(self) -> None:
        require(0 < self.t_eff_h < math.inf, "t_eff_h", self.t_eff_h, "above 0 h")
        require(self.t_eff_sd > 0, "t_eff_sd", self.t_eff_sd, "above 0")
        require(0 < self.noise < 1, "noise", self.noise, "a part of the activity, above 0 and below 1")
        uptake_h = self.uptake_half_time_h
        require(uptake_h is None or uptake_h > 0, "uptake_half_time_h", uptake_h, "above 0 h")

    @property
    def prior(self) -> PopulationPrior:
        """The distribution of constant and amplitude."""
        return PopulationPrior(math.log(2.0) / self.t_eff_h, self.t_eff_sd, "effective", 1.0, AMPLITUDE_LOG_SD)

    @property
    def rates(self) -> Rates:
        """The known constants in 1/h."""
        half_time_h = self.uptake_half_time_h
        return Rates(SLOWEST_PER_H, NO_UPTAKE if half_time_h is None else math.log(2.0) / half_time_h)


@dataclass(frozen=True)
class Schedule:
    """Times of scans to come (h), smallest mean absolute relative error of the TIA, mean posterior sd of log TIA."""

    times_h: tuple[float, ...]
    floor: float
    log_tia_sd: float


def predicted(time_h: Array, target: Target) -> tuple[Array, Array]:
    """Return nodes (N, n) of the log activities that n scans at `time_h` may measure, and their weights (N,).

    Noise that no lambda and no amplitude can cause says nothing, so it is left out: e is drawn along the mean of all
    scans and along the directions in which log f changes with lambda, of which there is one without an uptake phase.

    >>> y, weight = predicted(np.array([0.0]), Target(32.0, 0.2, noise=0.1))
    >>> round(float(weight @ y[:, 0] ** 2), 6)   # 0.5^2 + 0.1^2
    0.26
    """
    rate = target.prior.lambda_per_h * np.exp(target.t_eff_sd * NODES)
    log_f = np.log(shape(time_h, rate[:, None], target.rates.uptake))
    change = log_f - log_f.mean(axis=0)
    _, size, axes = np.linalg.svd(change - change.mean(axis=1, keepdims=True), full_matrices=False)
    common = np.full(time_h.size, math.sqrt(target.noise**2 / time_h.size + AMPLITUDE_LOG_SD**2))
    axes = np.vstack([common, target.noise * axes[size > LEAST_CHANGE * target.noise]])
    at = np.array(list(product(range(NODES.size), repeat=1 + len(axes))))
    return log_f[at[:, 0]] + NODES[at[:, 1:]] @ axes, np.prod(WEIGHTS[at] / WEIGHTS.sum(), axis=1)


def schedule(times_h: Sequence[float], target: Target, measured_h: Sequence[float] = ()) -> Schedule:
    """Return what scans at `times_h` (h), added to those at `measured_h`, leave of the error of the TIA.

    DataError (impossible_value) for no scan, a time that cannot be, or patients without activity at a scan.

    >>> one = schedule([48.0], Target(32.0, 0.16, noise=0.08))   # near t = 1/lambda the half-life hardly matters:
    >>> round(one.floor, 3), round(math.erf(0.08 / math.sqrt(2)), 3)
    (0.065, 0.064)
    """
    time, prior, rates = np.array(sorted([*times_h, *measured_h]), float), target.prior, target.rates
    possible = time.size > 0 and bool(((time >= 0) & (time <= LATEST_H)).all())
    require(possible, "times of scans, h", time.tolist(), f"one or more from 0 to {LATEST_H:g} h")
    left = shape(time, prior.lambda_per_h * math.exp(REACH * target.t_eff_sd), rates.uptake)
    told = "above 0 at every scan: a smaller spread, a faster uptake or other times"
    require(bool((left > 0).all()), "activity of the fastest patients", float(left.min()), told)
    y, weight = predicted(time, target)
    found = posterior(time, np.exp(y), target.noise * np.exp(y), prior, rates)
    mean = np.sum(found.weight * found.log_tia, axis=1, keepdims=True)
    sd = np.sqrt(np.sum(found.weight * (found.log_tia - mean) ** 2, axis=1) + found.variance[:, 0])
    return Schedule(tuple(sorted(times_h)), float(weight @ found.least_percentage_error()[1]), float(weight @ sd))


def schedules(
    scans: int, target: Target, candidates_h: Sequence[float] = CANDIDATES_H, measured_h: Sequence[float] = ()
) -> list[Schedule]:
    """Return every choice of 1 to 3 scans among the candidates (h) later than all measured ones, the best first.

    DataError (impossible_value) for another number of scans, or more than there are candidates; else as `schedule`.

    >>> [found.times_h for found in schedules(1, Target(32.0, 0.16, noise=0.08))][:2]
    [(48.0,), (72.0,)]
    """
    free = sorted({time for time in candidates_h if not time <= max(measured_h, default=-math.inf)})
    most = min(MOST_SCANS, len(free))
    require(1 <= scans <= most, "number of scans", scans, f"1 to {most}, for {len(free)} times to choose from")
    return sorted((schedule(times, target, measured_h) for times in combinations(free, scans)), key=lambda s: s.floor)
