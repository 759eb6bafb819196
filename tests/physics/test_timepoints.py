"""When to scan: the floor by hand where it is simple, by brute force where it is not, and the design's table."""

import math
from itertools import combinations, product

import numpy as np
import pytest

from theradose.errors import DataError
from theradose.physics.kinetic_models import shape, shape_integral
from theradose.physics.population_prior import posterior
from theradose.physics.timepoints import (
    AMPLITUDE_LOG_SD,
    CANDIDATES_H,
    NODES,
    POPULATIONS,
    WEIGHTS,
    Target,
    schedule,
    schedules,
)

# The design's table in %: single scans at 24/48/72/96/168 h, the best pair, 24/72/168 h, 4/24/72/168 h.
TIMES = [(24,), (48,), (72,), (96,), (168,), None, (24, 72, 168), (4, 24, 72, 168)]
DESIGN = {
    "kidneys psma": ((4, 96), (9.0, 6.4, 8.7, 12.4, 21.0, 4.3, 4.5, 3.3)),
    "kidneys dotatate": ((4, 168), (12.4, 8.1, 6.7, 8.4, 16.4, 4.4, 4.0, 3.4)),
    "lesions": ((4, 168), (20.7, 14.0, 10.3, 10.3, 16.5, 5.5, 5.2, 4.9)),
}
PSMA, TUMOUR = POPULATIONS["kidneys psma"], POPULATIONS["lesions"]


def gaussian_floor(sd: float) -> float:
    """The smallest E|d/X - 1| of a log-normal X: the best d is exp(mean - sd^2), the error 2 Phi(sd) - 1."""
    return math.erf(sd / math.sqrt(2.0))


