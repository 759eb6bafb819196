"""Fits of time-activity curves: exact recovery, bias and coverage, refusals, and the traps of the design."""

import contextlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from theradose.errors import DataError, FitError, SettingsError
from theradose.physics.kinetic_fit import CurveFit, Points, Rates, fit_curve
from theradose.physics.kinetic_models import KINETIC_MODELS, NO_UPTAKE, curve_mbq, uptake_constant_per_h
from theradose.physics.kinetics import AVERAGE, METHODS, fit_or_population, fit_tac, population_fit, tia_by
from theradose.physics.selection import criteria, is_poor

T_PHYS_H = 159.528
PHYS = math.log(2) / T_PHYS_H
FOUR = np.array([4.0, 24.0, 72.0, 168.0])
SEVEN = np.array([0.5, 2.0, 6.0, 24.0, 48.0, 96.0, 168.0])
TEN = np.array([0.25, 0.5, 1.0, 2.0, 6.0, 12.0, 24.0, 48.0, 96.0, 168.0])
UPTAKE_H = 0.5
UPTAKE = uptake_constant_per_h(PHYS, UPTAKE_H)


def kidney(time_h=FOUR, t_eff_h=32.0, a_mbq=50.0):
    return a_mbq * np.exp(-math.log(2) / t_eff_h * np.asarray(time_h))


TRUTHS = {
    "mono": {"a1_mbq": 50.0, "lambda1_per_h": 0.0217},
    "mono_uptake": {"a1_mbq": 50.0, "lambda1_per_h": 0.0217, "lambda_uptake_per_h": UPTAKE},
    "bi": {"a1_mbq": 30.0, "a2_mbq": 50.0, "lambda1_per_h": 0.2, "lambda2_per_h": 0.0217},
    "bi_uptake": {
        "a1_mbq": 30.0,
        "a2_mbq": 50.0,
        "lambda1_per_h": 0.2,
        "lambda2_per_h": 0.0217,
        "lambda_uptake_per_h": UPTAKE,
    },
    "tri": {
        "a1_mbq": 40.0,
        "a2_mbq": 30.0,
        "a3_mbq": 50.0,
        "lambda1_per_h": 1.4,
        "lambda2_per_h": 0.1,
        "lambda3_per_h": 0.012,
    },
}


@pytest.mark.parametrize("name", KINETIC_MODELS)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_noise_free_curves_are_recovered(name: str, scale: float) -> None:
    truth = {k: v * scale if k.endswith("mbq") else v for k, v in TRUTHS[name].items()}
    activity = curve_mbq(truth, TEN)
    fit = fit_tac(TEN, activity, 0.01 * activity, half_life_h=T_PHYS_H, models=(name,), uptake_half_time_h=UPTAKE_H)
    assert fit.parameters == pytest.approx(truth, rel=1e-6)
    assert fit.tia_mbq_h == pytest.approx(quad(lambda t: curve_mbq(truth, t), 0, np.inf, limit=500)[0], rel=1e-6)
    tail = quad(lambda t: curve_mbq(truth, t), TEN[-1], np.inf)[0]
    assert fit.tail_fraction == pytest.approx(tail / fit.tia_mbq_h, rel=1e-6)
    assert fit.activity_mbq(TEN) == pytest.approx(activity, rel=1e-6)


@pytest.mark.parametrize("name", ["mono", pytest.param("mono_uptake", marks=pytest.mark.slow)])
def test_bias_and_coverage_over_1000_curves(name: str) -> None:
    rng = np.random.default_rng(20260115)
    true = curve_mbq(TRUTHS[name], FOUR)
    uptake = UPTAKE if KINETIC_MODELS[name].uptake else NO_UPTAKE
    tia = 50.0 * (1 / 0.0217 - (0.0 if math.isinf(uptake) else 1 / uptake))
    found = np.array([_noisy_fit(rng, true, name) for _ in range(1000)])
    assert abs(np.mean(found[:, 0] / tia - 1)) < 0.01
    covered = np.abs(found[:, 0] - tia) < 1.959964 * found[:, 1]
    assert 0.93 <= covered.mean() <= 0.97


def _noisy_fit(rng, true, name):
    measured = true * (1 + 0.05 * rng.standard_normal(true.size))
    fit = fit_tac(FOUR, measured, 0.05 * measured, half_life_h=T_PHYS_H, models=(name,), uptake_half_time_h=UPTAKE_H)
    return fit.tia_mbq_h, fit.tia_std_mbq_h


