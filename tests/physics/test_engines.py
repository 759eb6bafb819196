"""Dose engines: the contract every engine keeps, energy, density, gas, and the self S that belongs to each."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theradose.errors import SettingsError
from theradose.physics import engines
from theradose.physics.engines import (
    DOSE_ENGINES,
    LUNG_G_PER_ML,
    MARROW_ABSORBED_FRACTION,
    SOFT_TISSUE_G_PER_ML,
    density_g_per_ml,
    dose_engine,
    local_self_s,
    sphere_self_s,
)
from theradose.physics.kernels import point_kernel, sphere_s_gy_per_mbq_h
from theradose.physics.nuclides import nuclide
from theradose.physics.units import gy_g_per_mbq_h, kev_from_mev, mgy_per_mbq_s_from_gy_per_mbq_h

LU = nuclide("Lu-177")
SPACING = (8.0, 4.0, 5.0)
ENGINES = pytest.mark.parametrize("engine", DOSE_ENGINES.values(), ids=DOSE_ENGINES)


@ENGINES
def test_engines_keep_shape_and_scale(engine) -> None:
    tia = np.random.default_rng(0).uniform(0, 5, (6, 5, 4))
    dose = engine.dose_gy(tia, 1.04, SPACING, LU)
    assert dose.shape == tia.shape
    assert (dose >= 0).all()
    assert engine.dose_gy(3 * tia, 1.04, SPACING, LU) == pytest.approx(3 * dose)
    assert engine.dose_gy(tia, np.full(tia.shape, 1.04), SPACING, LU) == pytest.approx(dose)
    assert not engine.dose_gy(np.zeros(tia.shape), 1.04, SPACING, LU).any()


@ENGINES
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_dose_of_two_sources_is_the_sum(engine, seed: int) -> None:
    one, other = np.random.default_rng(seed).uniform(0, 5, (2, 4, 5, 3))
    both = engine.dose_gy(one + other, 1.04, SPACING, LU)
    parts = engine.dose_gy(one, 1.04, SPACING, LU) + engine.dose_gy(other, 1.04, SPACING, LU)
    assert both == pytest.approx(parts)


@ENGINES
def test_self_s_takes_any_shape_and_falls_with_mass(engine) -> None:
    masses = np.array([[0.1, 1.0], [10.0, 1000.0]])
    s = engine.self_s_gy_per_mbq_h(masses, 1.04, LU, "kidneys")
    assert s.shape == masses.shape
    assert (np.diff(s.ravel()) < 0).all()
    assert float(engine.self_s_gy_per_mbq_h(10.0, 1.04, LU, "kidneys")) == pytest.approx(s[1, 0])


@pytest.mark.parametrize("name", ["Lu-177", "Y-90", "I-131", "Ga-68", "Ac-225"])
def test_energy_is_kept_when_the_image_holds_the_range(name: str) -> None:
    """All electron energy, and the photon energy that shells within the image hold, comes back as dose times mass."""
    one, kernel, spacing = nuclide(name), point_kernel(name), 6.0
    tia = np.zeros((31, 31, 31))
    tia[15, 15, 15] = 1.0
    dose = dose_engine("kernel").dose_gy(tia, SOFT_TISSUE_G_PER_ML, (spacing,) * 3, one)
    energy = float(dose.sum()) * SOFT_TISSUE_G_PER_ML * (spacing / 10) ** 3 / gy_g_per_mbq_h(kev_from_mev(1.0))
    reach_mm = 15.5 * spacing * SOFT_TISSUE_G_PER_ML  # of a ball in the cube, seen in water
    photons = float(kernel.photon_mev[kernel.outer_mm <= reach_mm].sum())
    whole = float(kernel.photon_mev[kernel.outer_mm <= reach_mm * math.sqrt(3)].sum())
    local = float(kernel.electron_mev.sum()) + kernel.alpha_mev
    assert local + photons < energy * 1.0005
    assert energy < (local + whole) * 1.0005


def test_local_dose_of_a_uniform_voi_is_its_self_dose() -> None:
    tia = np.full((5, 5, 5), 2.0)
    mass_g = 125 * 0.16 * 1.04
    dose = dose_engine("local").dose_gy(tia, 1.04, SPACING, LU)
    assert dose.mean() == pytest.approx(tia.sum() * float(local_self_s(mass_g, 1.04, LU, "liver")))


def test_kernel_dose_of_a_ball_is_that_of_a_sphere() -> None:
    """Two ways to the same number: voxels of 3 mm that make a ball, and the sphere formula."""
    axis = (np.arange(41) - 20) * 3.0
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    inside = z**2 + y**2 + x**2 <= 40.0**2
    dose = dose_engine("kernel").dose_gy(inside / inside.sum(), 1.04, (3.0, 3.0, 3.0), LU)
    mass_g = float(inside.sum()) * 0.027 * 1.04
    assert dose[inside].mean() == pytest.approx(sphere_s_gy_per_mbq_h("Lu-177", mass_g, 1.04), rel=0.003)


@pytest.mark.parametrize(("name", "share"), [("local", 1.0), ("kernel", 0.95)])
def test_density_of_each_voxel_counts(name: str, share: float) -> None:
    """Electrons spread over the mass that is there: a dense voxel gets less, and photons do not care."""
    tia = np.ones((9, 9, 9))
    density = np.full(tia.shape, 1.04)
    density[4, 4, 4] = 2.08
    dose = dose_engine(name).dose_gy(tia, density, (8.0, 8.0, 8.0), LU)
    assert dose[4, 4, 4] / dose[4, 4, 3] == pytest.approx(1 - 0.5 * share, abs=0.01)
    assert density_g_per_ml("liver", 1.05) == 1.05
    assert density_g_per_ml("lungs", 1.05) == LUNG_G_PER_ML


@ENGINES
def test_air_inside_the_body_does_not_make_dose(engine) -> None:
    tia = np.ones((5, 5, 5))
    density = np.full(tia.shape, 1.04)
    density[2, 2, 2] = 0.0012
    dose = engine.dose_gy(tia, density, SPACING, LU)
    assert dose[2, 2, 2] == pytest.approx(engine.dose_gy(tia, 1.04, SPACING, LU)[2, 2, 2])


def test_progeny_are_counted_where_the_parent_decays() -> None:
    """Ac-225 and its daughters emit 27.5 MeV of alphas; without them a dose engine would give a quarter."""
    alone, s = nuclide("Ac-225"), float(local_self_s(1.0, 1.04, nuclide("Ac-225"), "lesions"))
    assert s == pytest.approx(gy_g_per_mbq_h(28.7e3), rel=0.02)
    assert s > 4.5 * gy_g_per_mbq_h(alone.local_kev)


def test_marrow_fraction_is_the_ratio_of_the_printed_s_to_a_local_one() -> None:
    local = mgy_per_mbq_s_from_gy_per_mbq_h(float(local_self_s(1170.0, 1.04, LU, "lesions")))
    assert pytest.approx(1.15e-5 / local, abs=0.005) == MARROW_ABSORBED_FRACTION
    for self_s in (local_self_s, sphere_self_s):
        assert float(self_s(1170.0, 1.04, LU, "marrow")) == pytest.approx(1.15e-5 * 3.6, rel=0.01)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.05, 5000.0))
def test_interpolated_spheres_are_the_formula(mass_g: float) -> None:
    exact = sphere_s_gy_per_mbq_h("Lu-177", mass_g, 1.04)
    assert float(sphere_self_s(mass_g, 1.04, LU, "kidneys")) == pytest.approx(exact, rel=1e-4)


def test_unknown_engine_lists_the_known() -> None:
    with pytest.raises(SettingsError, match=r"got fast.*'kernel', 'local'"):
        dose_engine("fast")


def test_plug_ins_are_engines_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plugin:
        name = "monte_carlo"

        @staticmethod
        def load():
            return DOSE_ENGINES["local"].dose_gy

    monkeypatch.setattr(engines, "entry_points", lambda group: [Plugin] if group == "theradose.dose_engines" else [])
    assert dose_engine("monte_carlo").dose_gy is DOSE_ENGINES["local"].dose_gy
    monkeypatch.setattr(engines, "entry_points", lambda group: [])
    with pytest.raises(SettingsError, match="make monte-carlo"):
        dose_engine("monte_carlo")
