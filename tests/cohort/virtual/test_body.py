"""The person: hand-computed values and ranges."""

import numpy as np
import pytest

from theradose.cohort.virtual.body import body_of, body_surface_m2, log_sd, truncated
from theradose.cohort.virtual.latents import Latents, draw_latents, draw_many
from theradose.cohort.virtual.ligands import PSMA


def median_patient() -> Latents:
    return Latents(dict.fromkeys(draw_latents(0, 0).draws, 0.0))


def test_body_surface_by_hand() -> None:
    assert body_surface_m2(80.0, 180.0) == pytest.approx(2.0)  # sqrt(80 x 180 / 3600)


def test_log_sd_by_hand() -> None:
    assert log_sd(0.19) == pytest.approx(0.1883, abs=1e-4)  # the design's sT of the kidney
    assert log_sd(0.0) == 0.0


def test_median_patient() -> None:
    body = body_of(median_patient(), PSMA)
    assert (body.age_y, body.weight_kg, body.height_cm, body.egfr_ml_min) == (71.0, 84.0, 176.0, 81.0)
    assert body.tumour_volume_ml == pytest.approx(np.exp(4.35))
    assert body.mass_g["kidneys"] == pytest.approx(310.0, rel=0.005)


def test_masses_follow_body_surface_to_the_power_0_7() -> None:
    draws = dict(median_patient().draws)
    draws["", "weight"] = 2.0  # 110 kg
    factor = (110.0 / 84.0) ** 0.35
    heavy, usual = body_of(Latents(draws), PSMA), body_of(median_patient(), PSMA)
    for organ, mass in heavy.mass_g.items():
        assert mass == pytest.approx(usual.mass_g[organ] * factor)


def test_age_lowers_egfr_by_0_4_a_year() -> None:
    draws = dict(median_patient().draws)
    draws["", "age"] = 1.25  # 81 y
    assert body_of(Latents(draws), PSMA).egfr_ml_min == pytest.approx(77.0)


def test_truncated_keeps_rank_and_stays_inside() -> None:
    z = np.linspace(-6, 6, 101)
    inside = truncated(z, 2.0)
    assert np.all(np.abs(inside) <= 2.0)
    assert np.all(np.diff(inside) >= 0)
    assert truncated(0.0, 2.0) == pytest.approx(0.0, abs=1e-12)


def test_ranges_of_a_large_cohort() -> None:
    body = body_of(draw_many(3, 20000), PSMA)
    assert np.all((body.egfr_ml_min >= 25) & (body.egfr_ml_min <= 125))
    assert np.all((body.weight_kg >= 50) & (body.weight_kg <= 140))
    assert np.all((body.tumour_volume_ml > 3.4) & (body.tumour_volume_ml < 1720))
    assert np.median(body.tumour_volume_ml) == pytest.approx(77.5, rel=0.05)