@settings(max_examples=25, deadline=None)
@given(st.floats(5, 150), st.floats(1e-2, 1e4), st.integers(0, 2**31))
def test_tia_scales_with_activity(t_eff_h: float, scale: float, seed: int) -> None:
    activity = kidney(t_eff_h=t_eff_h) * (1 + 0.05 * np.random.default_rng(seed).standard_normal(4))
    known = {"half_life_h": T_PHYS_H, "t_eff_h": 30.0, "t_eff_cv": 0.25, "uptake_half_time_h": UPTAKE_H}
    one = fit_or_population(FOUR, activity, 0.05 * activity, **known)
    many = fit_or_population(FOUR, scale * activity, 0.05 * scale * activity, **known)
    assert many.model == one.model
    assert many.tia_mbq_h == pytest.approx(scale * one.tia_mbq_h, rel=1e-6)
    assert many.tia_std_mbq_h == pytest.approx(scale * one.tia_std_mbq_h, rel=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.1, 100), min_size=4, max_size=7), st.sampled_from(sorted(KINETIC_MODELS)))
def test_nothing_decays_slower_than_physics(activity: list[float], name: str) -> None:
    measured = np.array(activity)
    points = Points(SEVEN[: measured.size], measured, 0.1 * measured)
    uptake = UPTAKE if KINETIC_MODELS[name].uptake else NO_UPTAKE
    # Two phases that come near no curve with positive amplitudes are refused; any curve that comes back keeps the law.
    with contextlib.suppress(FitError):
        fit = fit_curve(points, KINETIC_MODELS[name], Rates(PHYS, uptake))
        assert (fit.lambda_per_h >= PHYS).all()
        assert (fit.amplitude_mbq > 0).all()


def test_covariance_matches_repeated_measurement() -> None:
    rng = np.random.default_rng(7)
    true, sigma = kidney(), 0.05 * kidney()
    fits = [
        fit_tac(FOUR, true + sigma * rng.standard_normal(4), sigma, half_life_h=T_PHYS_H, models=("mono",))
        for _ in range(200)
    ]
    found = np.cov(np.array([list(fit.parameters.values()) for fit in fits]).T)
    expected = fit_tac(FOUR, true, sigma, half_life_h=T_PHYS_H, models=("mono",)).covariance
    assert np.sqrt(np.diag(found)) == pytest.approx(np.sqrt(np.diag(expected)), rel=0.15)
    correlation = [c[0, 1] / np.sqrt(c[0, 0] * c[1, 1]) for c in (found, expected)]
    assert correlation[0] == pytest.approx(correlation[1], abs=0.05)


def test_rising_activity_is_refused_by_name_and_replaced() -> None:
    # Activity falls, but slower than Lu-177 decays: the tissue is still taking up.
    time, activity = [24.0, 96.0], np.array([10.0, 9.0])
    with pytest.raises(FitError, match="rises over all points") as caught:
        fit_tac(time, activity, 0.05 * activity, half_life_h=T_PHYS_H)
    assert caught.value.reason == "rising_activity"
    fit = fit_or_population(time, activity, 0.05 * activity, half_life_h=T_PHYS_H, t_eff_h=52.0, t_eff_cv=0.25)
    assert (fit.model, fit.reason, fit.t_eff_h) == ("population", "rising_activity", pytest.approx(52.0))
    assert "population_half_life" in fit.flags
    assert fit.sentence.startswith("THR-300")


def test_along_a_refused_rise_every_point_weighs_the_same() -> None:
    activity = np.array([3.0, 12.0, 25.0, 30.0])
    known = {"half_life_h": T_PHYS_H, "t_eff_h": 48.0, "t_eff_cv": 0.25}
    fit = fit_or_population(FOUR, activity, 0.05 * activity, **known)
    f = np.exp(-math.log(2) / 48.0 * FOUR)
    assert fit.tia_mbq_h == pytest.approx((f @ activity) / (f @ f) * 48.0 / math.log(2))
    # The smallest point no longer decides: weighted, it pulled the TIA to less than half.
    assert fit.tia_mbq_h > 2.0 * population_fit(FOUR, activity, 0.05 * activity, **known).tia_mbq_h
    assert "poor_fit" in fit.flags
    # Another refusal keeps the weights it was given.
    noisy, sigma = np.array([1.0, 0.9, 0.3, 0.4]), np.array([2.0, 1.5, 2.5, 3.0])
    kept = fit_or_population(FOUR, noisy, sigma, **known)
    assert kept.reason == "uncertain_parameters"
    assert kept.tia_mbq_h == population_fit(FOUR, noisy, sigma, **known).tia_mbq_h


