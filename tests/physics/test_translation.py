"""Translation between radionuclides: exact against quadrature, reversible, refused where there is no biology."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from theradose.errors import FitError
from theradose.physics.kinetic_models import KINETIC_MODELS, curve_mbq, named_parameters, uptake_constant_per_h
from theradose.physics.kinetics import AVERAGE, TRAPEZOID, tia_by
from theradose.physics.nuclides import nuclide
from theradose.physics.translation import (
    dose_ratio,
    effective_half_life_h,
    one_term_tiac_h,
    tia_ratio,
    translate,
    translated_rates,
)

LU, Y = nuclide("Lu-177").half_life_h, nuclide("Y-90").half_life_h
TEN = np.array([0.25, 0.5, 1.0, 2.0, 6.0, 12.0, 24.0, 48.0, 96.0, 168.0])
BETWEEN = {"from_half_life_h": LU, "to_half_life_h": Y}
UPTAKE_H = 0.5
# Amplitudes in MBq and effective constants in 1/h, apart enough for every model to be accepted.
TERMS = {1: ([50.0], [0.0217]), 2: ([30.0, 50.0], [0.2, 0.0217]), 3: ([40.0, 30.0, 50.0], [1.4, 0.1, 0.012])}


def fitted(method: str):
    amplitude, rate = TERMS[KINETIC_MODELS[method].phases if method in KINETIC_MODELS else 2]
    truth = named_parameters(np.array(amplitude), np.array(rate), math.inf)
    uptake_h = UPTAKE_H if "uptake" in method else None
    if uptake_h:
        truth["lambda_uptake_per_h"] = uptake_constant_per_h(math.log(2) / LU, uptake_h)
    activity = curve_mbq(truth, TEN)
    return tia_by(method, TEN, activity, 0.01 * activity, half_life_h=LU, uptake_half_time_h=uptake_h)


@pytest.mark.parametrize("method", [*KINETIC_MODELS, AVERAGE])
def test_exact_against_quadrature(method: str) -> None:
    lu177 = fitted(method)
    y90 = translate(lu177, **BETWEEN)
    swap = math.log(2) / Y - math.log(2) / LU

    def other(t: float) -> float:
        return float(lu177.activity_mbq(t)) * math.exp(-swap * t)

    edges = [0.0, 1.0, 5.0, 20.0, 80.0, 300.0, 1000.0, 4000.0]
    whole = sum(quad(other, a, b, epsabs=0, epsrel=1e-12)[0] for a, b in pairwise(edges))
    assert y90.tia_mbq_h == pytest.approx(whole, rel=1e-9)
    tail = sum(quad(other, a, b, epsabs=0, epsrel=1e-12)[0] for a, b in ((168.0, 1000.0), (1000.0, 4000.0)))
    assert y90.tail_fraction == pytest.approx(tail / whole, rel=1e-6)


@pytest.mark.parametrize("method", [*KINETIC_MODELS, AVERAGE])
def test_there_and_back_again(method: str) -> None:
    lu177 = fitted(method)
    back = translate(translate(lu177, **BETWEEN), from_half_life_h=Y, to_half_life_h=LU)
    assert back.parameters == pytest.approx(lu177.parameters, rel=1e-12)
    assert (back.tia_mbq_h, back.tia_std_mbq_h) == pytest.approx((lu177.tia_mbq_h, lu177.tia_std_mbq_h), rel=1e-9)
    assert back.model == lu177.model


def test_uncertainty_matches_translated_draws() -> None:
    rng = np.random.default_rng(8)
    true = 50.0 * np.exp(-0.014081 * np.array([4.0, 24.0, 72.0, 168.0]))
    known = {"half_life_h": LU}
    time = [4.0, 24.0, 72.0, 168.0]
    drawn = [
        translate(tia_by("mono", time, true * (1 + 0.03 * rng.standard_normal(4)), 0.03 * true, **known), **BETWEEN)
        for _ in range(400)
    ]
    one = translate(tia_by("mono", time, true, 0.03 * true, **known), **BETWEEN)
    assert np.std([fit.tia_mbq_h for fit in drawn]) == pytest.approx(one.tia_std_mbq_h, rel=0.1)


@given(st.floats(0.0044, 1.0), st.floats(1.0, 300.0))
def test_shorter_lived_means_smaller(rate: float, half_life_h: float) -> None:
    moved = translated_rates(np.array([rate]), LU, half_life_h)[0]
    assert (moved > rate) == (math.log(2) / half_life_h > math.log(2) / LU)
    assert moved >= math.log(2) / half_life_h


def test_the_published_example() -> None:
    assert math.log(2) / translated_rates(np.array([0.014081]), LU, Y)[0] == pytest.approx(33.73, abs=0.005)


def test_what_decays_slower_than_physics_has_no_biology() -> None:
    with pytest.raises(FitError, match="no biological constant") as caught:
        translated_rates(np.array([0.02, 0.0043]), LU, Y)
    assert caught.value.reason == "negative_lambda_bio"
    assert translated_rates(np.array([math.log(2) / LU]), LU, Y)[0] == pytest.approx(math.log(2) / Y)


def test_a_trapezoid_has_no_curve_to_translate() -> None:
    with pytest.raises(FitError) as caught:
        translate(fitted(TRAPEZOID), **BETWEEN)
    assert caught.value.reason == "no_curve"


@pytest.mark.parametrize("method", list(KINETIC_MODELS))
def test_ratio_of_a_curve_is_that_of_the_translated_fit(method: str) -> None:
    lu177 = fitted(method)
    ratio = tia_ratio(lu177.parameters, LU, Y)
    assert ratio == pytest.approx(translate(lu177, **BETWEEN).tia_mbq_h / lu177.tia_mbq_h, rel=1e-12)


def test_ratio_of_a_method_without_a_curve_is_refused() -> None:
    with pytest.raises(FitError) as caught:
        tia_ratio({"last_mbq": 3.0}, LU, Y)
    assert caught.value.reason == "no_curve"


def test_one_term_is_the_integral_of_one_term() -> None:
    t_eff_h = effective_half_life_h(50.0, Y)
    whole = quad(lambda t: 0.05 * 2.0 ** (-t / 50.0 - t / Y), 0.0, 3000.0)[0]
    assert one_term_tiac_h(0.05, 50.0, Y) == pytest.approx(whole, rel=1e-9)
    assert t_eff_h == pytest.approx(50.0 * Y / (50.0 + Y))


def test_a_tiac_alone_cannot_be_translated() -> None:
    """Two molecules of one TIAC with Lu-177 have two with Y-90."""
    t_bio_h = np.array([20.0, 200.0])
    uptake = 3.0 / one_term_tiac_h(1.0, t_bio_h, LU)
    np.testing.assert_allclose(one_term_tiac_h(uptake, t_bio_h, LU), 3.0)
    fast, slow = one_term_tiac_h(uptake, t_bio_h, Y)
    assert fast > 1.3 * slow
    assert 3.0 * Y / LU < slow < fast < 3.0


def test_dose_ratio_takes_energy_of_charged_particles_with_progeny() -> None:
    assert dose_ratio(2.0, 2.0, "Lu-177", "Lu-177") == 1.0
    assert dose_ratio(1.0, 2.0, "Lu-177", "Y-90") == pytest.approx(2.0 * 933.106 / 147.923)
    assert dose_ratio(1.0, 1.0, "Lu-177", "Ac-225") > 4.0 * 5787.0 / 147.923
