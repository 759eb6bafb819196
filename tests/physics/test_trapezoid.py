"""The trapezoid: by hand, its uncertainty by repetition, and the tail that has to be declared."""

import math

import numpy as np
import pytest

from theradose.errors import FitError, SettingsError
from theradose.physics.trapezoid import trapezoid_tia

T_PHYS_H = 159.528
PHYS = math.log(2) / T_PHYS_H
FOUR = np.array([4.0, 24.0, 72.0, 168.0])


def kidney(time_h, t_eff_h=32.0):
    return 50.0 * np.exp2(-np.asarray(time_h) / t_eff_h)


def test_area_by_hand() -> None:
    fit = trapezoid_tia([2.0, 4.0, 10.0], [10.0, 8.0, 2.0], [1.0, 1.0, 1.0], half_life_h=T_PHYS_H)
    rate = math.log(8.0 / 2.0) / 6.0
    assert fit.tia_mbq_h == pytest.approx(10 * 2 + 18 + 30 + 2 / rate)
    assert fit.tail_fraction == pytest.approx(2 / rate / fit.tia_mbq_h)
    assert fit.parameters == pytest.approx({"last_mbq": 2.0, "lambda_tail_per_h": rate})


@pytest.mark.parametrize("tail", ["effective", "physical"])
def test_uncertainty_and_covariance_match_repeated_measurement(tail: str) -> None:
    rng = np.random.default_rng(4)
    true, sigma = kidney(FOUR), 0.02 * kidney(FOUR)
    fits = [
        trapezoid_tia(FOUR, true + sigma * rng.standard_normal(4), sigma, half_life_h=T_PHYS_H, tail=tail)
        for _ in range(2000)
    ]
    one = trapezoid_tia(FOUR, true, sigma, half_life_h=T_PHYS_H, tail=tail)
    assert np.std([fit.tia_mbq_h for fit in fits]) == pytest.approx(one.tia_std_mbq_h, rel=0.06)
    found = np.cov(np.array([list(fit.parameters.values()) for fit in fits]).T)
    assert found == pytest.approx(one.covariance, rel=0.15, abs=1e-12)


def test_the_physical_tail_adds_half_of_a_kidney_and_is_flagged() -> None:
    time = np.array([4.0, 24.0, 96.0])
    known = {"half_life_h": T_PHYS_H}
    effective, physical = (trapezoid_tia(time, kidney(time), 0.05 * kidney(time), tail=t, **known) for t in TAILS)
    more = (physical.tia_mbq_h - effective.tia_mbq_h) / (50.0 * 32.0 / math.log(2))
    assert more == pytest.approx(0.50, abs=0.01)
    assert "physical_tail" in physical.flags
    assert effective.flags == ()


TAILS = ("effective", "physical")


def test_a_tail_never_decays_slower_than_the_radionuclide_and_says_so() -> None:
    fit = trapezoid_tia([4.0, 24.0, 72.0], [50.0, 10.0, 9.5], [1.0, 0.5, 0.5], half_life_h=T_PHYS_H)
    assert fit.t_eff_h == pytest.approx(T_PHYS_H)
    assert fit.flags == ("tail_over_40_percent", "physical_tail")


def test_straight_lines_overestimate_a_convex_curve_as_the_module_says() -> None:
    fit = trapezoid_tia(FOUR, kidney(FOUR), 0.05 * kidney(FOUR), half_life_h=T_PHYS_H)
    assert fit.tia_mbq_h / (50.0 * 32.0 / math.log(2)) == pytest.approx(1.10, abs=0.01)


@pytest.mark.parametrize(
    ("time", "activity", "reason"),
    [
        ([24.0], [1.0], "too_few_points"),
        ([24.0, 96.0], [10.0, 9.0], "rising_activity"),
        ([4.0, 24.0, 72.0], [9.0, 3.0, 0.0], "not_positive"),
        ([4.0, 24.0], [1.0, 0.0], "not_positive"),
    ],
)
def test_refusals_have_reasons(time: list[float], activity: list[float], reason: str) -> None:
    with pytest.raises(FitError) as caught:
        trapezoid_tia(time, activity, np.full(len(time), 0.1), half_life_h=T_PHYS_H)
    assert caught.value.reason == reason


def test_an_unknown_tail_is_refused() -> None:
    with pytest.raises(SettingsError, match="one of effective, physical"):
        trapezoid_tia(FOUR, kidney(FOUR), 0.05 * kidney(FOUR), half_life_h=T_PHYS_H, tail="none")
