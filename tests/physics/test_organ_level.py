"""Organ-level dose: reference S values, mass scaling, cross-dose, and lesions that are not counted twice."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theradose.physics.engines import dose_engine, sphere_self_s
from theradose.physics.nuclides import nuclide
from theradose.physics.organ_level import (
    REFERENCE_ADULT,
    cross_doses_gy,
    own_mean_gy_per_mbq_h,
    pieces_self_s,
    scaled_self_s,
    share_of_surroundings,
    uniform_tia_mbq_h,
)
from theradose.physics.units import mgy_per_mbq_s_from_gy_per_mbq_h

LU = nuclide("Lu-177")
KERNEL = dose_engine("kernel")
# Reference adult male, self S of Lu-177 in mGy/(MBq.s) (design of the physics, section 6).
PRINTED = {"kidneys": 7.76e-5, "liver": 1.37e-5, "spleen": 1.60e-4, "salivary": 2.78e-4}


@pytest.mark.parametrize("organ", PRINTED)
def test_reference_adult(organ: str) -> None:
    electron, photon = pieces_self_s(REFERENCE_ADULT[organ].pieces_g, 1.04, LU)
    assert mgy_per_mbq_s_from_gy_per_mbq_h(electron + photon) == pytest.approx(PRINTED[organ], rel=0.01)
    assert sum(REFERENCE_ADULT[organ].pieces_g) == REFERENCE_ADULT[organ].mass_g


@pytest.mark.parametrize("mass_g", [100.0, 400.0])
def test_scaled_s_is_the_sphere_of_the_new_mass(mass_g: float) -> None:
    """Photons scale with (m_ref/m)^(2/3) only roughly, so a factor of two in mass leaves less than half a per cent."""
    electron, photon = pieces_self_s((200.0,), 1.04, LU)
    scaled = scaled_self_s(electron, photon, 200.0, mass_g)
    assert scaled == pytest.approx(float(sphere_self_s(mass_g, 1.04, LU, "liver")), rel=0.005)


@given(st.floats(10, 1000), st.floats(10, 1000))
def test_scaling_there_and_back(one: float, other: float) -> None:
    there = scaled_self_s(1.0, 0.0, one, other)
    assert scaled_self_s(there, 0.0, other, one) == pytest.approx(1.0)


def scene():
    labels = np.zeros((20, 24, 24), int)
    labels[2:18, 2:22, 2:22] = 1
    labels[6:12, 4:10, 4:10] = 7  # liver
    labels[8:10, 6:8, 6:8] = 101  # a lesion in it
    labels[6:14, 14:18, 14:18] = 5
    return labels, np.full(labels.shape, 1.04), (8.0, 8.0, 8.0)


def test_self_and_cross_add_up_to_the_map() -> None:
    labels, density, spacing = scene()
    tia = {1: 50.0, 5: 400.0, 7: 300.0, 101: 200.0}
    (cross,) = cross_doses_gy(
        labels, [tia], density_g_per_ml=density, spacing_zyx_mm=spacing, nuclide=LU, engine=KERNEL
    )
    own = own_mean_gy_per_mbq_h(labels, density, spacing, LU, KERNEL)
    dose = KERNEL.dose_gy(uniform_tia_mbq_h(labels, tia), density, spacing, LU)
    for label, given_tia in tia.items():
        assert own[label] * given_tia + cross[label] == pytest.approx(float(dose[labels == label].mean()))
        assert cross[label] > 0


def test_cross_dose_falls_with_distance_and_does_not_see_the_own_activity() -> None:
    labels, density, spacing = scene()
    common = {"density_g_per_ml": density, "spacing_zyx_mm": spacing, "nuclide": LU, "engine": KERNEL}
    only_lesion, with_own = cross_doses_gy(
        labels, [{1: 0.0, 5: 0.0, 7: 0.0, 101: 100.0}, {1: 0.0, 5: 500.0, 7: 0.0, 101: 100.0}], **common
    )
    assert only_lesion[101] == pytest.approx(0.0, abs=1e-9)
    assert only_lesion[7] > 20 * only_lesion[5] > 0
    assert with_own[5] == pytest.approx(only_lesion[5])


def test_lesion_in_the_liver_is_not_counted_in_the_liver() -> None:
    labels, _, _ = scene()
    spread = uniform_tia_mbq_h(labels, {1: 0.0, 5: 0.0, 7: 300.0, 101: 200.0})
    assert spread[labels == 7].sum() == pytest.approx(300.0)
    assert spread.sum() == pytest.approx(500.0)


def test_surroundings_are_counted_by_voxel() -> None:
    labels, _, _ = scene()
    assert share_of_surroundings(labels, 101, [7]) == 1.0
    assert share_of_surroundings(labels, 101, [2]) == 0.0
    labels[8:10, 6:8, 8] = 2
    assert share_of_surroundings(labels, 101, [2]) == pytest.approx(4 / (4 * 4 * 4 - 8))
    assert share_of_surroundings(np.ones((3, 3, 3), int), 1, [2]) == 0.0


def test_local_engine_has_no_cross_dose() -> None:
    labels, density, spacing = scene()
    (cross,) = cross_doses_gy(
        labels, [{1: 50.0, 5: 400.0}], density_g_per_ml=density, spacing_zyx_mm=spacing, nuclide=LU,
        engine=dose_engine("local"),
    )  # fmt: skip
    assert cross == {1: 0.0, 5: 0.0}


def test_activity_without_a_label_gives_cross_dose() -> None:
    labels, density, spacing = scene()
    outside = np.where(labels == 0, 1.0, 0.0)
    (cross,) = cross_doses_gy(
        labels, [{1: 0.0}], density_g_per_ml=density, spacing_zyx_mm=spacing, nuclide=LU, engine=KERNEL,
        unlabelled_tia_mbq_h=outside,
    )  # fmt: skip
    assert cross[1] > 0
