"""Another therapy of the same patient: everything before it stays, the dose does not."""

from functools import cache

import numpy as np
import pytest

from theradose.cohort.virtual.latents import Latents, draw_latents, draw_many
from theradose.cohort.virtual.observables import Clinic, observables
from theradose.cohort.virtual.resimulation import another_therapy, of_therapy, within_log_sd
from theradose.cohort.virtual.tier_one import TierOne, tier_one_of

SEED, PATIENTS, CYCLES = 3, 3000, 3
CLINIC = Clinic(("north", "south"), 8.0, "xue_like")


def cohort_of(latents: Latents, coupling: float = 0.6) -> TierOne:
    return tier_one_of(
        latents, ligand="psma", radionuclide="Lu-177", texture_coupling=coupling, difficulty="xue_like", cycles=CYCLES
    )


@cache
def pair() -> tuple[TierOne, TierOne]:
    latents = draw_many(SEED, PATIENTS)
    return cohort_of(latents), cohort_of(another_therapy(latents, SEED, 0))


def test_every_name_was_drawn() -> None:
    assert set(of_therapy()) <= set(draw_many(SEED, 1).draws)
    assert len(set(of_therapy())) == len(of_therapy())


def test_everything_before_therapy_stays() -> None:
    first, again = pair()
    for information in ("table", "log"):
        assert np.array_equal(*(observables(c, CLINIC, information, SEED) for c in (first, again)))
    for organ, uptake in first.kinetics.uptake_pet.items():
        assert np.array_equal(uptake, again.kinetics.uptake_pet[organ])
    assert np.array_equal(first.body.tumour_volume_ml, again.body.tumour_volume_ml)
    for mine, other in zip(first.administered_mbq, again.administered_mbq, strict=True):
        assert np.array_equal(mine, other)


def test_the_dose_of_every_organ_and_cycle_changes() -> None:
    first, again = pair()
    for organ, doses in first.dose_gy_per_gbq.items():
        for cycle, dose in enumerate(doses):
            assert (dose != again.dose_gy_per_gbq[organ][cycle]).all(), (organ, cycle)


def test_the_distribution_of_the_dose_stays() -> None:
    # Same population: means of log dose within 4 standard errors, spreads within 4 relative ones.
    first, again = pair()
    for organ, doses in first.dose_gy_per_gbq.items():
        before, after = np.log(doses[0]), np.log(again.dose_gy_per_gbq[organ][0])
        assert after.mean() == pytest.approx(before.mean(), abs=4 * before.std() / np.sqrt(PATIENTS))
        assert after.std() == pytest.approx(before.std(), rel=4 / np.sqrt(2 * PATIENTS))


@pytest.mark.parametrize(("coupling", "kept"), [(0.0, 0.0), (0.6, 0.36)])
def test_what_texture_tells_of_the_half_life_stays(coupling: float, kept: float) -> None:
    latents = draw_many(SEED, PATIENTS)
    first, again = (
        np.log(cohort_of(own, coupling).kinetics.t_bio_h["spleen"])
        for own in (latents, another_therapy(latents, SEED, 1))
    )
    assert np.corrcoef(first, again)[0, 1] == pytest.approx(kept, abs=4 / np.sqrt(PATIENTS))


def test_therapies_have_numbers_and_patients_rows() -> None:
    few, many = draw_many(SEED, 20), draw_many(SEED, 90)
    for key in of_therapy():
        mine = another_therapy(few, SEED, 4).draws[key]
        assert np.array_equal(mine, another_therapy(few, SEED, 4).draws[key])
        assert not np.array_equal(mine, another_therapy(few, SEED, 5).draws[key])
        assert np.array_equal(mine, another_therapy(many, SEED, 4).draws[key][:20])  # type: ignore[index]


def test_one_patient_with_images_gets_numbers() -> None:
    latents = draw_latents(SEED, 0)
    again = another_therapy(latents, SEED, 0)
    assert all(np.shape(again.draws[key]) == () for key in of_therapy())
    assert again.z("egfr") == latents.z("egfr")
    assert again.z("drift", "kidneys") != latents.z("drift", "kidneys")


def test_spread_within_patients_by_hand() -> None:
    # Two patients: log doses 0, 2 (variance 2) and 1, 1 (variance 0).
    assert within_log_sd(np.exp([[0.0, 1.0], [2.0, 1.0]])) == pytest.approx(1.0)


def test_spread_within_patients_forgets_that_between_them() -> None:
    rng = np.random.default_rng(5)
    log_dose = rng.normal(0.0, 3.0, 4000) + rng.normal(0.0, 0.2, (20, 4000))
    assert within_log_sd(np.exp(log_dose)) == pytest.approx(0.2, rel=3 / np.sqrt(2 * 19 * 4000))
