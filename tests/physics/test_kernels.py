"""Point kernels and spheres: printed S values, limits by hand, laws, and a slow twin by drawn points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theradose.errors import SettingsError
from theradose.physics.chains import chain_energy
from theradose.physics.kernels import (
    absorbed_in_sphere,
    kernel_names,
    point_kernel,
    sphere_parts_mev,
    sphere_s_gy_per_mbq_h,
)
from theradose.physics.units import mgy_per_mbq_s_from_gy_per_mbq_h, sphere_radius_mm

NEEDED = {"Lu-177", "Y-90", "I-131", "Tb-161", "Cu-67", "Ga-68", "F-18", "Ac-225"}


def test_every_promised_nuclide_has_a_kernel() -> None:
    assert set(kernel_names()) >= NEEDED


@pytest.mark.parametrize(("mass_g", "printed"), [(1.0, 2.32e-2), (10.0, 2.37e-3), (100.0, 2.41e-4)])
def test_printed_spheres_of_lutetium(mass_g: float, printed: float) -> None:
    s = mgy_per_mbq_s_from_gy_per_mbq_h(sphere_s_gy_per_mbq_h("Lu-177", mass_g, 1.04))
    assert s == pytest.approx(printed, rel=0.005)


def test_unknown_and_massless_are_refused() -> None:
    with pytest.raises(SettingsError, match="Xx-1"):
        point_kernel("Xx-1")
    with pytest.raises(SettingsError, match="mass"):
        sphere_s_gy_per_mbq_h("Lu-177", 0.0, 1.04)


def test_sphere_keeps_all_at_the_centre_and_nothing_from_beyond_its_diameter() -> None:
    kept = absorbed_in_sphere(np.array([0.0, 20.0, 21.0]), np.array([1.0, 0.0, 0.0]), 10.0)
    assert float(kept) == 1.0
    assert float(absorbed_in_sphere(np.array([20.0]), np.array([1.0]), 10.0)) == pytest.approx(0.0)
    assert float(absorbed_in_sphere(np.array([50.0]), np.array([1.0]), 10.0)) == pytest.approx(0.0)


def test_geometry_of_the_sphere_by_drawn_points() -> None:
    rng, n, radius = np.random.default_rng(2), 400_000, 10.0
    u = rng.normal(size=(2, n, 3))
    u /= np.linalg.norm(u, axis=2, keepdims=True)
    place = u[0] * (radius * np.cbrt(rng.random((n, 1))))
    for r in (1.0, 7.0, 15.0):
        inside = float((np.linalg.norm(place + r * u[1], axis=1) <= radius).mean())
        assert float(absorbed_in_sphere(np.array([r]), np.array([1.0]), radius)) == pytest.approx(inside, abs=0.003)


@given(st.sampled_from(["Lu-177", "Y-90", "I-131"]), st.floats(0.01, 1e5), st.floats(0.2, 2.0))
def test_spheres_keep_more_when_larger_and_never_more_than_emitted(name: str, mass_g: float, density: float) -> None:
    electron, photon = sphere_parts_mev(name, np.array([mass_g, 2 * mass_g]), density)
    emitted = chain_energy(name)
    assert electron[0] <= electron[1] <= emitted.electron_kev / 1000 * 1.005
    assert photon[0] <= photon[1] <= (emitted.photon_kev + 0.02 * emitted.electron_kev) / 1000 * 1.005


def test_dense_spheres_lose_less() -> None:
    dense, loose = (sphere_parts_mev("Y-90", 1.0, density)[0] for density in (1.4, 0.26))
    assert float(dense) > float(loose)
    # Same mass: the radius in g/cm2 grows with density^(2/3).
    assert float(sphere_radius_mm(1.0, 1.4)) * 1.4 > float(sphere_radius_mm(1.0, 0.26)) * 0.26
