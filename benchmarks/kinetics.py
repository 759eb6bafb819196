"""The figures that the fits of time-activity curves stand on, each beside its bar: `make benchmark-fits`.

tests/physics/test_kinetics_benchmark.py runs the same functions with fewer curves. `--quick` takes seconds.
"""

import argparse
import math
import sys
import time
from dataclasses import dataclass

import numpy as np
from scipy.optimize import curve_fit
from scipy.special import erf

from theradose.errors import FitError
from theradose.physics.kinetic_fit import Rates
from theradose.physics.kinetic_models import NO_UPTAKE, curve_mbq, phases_of, shape_integral, uptake_constant_per_h
from theradose.physics.kinetics import fit_tac, tia_by
from theradose.physics.population_learning import learn_population
from theradose.physics.population_prior import PopulationPrior, posterior
from theradose.physics.single_time import SINGLE_TIME_METHODS, OneScan
from theradose.physics.voxel_fit import FITTED, fit_voxels

SEED = 20260115
T_PHYS_H = 159.528  # Lu-177, ICRP 107
PHYS = math.log(2.0) / T_PHYS_H
PLAIN = Rates(PHYS, NO_UPTAKE)
UPTAKE_H = 0.5
UPTAKE = uptake_constant_per_h(PHYS, UPTAKE_H)
FOUR = np.array([4.0, 24.0, 72.0, 168.0])
TEN = np.array([0.25, 0.5, 1.0, 2.0, 6.0, 12.0, 24.0, 48.0, 96.0, 168.0])
SLOW = {"a1_mbq": 50.0, "lambda1_per_h": 0.0217}  # a kidney, T_eff 32 h
FAST_SLOW = {"a1_mbq": 30.0, "a2_mbq": 50.0, "lambda1_per_h": 0.2, "lambda2_per_h": 0.0217}
TRUTHS = {
    "mono": SLOW,
    "mono_uptake": SLOW | {"lambda_uptake_per_h": UPTAKE},
    "bi": FAST_SLOW,
    "bi_uptake": FAST_SLOW | {"lambda_uptake_per_h": UPTAKE},
    "tri": {
        **{"a1_mbq": 40.0, "a2_mbq": 30.0, "a3_mbq": 50.0},
        **{"lambda1_per_h": 1.4, "lambda2_per_h": 0.1, "lambda3_per_h": 0.012},
    },
}
Z95 = 1.959964
# Devasia et al., J Nucl Med 62:1118 (2021), as quoted by EJNMMI Phys 10 (2023), s40658-023-00530-1: TIA of 500
# simulated kidneys from one scan, share with an error above 10 %. Their truth is bi-exponential.
PUBLISHED = {"population_prior": 32 / 500, "madsen": 85 / 500, "haenscheid": 102 / 500}


