"""One scan: where each method is exact, how far it is off elsewhere, and that it says when it should not be used."""

import math

import numpy as np
import pytest

from theradose.errors import FitError, SettingsError
from theradose.physics.kinetic_fit import Rates
from theradose.physics.kinetics import population_fit
from theradose.physics.population_prior import PopulationPrior
from theradose.physics.single_time import SINGLE_TIME_METHODS, OneScan, mean_constant_per_h, single_time_fit

T_PHYS_H = 159.528
PHYS = math.log(2) / T_PHYS_H
PLAIN = Rates(PHYS, math.inf)
T_EFF_H = 48.0
KIDNEY = PopulationPrior(math.log(2) / T_EFF_H, 0.20)
KNOWN = {"half_life_h": T_PHYS_H}


def scan(time_h: float, a_mbq: float = 50.0, t_eff_h: float = T_EFF_H) -> tuple[OneScan, float]:
    """Return a scan of a mono-exponential with 5 % uncertainty, and the true TIA."""
    activity = np.array([a_mbq * 2 ** (-time_h / t_eff_h)])
    return OneScan(time_h, activity, 0.05 * activity), a_mbq * t_eff_h / math.log(2)


@pytest.mark.parametrize("name", SINGLE_TIME_METHODS)
def test_tia_scales_with_activity_and_takes_many_curves(name: str) -> None:
    one, _ = scan(72.0)
    many = OneScan(72.0, one.activity_mbq * [1.0, 10.0], one.std_mbq * [1.0, 10.0])
    tia, std = SINGLE_TIME_METHODS[name](many, KIDNEY, PLAIN)
    assert tia[1] == pytest.approx(10 * tia[0], rel=1e-9)
    assert std[1] == pytest.approx(10 * std[0], rel=1e-9)
    fit = single_time_fit(name, [72.0], one.activity_mbq, one.std_mbq, KIDNEY, **KNOWN)
    assert (fit.tia_mbq_h, fit.tia_std_mbq_h) == pytest.approx((tia[0], std[0]), rel=1e-9)


@pytest.mark.parametrize("name", SINGLE_TIME_METHODS)
def test_curve_and_covariance_belong_to_the_tia(name: str) -> None:
    one, _ = scan(72.0)
    fit = single_time_fit(name, [72.0], one.activity_mbq, one.std_mbq, KIDNEY, **KNOWN)
    a, rate = fit.parameters["a1_mbq"], fit.parameters["lambda1_per_h"]
    gradient = np.array([1 / rate, -a / rate**2])
    assert a / rate == pytest.approx(fit.tia_mbq_h, rel=1e-9)
    assert math.sqrt(gradient @ fit.covariance @ gradient) == pytest.approx(fit.tia_std_mbq_h, rel=1e-9)
    assert np.linalg.eigvalsh(fit.covariance).min() > 0


@pytest.mark.parametrize("halves", [1.0, 2.0])
def test_haenscheid_is_exact_at_one_and_two_half_lives(halves: float) -> None:
    one, truth = scan(halves * T_EFF_H)
    assert SINGLE_TIME_METHODS["haenscheid"](one, KIDNEY, PLAIN)[0][0] == pytest.approx(truth)


def test_haenscheid_is_at_most_12_percent_off_inside_its_window() -> None:
    off = []
    for x in np.linspace(0.75, 2.5, 101):
        one, truth = scan(x * T_EFF_H)
        off.append(SINGLE_TIME_METHODS["haenscheid"](one, KIDNEY, PLAIN)[0][0] / truth - 1)
        assert (
            "outside_validity_window"
            not in single_time_fit("haenscheid", [x * T_EFF_H], one.activity_mbq, one.std_mbq, KIDNEY, **KNOWN).flags
        )
    # The maximum 2 x / 2^x = 2 / (e ln 2) is at x = 1 / ln 2; the ends are 1.5 / 2^0.75 and 5 / 2^2.5.
    assert (min(off), max(off)) == pytest.approx((5 / 2**2.5 - 1, 2 / (math.e * math.log(2)) - 1), abs=1e-3)


@pytest.mark.parametrize("time_h", [0.7 * T_EFF_H, 2.6 * T_EFF_H])
def test_haenscheid_says_when_it_should_not_be_used(time_h: float) -> None:
    one, _ = scan(time_h)
    fit = single_time_fit("haenscheid", [time_h], one.activity_mbq, one.std_mbq, KIDNEY, **KNOWN)
    assert {"outside_validity_window", "single_time_point"} <= set(fit.flags)


@pytest.mark.parametrize("time_h", [24.0, 72.0, 168.0])
def test_madsen_is_exact_for_the_mean_patient_and_is_the_declared_half_life(time_h: float) -> None:
    mean, spread = mean_constant_per_h(KIDNEY, PHYS)
    one, truth = scan(time_h, t_eff_h=math.log(2) / mean)
    tia, std = SINGLE_TIME_METHODS["madsen"](one, KIDNEY, PLAIN)
    assert tia[0] == pytest.approx(truth)
    declared = population_fit(
        [time_h], one.activity_mbq, one.std_mbq, t_eff_h=math.log(2) / mean, t_eff_cv=spread, **KNOWN
    )
    assert (tia[0], std[0]) == pytest.approx((declared.tia_mbq_h, declared.tia_std_mbq_h), rel=1e-5)


def test_moments_of_a_log_normal_constant() -> None:
    draws = np.exp(np.random.default_rng(1).normal(math.log(0.01), 0.3, 200_000))
    mean, spread = mean_constant_per_h(PopulationPrior(0.01, 0.3, "biological"), PHYS)
    assert mean == pytest.approx((draws + PHYS).mean(), rel=5e-3)
    assert spread == pytest.approx((draws + PHYS).std() / (draws + PHYS).mean(), rel=1e-2)


def test_the_prior_takes_more_scans_and_an_uptake_phase() -> None:
    time, activity = np.array([24.0, 72.0]), np.array([30.0, 14.0])
    fit = single_time_fit("population_prior", time, activity, 0.05 * activity, KIDNEY, uptake_half_time_h=2.0, **KNOWN)
    one = single_time_fit("population_prior", time[1:], activity[1:], 0.05 * activity[1:], KIDNEY, **KNOWN)
    assert "lambda_uptake_per_h" in fit.parameters
    assert fit.tia_std_mbq_h / fit.tia_mbq_h < one.tia_std_mbq_h / one.tia_mbq_h
    assert (fit.flags, one.flags) == ((), ("single_time_point",))


@pytest.mark.parametrize(
    ("name", "time", "activity", "more", "reason"),
    [
        ("madsen", [24.0, 72.0], [3.0, 2.0], {}, "one_scan_only"),
        ("haenscheid", [24.0, 72.0], [3.0, 2.0], {}, "one_scan_only"),
        ("madsen", [24.0], [3.0], {"uptake_half_time_h": 1.0}, "uptake_not_modelled"),
        ("haenscheid", [24.0], [0.0], {}, "not_positive"),
        ("population_prior", [24.0], [-1.0], {}, "not_positive"),
    ],
)
def test_refusals_have_reasons(name, time, activity, more, reason) -> None:
    with pytest.raises(FitError) as caught:
        single_time_fit(name, time, activity, np.full(len(time), 0.1), KIDNEY, **KNOWN, **more)
    assert caught.value.reason == reason


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(SettingsError, match="one of haenscheid, madsen, population_prior"):
        single_time_fit("guess", [24.0], [1.0], [0.1], KIDNEY, **KNOWN)