@pytest.mark.parametrize("method", ["mono", "auto", AVERAGE])
def test_a_curve_that_misses_its_points_is_flagged_and_not_changed(method: str) -> None:
    activity = np.array([30.0, 15.0, 40.0, 3.0])
    poor = tia_by(method, FOUR, activity, 0.05 * activity, half_life_h=T_PHYS_H)
    fair = tia_by(method, FOUR, activity, 0.5 * activity, half_life_h=T_PHYS_H)
    assert "poor_fit" in poor.flags
    assert "poor_fit" not in fair.flags
    assert poor.tia_mbq_h == pytest.approx(fair.tia_mbq_h, rel=1e-6)
    assert 10 * poor.tia_std_mbq_h == pytest.approx(fair.tia_std_mbq_h, rel=1e-5)


@pytest.mark.parametrize(("n", "k", "chi2"), [(3, 2, 4.0), (4, 2, 8.0), (10, 2, 26.12448155837614)])
def test_a_fit_is_poor_above_four_per_degree_of_freedom_or_below_p_0001(n: int, k: int, chi2: float) -> None:
    # The tabulated 0.999 quantile of chi^2 with 8 degrees of freedom is 26.124, less than 4 x 8.
    assert not is_poor(chi2 * 0.9999, n, k)
    assert is_poor(chi2 * 1.0001, n, k)


def test_a_refusal_by_acceptance_names_what_failed() -> None:
    def fit(cv: float, correlation: float) -> CurveFit:
        covariance = np.diag(np.full(4, cv**2))
        covariance[0, 3] = covariance[3, 0] = correlation * cv**2
        return CurveFit(np.ones(2), np.ones(2), covariance, 1.0, 9, at_physical_limit=False)

    for one, said, unsaid in (
        (fit(0.6, 0.1), "bi CV 60 %", "correlation 0.1"),
        (fit(0.1, 0.93), "bi correlation 0.930", "CV 10"),
        (fit(0.6, 0.93), "bi CV 60 % and correlation 0.930", "inf"),
    ):
        with pytest.raises(FitError) as caught:
            criteria({"bi": one})
        assert said in str(caught.value)
        assert unsaid not in str(caught.value)


def test_activity_that_wants_to_grow_is_refused_even_when_it_does_not_rise_throughout() -> None:
    corrected = np.array([10.0, 9.9, 11.0, 12.0])
    activity = corrected * np.exp(-PHYS * FOUR)
    with pytest.raises(FitError) as caught:
        fit_tac(FOUR, activity, 0.05 * activity, half_life_h=T_PHYS_H)
    assert caught.value.reason == "rising_activity"


def test_uptake_phase_is_no_rise_when_activity_falls_later() -> None:
    activity = np.array([5.0, 20.0, 9.0, 2.0])
    fit = fit_tac(FOUR, activity, 0.2 * activity, half_life_h=T_PHYS_H, uptake_half_time_h=10.0)
    assert fit.model == "mono_uptake"


@pytest.mark.parametrize(
    ("time", "activity", "reason"),
    [
        ([24.0], [10.0], "too_few_points"),
        ([4.0, 24.0, 72.0], [0.0, 0.0, 0.0], "not_positive"),
        ([4.0, 24.0, 72.0], [3.0, 0.0, 0.0], "not_positive"),
    ],
)
def test_refusals_have_reasons(time: list[float], activity: list[float], reason: str) -> None:
    with pytest.raises(FitError) as caught:
        fit_tac(time, activity, np.full(len(time), 0.5), half_life_h=T_PHYS_H)
    assert caught.value.reason == reason


def test_hopeless_noise_is_refused() -> None:
    activity = np.array([1.0, 0.9, 0.3, 0.4])
    with pytest.raises(FitError) as caught:
        fit_tac(FOUR, activity, np.full(4, 2.0), half_life_h=T_PHYS_H)
    assert caught.value.reason == "uncertain_parameters"


def test_bi_exponential_on_three_points_is_not_tried() -> None:
    time = np.array([4.0, 24.0, 72.0])
    activity = curve_mbq(TRUTHS["bi"], time)
    assert fit_tac(time, activity, 0.05 * activity, half_life_h=T_PHYS_H, models=("bi", "mono")).model == "mono"
    with pytest.raises(FitError) as caught:
        fit_tac(time, activity, 0.05 * activity, half_life_h=T_PHYS_H, models=("bi",))
    assert caught.value.reason == "too_few_points"


