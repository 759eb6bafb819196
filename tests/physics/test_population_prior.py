"""The posterior of a population prior: against brute force, in its limits, and honest about its uncertainty."""

import math

import numpy as np
import pytest

from theradose.errors import DataError, FitError, SettingsError
from theradose.physics.kinetic_fit import Rates
from theradose.physics.kinetic_models import shape, shape_integral, uptake_constant_per_h
from theradose.physics.kinetics import fit_tac
from theradose.physics.population_prior import PopulationPrior, posterior

T_PHYS_H = 159.528
PHYS = math.log(2) / T_PHYS_H
PLAIN = Rates(PHYS, math.inf)
WITH_UPTAKE = Rates(PHYS, uptake_constant_per_h(PHYS, 2.0))
KIDNEY = PopulationPrior(math.log(2) / 48, 0.20, "effective", 40.0, 0.5, 0.3)
BIOLOGICAL = PopulationPrior(math.log(2) / 73, 0.30, "biological", 40.0, 0.5, -0.2)
FOUR = [4.0, 24.0, 72.0, 168.0]


def brute_force(time, activity, std, prior, rates):
    """Return mean and sd of the TIA and p(y) by sums over both dimensions of the prior."""
    cov = prior.correlation * prior.lambda_log_sd * prior.amplitude_log_sd
    covariance = np.array([[prior.lambda_log_sd**2, cov], [cov, prior.amplitude_log_sd**2]])
    inverse, norm = np.linalg.inv(covariance), 2 * math.pi * math.sqrt(np.linalg.det(covariance))
    y, sd = np.log(activity), np.asarray(std) / np.asarray(activity)

    half = 7 * prior.lambda_log_sd
    z_rate, log_a = np.linspace(-half, half, 1201)[:, None], np.linspace(math.log(4.0), math.log(400.0), 1201)
    x = np.stack(np.broadcast_arrays(z_rate, log_a - math.log(prior.amplitude_mbq)))
    rate = prior.lambda_per_h * np.exp(z_rate) + (rates.phys if prior.of == "biological" else 0.0)
    density = np.exp(-0.5 * np.einsum("iab,ij,jab->ab", x, inverse, x)) / norm
    for y_i, sd_i, t_i in zip(y, sd, time, strict=True):
        residual = (y_i - log_a - np.log(shape(t_i, rate, rates.uptake))) / sd_i
        density = density * np.exp(-0.5 * residual**2) / (math.sqrt(2 * math.pi) * sd_i)
    tia = np.exp(log_a) * shape_integral(rate, rates.uptake)
    zero = density.sum()
    one, two = (density * tia).sum() / zero, (density * tia**2).sum() / zero
    return one, math.sqrt(two - one**2), zero * (z_rate[1, 0] - z_rate[0, 0]) * (log_a[1] - log_a[0])


@pytest.mark.parametrize("prior", [KIDNEY, BIOLOGICAL], ids=lambda p: p.of)
@pytest.mark.parametrize("rates", [PLAIN, WITH_UPTAKE], ids=["plain", "uptake"])
def test_one_scan_against_brute_force(prior: PopulationPrior, rates: Rates) -> None:
    found = posterior([72.0], [[12.0]], [[1.0]], prior, rates)
    mean, sd, evidence = brute_force([72.0], [12.0], [1.0], prior, rates)
    assert found.mean_mbq_h()[0] == pytest.approx(mean, rel=1e-6)
    assert found.std_mbq_h()[0] == pytest.approx(sd, rel=1e-5)
    # Evidence up to the constants of the normal densities: one of lambda, one per point.
    assert found.log_evidence[0] - math.log(2 * math.pi) == pytest.approx(math.log(evidence), abs=1e-6)


def test_two_scans_against_brute_force() -> None:
    time, activity, std = [24.0, 96.0], [25.0, 9.0], [2.0, 0.8]
    found = posterior(time, [activity], [std], KIDNEY, PLAIN)
    mean, sd, evidence = brute_force(time, activity, std, KIDNEY, PLAIN)
    assert (found.mean_mbq_h()[0], found.std_mbq_h()[0]) == pytest.approx((mean, sd), rel=1e-5)
    assert found.log_evidence[0] - 1.5 * math.log(2 * math.pi) == pytest.approx(math.log(evidence), abs=1e-6)


