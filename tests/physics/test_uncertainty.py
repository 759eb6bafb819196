"""The uncertainty budget: Gear's formulas by hand, what is shared and what averages out, organs, profiles."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theradose.physics.kinetics import fit_tac, population_fit
from theradose.physics.population_prior import PopulationPrior
from theradose.physics.recovery_curve import volume_relative_std
from theradose.physics.single_time import single_time_fit
from theradose.physics.uncertainty import (
    OWN_STEPS,
    PROFILES,
    STEPS,
    VoiSources,
    fit_relative_effects,
    interval,
    judge,
    organ_budget,
    voi_budget,
)

HALF_LIFE_H = 159.528
SMALL = st.floats(0.0, 0.3)
SOURCES = VoiSources(
    volume=0.12, recovery_slope=0.15, recovery=(0.03, -0.01), counts_slope=0.6, calibration=0.05, counts=0.04,
    fit=0.025, half_life=0.0, s=0.02, mass_exponent=1.0,
)  # fmt: skip


def std(found: VoiSources) -> dict[str, float]:
    return voi_budget(found, volume_ml=100.0, dose_gy=2.0).relative_std


def test_volume_of_a_sphere_of_voxels() -> None:
    # 26.52 mL are 37 mm across; u(d)^2 = 4.42^2/6 + 10^2/(4 ln 2) = 3.256 + 36.067, u(d) = 6.271 mm, 3 u(d)/d = 0.5085.
    assert volume_relative_std(26.52, voxel_mm=4.42, fwhm_mm=10.0) == pytest.approx(0.5085, abs=2e-4)
    # The outline of CT alone, and of voxels alone: two ends, a^2/12 each.
    assert volume_relative_std(26.52, voxel_mm=0.0, fwhm_mm=2.0) == pytest.approx(
        3 * math.sqrt(2) * 0.8493 / 37.0, rel=1e-3
    )
    assert volume_relative_std(26.52, voxel_mm=6.0, fwhm_mm=0.0) == pytest.approx(3 * math.sqrt(6.0) / 37.0, rel=1e-3)


def test_voxels_make_the_error_of_a_diameter_that_the_formula_says() -> None:
    # A segment of any length dropped at random on a grid, its ends rounded to voxel borders: variance a^2/6.
    rng, a = np.random.default_rng(1), 5.0
    start = rng.uniform(0, a, 200_000)
    length = rng.uniform(35.0, 40.0, 200_000)
    seen = a * (np.round((start + length) / a) - np.round(start / a))
    assert np.var(seen - length) == pytest.approx(a**2 / 6.0, rel=0.02)


def test_steps_are_gear_s_sums() -> None:
    found, r2 = std(SOURCES), 0.03**2 + 0.01**2
    assert found["recovery"] == pytest.approx(math.sqrt(r2 + (0.15 * 0.12) ** 2))
    assert found["counts"] == pytest.approx(math.hypot(0.6 * 0.12, 0.04))
    assert found["s"] == pytest.approx(math.hypot(0.12, 0.02))
    # u2(A)/A2 = u2(Q)/Q2 + u2(R)/R2 + u2(C)/C2 - 2 u(R,C)/(R C), the covariance through the common volume.
    covariance = 0.15 * 0.6 * 0.12**2
    activity2 = 0.05**2 + found["recovery"] ** 2 + found["counts"] ** 2 - 2 * covariance
    assert found["activity"] == pytest.approx(math.sqrt(activity2))
    # u2(D)/D2 = u2(TIA)/TIA2 + u2(S)/S2 + 2 u(TIA,S)/(TIA S), u(TIA,S)/(TIA S) = -c (phi/2R - dlnR/dlnv) u2(v)/v2.
    dose2 = found["tia"] ** 2 + found["s"] ** 2 - 2 * (0.6 - 0.15) * 0.12**2
    assert found["dose"] == pytest.approx(math.sqrt(dose2))
    assert found["dose"] < math.hypot(found["tia"], found["s"])
    assert set(found) == set(STEPS)


def test_leaving_the_covariance_out_would_be_seen() -> None:
    # A large VOI drawn 20 % too large counts 10 % too much and weighs 20 % too much: the dose is off by 10 %, not 22 %.
    large = VoiSources(
        volume=0.2, recovery_slope=0.0, recovery=(0.0,), counts_slope=0.5, calibration=0, counts=0, fit=0
    )
    assert std(large)["dose"] == pytest.approx(0.1)


@given(SMALL, SMALL, SMALL, SMALL, SMALL)
def test_no_source_makes_a_dose_better_known(volume: float, q: float, counts: float, fit: float, s: float) -> None:
    found = replace(SOURCES, volume=volume, calibration=q, counts=counts, fit=fit, s=s)
    base = std(found)
    for name in ("volume", "calibration", "fit", "s"):
        assert std(replace(found, **{name: getattr(found, name) + 0.1}))["dose"] >= base["dose"]
    assert base["dose"] >= max(q, fit, s) - 1e-12
    assert base["tia"] >= max(base["calibration"], base["fit"]) - 1e-12


def test_calibration_does_not_average_out_over_scans_and_noise_does() -> None:
    # The same noise on 4 and on 16 scans of one decay: fit halves about, calibration stays what it is.
    relative = {}
    for n in (4, 16):
        time = np.linspace(4.0, 168.0, n)
        activity = 60.0 * np.exp2(-time / 50.0)
        fit = fit_tac(time, activity, 0.05 * activity, half_life_h=HALF_LIFE_H, models=("mono",))
        noise, half_life = fit_relative_effects(fit)
        assert half_life == 0.0
        relative[n] = std(replace(SOURCES, volume=0.0, recovery=(0.0,), fit=noise, s=0.0))
    assert relative[16]["fit"] < 0.65 * relative[4]["fit"]
    assert relative[4]["calibration"] == relative[16]["calibration"] == 0.05
    assert relative[16]["tia"] > 0.05


@pytest.mark.parametrize("time_h", [24.0, 96.0])
def test_half_life_of_the_population_by_hand(time_h: float) -> None:
    # TIA = y exp(lambda t) / lambda: dlnTIA = (1 - lambda t) dlnT, and the noise of one scan goes through as it is.
    fit = population_fit([time_h], [30.0], [1.2], half_life_h=HALF_LIFE_H, t_eff_h=50.0, t_eff_cv=0.2)
    noise, half_life = fit_relative_effects(fit)
    assert noise == pytest.approx(0.04, rel=1e-6)
    assert half_life == pytest.approx(0.2 * (1.0 - math.log(2) / 50.0 * time_h), abs=1e-6)


@pytest.mark.parametrize("name", ["haenscheid", "madsen"])
def test_half_life_behind_one_scan_is_told_from_its_noise(name: str) -> None:
    """Both kidneys take the same assumed half-life, so its part must not average out as noise does."""
    prior = PopulationPrior(math.log(2) / 50.0, 0.2)
    fit = single_time_fit(name, [50.0], [30.0], [1.2], prior, half_life_h=HALF_LIFE_H)
    noise, half_life = fit_relative_effects(fit)
    rate = math.log(2) / 50.0 * math.exp(0.2**2 / 2)
    assert half_life == pytest.approx((1.0 - rate * 50.0) * math.sqrt(math.expm1(0.2**2)), abs=1e-6)
    assert math.hypot(noise, half_life) == pytest.approx(fit.tia_std_mbq_h / fit.tia_mbq_h)
    assert noise == pytest.approx(0.04, abs=0.005)


def test_a_tia_of_zero_is_unknown_and_a_known_half_life_leaves_noise() -> None:
    nothing = population_fit([24.0], [-1.0], [1.0], half_life_h=HALF_LIFE_H, t_eff_h=50.0, t_eff_cv=0.2)
    assert fit_relative_effects(nothing) == (1.0, 0.0)
    known = population_fit([24.0], [30.0], [1.2], half_life_h=HALF_LIFE_H, t_eff_h=50.0, t_eff_cv=0.0)
    assert fit_relative_effects(known) == (pytest.approx(0.04), 0.0)


def test_two_kidneys_share_what_they_share() -> None:
    one = voi_budget(SOURCES, volume_ml=150.0, dose_gy=2.0)
    both = organ_budget([one, one])
    found, single = both.relative_std, one.relative_std
    assert (both.volume_ml, both.dose_gy) == (300.0, 2.0)
    assert found["calibration"] == single["calibration"]
    assert found["volume"] == pytest.approx(single["volume"] / math.sqrt(2))
    assert found["fit"] == pytest.approx(single["fit"] / math.sqrt(2))
    own2 = ((0.6 - 0.15 - 1.0) * 0.12) ** 2 + 0.025**2
    shared2 = 0.05**2 + 0.03**2 + 0.01**2 + 0.02**2
    assert found["dose"] == pytest.approx(math.sqrt(own2 / 2 + shared2))
    assert organ_budget([one]).relative_std == pytest.approx(single)


def test_organ_of_unlike_vois_by_drawing_it() -> None:
    # The definition, drawn: D = sum D_i m_i / sum m_i, with errors small enough to be linear.
    rng, n = np.random.default_rng(3), 200_000
    small = replace(SOURCES, volume=0.02, recovery=(0.01,), calibration=0.01, fit=0.015, half_life=0.01, s=0.01)
    volumes, doses, exponents = (100.0, 40.0), (2.0, 9.0), (1.0, 0.8)
    q, h, s, r = (rng.standard_normal(n) * e for e in (0.01, 0.01, 0.01, 0.01))
    energy, mass, parts = np.zeros(n), np.zeros(n), []
    for volume, dose, c in zip(volumes, doses, exponents, strict=True):
        parts.append(voi_budget(replace(small, mass_exponent=c), volume_ml=volume, dose_gy=dose))
        v, noise = 0.02 * rng.standard_normal(n), 0.015 * rng.standard_normal(n)
        drawn = dose * np.exp((0.6 - 0.15 - c) * v + noise + q + h + s - r)
        energy += drawn * volume * np.exp(v)
        mass += volume * np.exp(v)
    assert organ_budget(parts).relative_std["dose"] == pytest.approx(np.std(np.log(energy / mass)), rel=0.01)


def test_lesions_have_half_lives_of_their_own() -> None:
    one = voi_budget(replace(SOURCES, half_life=0.3), volume_ml=10.0, dose_gy=5.0)
    shared, apart = (organ_budget([one, one], one_half_life=flag).relative_std for flag in (True, False))
    assert shared["fit"] ** 2 - apart["fit"] ** 2 == pytest.approx(0.3**2 / 2)


def test_organ_without_any_dose_is_weighed_by_volume() -> None:
    nothing = voi_budget(replace(SOURCES, fit=1.0), volume_ml=10.0, dose_gy=0.0)
    assert math.isfinite(organ_budget([nothing, nothing]).relative_std["dose"])


def test_interval_is_symmetric_in_the_factor() -> None:
    low, high = interval(3.0, 0.2)
    assert low * high == pytest.approx(9.0)
    assert math.log(high / 3.0) == pytest.approx(1.959964 * 0.2)
    assert interval(3.0, 0.2, 0.6827)[1] == pytest.approx(3.0 * math.exp(0.2), rel=1e-3)


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_every_profile_can_pass_and_fail(profile: str) -> None:
    for n_scans in (1, 2, 3, 5):
        good, bad = dict.fromkeys(STEPS, 0.01), dict.fromkeys(STEPS, 0.5)
        assert all(row.passes for row in judge(good, profile, n_scans))
        assert not any(row.passes for row in judge(bad, profile, n_scans))


def test_profiles_are_the_published_bars() -> None:
    found = dict.fromkeys(STEPS, 0.07)
    assert [row.passes for row in judge(found, "paper_workflow", 3)] == [False]
    assert {row.step: row.passes for row in judge(found, "paper_step", 3)} == dict.fromkeys(OWN_STEPS, True)
    assert [judge(found, "published", n)[0].bar for n in (1, 2, 3, 4)] == [0.19, 0.19, 0.13, 0.13]