def test_physical_decay_is_counted_once() -> None:
    # Biological half-life 40 h and physical 159.5 h make 32 h, not 26.6 h as with physical decay added twice.
    fit = fit_tac(FOUR, kidney(t_eff_h=1 / (1 / 40 + 1 / T_PHYS_H)), 0.05 * kidney(), half_life_h=T_PHYS_H)
    assert fit.t_eff_h == pytest.approx(31.98, abs=0.01)


def test_tail_decays_with_the_fit_and_not_physically() -> None:
    # Physical decay after a last scan at 96 h would add half of the true TIA of a kidney.
    time = np.array([4.0, 24.0, 96.0])
    activity = kidney(time)
    fit = fit_tac(time, activity, 0.05 * activity, half_life_h=T_PHYS_H, models=("mono",))
    true = 50.0 * 32.0 / math.log(2)
    physical = fit.tia_mbq_h * (1 - fit.tail_fraction) + activity[-1] / PHYS
    assert fit.tia_mbq_h == pytest.approx(true, rel=1e-6)
    assert physical / true == pytest.approx(1.50, abs=0.01)


def test_long_tail_is_flagged() -> None:
    time = np.array([1.0, 4.0, 24.0])
    activity = kidney(time, t_eff_h=60.0)
    fit = fit_tac(time, activity, 0.03 * activity, half_life_h=T_PHYS_H, models=("mono",))
    assert fit.tail_fraction > 0.4
    assert fit.flags == ("tail_over_40_percent",)
    assert fit_tac(FOUR, kidney(), 0.05 * kidney(), half_life_h=T_PHYS_H).flags == ()


def test_order_of_points_does_not_matter_and_nonsense_is_refused() -> None:
    back = fit_tac(FOUR[::-1], kidney()[::-1], 0.05 * kidney()[::-1], half_life_h=T_PHYS_H)
    assert back.tia_mbq_h == pytest.approx(fit_tac(FOUR, kidney(), 0.05 * kidney(), half_life_h=T_PHYS_H).tia_mbq_h)
    for time, activity, code in (
        ([4.0, 4.0], [1.0, 2.0], "equal_times"),
        ([-1.0, 4.0], [1.0, 2.0], "negative_time"),
        ([1.0, 4.0], [np.nan, 2.0], "not_finite"),
        ([1.0, 4.0, 5.0], [1.0, 2.0], "unequal_lengths"),
        ([1.0, 2001.0], [1.0, 2.0], "implausible_time"),
    ):
        with pytest.raises(DataError) as caught:
            fit_tac(time, activity, [0.1, 0.1], half_life_h=T_PHYS_H)
        assert caught.value.code == code


def test_population_fit_of_one_point_by_hand() -> None:
    a, s, t_eff, cv, t = 30.0, 1.5, 32.0, 0.25, 24.0
    fit = population_fit([t], [a], [s], half_life_h=T_PHYS_H, t_eff_h=t_eff, t_eff_cv=cv)
    rate = math.log(2) / t_eff
    tia = a * math.exp(rate * t) / rate
    # d ln TIA / d ln rate = rate t - 1
    relative = math.hypot(s / a, (rate * t - 1) * cv)
    assert fit.tia_mbq_h == pytest.approx(tia)
    assert fit.tia_std_mbq_h == pytest.approx(tia * relative, rel=1e-4)
    assert {"population_half_life", "single_time_point"} <= set(fit.flags)


def test_population_uncertainty_matches_drawn_half_lives() -> None:
    rng = np.random.default_rng(3)
    activity, sigma = kidney(FOUR, 40.0), 0.05 * kidney(FOUR, 40.0)
    known = {"half_life_h": T_PHYS_H, "t_eff_cv": 0.0}
    rates = math.log(2) / 40.0 * (1 + 0.05 * rng.standard_normal(400))
    drawn = [
        population_fit(FOUR, activity + sigma * rng.standard_normal(4), sigma, t_eff_h=math.log(2) / r, **known)
        for r in rates
    ]
    one = population_fit(FOUR, activity, sigma, half_life_h=T_PHYS_H, t_eff_h=40.0, t_eff_cv=0.05)
    assert np.std([fit.tia_mbq_h for fit in drawn]) == pytest.approx(one.tia_std_mbq_h, rel=0.1)


