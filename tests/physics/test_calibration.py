"""Counts to activity: worked numbers, dead time there and back, phantoms, and units that were lost."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theradose.errors import DataError, FitError, UnitError
from theradose.physics.calibration import (
    DEAD_TIME,
    Sensitivity,
    bq_per_ml_from_counts,
    counts_relative_std,
    dead_time_factor,
    sensitivity_from_phantom,
    true_rate_cps,
)
from theradose.physics.decay import factor_to_scan_start
from theradose.physics.units import mbq_from_bq_per_ml

OBSERVED = {
    "paralysable": lambda n, tau: n * np.exp(-n * tau),
    "non_paralysable": lambda n, tau: n / (1.0 + n * tau),
}


def test_counts_of_a_known_activity_give_it_back() -> None:
    # 30 MBq in 150 mL at 6 cps/MBq make 180 cps, 324000 counts in half an hour, in voxels of 0.1 mL 216 each.
    found = bq_per_ml_from_counts(np.full(1500, 216.0), duration_h=0.5, voxel_ml=0.1, cps_per_mbq=6.0)
    assert mbq_from_bq_per_ml(found, 0.1).sum() == pytest.approx(30.0)
    # The result is the mean over the frame; decay goes on in the module for decay, once.
    start = found * factor_to_scan_start("none", 159.528, 24.0, 0.5)
    assert start[0] / found[0] == pytest.approx(1.001087, abs=1e-6)


def test_every_model_of_dead_time_has_a_forward_twin() -> None:
    assert set(OBSERVED) == set(DEAD_TIME)


@pytest.mark.parametrize("model", sorted(DEAD_TIME))
@given(st.floats(0.0, 0.99), st.floats(0.1, 20.0))
def test_dead_time_is_undone(model: str, load: float, dead_time_us: float) -> None:
    true = load / (dead_time_us * 1e-6)
    observed = OBSERVED[model](true, dead_time_us * 1e-6)
    assert float(true_rate_cps(observed, dead_time_us, model)) == pytest.approx(true, rel=1e-6, abs=1e-6)


def test_paralysable_rate_equals_a_slow_iteration() -> None:
    observed, tau = 60_000.0, 3e-6
    n = observed
    for _ in range(2000):
        n = observed * math.exp(n * tau)
    assert float(true_rate_cps(observed, 3.0)) == pytest.approx(n, rel=1e-12)


@pytest.mark.parametrize("model", sorted(DEAD_TIME))
def test_small_losses_are_the_same_for_all_models(model: str) -> None:
    assert dead_time_factor(1000.0, 1.0, model) == pytest.approx(1.001, abs=2e-6)
    assert dead_time_factor(1000.0, 0.0, model) == 1.0
    assert dead_time_factor(0.0, 1.0, model) == 1.0


def test_rates_that_no_camera_can_count_are_refused() -> None:
    assert float(true_rate_cps(1e6 / math.e * 0.999999, 1.0)) == pytest.approx(1e6, rel=0.01)
    with pytest.raises(DataError, match=r"THR-234.*0\.4"):
        true_rate_cps([10.0, 4e5], 1.0)
    with pytest.raises(DataError, match="THR-234"):
        true_rate_cps(1e6, 1.0, "non_paralysable")


def test_the_phantom_s_activity_does_not_average_out() -> None:
    # A hundred scans: counting alone would be 0.1 % by now; the radionuclide calibrator's 2 % stays.
    n = np.full(100, 1e4)
    found = sensitivity_from_phantom(n, np.full(100, 0.1), np.full(100, 5.0), 0.02)
    assert found.cps_per_mbq == pytest.approx(1e4 / 360.0 / 5.0)
    assert found.relative_std == pytest.approx(math.hypot(0.001, 0.02))


def test_the_spread_of_scans_counts_when_it_exceeds_poisson() -> None:
    found = sensitivity_from_phantom([0.9e6, 1.1e6], [0.5, 0.5], [50.0, 50.0], 0.0)
    assert found.relative_std == pytest.approx(math.sqrt(0.02) / math.sqrt(2))
    assert sensitivity_from_phantom([1e4], [0.1], [5.0], 0.0).relative_std == counts_relative_std(1e4)
    with pytest.raises(FitError):
        sensitivity_from_phantom([], [], [], 0.02)
    with pytest.raises(FitError):
        sensitivity_from_phantom([0.0], [0.5], [50.0], 0.02)


@pytest.mark.parametrize("lost", [6.0e-6, 6.0e-3, 6.0e3, 324000.0])
def test_a_sensitivity_per_bq_or_kbq_or_of_a_whole_frame_is_refused(lost: float) -> None:
    # Activity written in Bq where MBq is meant gives such a factor; the image would be wrong by it.
    with pytest.raises(UnitError, match="THR-235"):
        Sensitivity(lost, 0.02)
    with pytest.raises(UnitError, match="THR-235"):
        bq_per_ml_from_counts([1.0], duration_h=0.5, voxel_ml=0.1, cps_per_mbq=lost)
    with pytest.raises(UnitError, match="THR-235"):
        sensitivity_from_phantom([lost * 1800.0 * 50.0], [0.5], [50.0], 0.02)


@pytest.mark.parametrize("wrong", [{"duration_h": 0.0}, {"voxel_ml": 0.0}, {"dead_time": 0.9}])
def test_empty_frames_and_voxels_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(DataError, match="THR-236"):
        bq_per_ml_from_counts([1.0], **({"duration_h": 0.5, "voxel_ml": 0.1, "cps_per_mbq": 6.0} | wrong))
