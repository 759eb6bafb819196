"""What a model may know of patients without images: recovery, bias, scatter and texture as the table says."""

from functools import cache

import numpy as np
import pytest

from theradose.cohort.virtual.observables import (
    Clinic,
    measured_egfr_ml_min,
    observables,
    seen_suv,
    seen_texture,
)
from theradose.cohort.virtual.observation import pet_views
from theradose.cohort.virtual.tier_one import TierOne, tier_one
from theradose.vocabulary import LESIONS

SEED, PATIENTS = 7, 20_000
CENTRES = ("north", "south", "west")
CLINIC = Clinic(CENTRES, 8.0, "xue_like")
BIAS = (0.0, 0.10, -0.08)
ORGANS = 8


@cache
def cohort(patients: int = PATIENTS) -> TierOne:
    return tier_one(SEED, patients, ligand="psma", radionuclide="Lu-177", texture_coupling=0.6, difficulty="xue_like")


def log_ratio(organ: str, clinic: Clinic = CLINIC) -> np.ndarray:
    return np.asarray(np.log(seen_suv(cohort(), organ, clinic, SEED) / cohort().suv(organ)))


@pytest.mark.parametrize("organ", ["kidneys", "parotids", "marrow", LESIONS])
def test_pet_shows_the_line_of_the_table_its_centres_bias_and_scatter(organ: str) -> None:
    turn, ratio = np.arange(PATIENTS) % 3, log_ratio(organ)
    for i, name in enumerate(CENTRES):
        view = pet_views()[organ, name, 8.0]
        x = np.log(cohort().mass_g[organ] / view.median_mass_g)[turn == i]
        own = ratio[turn == i]
        slope, level = np.polyfit(x, own, 1)
        error = view.log_sd / np.sqrt(own.size)
        assert level == pytest.approx(view.level + BIAS[i], abs=4 * error * np.hypot(1.0, x.mean() / x.std()))
        assert slope == pytest.approx(view.slope, abs=4 * error / x.std())
        assert np.std(own - level - slope * x) == pytest.approx(view.log_sd, rel=0.05)


def test_the_hard_preset_doubles_the_bias() -> None:
    change = log_ratio("kidneys", Clinic(CENTRES, 8.0, "hard")) - log_ratio("kidneys")
    assert change[:3] == pytest.approx(BIAS)
    assert change == pytest.approx(np.resize(BIAS, PATIENTS))


@pytest.mark.parametrize("organ", ["kidneys", "spleen", LESIONS])
def test_texture_is_told_as_well_as_on_images(organ: str) -> None:
    z = cohort().latents.z("tumour_texture") if organ == LESIONS else cohort().latents.z("texture", organ)
    told = seen_texture(cohort(), organ, CLINIC, SEED)
    for i, name in enumerate(CENTRES):
        r2, own = pet_views()[organ, name, 8.0].texture_r2, slice(i, None, 3)
        n = told[own].size
        assert np.corrcoef(told[own], z[own])[0, 1] ** 2 == pytest.approx(r2, abs=4 * 2 * np.sqrt(r2 / n))
        # It is the expectation of z, so that centres can be mixed: what is left does not depend on it.
        assert np.mean((z[own] - told[own]) * told[own]) == pytest.approx(0.0, abs=4 / np.sqrt(n))


def test_texture_that_no_image_shows_is_not_told() -> None:
    assert not seen_texture(cohort(), "lacrimals", CLINIC, SEED).any()


def test_egfr_is_measured_with_eight_percent_error() -> None:
    true, found = cohort().body.egfr_ml_min, measured_egfr_ml_min(cohort())
    assert np.std(found / true) == pytest.approx(0.08, rel=0.03)
    assert np.mean(found / true) == pytest.approx(1.0, abs=0.003)
    assert found.min() >= 5.0


def test_columns() -> None:
    table, log = (observables(cohort(), CLINIC, name, SEED) for name in ("table", "log"))
    # uptake and mass of each organ, eGFR, age, weight, height, two columns for three centres; texture of each organ
    assert table.shape == (PATIENTS, 2 * ORGANS + 4 + 2)
    assert log.shape == (PATIENTS, 3 * ORGANS + 4 + 2)
    assert np.array_equal(log[:, : table.shape[1]], table)
    assert np.isfinite(log).all()
    names = list(cohort().mass_g)
    assert np.array_equal(table[:, names.index("liver")], np.log(seen_suv(cohort(), "liver", CLINIC, SEED)))
    assert table[:6, -2:].tolist() == 2 * [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("information", ["table", "log"])
def test_the_first_patients_are_the_same_in_any_number(information: str) -> None:
    few, many = (observables(cohort(n), CLINIC, information, SEED) for n in (60, 500))
    assert np.array_equal(few, many[:60])


def test_another_seed_gives_another_noise() -> None:
    small = cohort(60)
    assert not np.array_equal(seen_suv(small, "kidneys", CLINIC, 1), seen_suv(small, "kidneys", CLINIC, 2))


def test_a_clinic_uses_the_nearest_measured_grid() -> None:
    # Nearest in ratio; with 4 mm measured too, 7 mm is still nearer to 8 mm.
    assert Clinic(CENTRES, 7.0, "xue_like").views("kidneys") == CLINIC.views("kidneys")
    with pytest.raises(KeyError, match="nowhere"):
        Clinic(("nowhere",), 8.0, "xue_like").views("kidneys")
