"""The smallest MAPE of a spread, the prediction that reaches it, and the error budget: formulas against brute force."""

import math

import numpy as np
import pytest

from theradose.cohort.virtual.floors import best_prediction, budget, expected_ape, floor_mape, log_sd_of


@pytest.mark.parametrize(("s", "mape"), [(0.1, 0.0797), (0.2, 0.1585), (0.3, 0.2358), (0.5, 0.3829), (0.0, 0.0)])
def test_smallest_mape_is_that_of_the_design(s: float, mape: float) -> None:
    assert float(floor_mape(s)) == pytest.approx(mape, abs=5e-5)


def test_published_error_has_its_spread() -> None:
    assert float(log_sd_of(0.158)) == pytest.approx(0.199, abs=5e-4)
    s = np.array([0.01, 0.2, 0.9])
    assert log_sd_of(floor_mape(s)) == pytest.approx(s)


@pytest.mark.parametrize("s", [0.1, 0.2, 0.5])
def test_no_factor_beats_exp_of_minus_s_squared(s: float) -> None:
    # Quadrature of E|1 - p exp(-s z)| over a grid of predictions p.
    z, weight = np.polynomial.hermite_e.hermegauss(150)
    factors = np.exp(np.linspace(-1.5, 0.5, 401))
    error = np.abs(1.0 - factors[:, None] * np.exp(-s * z)) @ (weight / weight.sum())
    best = int(error.argmin())
    assert math.log(factors[best]) == pytest.approx(-(s**2), abs=0.15 * s)  # flat near its minimum
    assert error[best] == pytest.approx(float(floor_mape(s)), rel=0.02)
    assert np.interp([0.0, -0.5 * s**2], np.log(factors), error).min() > error[best]  # the median, and exp(mu - s^2/2)


def test_best_prediction_is_that_of_brute_force() -> None:
    # The mean of |1 - p / D| is piecewise linear in p, so one of the D is best: try them all.
    possible = np.exp(np.random.default_rng(1).normal([0.0, 1.0, -2.0, 3.0], [0.1, 0.3, 0.6, 1.0], (75, 4)))
    errors = np.array([expected_ape(candidate, possible) for candidate in possible])
    best = best_prediction(possible)
    assert expected_ape(best, possible) == pytest.approx(errors.min(axis=0))
    assert best == pytest.approx(np.take_along_axis(possible, errors.argmin(axis=0)[None], axis=0)[0])


def test_best_prediction_by_hand() -> None:
    # Weights 1, 1/2, 1/4: half of 1.75 is reached by the first.
    assert best_prediction(np.array([[2.0], [4.0], [1.0]])).tolist() == [1.0]
    assert expected_ape(np.array([1.0]), np.array([[2.0], [4.0], [1.0]])) == pytest.approx([(0.5 + 0.75 + 0.0) / 3])
    assert best_prediction(np.array([[3.0, 5.0]])).tolist() == [3.0, 5.0]  # what is certain is predicted


def test_best_prediction_of_a_log_normal_is_exp_of_mean_minus_variance() -> None:
    log_dose = 1.3 + 0.2 * np.random.default_rng(2).standard_normal((200_000, 1))
    best = best_prediction(np.exp(log_dose))
    assert np.log(best) == pytest.approx([1.3 - 0.04], abs=0.003)
    assert expected_ape(best, np.exp(log_dose)) == pytest.approx([float(floor_mape(0.2))], rel=0.005)


def test_error_budget_of_the_kidneys_by_hand() -> None:
    found = budget(
        "psma", "kidneys", half_life_h=159.528, difficulty="xue_like", texture_known=0.0, pet_log_sd=0.07
    )  # the design's example
    w, spread = 159.528 / 199.528, math.sqrt(math.log(1 + 0.19**2))
    assert found["half_life"] == pytest.approx(w * spread)
    assert found["total"] == pytest.approx(math.sqrt(0.12**2 + (w * spread) ** 2 + 0.07**2))
    assert found["total"] == pytest.approx(0.205, abs=0.001)


def test_what_texture_tells_leaves_the_budget() -> None:
    def total(known: float) -> float:
        return budget(
            "psma", "kidneys", half_life_h=159.528, difficulty="xue_like", texture_known=known, pet_log_sd=0.0
        )["total"]

    assert total(1.0) == pytest.approx(0.12)
    assert total(0.36) ** 2 == pytest.approx(0.12**2 + 0.64 * (total(0.0) ** 2 - 0.12**2))


@pytest.mark.parametrize(("difficulty", "drift"), [("xue_like", 0.25), ("hagmarker_like", 0.30), ("hard", 0.30)])
def test_a_preset_raises_drift_and_never_lowers_it(difficulty: str, drift: float) -> None:
    found = budget("psma", "lesions", half_life_h=159.5, difficulty=difficulty, texture_known=0.0, pet_log_sd=0.0)
    assert found["drift"] == drift
