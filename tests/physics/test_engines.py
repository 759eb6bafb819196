"""Dose engines: printed S values, the contract every engine keeps, and what is refused."""

import numpy as np
import pytest

from theradose.errors import SettingsError
from theradose.physics.engines import (
    DOSE_ENGINES,
    LUNG_G_PER_ML,
    MARROW_ABSORBED_FRACTION,
    density_g_per_ml,
    dose_engine,
    self_dose_gy,
)
from theradose.physics.nuclides import nuclide
from theradose.physics.units import mgy_per_mbq_s_from_gy_per_mbq_h

LU = nuclide("Lu-177")


# Self S of Lu-177 in mGy/(MBq.s): spheres of soft tissue, and organs of the reference adult male. What photons add to a
# local dose grows with the mass: nothing at 10 g, 1.5 % in the kidneys, 5 % in the liver.
@pytest.mark.parametrize(
    ("mass_g", "s", "organ", "photons"),
    [
        (10.0, 2.37e-3, "lesions", 0.005),
        (100.0, 2.41e-4, "lesions", 0.02),
        (310.0, 7.76e-5, "kidneys", 0.02),
        (150.0, 1.60e-4, "spleen", 0.02),
        (1800.0, 1.37e-5, "liver", 0.05),
        (1170.0, 1.15e-5, "marrow", 0.01),
    ],
)
def test_printed_self_s(mass_g: float, s: float, organ: str, photons: float) -> None:
    ours = mgy_per_mbq_s_from_gy_per_mbq_h(self_dose_gy(1.0, mass_g, LU, organ))
    assert ours == pytest.approx(s, rel=photons)


def test_marrow_fraction_is_the_ratio_of_the_printed_s_to_a_local_one() -> None:
    local = mgy_per_mbq_s_from_gy_per_mbq_h(self_dose_gy(1.0, 1170.0, LU, "lesions"))
    assert pytest.approx(1.15e-5 / local, abs=0.005) == MARROW_ABSORBED_FRACTION


@pytest.mark.parametrize("name", DOSE_ENGINES)
def test_engines_keep_shape_scale_and_energy(name: str) -> None:
    rng = np.random.default_rng(0)
    tia = rng.uniform(0, 5, (6, 5, 4))
    spacing = (8.0, 4.0, 5.0)
    dose = DOSE_ENGINES[name](tia, 1.04, spacing, LU)
    assert dose.shape == tia.shape
    assert (dose >= 0).all()
    assert DOSE_ENGINES[name](3 * tia, 1.04, spacing, LU) == pytest.approx(3 * dose)


def test_local_dose_of_a_uniform_voi_is_its_self_dose() -> None:
    tia = np.full((5, 5, 5), 2.0)
    spacing = (8.0, 4.0, 5.0)
    mass_g = 125 * 0.16 * 1.04
    dose = dose_engine("local")(tia, 1.04, spacing, LU)
    assert dose.mean() == pytest.approx(self_dose_gy(tia.sum(), mass_g, LU, "liver"))


def test_density_of_each_voxel_counts() -> None:
    density = np.array([[[1.04, LUNG_G_PER_ML]]])
    dose = dose_engine("local")(np.ones((1, 1, 2)), density, (4.0, 4.0, 4.0), LU)
    assert dose[0, 0, 1] / dose[0, 0, 0] == pytest.approx(4.0)
    assert density_g_per_ml("liver", 1.05) == 1.05


def test_alphas_stay_and_photons_leave() -> None:
    astatine = nuclide("At-211")
    assert astatine.local_kev == pytest.approx(astatine.electron_kev + astatine.alpha_kev + astatine.recoil_kev)
    iodine = nuclide("I-131")
    assert self_dose_gy(1.0, 1.0, iodine, "liver") == pytest.approx(110.65e-3, rel=1e-3)


@pytest.mark.parametrize("name", ["Ac-225", "Pb-212", "At-211"])
def test_nuclides_with_progeny_are_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="progeny"):
        dose_engine("local")(np.ones((1, 1, 1)), 1.0, (4.0, 4.0, 4.0), nuclide(name))
    with pytest.raises(SettingsError, match="progeny"):
        self_dose_gy(1.0, 1.0, nuclide(name), "liver")


def test_unknown_engine_lists_the_known() -> None:
    with pytest.raises(SettingsError, match=r"got fast.*'local'"):
        dose_engine("fast")
