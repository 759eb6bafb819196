"""Planted outcomes: formulas by hand, the same numbers from the physics, and draws that follow the probabilities."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

from theradose.cohort.virtual.outcomes import (
    LATENCY_LOG_SD,
    OUTCOME_DRAWS,
    Exposure,
    draw_outcomes,
    expected_egfr_12m_ml_min,
    impairment_probability,
    kidney_bed_gy,
    kidney_risk,
    latency_of,
    log_latency,
    observed_until_months,
    probabilities,
    tumour_control,
)
from theradose.errors import DataError
from theradose.physics.complications import renal_ntcp
from theradose.physics.radiobiology import bed_over_cycles_gy, g_factor_single
from theradose.physics.tumour_control import poisson_tcp
from theradose.vocabulary import OUTCOME_EVENTS

USUAL = Exposure(
    kidney_dose_gy=(5.75,) * 4, kidney_t_eff_h=50.0, parotid_dose_gy=19.0, marrow_dose_gy=0.5, lesion_dose_gy=60.0,
    lesion_t_eff_h=52.0, lesion_volume_ml=77.0, bone_tumour_ml=40.0, age_y=70.0, hypertension=0, diabetes=0,
    egfr_ml_min=80.0,
)  # fmt: skip
BAD_LUCK = replace(USUAL, age_y=76.0, hypertension=1, diabetes=1)


def many(n: int, exposure: Exposure = USUAL) -> Exposure:
    return replace(exposure, parotid_dose_gy=np.full(n, exposure.parotid_dose_gy))


def draws(n: int, seed: int = 8) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(n) for name in OUTCOME_DRAWS}


def test_bed_is_the_printed_one_and_that_of_the_physics() -> None:
    g = 2.8 / 52.8
    assert g == pytest.approx(0.053030, abs=5e-7)
    assert g_factor_single(50.0, 2.8) == pytest.approx(g, rel=1e-12)
    assert kidney_bed_gy(USUAL) == pytest.approx(25.70, abs=0.005)
    falling = replace(USUAL, kidney_dose_gy=(7.0, 5.0, 3.0), kidney_t_eff_h=33.0)
    assert kidney_bed_gy(falling) == pytest.approx(bed_over_cycles_gy([7.0, 5.0, 3.0], g_factor_single(33.0, 2.8), 2.6))


def test_arrays_give_what_each_patient_gives() -> None:
    doses, t_eff = np.array([[3.0, 6.0], [4.0, 5.0]]), np.array([30.0, 50.0])
    both = replace(USUAL, kidney_dose_gy=tuple(doses), kidney_t_eff_h=t_eff)
    for i in range(2):
        one = replace(USUAL, kidney_dose_gy=tuple(doses[:, i]), kidney_t_eff_h=float(t_eff[i]))
        assert np.asarray(kidney_bed_gy(both))[i] == pytest.approx(kidney_bed_gy(one))
        assert probabilities(both)["kidney_toxicity"][i] == pytest.approx(probabilities(one)["kidney_toxicity"])


def test_risk_factors_add_and_old_means_above_75() -> None:
    assert kidney_risk(USUAL) == 0.0
    assert kidney_risk(replace(USUAL, age_y=75.0)) == 0.0
    assert kidney_risk(replace(USUAL, age_y=75.1)) == pytest.approx(0.08)
    assert kidney_risk(BAD_LUCK) == pytest.approx(0.30)


def test_kidney_toxicity_by_hand_and_by_the_physics() -> None:
    assert probabilities(BAD_LUCK)["kidney_toxicity"] == pytest.approx(renal_ntcp(kidney_bed_gy(BAD_LUCK), 0.30))
    strict = 0.03 + 0.97 * norm.cdf((kidney_bed_gy(BAD_LUCK) / (40.0 * 0.70) - 1.0) / 0.35)
    assert probabilities(BAD_LUCK, "strict")["kidney_toxicity"] == pytest.approx(strict)
    nothing = replace(USUAL, kidney_dose_gy=(0.0,))
    assert probabilities(nothing)["kidney_toxicity"] == pytest.approx(0.03, abs=5e-4)


def test_the_other_probabilities_by_hand() -> None:
    found = probabilities(replace(USUAL, parotid_dose_gy=35.0))
    assert found["xerostomia"] == pytest.approx(0.5)
    assert found["marrow_toxicity"] == pytest.approx(expit(-3.25 + 0.5 * np.log(6.0) + 0.5 * np.log(1.2)))
    assert found["response"] == pytest.approx(expit(-0.88 + np.log(1.5) * 60.0 / 50.0))
    assert probabilities(USUAL, "strict")["response"] == found["response"]


def odds(exposure: Exposure, event: str) -> float:
    p = float(probabilities(exposure)[event])
    return p / (1.0 - p)


def test_odds_ratios_are_the_printed_ones() -> None:
    none, diffuse = replace(USUAL, bone_tumour_ml=0.0), replace(USUAL, bone_tumour_ml=1e9)
    assert odds(diffuse, "marrow_toxicity") / odds(none, "marrow_toxicity") == pytest.approx(6.0, rel=1e-6)
    more = replace(USUAL, marrow_dose_gy=1.5)
    assert odds(more, "marrow_toxicity") / odds(USUAL, "marrow_toxicity") == pytest.approx(1.2)
    assert odds(replace(USUAL, lesion_dose_gy=110.0), "response") / odds(USUAL, "response") == pytest.approx(1.5)


def test_latency_by_hand() -> None:
    g = 2.8 / 52.8
    dose = 2.6 / (2 * g) * (np.sqrt(1 + 4 * g * 28.0 / 2.6) - 1)  # one cycle of BED 28 Gy
    reference = replace(USUAL, kidney_dose_gy=(dose,))
    assert np.exp(log_latency(reference)) == pytest.approx(14.0)
    assert log_latency(BAD_LUCK) == pytest.approx(log_latency(USUAL) - 0.30)
    found = latency_of(reference, 1.0, 2.0)
    assert (found.time_months, found.observed) == (pytest.approx(14.0 * np.exp(0.45)), 1)
    late = latency_of(reference, 3.0, 2.0)
    assert (late.time_months, late.observed) == (36.0, 0)
    left = latency_of(reference, 0.0, norm.ppf(0.05))
    assert (left.time_months, left.observed) == (pytest.approx(12.0), 0)  # 5 % of 15 %: a third of 36 months


def test_latency_without_dose_is_refused() -> None:
    with pytest.raises(DataError, match="kidney BED"):
        log_latency(replace(USUAL, kidney_dose_gy=(0.0, 0.0)))


def test_fifteen_percent_leave_evenly() -> None:
    end = observed_until_months(draws(200_000)["dropout"])
    assert np.mean(end < 36.0) == pytest.approx(0.15, abs=0.003)
    assert np.mean(end[end < 36.0] < 9.0) == pytest.approx(0.25, abs=0.01)


def test_egfr_and_latency_tell_one_story() -> None:
    for z in (-2.0, 0.0, 1.5):
        months = np.exp(log_latency(USUAL) + LATENCY_LOG_SD * z)
        left = expected_egfr_12m_ml_min(USUAL, z, 0) / 80.0
        assert left == pytest.approx(0.9 ** (12.0 / months))
        assert (left < 0.9) == (months < 12.0)
        assert expected_egfr_12m_ml_min(USUAL, z, 1) == pytest.approx(0.7 * 80.0 * left)


def test_more_kidney_dose_leaves_less_egfr() -> None:
    steep = replace(USUAL, kidney_dose_gy=(9.0,) * 4)
    assert expected_egfr_12m_ml_min(steep, 0.0, 0) < expected_egfr_12m_ml_min(USUAL, 0.0, 0) < 80.0


@pytest.mark.parametrize("baseline", [80.0, 88.0])
def test_impairment_is_the_integral_over_latency_and_error(baseline: float) -> None:
    toxic = float(probabilities(BAD_LUCK)["kidney_toxicity"])

    def below(z: float) -> float:
        parts = [(1.0 - toxic, 0), (toxic, 1)]
        limits = [0.8 * baseline / expected_egfr_12m_ml_min(BAD_LUCK, z, event) for _, event in parts]
        chances = [norm.cdf((limit - 1.0) / 0.08) for limit in limits]
        return float(norm.pdf(z) * sum(part * chance for (part, _), chance in zip(parts, chances, strict=True)))

    assert impairment_probability(BAD_LUCK, baseline) == pytest.approx(quad(below, -8.0, 8.0)[0], abs=1e-6)


@pytest.mark.parametrize(("exposure", "preset"), [(USUAL, "default"), (BAD_LUCK, "strict")])
def test_draws_follow_the_probabilities(exposure: Exposure, preset: str) -> None:
    n = 200_000
    found = draw_outcomes(draws(n), many(n, exposure), preset)
    for event in OUTCOME_EVENTS:
        assert set(np.unique(found[event])) == {0, 1}
        assert np.mean(found[event]) == pytest.approx(np.mean(probabilities(exposure, preset)[event]), abs=0.004)
    impaired = np.asarray(found["egfr_12m_ml_min"])
    seen = ~np.isnan(impaired)
    assert 1.0 - seen.mean() == pytest.approx(0.05, abs=0.002)
    assert np.mean(impaired[seen] < 64.0) == pytest.approx(impairment_probability(exposure, 80.0, preset), abs=0.004)
    never_censored = np.log(found["latency_months"][np.asarray(draws(n)["dropout"]) > 0])
    assert np.median(never_censored) == pytest.approx(log_latency(exposure), abs=0.005)


def test_one_patient_gets_plain_numbers() -> None:
    found = draw_outcomes(dict.fromkeys(OUTCOME_DRAWS, -0.5), USUAL)
    assert set(found) == {*OUTCOME_EVENTS, "latency_months", "latency_observed", "egfr_12m_ml_min"}
    assert {name: float(found[name]) for name in OUTCOME_EVENTS} == {
        "kidney_toxicity": 0, "xerostomia": 0, "marrow_toxicity": 0, "response": 1,
    }  # fmt: skip
    assert all(np.ndim(value) == 0 for value in found.values())


def test_tumour_control_is_that_of_the_physics() -> None:
    bed = 4 * 15.0 * (1.0 + 1.5 / 53.5 * 15.0 / 10.0)
    assert tumour_control(USUAL) == pytest.approx(poisson_tcp(bed, 1e7 * 77.0, 0.35, 0.08))
