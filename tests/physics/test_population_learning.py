"""Learning a population: what was drawn is found, the likelihood is at its top, and too little is refused."""

import math
from dataclasses import replace

import numpy as np
import pytest

from theradose.errors import FitError
from theradose.physics.kinetic_fit import Rates
from theradose.physics.population_learning import learn_population
from theradose.physics.population_prior import PopulationPrior, posterior

PHYS = math.log(2) / 159.528
PLAIN = Rates(PHYS, math.inf)
FOUR = np.array([4.0, 24.0, 72.0, 168.0])
TRUTHS = {
    "effective": PopulationPrior(math.log(2) / 48, 0.20, "effective", 40.0, 0.5, -0.4),
    "biological": PopulationPrior(math.log(2) / 73, 0.30, "biological", 40.0, 0.5, 0.3),
}


def cohort(truth: PopulationPrior, n: int, noise: float = 0.1, seed: int = 2):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((2, n))
    rate = truth.lambda_per_h * np.exp(truth.lambda_log_sd * z[0]) + (PHYS if truth.of == "biological" else 0.0)
    other = truth.correlation * z[0] + math.sqrt(1 - truth.correlation**2) * z[1]
    amplitude = truth.amplitude_mbq * np.exp(truth.amplitude_log_sd * other)
    true = amplitude[:, None] * np.exp(-rate[:, None] * FOUR)
    activity = true * np.exp(noise * rng.standard_normal(true.shape))
    return activity, noise * activity


@pytest.mark.parametrize("of", TRUTHS)
def test_what_was_drawn_is_found(of: str) -> None:
    truth, n = TRUTHS[of], 800
    found = learn_population(FOUR, *cohort(truth, n), PLAIN, of=of)
    # Three standard errors of a mean, a standard deviation and a correlation over n patients.
    assert math.log(found.lambda_per_h / truth.lambda_per_h) == pytest.approx(0, abs=3 * truth.lambda_log_sd / n**0.5)
    assert found.lambda_log_sd == pytest.approx(truth.lambda_log_sd, rel=3 * 1.2 / (2 * n) ** 0.5)
    assert found.amplitude_log_sd == pytest.approx(0.5, rel=3 * 1.2 / (2 * n) ** 0.5)
    assert found.correlation == pytest.approx(truth.correlation, abs=3 * 1.2 / n**0.5)


@pytest.mark.parametrize("of", TRUTHS)
def test_the_likelihood_is_at_its_top(of: str) -> None:
    activity, std = cohort(TRUTHS[of], 60)
    found = learn_population(FOUR, activity, std, PLAIN, of=of)

    def evidence(prior: PopulationPrior) -> float:
        return float(posterior(FOUR, activity, std, prior, PLAIN).log_evidence.sum())

    top = evidence(found)
    for name in ("lambda_per_h", "lambda_log_sd", "amplitude_mbq", "amplitude_log_sd"):
        for factor in (0.95, 1.05):
            assert evidence(replace(found, **{name: factor * getattr(found, name)})) < top
    for step in (-0.05, 0.05):
        assert evidence(replace(found, correlation=found.correlation + step)) < top


def test_patients_with_one_scan_help_too() -> None:
    activity, std = cohort(TRUTHS["effective"], 300)
    std[100:, [0, 1, 3]] = math.inf
    found = learn_population(FOUR, activity, std, PLAIN)
    assert found.lambda_log_sd == pytest.approx(0.20, rel=0.2)


def test_a_few_curves_are_no_population() -> None:
    activity, std = cohort(TRUTHS["effective"], 6)
    std[2:, 1:] = math.inf
    with pytest.raises(FitError, match="2 curves") as caught:
        learn_population(FOUR, activity, std, PLAIN)
    assert caught.value.reason == "too_few_curves"
