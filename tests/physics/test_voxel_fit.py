"""Voxel-wise fits agree with the scalar fit, voxel by voxel, in value, uncertainty and refusal."""

import math

import numpy as np
import pytest

from theradose.errors import DataError, FitError
from theradose.physics import voxel_fit
from theradose.physics.kinetics import fit_tac, population_fit
from theradose.physics.voxel_fit import FITTED, OUTSIDE, VOXEL_STATUS, fit_voxels

T_PHYS_H = 159.528
FOUR = np.array([4.0, 24.0, 72.0, 168.0])
KNOWN = {"half_life_h": T_PHYS_H}


def images(shape=(4, 8, 10), times_h=FOUR, relative=0.1, floor=0.0, seed=1):
    """Return noisy images and their uncertainties; `floor` is noise that does not shrink with the activity."""
    rng = np.random.default_rng(seed)
    t_eff_h = 48.0 * np.exp(0.4 * rng.standard_normal(shape))
    true = np.exp(rng.standard_normal(shape)) * np.exp2(-np.asarray(times_h)[:, None, None, None] / t_eff_h)
    noise = np.hypot(relative * true, floor)
    return true + noise * rng.standard_normal(true.shape), noise


@pytest.mark.parametrize("times_h", [FOUR, FOUR[1:3], FOUR[:3]], ids=["four", "two", "three"])
@pytest.mark.parametrize("floor", [0.0, 0.3], ids=["quiet", "noisy"])
def test_every_voxel_is_what_the_scalar_fit_makes_of_it(times_h, floor: float) -> None:
    activity, std = images((3, 6, 8), times_h, floor=floor)
    found = fit_voxels(times_h, activity, std, **KNOWN)
    seen = set()
    for at in np.ndindex(found.status.shape):
        y, s = activity[:, *at], std[:, *at]
        status = VOXEL_STATUS[found.status[at]]
        seen.add(status)
        if status != "fitted":
            with pytest.raises(FitError) as caught:
                fit_tac(times_h, y, s, models=("mono",), **KNOWN)
            assert caught.value.reason == status
            assert np.isnan(found.tia[at])
            continue
        fit = fit_tac(times_h, y, s, models=("mono",), **KNOWN)
        got = (found.tia[at], found.tia_std[at], found.lambda_per_h[at])
        assert got == pytest.approx((fit.tia_mbq_h, fit.tia_std_mbq_h, fit.parameters["lambda1_per_h"]), rel=1e-6)
    assert seen == {"fitted"} if not floor and times_h.size == 4 else "fitted" in seen


def test_all_refusals_occur_in_noise() -> None:
    activity, std = images((8, 10, 12), floor=0.3)
    assert set(np.unique(fit_voxels(FOUR, activity, std, **KNOWN).status)) == {1, 2, 3, 4}


def test_a_refused_voxel_takes_the_declared_half_life() -> None:
    corrected = np.array([10.0, 11.0, 12.0, 13.0])
    activity = (corrected * np.exp2(-FOUR / T_PHYS_H)).reshape(4, 1, 1, 1)
    found = fit_voxels(FOUR, activity, 0.05 * activity, population_t_eff_h=52.0, **KNOWN)
    declared = population_fit(FOUR, activity.ravel(), 0.05 * activity.ravel(), t_eff_h=52.0, t_eff_cv=0.0, **KNOWN)
    assert VOXEL_STATUS[found.status.item()] == "rising_activity"
    assert found.tia.item() == pytest.approx(declared.tia_mbq_h, rel=1e-6)
    assert math.log(2) / found.lambda_per_h.item() == pytest.approx(52.0, rel=1e-6)


def test_nothing_decays_slower_than_physics() -> None:
    activity, std = images(floor=0.1)
    found = fit_voxels(FOUR, activity, std, **KNOWN)
    assert found.lambda_per_h[found.status == FITTED].min() > math.log(2) / T_PHYS_H


def test_mask_blocks_and_order_change_no_voxel(monkeypatch: pytest.MonkeyPatch) -> None:
    activity, std = images(floor=0.05)
    whole = fit_voxels(FOUR, activity, std, **KNOWN)
    mask = np.random.default_rng(2).random(activity.shape[1:]) < 0.4
    monkeypatch.setattr(voxel_fit, "BLOCK", 7)
    part = fit_voxels(FOUR[::-1], activity[::-1], std[::-1], mask=mask, **KNOWN)
    for name in ("tia", "tia_std", "lambda_per_h", "status"):
        one, other = getattr(whole, name), getattr(part, name)
        assert one[mask] == pytest.approx(other[mask], rel=1e-6, nan_ok=True)
        assert (other[~mask] == OUTSIDE).all()


def test_one_uncertainty_for_all_voxels_broadcasts() -> None:
    activity, _ = images()
    one = fit_voxels(FOUR, activity, 0.01, **KNOWN)
    many = fit_voxels(FOUR, activity, np.full(activity.shape, 0.01), **KNOWN)
    assert one.tia == pytest.approx(many.tia, nan_ok=True)


def test_empty_voxels_hold_nothing() -> None:
    found = fit_voxels(FOUR, np.zeros((4, 2, 2, 2)), 0.1, population_t_eff_h=40.0, **KNOWN)
    assert (found.tia == 0).all()
    assert (found.status == VOXEL_STATUS.index("not_positive")).all()


def test_nonsense_is_refused() -> None:
    activity, std = images()
    with pytest.raises(DataError, match="one time each"):
        fit_voxels(FOUR[:3], activity, std, **KNOWN)
    with pytest.raises(DataError, match="mask"):
        fit_voxels(FOUR, activity, std, mask=np.ones((2, 2, 2), bool), **KNOWN)
    with pytest.raises(DataError, match="no number"):
        fit_voxels(FOUR, activity * np.nan, std, **KNOWN)
    with pytest.raises(FitError) as caught:
        fit_voxels(FOUR[:1], activity[:1], std[:1], **KNOWN)
    assert caught.value.reason == "too_few_points"