def test_population_half_life_must_be_effective() -> None:
    with pytest.raises(SettingsError, match="below the physical one"):
        population_fit([24.0], [1.0], [0.1], half_life_h=T_PHYS_H, t_eff_h=200.0, t_eff_cv=0.2)


def test_empty_voi_has_no_tia() -> None:
    fit = fit_or_population(FOUR, np.zeros(4), np.zeros(4), half_life_h=T_PHYS_H, t_eff_h=30.0, t_eff_cv=0.2)
    assert (fit.tia_mbq_h, fit.reason) == (0.0, "not_positive")


def test_a_model_with_uptake_needs_its_half_time() -> None:
    with pytest.raises(FitError, match="never fitted") as caught:
        tia_by("mono_uptake", FOUR, kidney(), 0.05 * kidney(), half_life_h=T_PHYS_H)
    assert caught.value.reason == "uptake_not_declared"
    with pytest.raises(SettingsError, match="kinetic model is unknown"):
        tia_by("quad", FOUR, kidney(), 0.05 * kidney(), half_life_h=T_PHYS_H)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_scales_with_activity_and_knows_its_tail(method: str) -> None:
    activity = kidney(TEN) + 20.0 * np.exp(-0.3 * TEN)
    known = {"half_life_h": T_PHYS_H, "uptake_half_time_h": None if "uptake" not in method else 0.01}
    one, many = (
        (tia_by(method, TEN, k * activity, 0.01 * k * activity, **known) for k in (1.0, 1e3))
        if method != "tri"
        else (
            tia_by(method, TEN, k * curve_mbq(TRUTHS["tri"], TEN), 0.01 * k * curve_mbq(TRUTHS["tri"], TEN), **known)
            for k in (1.0, 1e3)
        )
    )
    assert many.tia_mbq_h == pytest.approx(1e3 * one.tia_mbq_h, rel=1e-6)
    assert many.tia_std_mbq_h == pytest.approx(1e3 * one.tia_std_mbq_h, rel=1e-4)
    assert 0 < one.tail_fraction < 0.4
    assert one.last_h == 168.0


def averaged(seed: int = 5):
    rng = np.random.default_rng(seed)
    activity = curve_mbq(TRUTHS["bi"], TEN) * (1 + 0.05 * rng.standard_normal(TEN.size))
    known = {"half_life_h": T_PHYS_H, "uptake_half_time_h": 0.1}
    return activity, known, tia_by(AVERAGE, TEN, activity, 0.05 * activity, **known)


def test_average_is_the_weighted_mean_of_models_and_its_variance_holds_their_spread() -> None:
    activity, known, mean = averaged()
    ones = {name: tia_by(name, TEN, activity, 0.05 * activity, **known) for name in mean.weights}
    assert {"bi", "bi_uptake"} <= set(ones)
    best = min(one.aicc for one in ones.values())
    raw = {name: math.exp(-(one.aicc - best) / 2) for name, one in ones.items()}
    assert mean.weights == pytest.approx({name: w / sum(raw.values()) for name, w in raw.items()})
    tia = sum(w * ones[name].tia_mbq_h for name, w in mean.weights.items())
    variance = sum(
        w * (ones[name].tia_std_mbq_h ** 2 + (ones[name].tia_mbq_h - tia) ** 2) for name, w in mean.weights.items()
    )
    assert (mean.tia_mbq_h, mean.tia_std_mbq_h) == pytest.approx((tia, math.sqrt(variance)))


def test_the_curve_of_an_average_has_its_integral_and_tail() -> None:
    _, _, mean = averaged()
    whole, tail = (quad(mean.activity_mbq, start, np.inf, limit=500)[0] for start in (0.0, 168.0))
    assert (whole, tail / whole) == pytest.approx((mean.tia_mbq_h, mean.tail_fraction), rel=1e-6)


def test_average_over_one_acceptable_model_is_that_model() -> None:
    one = tia_by("mono", FOUR, kidney(), 0.05 * kidney(), half_life_h=T_PHYS_H)
    mean = tia_by(AVERAGE, FOUR, kidney(), 0.05 * kidney(), half_life_h=T_PHYS_H)
    assert mean.weights == {"mono": 1.0}
    assert (mean.tia_mbq_h, mean.tia_std_mbq_h, mean.t_eff_h) == (one.tia_mbq_h, one.tia_std_mbq_h, one.t_eff_h)
