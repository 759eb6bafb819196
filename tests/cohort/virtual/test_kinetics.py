"""Mass balance, sink and time courses against hand-computed numbers and quadrature."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from theradose.cohort.virtual.body import body_of
from theradose.cohort.virtual.courses import (
    BLADDER,
    ClosedForm,
    effective_half_life_h,
)
from theradose.cohort.virtual.kinetics import REMAINDER, Kinetics, kinetics_of, uptake_fractions
from theradose.cohort.virtual.latents import Latents, draw_latents, draw_many
from theradose.cohort.virtual.ligands import PSMA
from theradose.cohort.virtual.organs import ORGAN_TABLE
from theradose.vocabulary import LESIONS

LU177_PER_H = np.log(2.0) / 159.528


def kinetics(latents: Latents, coupling: float = 0.6, drift: float = 0.0) -> Kinetics:
    body = body_of(latents, PSMA)
    return kinetics_of(
        latents, body, ligand=PSMA, mass_g=body.mass_g, tumour_volume_ml=body.tumour_volume_ml,
        texture_coupling=coupling, least_drift_sd=drift,
    )  # fmt: skip


def reference_uptake(tumour_ml: float, egfr: float = 81.0) -> dict[str, float]:
    masses = {name: organ.mass_g for name, organ in ORGAN_TABLE.items()}
    return uptake_fractions(PSMA, dict.fromkeys(PSMA.organs, 1.0), masses, tumour_ml, egfr)  # type: ignore[return-value]


def test_uptake_of_the_reference_patient_by_hand() -> None:
    organs = (0.034 + 0.0095 + 0.0042 + 0.0009 + 0.045 + 0.003 + 0.010) / 0.88
    total = organs + 4.5e-4 * 100 + 0.70 + 0.19
    uptake = reference_uptake(100.0)
    assert uptake["kidneys"] == pytest.approx(0.034 / 0.88 / total)
    assert uptake[LESIONS] == pytest.approx(0.045 / total)
    assert uptake["excreted"] == pytest.approx(0.70 / total)
    assert sum(uptake.values()) == pytest.approx(1.0)


def test_sink_and_kidney_function() -> None:
    usual, large, low = reference_uptake(77.0), reference_uptake(1000.0), reference_uptake(77.0, egfr=40.0)
    for organ in ORGAN_TABLE:
        assert large[organ] < usual[organ] < low[organ]
    assert large[LESIONS] > usual[LESIONS]


def test_effective_half_life_by_hand() -> None:
    assert effective_half_life_h(40.0, 159.528) == pytest.approx(31.98, abs=0.005)


def test_coupling_ties_half_life_to_texture() -> None:
    many = draw_many(5, 20000)
    z = many.z("texture", "parotids")
    tied = np.corrcoef(z, np.log(kinetics(many, 0.6).t_bio_h["parotids"]))[0, 1]
    free = np.corrcoef(z, np.log(kinetics(many, 0.0).t_bio_h["parotids"]))[0, 1]
    assert tied == pytest.approx(0.6, abs=0.02)
    assert abs(free) < 0.03


def test_low_kidney_function_lengthens_the_kidneys_half_life() -> None:
    draws = dict.fromkeys(draw_latents(0, 0).draws, 0.0)
    usual = kinetics(Latents(draws)).t_bio_h["kidneys"]
    draws["", "egfr"] = -2.0  # 45 mL/min
    assert kinetics(Latents(draws)).t_bio_h["kidneys"] == pytest.approx(usual * (45.0 / 81.0) ** -0.15)


def test_drift_separates_therapy_from_pet() -> None:
    many = draw_many(5, 20000)
    found = kinetics(many)
    change = np.log(found.uptake["kidneys"] / found.uptake_pet["kidneys"])
    assert change.std() == pytest.approx(0.12, abs=0.02)  # the sink moves a little too
    assert np.log(kinetics(many, drift=0.30).uptake["kidneys"] / found.uptake_pet["kidneys"]).std() > 0.28


@given(index=st.integers(0, 10_000), time_h=st.floats(0.0, 2000.0), cycle=st.integers(0, 1))
@settings(max_examples=60, deadline=None)
def test_never_more_activity_than_injected(index: int, time_h: float, cycle: int) -> None:
    found = ClosedForm(kinetics(draw_latents(11, index))).fractions_at(time_h, LU177_PER_H, cycle=cycle)
    assert min(found.values()) >= -1e-12
    assert sum(found.values()) <= np.exp(-LU177_PER_H * time_h) + 1e-12


def test_everything_starts_outside_the_organs() -> None:
    found = ClosedForm(kinetics(draw_latents(11, 0))).fractions_at(0.0, LU177_PER_H, cycle=1)
    assert found[REMAINDER] == pytest.approx(1.0)
    assert all(found[organ] == pytest.approx(0.0, abs=1e-12) for organ in found if organ != REMAINDER)


@pytest.mark.parametrize("organ", ["kidneys", "liver", LESIONS, REMAINDER, BLADDER])
def test_coefficients_are_the_integrals_of_the_courses(organ: str) -> None:
    found = kinetics(draw_latents(11, 4))

    def course(time_h: float) -> float:
        return float(ClosedForm(found).fractions_at(time_h, LU177_PER_H, cycle=1)[organ])

    edges = [0.0, 1.0, 10.0, 100.0, 1000.0, 6000.0]
    integral = sum(quad(course, a, b, epsrel=1e-10)[0] for a, b in itertools.pairwise(edges))
    assert ClosedForm(found).coefficients_h(LU177_PER_H, cycle=1)[organ] == pytest.approx(integral, rel=1e-7)


def test_little_more_than_a_third_of_the_activity_is_left_after_a_day() -> None:
    many = kinetics(draw_many(5, 2000))
    left = sum(ClosedForm(many).fractions_at(24.0, 0.0, cycle=1).values())
    assert np.median(left) == pytest.approx(0.37, abs=0.02)