def test_many_good_points_leave_the_prior_behind() -> None:
    activity = 50.0 * np.exp2(-np.array(FOUR) / 32.0)
    fit = fit_tac(FOUR, activity, 0.002 * activity, half_life_h=T_PHYS_H, models=("mono",))
    found = posterior(FOUR, activity[None], 0.002 * activity[None], PopulationPrior(0.02, 0.5), PLAIN)
    assert found.mean_mbq_h()[0] == pytest.approx(fit.tia_mbq_h, rel=1e-4)
    assert found.std_mbq_h()[0] == pytest.approx(fit.tia_std_mbq_h, rel=1e-2)


def test_a_narrow_prior_with_flat_amplitude_is_the_declared_half_life() -> None:
    rate = math.log(2) / 48
    found = posterior([72.0], [[10.0]], [[0.01]], PopulationPrior(rate, 1e-4), PLAIN)
    assert found.quantile_mbq_h(0.5)[0] == pytest.approx(10.0 * math.exp(rate * 72) / rate, rel=1e-5)


def test_a_point_that_was_not_measured_changes_nothing() -> None:
    one = posterior([72.0], [[12.0]], [[1.0]], KIDNEY, PLAIN)
    two = posterior([24.0, 72.0], [[1.0, 12.0]], [[math.inf, 1.0]], KIDNEY, PLAIN)
    assert two.mean_mbq_h() == pytest.approx(one.mean_mbq_h(), rel=1e-12)
    assert two.log_evidence == pytest.approx(one.log_evidence, rel=1e-12)


def test_no_patient_decays_slower_than_physics() -> None:
    slow = PopulationPrior(math.log(2) / 150, 0.3, "effective", 40.0, 0.5)
    found = posterior([72.0], [[12.0]], [[1.0]], slow, PLAIN)
    assert np.exp(found.log_rate).min() >= PHYS * (1 - 1e-12)


def drawn(n: int, noise: float, seed: int = 3):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((2, n))
    log_a = math.log(40.0) + 0.5 * (0.3 * z[0] + math.sqrt(1 - 0.09) * z[1])
    rate = KIDNEY.lambda_per_h * np.exp(0.2 * z[0])
    activity = np.exp(log_a[:, None] - rate[:, None] * [72.0] + noise * rng.standard_normal((n, 1)))
    return np.exp(log_a) / rate, posterior([72.0], activity, noise * activity, KIDNEY, PLAIN)


def test_intervals_cover_as_often_as_they_say() -> None:
    truth, found = drawn(1500, 0.08)
    for level in (0.5, 0.8, 0.95):
        low, high = found.quantile_mbq_h((1 - level) / 2), found.quantile_mbq_h((1 + level) / 2)
        assert np.mean((truth > low) & (truth < high)) == pytest.approx(
            level, abs=3 * math.sqrt(level * (1 - level) / 1500)
        )


def test_the_chosen_estimates_are_the_best_of_their_kind_and_know_their_error() -> None:
    truth, found = drawn(1500, 0.08)
    within, hope = found.likeliest_within_mbq_h(0.10)
    least, error = found.least_percentage_error()

    def share(estimate):
        return np.mean(np.abs(estimate / truth - 1) <= 0.10)

    assert share(within) == pytest.approx(hope.mean(), abs=0.035)
    assert np.mean(np.abs(least / truth - 1)) == pytest.approx(error.mean(), rel=0.05)
    for factor in (0.95, 1.05):
        assert share(within) > share(factor * within)
        assert np.mean(np.abs(least / truth - 1)) < np.mean(np.abs(factor * least / truth - 1))


def test_nonsense_is_refused() -> None:
    with pytest.raises(FitError) as caught:
        posterior([72.0], [[0.0]], [[1.0]], KIDNEY, PLAIN)
    assert caught.value.reason == "not_positive"
    with pytest.raises(DataError):
        posterior([72.0], [[1.0]], [[0.0]], KIDNEY, PLAIN)
    with pytest.raises(DataError):
        posterior([72.0], [[1.0]], [[math.inf]], KIDNEY, PLAIN)
    for wrong in ({"lambda_per_h": 0.0, "lambda_log_sd": 0.2}, {"lambda_per_h": 0.01, "lambda_log_sd": 0.2, "of": "x"}):
        with pytest.raises(SettingsError):
            PopulationPrior(**wrong)
