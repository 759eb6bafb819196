"""Budgets from tables: the same as from the physics, organs, and tables that say too little."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from theradose.cohort.budget import S_RELATIVE_STD, budget_of, tia_fit
from theradose.errors import DataError
from theradose.physics.dose import VoiDose
from theradose.physics.kinetics import fit_or_population
from theradose.tables import BUDGET, checked
from theradose.vocabulary import BUDGET_STEPS

HALF_LIFE_H = 159.528
TIMES = (4.0, 24.0, 72.0, 168.0)
CHAIN = {
    "volume_relative_std": 0.12, "recovery_slope": 0.1, "recovery_relative_std": 0.015, "counts_slope": 0.55,
    "calibration_relative_std": 0.05,
}  # fmt: skip


def tables(*vois, times=TIMES, **changes):
    """Return TAC and TIAC rows of VOIs that decay with 50 h and are known to 4 % a scan."""
    activity = 60.0 * np.exp2(-np.array(times) / 50.0)
    points = pd.DataFrame(
        {"voi": voi, "time_h": t, "activity_mbq": a, "activity_std_mbq": 0.04 * a, **CHAIN, **changes}
        for voi in vois for t, a in zip(times, activity, strict=True)
    )  # fmt: skip
    fit = fit_or_population(
        np.array(times),
        activity,
        0.04 * activity,
        half_life_h=HALF_LIFE_H,
        t_eff_h=50.0,
        t_eff_cv=0.2,
        models=("mono",),
    )
    row = {
        "model": fit.model, "tia_mbq_h": fit.tia_mbq_h, "tia_std_mbq_h": fit.tia_std_mbq_h, "t_eff_h": fit.t_eff_h,
        "tail_fraction": fit.tail_fraction, "aicc": math.nan, "parameters": json.dumps(fit.parameters),
        "covariance": json.dumps(fit.covariance.tolist()),
    }  # fmt: skip
    return points, pd.DataFrame([{"voi": voi, **row} for voi in vois]), fit


def dose(organ, volume_ml=150.0, gy=2.0):
    return VoiDose(organ, volume_ml, volume_ml * 1.04, 4000.0, 3000.0, gy, 0.0, 0.8 * gy)


def test_budget_is_the_chain_by_hand() -> None:
    points, fits, fit = tables("kidney_left")
    found = budget_of(points, fits, {"kidney_left": dose("kidneys")})
    of_fit = fit.tia_std_mbq_h / fit.tia_mbq_h
    by_hand = math.hypot((0.55 - 0.1 - 1.0) * 0.12, 0.015, 0.05, of_fit, S_RELATIVE_STD)
    assert found.relative_std("voi", "kidney_left") == pytest.approx(by_hand)
    assert found.relative_std("organ", "kidneys") == pytest.approx(by_hand)
    rows = pd.DataFrame(found.rows()).assign(patient="p1", cycle=1)
    assert checked(rows, BUDGET)["step"].tolist() == [*BUDGET_STEPS, *BUDGET_STEPS]
    assert rows.set_index(["level", "step"])["relative_std"]["voi", "counts"] == pytest.approx(
        math.hypot(0.55 * 0.12, 0.04)
    )


def test_two_kidneys_are_better_known_than_one_but_for_the_calibration() -> None:
    points, fits, _ = tables("kidney_left", "kidney_right")
    found = budget_of(points, fits, {voi: dose("kidneys") for voi in ("kidney_left", "kidney_right")})
    one, both = found.found["voi", "kidney_left"].relative_std, found.found["organ", "kidneys"].relative_std
    assert both["calibration"] == one["calibration"] == 0.05
    assert both["fit"] == pytest.approx(one["fit"] / math.sqrt(2))
    assert 0.05 < both["dose"] < one["dose"]


@pytest.mark.parametrize(("vois", "organ", "averages"), [
    (("kidney_left", "kidney_right"), "kidneys", False), (("lesion_01", "lesion_02"), "lesions", True),
])  # fmt: skip
def test_an_assumed_half_life_is_one_for_kidneys_and_each_its_own_for_lesions(vois, organ, averages) -> None:
    points, fits, fit = tables(*vois, times=(24.0,))
    assert fit.model == "population"
    found = budget_of(points, fits, {voi: dose(organ) for voi in vois}).found
    one, both = found["voi", vois[0]].relative_std["fit"], found["organ", organ].relative_std["fit"]
    half_life = 0.2 * (1 - math.log(2) / 50.0 * 24.0)
    assert one == pytest.approx(math.hypot(0.04, half_life))
    expected = one / math.sqrt(2) if averages else math.hypot(0.04 / math.sqrt(2), half_life)
    assert both == pytest.approx(expected)


def test_fits_come_back_from_their_rows() -> None:
    _, fits, fit = tables("liver")
    back = tia_fit(fits.to_dict("records")[0])
    assert back.parameters == fit.parameters
    assert np.array_equal(back.covariance, fit.covariance)


def test_tables_that_say_too_little_are_refused() -> None:
    points, fits, _ = tables("liver")
    for faulty in (points.assign(volume_relative_std=np.nan), points.iloc[:0]):
        with pytest.raises(DataError, match=r"THR-248.*VOI liver"):
            budget_of(faulty, fits, {"liver": dose("liver")})


def test_a_voi_without_activity_has_no_known_dose() -> None:
    points, fits, _ = tables("liver", activity_mbq=0.0)
    fits["tia_mbq_h"] = 0.0
    assert budget_of(points, fits, {"liver": dose("liver", gy=0.0)}).relative_std("voi", "liver") > 1.0