def patients(target: Target, times_h, n: int, rng) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw n patients: log TIA, log activities without noise (n, scans), constants."""
    z = rng.standard_normal((2, n))
    amplitude, rate = AMPLITUDE_LOG_SD * z[0], math.log(2.0) / target.t_eff_h * np.exp(target.t_eff_sd * z[1])
    uptake = target.rates.uptake
    log_activity = amplitude[:, None] + np.log(shape(np.array(times_h, float), rate[:, None], uptake))
    return amplitude + np.log(shape_integral(rate, uptake)), log_activity, rate


def brute(target: Target, times_h, n: int, draws: int, rng) -> float:
    """The floor by importance weights: what n simulated patients leave open among many others."""
    log_tia, known, _ = patients(target, times_h, draws, rng)
    order = np.argsort(log_tia)
    tia, known = np.exp(log_tia[order]), known[order]
    _, true, _ = patients(target, times_h, n, rng)
    errors = []
    for y in true + target.noise * rng.standard_normal(true.shape):
        weight = np.exp(-np.sum((y - known) ** 2, axis=1) / (2 * target.noise**2))
        share = np.cumsum(weight / tia)
        best = tia[np.searchsorted(share, share[-1] / 2)]
        errors.append(weight @ np.abs(best / tia - 1) / weight.sum())
    return float(np.mean(errors))


BRUTE = [(PSMA, (72,), None), (PSMA, (4, 96), None), (TUMOUR, (24,), None), (TUMOUR, (4, 24, 168), 2.0)]


@pytest.mark.parametrize(("population", "times_h", "uptake_h"), BRUTE)
def test_brute_force_finds_the_same_floor(population, times_h, uptake_h) -> None:
    target = Target(*population, 0.09, uptake_h)
    found = brute(target, times_h, 120, 20_000, np.random.default_rng(3))
    assert schedule(times_h, target).floor == pytest.approx(found, rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(("population", "times_h", "uptake_h"), [*BRUTE, (PSMA, (168,), 0.5), (TUMOUR, (72,), None)])
def test_brute_force_with_many_patients(population, times_h, uptake_h) -> None:
    target = Target(*population, 0.09, uptake_h)
    found = brute(target, times_h, 800, 100_000, np.random.default_rng(4))
    assert schedule(times_h, target).floor == pytest.approx(found, rel=0.01)


@pytest.mark.parametrize(("population", "times_h"), [(PSMA, (48,)), (PSMA, (24, 72)), (TUMOUR, (24, 72, 168))])
def test_the_floor_is_reached_and_nobody_gets_below_it(population, times_h) -> None:
    target, rng = Target(*population, 0.09), np.random.default_rng(5)
    log_tia, log_activity, _ = patients(target, times_h, 3000, rng)
    activity = np.exp(log_activity + target.noise * rng.standard_normal(log_activity.shape))
    known = posterior(times_h, activity, target.noise * activity, target.prior, target.rates)
    errors = np.abs(known.least_percentage_error()[0] / np.exp(log_tia) - 1)
    floor, standard_error = schedule(times_h, target).floor, errors.std() / math.sqrt(errors.size)
    assert errors.mean() == pytest.approx(floor, abs=3 * standard_error)
    # Madsen's method on the last scan, with the true mean of the population.
    rate = target.prior.lambda_per_h
    madsen = activity[:, -1] * math.exp(rate * times_h[-1]) / rate
    assert np.abs(madsen / np.exp(log_tia) - 1).mean() > floor


@pytest.mark.parametrize("uptake_h", [None, 2.0])
def test_noise_that_says_nothing_is_rightly_left_out(uptake_h) -> None:
    # The whole product of nodes: lambda, a, and the noise of each scan.
    target, time_h = Target(*PSMA, 0.09, uptake_h), np.array([4.0, 24.0, 72.0])
    at = np.array(list(product(range(NODES.size), repeat=5)))
    rate = target.prior.lambda_per_h * np.exp(target.t_eff_sd * NODES[at[:, 0]])
    y = np.log(shape(time_h, rate[:, None], target.rates.uptake)) + AMPLITUDE_LOG_SD * NODES[at[:, 1], None]
    activity = np.exp(y + target.noise * NODES[at[:, 2:]])
    known = posterior(time_h, activity, target.noise * activity, target.prior, target.rates)
    found = np.prod(WEIGHTS[at] / WEIGHTS.sum(), axis=1) @ known.least_percentage_error()[1]
    assert schedule(time_h, target).floor == pytest.approx(found, rel=1e-3)


@pytest.mark.parametrize("times_h", [(24,), (24, 168), (4, 24, 72)])
def test_without_spread_of_half_lives_only_the_amplitude_is_unknown(times_h) -> None:
    sd = 1 / math.sqrt(len(times_h) / 0.1**2 + 1 / AMPLITUDE_LOG_SD**2)
    found = schedule(times_h, Target(48.0, 1e-4, 0.1))
    assert found.floor == pytest.approx(gaussian_floor(sd), rel=1e-4)
    assert found.log_tia_sd == pytest.approx(sd, rel=1e-4)


def test_two_scans_without_noise_leave_nothing() -> None:
    # lambda = (y1 - y2)/(t2 - t1), a = y1 + lambda t1; c1, c2: how log TIA = a - log lambda moves with y1, y2.
    rate, gap = math.log(2.0) / 48.0, 96.0 - 24.0
    slope = (24.0 - 1 / rate) / gap
    sd = 1e-3 * math.hypot(1 + slope, slope)
    assert schedule((24, 96), Target(48.0, 0.02, 1e-3)).floor == pytest.approx(gaussian_floor(sd), rel=0.01)
    wide = [schedule((24, 96), Target(48.0, 0.2, noise)).floor for noise in (1e-2, 1e-3, 1e-4)]
    assert wide[1] == pytest.approx(wide[0] / 10, rel=0.02)
    assert wide[2] == pytest.approx(wide[1] / 10, rel=0.02)
    # One scan leaves the half-life open, with or without noise.
    assert schedule((168,), Target(48.0, 0.2, 1e-4)).floor > 0.15


@pytest.mark.parametrize("uptake_h", [None, 1.0])
@pytest.mark.parametrize("population", [PSMA, TUMOUR])
def test_more_scans_are_never_worse(population, uptake_h) -> None:
    target, times_h = Target(*population, 0.09, uptake_h), (4.0, 24.0, 72.0, 168.0)
    floors = {s: schedule(s, target).floor for n in (1, 2, 3, 4) for s in combinations(times_h, n)}
    for fewer, more in product(floors, repeat=2):
        if set(fewer) < set(more):
            assert floors[more] < floors[fewer] + 1e-6
    # A scan repeated is one scan with less noise.
    once = schedule((72,), Target(*population, 0.09 / math.sqrt(2), uptake_h))
    assert schedule((72, 72), target).floor == pytest.approx(once.floor, rel=1e-6)


def test_an_uptake_of_seconds_is_none() -> None:
    times_h = (4, 24, 72)
    fast, none = (schedule(times_h, Target(*PSMA, 0.09, uptake_h)) for uptake_h in (1e-3, None))
    assert fast.floor == pytest.approx(none.floor, rel=1e-3)


@pytest.mark.parametrize("uptake_h", [None, 4.0])
@pytest.mark.parametrize("time_h", [4.0, 24.0, 96.0])
def test_one_scan_of_like_patients_is_a_linear_problem(time_h: float, uptake_h: float | None) -> None:
    # y = a + g x + e, log TIA = a + h x with x = log lambda - its mean: the variance of log TIA given y.
    sd, noise, rate = 0.02, 0.02, math.log(2.0) / 32.0
    uptake = math.log(2.0) / uptake_h if uptake_h else math.inf
    g = -time_h * rate / (1 - math.exp(-(uptake - rate) * time_h))
    h = -1 / (1 - rate / uptake)
    a2, x2 = AMPLITUDE_LOG_SD**2, sd**2
    variance = a2 + h * h * x2 - (a2 + g * h * x2) ** 2 / (a2 + g * g * x2 + noise**2)
    found = schedule((time_h,), Target(32.0, sd, noise, uptake_h))
    assert found.log_tia_sd == pytest.approx(math.sqrt(variance), rel=2e-3)
    assert found.floor == pytest.approx(gaussian_floor(math.sqrt(variance)), rel=5e-3)


def test_an_uptake_that_nobody_declares_spoils_a_scan_at_4_h() -> None:
    found = {}
    for times_h in ((4.0, 168.0), (24.0, 120.0)):
        rng, plain = np.random.default_rng(6), Target(*POPULATIONS["kidneys dotatate"], 0.08)
        log_tia, log_activity, _ = patients(Target(48.0, 0.20, 0.08, 2.0), times_h, 2000, rng)
        activity = np.exp(log_activity + 0.08 * rng.standard_normal(log_activity.shape))
        known = posterior(times_h, activity, 0.08 * activity, plain.prior, plain.rates)
        errors = np.abs(known.least_percentage_error()[0] / np.exp(log_tia) - 1)
        found[times_h] = 100 * errors.mean(), schedule(times_h, plain).floor
    (early, early_floor), (late, late_floor) = found.values()
    assert (early, late) == (pytest.approx(12.1, abs=0.5), pytest.approx(5.8, abs=0.4))
    assert 0 < late_floor - early_floor < 0.001


@pytest.mark.parametrize("population", DESIGN)
def test_the_design_s_table(population: str) -> None:
    """The kidneys are the exact floor at 8 % noise, the tumour erf(s/sqrt 2) at 10 %."""
    pair, expected = DESIGN[population]
    noise, exact = (0.10, False) if population == "lesions" else (0.08, True)
    for times_h, value in zip(TIMES, expected, strict=True):
        found = schedule(times_h or pair, Target(*POPULATIONS[population], noise))
        assert 100 * (found.floor if exact else gaussian_floor(found.log_tia_sd)) == pytest.approx(value, abs=0.55)


def test_the_design_s_best_schedules() -> None:
    best = {
        name: [schedules(n, Target(*population, 0.09))[0].times_h for n in (1, 2)]
        for name, population in POPULATIONS.items()
    }
    assert best == {
        "kidneys psma": [(48.0,), (4.0, 96.0)],
        "kidneys dotatate": [(72.0,), (4.0, 168.0)],
        "lesions": [(96.0,), (4.0, 168.0)],
    }


def test_choices_are_all_of_them_best_first() -> None:
    found = schedules(2, Target(*PSMA, 0.09))
    assert {one.times_h for one in found} == set(combinations(CANDIDATES_H, 2))
    floors = [one.floor for one in found]
    assert floors == sorted(floors)
    assert found[0] == schedule(found[0].times_h, Target(*PSMA, 0.09))


def test_what_is_measured_counts_and_the_past_cannot_be_chosen() -> None:
    target = Target(*PSMA, 0.09)
    found = schedules(1, target, measured_h=(24.0,))
    assert sorted(one.times_h for one in found) == [(48.0,), (72.0,), (96.0,), (120.0,), (168.0,)]
    assert {one.times_h: one.floor for one in found}[(72.0,)] == schedule((24, 72), target).floor
    assert schedule((), target, (24,)).floor == schedule((24,), target).floor


@pytest.mark.parametrize(
    "numbers",
    [(0.0, 0.16, 0.09), (math.nan, 0.16, 0.09), (32.0, 0.0, 0.09), (32.0, 0.16, 0.0), (32.0, 0.16, 1.0),
     (32.0, 0.16, 0.09, 0.0), (math.inf, 0.16, 0.09)],
)  # fmt: skip
def test_impossible_targets_are_refused(numbers) -> None:
    with pytest.raises(DataError, match="impossible_value"):
        Target(*numbers)


@pytest.mark.parametrize("times_h", [(), (-1.0,), (math.nan,), (2001.0,)])
def test_impossible_times_are_refused(times_h) -> None:
    with pytest.raises(DataError, match="times of scans"):
        schedule(times_h, Target(*PSMA, 0.09))


@pytest.mark.parametrize(("sd", "uptake_h", "time_h"), [(2.0, None, 168.0), (0.16, 20.0, 24.0), (0.16, 0.5, 0.0)])
def test_patients_without_activity_are_refused(sd, uptake_h, time_h) -> None:
    with pytest.raises(DataError, match="activity of the fastest patients"):
        schedule((time_h,), Target(32.0, sd, 0.09, uptake_h))


@pytest.mark.parametrize(("scans", "measured_h"), [(0, ()), (4, ()), (2, (120.0,))])
def test_impossible_numbers_of_scans_are_refused(scans, measured_h) -> None:
    with pytest.raises(DataError, match="number of scans"):
        schedules(scans, Target(*PSMA, 0.09), measured_h=measured_h)
    with pytest.raises(DataError, match="times of scans"):
        schedules(1, Target(*PSMA, 0.09), (math.nan, 24.0))
