"""Mass density and material from CT numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theradose.physics.density import (
    AIR_G_PER_ML,
    HIGHEST_HU,
    MATERIAL_FROM_HU,
    MATERIALS,
    density_from_hu,
    hu_from_density,
    material_from_hu,
)

HU = st.floats(-2000, 4000)


def published(hu):
    """The formulas of Schneider 2000 as they are printed, for one CT number: the slow twin."""
    if hu < -98:
        return 0.00121 + (0.93 - 0.00121) * (hu + 1000) / 902
    if hu <= 14:
        return 1.018 + 0.893e-3 * hu
    if hu <= 23:
        return 1.03
    if hu <= 100:
        return 1.003 + 1.169e-3 * hu
    return 1.017 + 0.592e-3 * hu


def test_the_curve_is_the_published_one_wherever_that_rises():
    grid = np.arange(-1000, HIGHEST_HU + 0.25, 0.5)
    twin = np.array([published(hu) for hu in grid])
    highest_so_far = np.maximum.accumulate(twin)
    # 0.0005 g/mL: the published line from air ends at 0.9300 in fat, the next one begins at 0.9305.
    assert np.abs(density_from_hu(grid) - highest_so_far).max() < 5.1e-4
    rising = twin == highest_so_far
    assert np.abs(density_from_hu(grid) / twin - 1)[rising & (grid >= -98)].max() < 1e-12
    assert not rising[(grid > 100) & (grid < 173.8)].any()  # what is printed falls here, so it cannot be kept
    assert (density_from_hu(grid) / twin).max() < 1.041


def test_the_published_formulas_step_down_where_the_module_says():
    assert published(100.0) / published(100.001) == pytest.approx(1.0406, abs=1e-4)
    assert published(14.0) / published(14.001) == pytest.approx(1.0005, abs=1e-4)


@pytest.mark.parametrize(
    ("hu", "low", "high"),
    [
        (-1000, 0.0012, 0.0013),  # air
        (-741, 0.24, 0.30),  # inflated lung, ICRU 44: 0.26
        (-98, 0.92, 0.95),  # adipose tissue, ICRU 44: 0.95
        (0, 0.99, 1.02),  # water
        (43, 1.03, 1.06),  # kidney, ICRU 44: 1.05, and muscle
        (1524, 1.90, 1.93),  # cortical bone, ICRU 44: 1.92
    ],
)
def test_tissues_of_icru_44_get_their_density(hu, low, high):
    assert low <= density_from_hu(hu) <= high


@given(HU, HU)
def test_more_hu_is_never_less_density(one, other):
    low, high = sorted((one, other))
    assert density_from_hu(low) <= density_from_hu(high)


@given(HU)
def test_density_stays_between_air_and_the_densest_bone(hu):
    assert AIR_G_PER_ML <= density_from_hu(hu) <= density_from_hu(HIGHEST_HU)


@given(st.floats(AIR_G_PER_ML, 2.79))
def test_the_inverse_gives_the_density_back(density):
    assert density_from_hu(hu_from_density(density)) == pytest.approx(density, rel=1e-12)


@given(HU, HU)
def test_materials_follow_each_other_with_rising_hu(one, other):
    low, high = sorted((one, other))
    assert 0 <= material_from_hu(low) <= material_from_hu(high) < len(MATERIALS)


def test_a_material_begins_at_its_bound():
    bounds = np.array(MATERIAL_FROM_HU)
    assert material_from_hu(bounds).tolist() == [1, 2, 3]
    assert material_from_hu(np.nextafter(bounds, -2000)).tolist() == [0, 1, 2]
