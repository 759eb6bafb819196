"""The figures of benchmarks/kinetics.py with fewer curves; the noise of the smaller sample is in the tolerance."""

import math

import kinetics as benchmark
import pytest


@pytest.mark.parametrize("name", benchmark.TRUTHS)
def test_noise_free_curves(name: str) -> None:
    assert benchmark.recovery(name) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(("truth", "method"), [("mono", "auto"), ("bi", "auto"), ("bi", "average")])
def test_bias_and_coverage_when_the_model_is_chosen_or_averaged(truth: str, method: str) -> None:
    bias, coverage, refused = benchmark.bias_and_coverage(truth, method, benchmark.TEN, 1000)
    assert abs(bias) <= 0.01
    assert 0.93 <= coverage <= 0.97
    assert refused == 0


@pytest.mark.parametrize("noise", [0.05, 0.10])
@pytest.mark.parametrize("population", benchmark.SCANS)
def test_the_prior_reaches_the_bayes_share_and_beats_the_other_methods(population: str, noise: float) -> None:
    best_h, late_h = benchmark.SCANS[population]
    best, late = (benchmark.shares(population, noise, time_h, 500) for time_h in (best_h, late_h))
    for found in (best, late):
        assert found["population_prior"] <= 1.1 * found["bayes"]
        assert found["population_prior"] < found["haenscheid"]
        # The share that quadrature expects is met within three standard errors of 500 patients (eight are looked at).
        expected = found["bayes_expected"]
        assert found["bayes"] == pytest.approx(expected, abs=3 * math.sqrt(expected * (1 - expected) / 500))
    # At its best time no method can do much better than Madsen's: his share is near the Bayes share there.
    assert best["population_prior"] < best["madsen"]
    assert late["population_prior"] < 0.9 * late["madsen"]


@pytest.mark.parametrize(
    ("population", "times_h"),
    [("kidney PSMA", (48,)), ("kidney PSMA", (72,)), ("kidney PSMA", (4, 24, 72, 168)), ("kidney DOTATATE", (48,)),
     ("kidney DOTATATE", (72,)), ("kidney DOTATATE", (96,))],
)  # fmt: skip
def test_the_smallest_possible_error_is_the_design_s(population: str, times_h: tuple[int, ...]) -> None:
    least, by_sd = (100 * value for value in benchmark.floor(population, times_h, 0.08, 1000))
    assert least == pytest.approx(benchmark.FLOORS[population][times_h], abs=0.3)
    assert by_sd == pytest.approx(least, abs=0.4)  # 2 Phi(s) - 1 holds where the posterior is near normal


def test_the_best_single_scan_is_at_48_and_72_h() -> None:
    for population, best_h in (("kidney PSMA", 48), ("kidney DOTATATE", 72)):
        errors = {time_h: benchmark.floor(population, (time_h,), 0.08, 500)[0] for time_h in (24, 48, 72, 96)}
        assert min(errors, key=errors.get) == best_h


def test_voxels_agree_with_the_scalar_fit_and_are_far_faster_than_a_loop() -> None:
    found = benchmark.voxels(24, 40)
    assert found["disagreement"] < 1e-6
    assert found["ratio"] > 20
