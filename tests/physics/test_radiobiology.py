"""The linear-quadratic model: published numbers, the double integral done the slow way, and laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import dblquad

from theradose.errors import DataError
from theradose.physics.radiobiology import (
    bed_gy,
    bed_over_cycles_gy,
    dose_at_bed_gy,
    eqd2_gy,
    g_factor,
    g_factor_of_curve,
    g_factor_single,
)

LN2 = np.log(2.0)
HALF_LIVES = st.floats(0.5, 200.0)


def slow_g(a: np.ndarray, decay: np.ndarray, t_repair_h: float) -> float:
    """Return G by two quadratures over the definition, with t = end u / (1 - u) left out: up to 25 slow half-lives."""
    mu, end = LN2 / t_repair_h, 25.0 * LN2 / decay.min()

    def rate(t: float) -> float:
        return float(a @ np.exp(-decay * t))

    # The lag w = t - s, not s, so that the kernel sits at one end of the inner integral.
    both = dblquad(
        lambda w, t: rate(t) * rate(t - w) * np.exp(-mu * w), 0.0, end, 0.0, lambda t: min(t, 40.0 / mu), epsabs=1e-9
    )[0]
    return 2.0 * both / float(np.sum(a / decay)) ** 2


def test_published_number() -> None:
    # T_eff 50 h, T_repair 2.8 h: 2.8 / 52.8.
    assert g_factor_single(50.0, 2.8) == pytest.approx(0.053030, abs=5e-7)


@pytest.mark.parametrize(
    ("a", "half_lives_h", "t_repair_h"),
    [
        ([1.0], [50.0], 2.8),
        ([3.0, 1.0], [4.0, 60.0], 1.5),
        ([1.0, -1.0], [50.0, 2.0], 2.8),
        ([2.0, 1.0, -3.0], [20.0, 80.0, 1.0], 2.8),
    ],
)
def test_sum_of_exponentials_against_direct_quadrature(a, half_lives_h, t_repair_h) -> None:
    amplitude, decay = np.array(a), LN2 / np.array(half_lives_h)
    assert g_factor(amplitude, decay, t_repair_h) == pytest.approx(slow_g(amplitude, decay, t_repair_h), rel=2e-5)


def test_sampled_curve_tends_to_the_formula() -> None:
    t = np.concatenate([np.linspace(0.0, 20.0, 2001), np.linspace(20.2, 200.0, 900)])
    rate = np.exp(-LN2 * t / 50.0) - np.exp(-LN2 * t / 2.0)
    assert g_factor_of_curve(t, rate, 2.8, 50.0) == pytest.approx(g_factor_single(50.0, 2.8, 2.0), rel=1e-5)


def test_sampled_curve_by_hand() -> None:
    # A constant rate for time T, then nothing: 2 (y - 1 + exp(-y)) / y^2 with y = mu T (Dale 1985).
    y = LN2 / 3.0 * 12.0
    t, rate = [0.0, 12.0, 12.0 + 1e-7], [1.0, 1.0, 0.0]
    assert g_factor_of_curve(t, rate, 3.0, 1.0) == pytest.approx(2.0 * (y - 1.0 + np.exp(-y)) / y**2, rel=1e-6)


@given(HALF_LIVES, HALF_LIVES, st.floats(0.05, 0.95))
def test_uptake_lowers_g_and_g_lies_between_zero_and_one(t_eff: float, t_repair: float, part: float) -> None:
    at_once, slow = g_factor_single(t_eff, t_repair), g_factor_single(t_eff, t_repair, part * t_eff)
    assert 0.0 < slow < at_once < 1.0


def test_limits_of_repair() -> None:
    assert g_factor_single(50.0, 1e9) == pytest.approx(1.0)  # nothing is repaired: as one instant
    assert g_factor_single(50.0, 1e-9) == pytest.approx(0.0, abs=1e-9)


def test_kidneys_after_four_cycles() -> None:
    total = bed_over_cycles_gy([5.75] * 4, g_factor_single(50.0, 2.8), 2.6)
    assert total == pytest.approx(25.70, abs=0.005)
    assert eqd2_gy(total, 2.6) == pytest.approx(14.53, abs=0.01)


def test_bed_adds_over_cycles_and_not_over_the_pooled_curve() -> None:
    g = g_factor_single(50.0, 2.8)
    assert float(bed_gy(23.0, g, 2.6)) > 1.3 * float(bed_over_cycles_gy([5.75] * 4, g, 2.6))
    # Two cycles on one curve, 1500 h apart: the exact double integral knows that the first damage is long repaired.
    t = np.linspace(0.0, 3000.0, 30001)
    curve = np.exp(-LN2 * t / 50.0) + np.where(t >= 1500.0, np.exp(-LN2 * (t - 1500.0) / 50.0), 0.0)
    pooled = bed_gy(11.5, g_factor_of_curve(t, curve, 2.8, 50.0), 2.6)
    assert float(pooled) == pytest.approx(float(bed_over_cycles_gy([5.75, 5.75], g, 2.6)), rel=1e-3)


def test_voxel_wise_and_a_factor_per_cycle() -> None:
    rng = np.random.default_rng(3)
    dose, g = rng.gamma(4.0, 1.5, (3, 4, 5, 6)), np.array([0.05, 0.04, 0.08])
    found = bed_over_cycles_gy(dose, g, 2.6)
    assert found.shape == (4, 5, 6)
    one = dose[:, 1, 2, 3]
    assert found[1, 2, 3] == pytest.approx(sum(d + factor * d * d / 2.6 for d, factor in zip(one, g, strict=True)))
    assert float(bed_gy(dose[0], 0.05, 2.6).mean()) > float(bed_gy(dose[0].mean(), 0.05, 2.6))


@given(st.floats(0, 200), st.floats(0, 1), st.floats(0.5, 20))
def test_dose_at_bed_is_the_inverse(dose: float, g: float, alpha_beta: float) -> None:
    assert dose_at_bed_gy(float(bed_gy(dose, g, alpha_beta)), g, alpha_beta) == pytest.approx(dose, abs=1e-9, rel=1e-9)


@given(st.integers(1, 40), st.floats(0.5, 20))
def test_fractions_of_two_gray_are_their_own_eqd2(fractions: int, alpha_beta: float) -> None:
    assert eqd2_gy(bed_over_cycles_gy([2.0] * fractions, 1.0, alpha_beta), alpha_beta) == pytest.approx(2.0 * fractions)


@pytest.mark.parametrize(
    "call",
    [
        lambda: bed_gy(-1.0, 0.1, 2.6),
        lambda: bed_gy(1.0, 1.2, 2.6),
        lambda: bed_gy(1.0, 0.1, 0.0),
        lambda: g_factor_single(50.0, 0.0),
        lambda: g_factor_single(-50.0, 2.8),
        lambda: g_factor_single(50.0, 2.8, 60.0),
        lambda: g_factor([1.0, -2.0], [0.01, 0.01], 2.8),
        lambda: g_factor_of_curve([0.0, 0.0], [1.0, 1.0], 2.8, 50.0),
        lambda: g_factor_of_curve([0.0, 1.0], [1.0, -1.0], 2.8, 50.0),
        lambda: eqd2_gy(10.0, -1.0),
        lambda: dose_at_bed_gy(-1.0, 0.1, 2.6),
        lambda: bed_gy(np.nan, 0.1, 2.6),
    ],
)
def test_impossible_numbers_are_refused(call) -> None:
    with pytest.raises(DataError) as caught:
        call()
    assert caught.value.code == "impossible_value"
