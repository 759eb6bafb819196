"""The causes of outcomes: sums over cycles, bone, and patients with images beside those without."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from theradose.cohort.virtual.courses import effective_half_life_h
from theradose.cohort.virtual.exposures import exposure_of, exposure_of_many
from theradose.cohort.virtual.kinetics import shrunk_ml
from theradose.cohort.virtual.latents import Latents, draw_latents
from theradose.cohort.virtual.lesions import lesions_of
from theradose.cohort.virtual.outcomes import Exposure
from theradose.cohort.virtual.patient import VirtualPatient, in_cycle, virtual_patient
from theradose.cohort.virtual.tier_one import TierOne, tier_one
from theradose.cohort.virtual.truth import truth_of_vois
from theradose.physics.nuclides import nuclide
from theradose.vocabulary import LESIONS, organ_of

CYCLES = 3
SITES_SEED = 4


@cache
def cohort(ligand: str = "psma", patients: int = 4000) -> TierOne:
    return tier_one(
        13, patients, ligand=ligand, radionuclide="Lu-177", texture_coupling=0.6, difficulty="xue_like", cycles=CYCLES
    )


@cache
def many(ligand: str = "psma") -> Exposure:
    return exposure_of_many(cohort(ligand))


def test_doses_are_those_of_the_cycles_and_their_activities() -> None:
    found, tables = many(), cohort()
    assert len(found.kidney_dose_gy) == CYCLES
    for cycle, dose in enumerate(found.kidney_dose_gy):
        gbq = tables.administered_mbq[cycle] / 1000.0
        assert np.allclose(dose, tables.dose_gy_per_gbq["kidneys"][cycle] * gbq)
    for organ, total in (("parotids", found.parotid_dose_gy), ("marrow", found.marrow_dose_gy),
                         (LESIONS, found.lesion_dose_gy)):  # fmt: skip
        by_hand = sum(tables.dose_gy_per_gbq[organ][c] * tables.administered_mbq[c] / 1000.0 for c in range(CYCLES))
        assert np.allclose(total, by_hand)
    assert np.array_equal(found.kidney_t_eff_h, effective_half_life_h(tables.kinetics.t_bio_h["kidneys"], 159.528))


def test_persons_are_those_of_the_cohort() -> None:
    found, tables = many(), cohort()
    assert np.array_equal(found.age_y, tables.body.age_y)
    assert np.array_equal(found.egfr_ml_min, tables.body.egfr_ml_min)
    assert np.array_equal(found.lesion_volume_ml, tables.body.tumour_volume_ml)
    for events, part in ((found.hypertension, 0.35), (found.diabetes, 0.20)):
        assert set(np.unique(events)) == {0.0, 1.0}
        assert np.mean(events) == pytest.approx(part, abs=4 * np.sqrt(part * (1 - part) / 4000))


# u^0.4 for all with PSMA: mean 1/1.4. With DOTATATE 48 % have none, the others u^3: mean 0.52/4.
@pytest.mark.parametrize(("ligand", "none", "mean"), [("psma", 0.0, 1 / 1.4), ("dotatate", 0.48, 0.52 / 4)])
def test_tumour_in_bone_by_hand(ligand: str, none: float, mean: float) -> None:
    part = np.asarray(many(ligand).bone_tumour_ml / many(ligand).lesion_volume_ml)
    assert 0.0 <= part.min() <= part.max() <= 1.0
    assert np.mean(part == 0.0) == pytest.approx(none, abs=4 * 0.5 / np.sqrt(4000))
    assert part.mean() == pytest.approx(mean, abs=4 * part.std() / np.sqrt(4000))


@cache
def drawn_patient(index: int) -> Latents:
    return draw_latents(SITES_SEED, index)


@pytest.mark.parametrize("ligand", ["psma", "dotatate"])
def test_tumour_in_bone_is_that_of_drawn_lesions(ligand: str) -> None:
    parts = []
    for index in range(250):
        total_ml = float(cohort(ligand).body.tumour_volume_ml[index])  # type: ignore[index]
        lesions = lesions_of(drawn_patient(index), total_ml, ligand)
        parts.append(sum(lesion.volume_ml for lesion in lesions if lesion.bone) / total_ml)
    drawn = np.asarray(many(ligand).bone_tumour_ml / many(ligand).lesion_volume_ml)
    error = np.hypot(np.std(parts) / np.sqrt(250), drawn.std() / np.sqrt(4000))
    assert np.mean(parts) == pytest.approx(drawn.mean(), abs=3 * error)


@cache
def imaged() -> tuple[VirtualPatient, dict[int, pd.DataFrame]]:
    """Return a patient with images and the planted truth of every cycle, its anatomy made anew for each."""
    patient = virtual_patient(
        5, 1, centres=("north",), spacing_mm=8.0, difficulty="xue_like", texture_coupling=0.6, cycles=CYCLES
    )
    truth = {c: truth_of_vois(in_cycle(patient, c), "Lu-177", c) for c in range(1, CYCLES + 1)}
    return patient, truth


def mean_gy(table: pd.DataFrame, organ: str) -> float:
    own = table[table["voi"].map(organ_of) == organ]
    return float((own["dose_gy"] * own["mass_g"]).sum() / own["mass_g"].sum())


def exposure() -> Exposure:
    patient, truth = imaged()
    return exposure_of(patient, pd.concat(truth.values(), ignore_index=True), "Lu-177")


def test_the_first_cycle_is_the_planted_one() -> None:
    patient, truth = imaged()
    assert exposure().kidney_dose_gy[0] == pytest.approx(mean_gy(truth[1], "kidneys"))
    t_bio_h = float(patient.kinetics.t_bio_h["kidneys"])
    assert exposure().kidney_t_eff_h == pytest.approx(t_bio_h * 159.528 / (t_bio_h + 159.528))
    first = exposure_of(patient, truth[1], "Lu-177")  # later cycles of the table do not count
    assert first == exposure()


def test_later_cycles_scale_by_tia_and_tumour_volume_by_hand() -> None:
    patient, truth = imaged()
    rate = nuclide("Lu-177").lambda_per_h
    tia = [
        patient.injected_mbq(c) * float(patient.course.coefficients_h(rate, cycle=c)["kidneys"])
        for c in range(1, CYCLES + 1)
    ]
    doses = exposure().kidney_dose_gy
    assert [gy / doses[0] for gy in doses] == pytest.approx([own / tia[0] for own in tia])
    left = [float(shrunk_ml(patient.latents, 1.0, c)) for c in (1, 2, 3)]
    lesions = [
        patient.injected_mbq(c) * float(patient.course.coefficients_h(rate, cycle=c)[LESIONS]) / left[c - 1]
        for c in (1, 2, 3)
    ]
    assert exposure().lesion_dose_gy == pytest.approx(mean_gy(truth[1], LESIONS) * sum(lesions) / lesions[0])


def test_later_cycles_are_near_those_of_an_anatomy_made_anew() -> None:
    # The rule scales what other organs give, too. Lesions in bone shrink and give the marrow less: up to a tenth.
    _, truth = imaged()
    found = exposure()
    for cycle in (2, 3):
        assert found.kidney_dose_gy[cycle - 1] == pytest.approx(mean_gy(truth[cycle], "kidneys"), rel=0.02)
    totals = {"parotids": (found.parotid_dose_gy, 0.02), "marrow": (found.marrow_dose_gy, 0.10)}
    for organ, (total, rel) in (totals | {LESIONS: (found.lesion_dose_gy, 0.06)}).items():
        assert total == pytest.approx(sum(mean_gy(table, organ) for table in truth.values()), rel=rel), organ


def test_bone_is_that_of_the_lesions() -> None:
    patient, _ = imaged()
    assert exposure().bone_tumour_ml == pytest.approx(sum(x.volume_ml for x in patient.lesions if x.bone))
    assert exposure().bone_tumour_ml <= exposure().lesion_volume_ml
