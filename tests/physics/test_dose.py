"""VOI and organ doses, and the map of TIA that keeps every region's sum."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theradose.physics.dose import (
    is_implausible,
    organ_dose,
    time_weights_h,
    unlabelled_tia_mbq_h,
    voi_dose,
    voxel_tia_mbq_h,
)
from theradose.physics.engines import dose_engine
from theradose.physics.nuclides import nuclide

LU = nuclide("Lu-177")


def kidney(volume_ml, tia, std):
    return voi_dose(
        "kidneys", volume_ml=volume_ml, density_g_per_ml=1.04, tia_mbq_h=tia, tia_std_mbq_h=std,
        tia_uncorrected_mbq_h=0.8 * tia, nuclide=LU, engine=dose_engine("local"),
    )  # fmt: skip


def test_organ_is_energy_over_mass_of_its_parts() -> None:
    left, right = kidney(100.0, 1000.0, 50.0), kidney(200.0, 4000.0, 120.0)
    both = organ_dose([left, right])
    assert both.mass_g == pytest.approx(312.0)
    assert both.tia_mbq_h == pytest.approx(5000.0)
    assert both.dose_gy == pytest.approx(0.0853196 * 5000 / 312, rel=1e-5)
    assert both.dose_uncorrected_gy == pytest.approx(0.8 * both.dose_gy)
    assert both.dose_std_gy / both.dose_gy == pytest.approx(130.0 / 5000.0)
    assert left.dose_gy < both.dose_gy < right.dose_gy


def test_cross_dose_is_added_once_and_averaged_by_mass() -> None:
    common = {"density_g_per_ml": 1.04, "tia_mbq_h": 1000.0, "tia_std_mbq_h": 0.0, "tia_uncorrected_mbq_h": 800.0,
              "nuclide": LU, "engine": dose_engine("kernel")}  # fmt: skip
    plain = voi_dose("kidneys", volume_ml=100.0, **common)
    crossed = voi_dose("kidneys", volume_ml=100.0, cross_gy=0.3, cross_uncorrected_gy=0.2, **common)
    assert crossed.dose_gy - plain.dose_gy == pytest.approx(0.3)
    assert crossed.dose_uncorrected_gy - plain.dose_uncorrected_gy == pytest.approx(0.2)
    other = voi_dose("kidneys", volume_ml=300.0, cross_gy=0.1, **common)
    assert organ_dose([crossed, other]).dose_cross_gy == pytest.approx((0.3 + 3 * 0.1) / 4)


@pytest.mark.parametrize(("name", "ratio"), [("Lu-177", 1.0), ("Y-90", 1.0), ("Ac-225", 4.9)])
def test_alphas_have_a_column_of_their_own(name: str, ratio: float) -> None:
    """Ac-225 with progeny emits 28.0 MeV by alphas and recoils and 0.7 by electrons: (5 x 28.0 + 0.7) / 28.7."""
    dose = voi_dose(
        "lesions", volume_ml=10.0, density_g_per_ml=1.04, tia_mbq_h=1.0, tia_std_mbq_h=0.0, tia_uncorrected_mbq_h=1.0,
        nuclide=nuclide(name), engine=dose_engine("local"),
    )  # fmt: skip
    assert dose.dose_rbe_gy / dose.dose_gy == pytest.approx(ratio, rel=0.01)


def test_gy_per_cycle_given_as_gy_per_gbq_is_noticed() -> None:
    per_gbq = 0.5
    assert not is_implausible("kidneys", per_gbq)
    assert is_implausible("kidneys", per_gbq * 7.4)
    assert is_implausible("marrow", 0.6)
    assert not is_implausible("lesions", 20.0)


@given(st.lists(st.floats(0.5, 300), min_size=2, max_size=6, unique=True))
def test_weights_integrate_a_constant_up_to_the_last_scan(times: list[float]) -> None:
    assert time_weights_h(sorted(times)).sum() == pytest.approx(max(times))


def test_one_scan_is_a_pattern_at_any_time() -> None:
    assert (time_weights_h([0.0]) > 0).all()
    assert (time_weights_h([24.0]) > 0).all()


def test_each_region_sums_to_its_own_tia_and_keeps_its_pattern() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 4, (6, 6, 6))
    labels[labels == 3] = 101
    images = [rng.uniform(0, 1, labels.shape), rng.uniform(-0.2, 0.5, labels.shape)]
    images[0][labels == 2] = images[1][labels == 2] = 0.0
    tia = {1: 120.0, 2: 30.0, 101: 7.0}
    found = voxel_tia_mbq_h(images, [4.0, 24.0], labels, tia)
    for label, total in tia.items():
        assert found[labels == label].sum() == pytest.approx(total)
    assert found[labels == 2] == pytest.approx(30.0 / (labels == 2).sum())  # no pattern seen: spread evenly
    assert (found >= 0).all()
    assert (found[labels == 0] == 0).all()
    pattern = 14 * images[0] + 10 * images[1]
    seen = labels == 1
    assert found[seen] / found[seen].sum() == pytest.approx(pattern.clip(0)[seen] / pattern.clip(0)[seen].sum())


def test_unlabelled_voxels_decay_physically_after_the_last_scan() -> None:
    activity = [np.full((1, 1, 1), 2.0), np.full((1, 1, 1), 1.0)]
    found = unlabelled_tia_mbq_h(activity, [4.0, 24.0], LU)
    assert found[0, 0, 0] == pytest.approx(2 * 4 + 20 * 1.5 + 159.528 / np.log(2))