@dataclass(frozen=True)
class Patients:
    """A population: effective half-life in h and its log-sd; amplitudes of log-sd 0.5."""

    t_eff_h: float
    log_sd: float
    amplitude_log_sd: float = 0.5

    @property
    def prior(self) -> PopulationPrior:
        """The true distribution of the patients."""
        return PopulationPrior(math.log(2.0) / self.t_eff_h, self.log_sd, "effective", 1.0, self.amplitude_log_sd)

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return amplitudes and constants of n patients."""
        z = rng.standard_normal((2, n))
        return np.exp(self.amplitude_log_sd * z[0]), math.log(2.0) / self.t_eff_h * np.exp(self.log_sd * z[1])


# The design's table of time points: medians and log-sd of effective half-lives.
POPULATIONS = {
    "kidney DOTATATE": Patients(48.0, 0.20),
    "kidney PSMA": Patients(32.0, 0.16),
    "tumour": Patients(60.0, 0.34),
}
# The best scan of each, and a later one as it happens in the clinic.
SCANS = {"kidney DOTATATE": (72.0, 120.0), "kidney PSMA": (48.0, 96.0)}
FLOORS = {
    "kidney PSMA": {(24,): 9.0, (48,): 6.4, (72,): 8.7, (96,): 12.4, (168,): 21.0, (4, 96): 4.3, (4, 24, 72, 168): 3.3},
    "kidney DOTATATE": {(24,): 12.4, (48,): 8.1, (72,): 6.7, (96,): 8.4, (168,): 16.4, (4, 168): 4.4},
    "tumour": {(24,): 20.7, (72,): 10.3, (96,): 10.3, (168,): 16.5, (4, 168): 5.5, (24, 72, 168): 5.2},
}


def measured(rng: np.random.Generator, amplitude: np.ndarray, rate: np.ndarray, times_h, noise: float) -> np.ndarray:
    """Return activities (N, n) with relative noise."""
    true = amplitude[:, None] * np.exp(-rate[:, None] * np.asarray(times_h, float))
    return true * (1.0 + noise * rng.standard_normal(true.shape))


def tia_of(truth: dict[str, float]) -> float:
    """Return the true TIA of a curve."""
    amplitude, rate, uptake = phases_of(truth)
    return float(amplitude @ shape_integral(rate, uptake))


def recovery(name: str) -> float:
    """Return the largest relative error of parameters and TIA of a noise-free curve."""
    truth = TRUTHS[name]
    activity = curve_mbq(truth, TEN)
    uptake_h = UPTAKE_H if "uptake" in name else None
    fit = tia_by(name, TEN, activity, 0.01 * activity, half_life_h=T_PHYS_H, uptake_half_time_h=uptake_h)
    errors = [fit.parameters[key] / value - 1.0 for key, value in truth.items()]
    return float(np.abs([*errors, fit.tia_mbq_h / tia_of(truth) - 1.0]).max())


def bias_and_coverage(truth_name: str, method: str, times_h: np.ndarray, n: int) -> tuple[float, float, float]:
    """Return bias, coverage of 95 % intervals and share of refusals over n curves with 5 % noise."""
    rng, truth = np.random.default_rng(SEED), TRUTHS[truth_name]
    true, uptake_h = curve_mbq(truth, times_h), UPTAKE_H if "uptake" in truth_name else None
    found = []
    for _ in range(n):
        activity = true * (1.0 + 0.05 * rng.standard_normal(true.size))
        known = {"half_life_h": T_PHYS_H, "uptake_half_time_h": uptake_h}
        try:
            fit = tia_by(method, times_h, activity, 0.05 * activity, **known)
        except FitError:
            continue
        found.append((fit.tia_mbq_h, fit.tia_std_mbq_h))
    tia, std = np.array(found).T
    truth_mbq_h = tia_of(truth)
    covered = np.abs(tia - truth_mbq_h) < Z95 * std
    return float(np.mean(tia / truth_mbq_h - 1.0)), float(covered.mean()), 1.0 - len(found) / n


def shares(population: str, noise: float, time_h: float, n: int, training: int = 100) -> dict[str, float]:
    """Return the share of n patients whose TIA from one scan is more than 10 % off, by method, and the Bayes share.

    The population is learned from another cohort with four scans each; Bayes knows the true one.
    """
    rng, people = np.random.default_rng(SEED), POPULATIONS[population]
    four = measured(rng, *people.draw(rng, training), FOUR, noise)
    learned = learn_population(FOUR, four, noise * four, PLAIN)
    amplitude, rate = people.draw(rng, n)
    one = measured(rng, amplitude, rate, [time_h], noise)
    scan = OneScan(time_h, one[:, 0], noise * one[:, 0])
    estimates = {name: method(scan, learned, PLAIN)[0] for name, method in SINGLE_TIME_METHODS.items()}
    bayes, hope = posterior([time_h], one, noise * one, people.prior, PLAIN).likeliest_within_mbq_h(0.10)
    off = {name: np.abs(value * rate / amplitude - 1.0) > 0.10 for name, value in {**estimates, "bayes": bayes}.items()}
    return {name: float(value.mean()) for name, value in off.items()} | {"bayes_expected": float(1.0 - hope.mean())}


def floor(population: str, times_h: tuple[int, ...], noise: float, n: int) -> tuple[float, float]:
    """Return the smallest possible MAPE of the TIA, and erf(s/sqrt 2) averaged with s the posterior sd of ln TIA."""
    rng, people = np.random.default_rng(SEED), POPULATIONS[population]
    amplitude, rate = people.draw(rng, n)
    true = amplitude[:, None] * np.exp(-rate[:, None] * np.array(times_h, float))
    activity = true * np.exp(noise * rng.standard_normal(true.shape))
    found = posterior(times_h, activity, noise * activity, people.prior, PLAIN)
    mean = np.sum(found.weight * found.log_tia, axis=1, keepdims=True)
    sd = np.sqrt(np.sum(found.weight * (found.log_tia - mean) ** 2, axis=1) + found.variance[:, 0])
    return float(found.least_percentage_error()[1].mean()), float(erf(sd / math.sqrt(2.0)).mean())


def voxels(side: int, sample: int = 200) -> dict[str, float]:
    """Return core-seconds for side^3 voxels and for a loop of scipy (scaled from a sample), and the disagreement."""
    rng = np.random.default_rng(SEED)
    t_eff_h = 48.0 * np.exp(0.3 * rng.standard_normal((side,) * 3))
    image = np.exp(0.5 * rng.standard_normal(t_eff_h.shape)) * np.exp2(-FOUR[:, None, None, None] / t_eff_h)
    image = (image * (1.0 + 0.05 * rng.standard_normal(image.shape))).astype(np.float32)
    std = 0.05 * np.abs(image)
    start = time.process_time()
    found = fit_voxels(FOUR, image, std, half_life_h=T_PHYS_H)
    fast_s = time.process_time() - start
    at = rng.choice(np.flatnonzero(found.status.ravel() == FITTED), sample, replace=False)
    curves, errors = (x.reshape(FOUR.size, -1)[:, at].astype(float).T for x in (image, std))
    start = time.process_time()
    for y, s in zip(curves, errors, strict=True):
        curve_fit(lambda t, a, b: a * np.exp(-(PHYS + np.exp(b)) * t), FOUR, y, p0=(y[0], -4.5), sigma=s)
    loop_s = (time.process_time() - start) / sample * side**3
    slow = [fit_tac(FOUR, y, s, half_life_h=T_PHYS_H, models=("mono",)) for y, s in zip(curves, errors, strict=True)]
    off = np.abs(found.tia.ravel()[at] / [fit.tia_mbq_h for fit in slow] - 1.0).max()
    return {"fast_s": fast_s, "loop_s": loop_s, "ratio": loop_s / fast_s, "disagreement": float(off)}


def say(line: str) -> None:
    """Write a line."""
    sys.stdout.write(line + "\n")


def verdict(ok: bool) -> str:
    """Return how a figure stands to its bar."""
    return "ok" if ok else "MISSED"


def print_fits(n: int) -> list[bool]:
    """Print recovery, bias and coverage."""
    say("Noise-free curves, ten points: largest relative error of any parameter or the TIA (bar 1e-6)")
    kept = []
    for name in TRUTHS:
        error = recovery(name)
        kept.append(error < 1e-6)
        say(f"  {name:<14}{error:10.1e}  {verdict(kept[-1])}")
    say(f"\n5 % noise, {n} curves: bias of the TIA (bar 1 %), coverage of 95 % intervals (bar 93 to 97 %), refused")
    cases = [("mono", "mono", FOUR), ("mono_uptake", "mono_uptake", FOUR), ("mono", "auto", TEN), ("bi", "bi", TEN)]
    for truth, method, times_h in [*cases, ("bi", "auto", TEN), ("bi", "average", TEN)]:
        bias, coverage, refused = bias_and_coverage(truth, method, times_h, n)
        kept.append(abs(bias) <= 0.01 and 0.93 <= coverage <= 0.97)
        label = f"{method} on a {truth} truth, {times_h.size} points"
        say(f"  {label:<46}{100 * bias:+7.2f} %{100 * coverage:8.1f} %{100 * refused:6.1f} %  {verdict(kept[-1])}")
    return kept


def print_single_time(n: int, many: int) -> list[bool]:
    """Print the shares of patients with more than 10 % error from one scan."""
    names = ("haenscheid", "madsen", "population_prior", "bayes")
    kept = []
    for count in (n, many):
        say(f"\nOne scan, {count} patients: more than 10 % error of the TIA (population learned from 100 others)")
        say(f"  {'':<34}" + "".join(f"{name:>18}" for name in names) + "   prior / Bayes (bar 1.1)")
        for population, times_h in SCANS.items():
            for noise, time_h in ((0.05, times_h[0]), (0.10, times_h[0]), (0.05, times_h[1]), (0.10, times_h[1])):
                found = shares(population, noise, time_h, count)
                ratio = found["population_prior"] / found["bayes"]
                kept.append(ratio <= 1.1)
                row = "".join(f"{100 * found[name]:16.1f} %" for name in names)
                say(f"  {f'{population}, {noise:.0%}, {time_h:.0f} h':<34}{row}   {ratio:.2f}  {verdict(kept[-1])}")
    row = "".join(f"{100 * PUBLISHED[name]:16.1f} %" for name in names[:3])
    say(f"  {'published (bi-exponential truth)':<34}{row}")
    return kept


def print_floors(n: int) -> None:
    """Print the smallest possible error of schedules beside the design's table, which names 8 to 10 % noise."""
    say(f"\nSmallest possible mean error of the TIA in %, {n} patients: 8 % noise, 10 % noise, the design's table")
    for population, rows in FLOORS.items():
        for times_h, expected in rows.items():
            low, high = (100 * floor(population, times_h, noise, n)[0] for noise in (0.08, 0.10))
            off = max(low - expected, expected - high, 0.0)
            label = f"{population} {'/'.join(map(str, times_h))} h"
            say(f"  {label:<34}{low:6.1f}{high:6.1f}{expected:8.1f}   off {off:.1f}")


def main() -> int:
    """Print every figure beside its bar; 1 when one is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few curves: seconds instead of minutes")
    quick = parser.parse_args().quick
    kept = print_fits(50 if quick else 1000)
    kept += print_single_time(500, 1000 if quick else 5000)
    print_floors(400 if quick else 4000)
    found = voxels(32 if quick else 128, 50 if quick else 200)
    kept += [found["fast_s"] < 8.0, found["disagreement"] < 1e-6]
    side = 32 if quick else 128
    say(f"\nVoxel-wise fit, 4 images of {side}^3 voxels, core-seconds (bar 20 s on two cores, aim 8 s on one)")
    loop = f"scipy's curve_fit in a loop {found['loop_s']:.0f} s, {found['ratio']:.0f} times as long"
    say(f"  {found['fast_s']:.1f} s; {loop}")
    say(f"  largest disagreement with the scalar fit {found['disagreement']:.1e} (bar 1e-6)  {verdict(all(kept[-2:]))}")
    return 0 if quick or all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
