"""The plan: by hand without uncertainty, by Monte Carlo with it, and what must hold between the two."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from theradose.errors import DataError, SettingsError
from theradose.physics.planning import DISTRIBUTIONS, OrganRisk, organ_risks, plan_activity

KIDNEYS = OrganRisk("kidneys", 0.5, 0.2, 40.0, "bed", g=2.8 / 52.8, alpha_beta_gy=2.6)
MARROW = OrganRisk("marrow", 0.03, 0.35, 2.0, "dose")


def bed_of_course(x: np.ndarray | float, activity: float, cycles: int, risk: OrganRisk) -> np.ndarray | float:
    """Return the BED of all cycles, each written out, for a dose per activity x."""
    total = risk.given_bed_gy
    for _ in range(cycles):
        dose = activity * x
        total = total + dose + risk.g * dose**2 / risk.alpha_beta_gy
    return total


@pytest.mark.parametrize("cycles", [1, 2, 4, 6])
@pytest.mark.parametrize("given_bed", [0.0, 12.0, 39.0])
def test_without_uncertainty_the_limit_is_met(cycles: int, given_bed: float) -> None:
    certain = replace(KIDNEYS, relative_std=0.0, given_bed_gy=given_bed)
    plan = plan_activity([certain], cycles=cycles, probability=0.05)
    slow = brentq(lambda a: bed_of_course(0.5, a, cycles, certain) - 40.0, 0.0, 1e3)
    assert plan.activity_gbq == pytest.approx(slow, rel=1e-9)  # the bar is 1e-3
    assert plan.total_gbq == pytest.approx(cycles * slow)
    assert certain.total_bed_gy(plan.activity_gbq, cycles) == pytest.approx(40.0)
    assert certain.exceedance(plan.activity_gbq, cycles) == 0.0
    assert certain.exceedance(1.001 * plan.activity_gbq, cycles) == 1.0


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_vanishing_uncertainty_tends_to_the_deterministic_limit(distribution: str) -> None:
    sure = plan_activity([replace(KIDNEYS, relative_std=0.0)], cycles=4, probability=0.05).activity_gbq
    nearly = replace(KIDNEYS, relative_std=1e-4, distribution=distribution)
    assert plan_activity([nearly], cycles=4, probability=0.05).activity_gbq == pytest.approx(sure, rel=1e-3)


def draws(risk: OrganRisk, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draw doses per activity from the definition: mean or median, and standard deviation over mean."""
    s = risk.relative_std
    if risk.distribution == "normal":
        return risk.dose_gy_per_gbq * (1.0 + s * rng.standard_normal(n))
    return risk.dose_gy_per_gbq * np.exp(np.sqrt(np.log(1.0 + s * s)) * rng.standard_normal(n))


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("probability", [0.01, 0.05, 0.20])
def test_monte_carlo_twin(distribution: str, probability: float) -> None:
    rng, n = np.random.default_rng(17), 400_000
    kidneys = replace(KIDNEYS, distribution=distribution, given_bed_gy=8.0)
    marrow = replace(MARROW, distribution=distribution, given_dose_gy=0.4)
    plan = plan_activity([kidneys, marrow], cycles=3, probability=probability)
    x, y = draws(kidneys, n, rng), draws(marrow, n, rng)
    over = {
        "kidneys": np.mean(bed_of_course(x, plan.activity_gbq, 3, kidneys) > 40.0),
        "marrow": np.mean(0.4 + 3 * plan.activity_gbq * y > 2.0),
    }
    slack = 4.0 * math.sqrt(probability / n)  # four standard errors
    for risk in (kidneys, marrow):
        assert over[risk.organ] == pytest.approx(risk.exceedance(plan.activity_gbq, 3), abs=slack)
        assert over[risk.organ] <= probability + slack
    assert over[plan.binding_organ] == pytest.approx(probability, abs=slack)


def test_the_log_normal_has_the_spread_it_says() -> None:
    x = draws(KIDNEYS, 400_000, np.random.default_rng(2))
    assert x.std() / x.mean() == pytest.approx(0.2, rel=0.01)
    assert np.median(x) == pytest.approx(0.5, rel=0.01)


@given(
    dose=st.floats(0.02, 2.0), std=st.floats(0.01, 0.6), p=st.floats(0.001, 0.49), cycles=st.integers(1, 6),
    given_gy=st.floats(0, 35), kind=st.sampled_from(["bed", "dose"]),
)  # fmt: skip
def test_laws(*, dose: float, std: float, p: float, cycles: int, given_gy: float, kind: str) -> None:
    risk = replace(
        KIDNEYS, dose_gy_per_gbq=dose, relative_std=std, kind=kind, given_dose_gy=given_gy, given_bed_gy=given_gy
    )
    plan = plan_activity([risk], cycles=cycles, probability=p)
    assert risk.exceedance(plan.activity_gbq, cycles) == pytest.approx(p, rel=1e-6)
    # A little more activity breaks the promise: it is the highest.
    assert risk.exceedance(1.01 * plan.activity_gbq, cycles) > p
    sure = plan_activity([replace(risk, relative_std=0.0)], cycles=cycles, probability=p).activity_gbq
    assert plan.activity_gbq < sure
    assert plan_activity([risk], cycles=cycles, probability=p / 2).activity_gbq < plan.activity_gbq
    assert plan_activity([risk], cycles=cycles + 1, probability=p).activity_gbq < plan.activity_gbq
    # Many small cycles spare the quadratic part: the total may rise.
    assert plan_activity([risk], cycles=cycles + 1, probability=p).total_gbq >= plan.total_gbq * (1 - 1e-12)


def test_the_lowest_organ_binds_and_the_cap_when_it_is_lower() -> None:
    each = [plan_activity([organ], cycles=4, probability=0.05).activity_gbq for organ in (KIDNEYS, MARROW)]
    plan = plan_activity([KIDNEYS, MARROW], cycles=4, probability=0.05)
    assert plan.activity_gbq == min(each)
    assert plan.limits_gbq == tuple(each)
    assert plan.binding_organ == ("kidneys", "marrow")[int(np.argmin(each))]
    capped = plan_activity([KIDNEYS, MARROW], cycles=4, probability=0.05, max_activity_gbq=7.4)
    assert (capped.activity_gbq, capped.binding_organ) == (7.4, "")
    assert plan_activity([KIDNEYS], cycles=4, probability=0.05, max_activity_gbq=1e6).binding_organ == "kidneys"


def test_full_correlation_between_cycles_is_the_cautious_reading() -> None:
    plan = plan_activity([KIDNEYS], cycles=4, probability=0.05)
    rng = np.random.default_rng(8)
    independent = sum(bed_of_course(draws(KIDNEYS, 200_000, rng), plan.activity_gbq, 1, KIDNEYS) for _ in range(4))
    assert np.mean(independent > 40.0) < 0.01


def test_used_up_limits_are_refused() -> None:
    for spent in (40.0, 55.0):
        with pytest.raises(DataError, match="used up the bed limit of kidneys") as caught:
            plan_activity([MARROW, replace(KIDNEYS, given_bed_gy=spent)], cycles=1, probability=0.05)
        assert caught.value.code == "limit_exceeded"


@pytest.mark.parametrize(
    ("risk", "more"),
    [
        (replace(KIDNEYS, dose_gy_per_gbq=0.0), {}),
        (replace(KIDNEYS, dose_gy_per_gbq=math.nan), {}),
        (replace(KIDNEYS, relative_std=-0.1), {}),
        (replace(KIDNEYS, relative_std=2.1), {}),
        (replace(KIDNEYS, relative_std=math.nan), {}),
        (replace(KIDNEYS, limit_gy=0.0), {}),
        (replace(KIDNEYS, given_bed_gy=-1.0), {}),
        (replace(KIDNEYS, distribution="uniform"), {}),
        (replace(KIDNEYS, distribution="normal", relative_std=2.0), {"probability": 0.95}),
        (KIDNEYS, {"probability": 0.0}),
        (KIDNEYS, {"cycles": 0}),
        (KIDNEYS, {"cycles": 101}),
        (KIDNEYS, {"max_activity_gbq": 0.0}),
    ],
)
def test_impossible_numbers_are_refused(risk: OrganRisk, more: dict) -> None:
    with pytest.raises(DataError) as caught:
        plan_activity([risk], **{"cycles": 4, "probability": 0.05, **more})
    assert caught.value.code == "impossible_value"


def test_a_plan_without_any_bound_is_refused() -> None:
    [lesion] = organ_risks("lesions", 3.4, t_eff_h=80.0)
    with pytest.raises(SettingsError) as caught:
        plan_activity([lesion], cycles=4, probability=0.05)
    assert caught.value.code == "no_limit"
    plan = plan_activity([lesion], cycles=4, probability=0.05, max_activity_gbq=7.4)
    assert lesion.total_dose_gy(plan.activity_gbq, 4) == pytest.approx(4 * 7.4 * 3.4)


def test_numbers_of_the_table_and_of_the_user() -> None:
    [kidneys] = organ_risks("kidneys", 0.5, relative_std=0.2, t_eff_h=50.0, given_gy=[5.75] * 4)
    assert (kidneys.kind, kidneys.limit_gy, kidneys.alpha_beta_gy) == ("bed", 40.0, 2.6)
    assert kidneys.given_dose_gy == 23.0
    assert kidneys.given_bed_gy == pytest.approx(25.70, abs=0.005)
    [cautious] = organ_risks("kidneys", 0.5, t_eff_h=50.0, case="cautious", given_bed_gy=3.0)
    assert (cautious.limit_gy, cautious.given_bed_gy) == (28.0, 3.0)
    [marrow] = organ_risks("marrow", 0.03, given_gy=[0.4, 0.3])
    assert (marrow.kind, marrow.limit_gy, marrow.given_dose_gy) == ("dose", 2.0, pytest.approx(0.7))
    assert math.isnan(marrow.total_bed_gy(7.4, 4))
    both = organ_risks("kidneys", 0.5, t_eff_h=50.0, chosen={"limit_bed_gy": 39.0, "limit_dose_gy": 20.0})
    assert [(risk.kind, risk.limit_gy) for risk in both] == [("bed", 39.0), ("dose", 20.0)]
    [own] = organ_risks("spleen", 0.2, chosen={"limit_dose_gy": 15.0})
    assert (own.kind, own.limit_gy) == ("dose", 15.0)


def test_every_limit_that_applies_is_kept() -> None:
    def kinds(organ: str, **chosen: float) -> list[tuple[str, float]]:
        risks = organ_risks(organ, 0.5, t_eff_h=50.0, case="cautious", chosen=chosen)
        return [(risk.kind, risk.limit_gy) for risk in risks]

    assert kinds("kidneys", limit_dose_gy=40.0) == [("bed", 28.0), ("dose", 40.0)]
    assert kinds("kidneys", limit_bed_gy=35.0) == [("bed", 35.0)]
    assert kinds("marrow", limit_bed_gy=3.0, t_repair_h=1.0) == [("bed", 3.0), ("dose", 2.0)]
    assert kinds("lesions", limit_dose_gy=60.0) == [("dose", 60.0)]
    both = organ_risks("kidneys", 0.5, t_eff_h=50.0, chosen={"limit_dose_gy": 10.0})
    plan = plan_activity(both, cycles=2, probability=0.05)
    assert (plan.binding_organ, plan.binding_kind) == ("kidneys", "dose")
    assert plan_activity(both[:1], cycles=2, probability=0.05).binding_kind == "bed"


def test_earlier_cycles_are_given_once_and_as_the_limit_needs_them() -> None:
    for organ, more in (
        ("kidneys", {"given_gy": [5.75]}),
        ("kidneys", {"chosen": {"limit_dose_gy": 23.0}}),
        ("marrow", {}),
    ):
        with pytest.raises(SettingsError) as caught:
            organ_risks(organ, 0.5, t_eff_h=50.0, given_bed_gy=6.4, **more)
        assert caught.value.code == "wrong_given"


def test_a_bed_limit_needs_a_half_life() -> None:
    with pytest.raises(SettingsError, match="--t-eff-h kidneys=") as caught:
        organ_risks("kidneys", 0.5)
    assert caught.value.code == "missing_t_eff"
    with pytest.raises(SettingsError, match="knows no organ spleen"):
        organ_risks("spleen", 0.5)


def test_few_residuals_widen_the_prediction_by_students_t() -> None:
    few = replace(MARROW, residuals=7.0)
    sigma = math.sqrt(math.log1p(0.35**2))
    limit = few.activity_limit_gbq(2, 0.05)
    assert limit == pytest.approx(1.0 / (0.03 * math.exp(1.8946 * sigma)), rel=1e-4)  # t_7 leaves 5 % above 1.8946
    assert few.exceedance(limit, 2) == pytest.approx(0.05, rel=1e-9)
    assert replace(MARROW, residuals=1e9).activity_limit_gbq(2, 0.05) == pytest.approx(
        MARROW.activity_limit_gbq(2, 0.05), rel=1e-6
    )
    with pytest.raises(DataError):
        plan_activity([replace(MARROW, residuals=0.0)], cycles=1, probability=0.05)


@settings(deadline=None)
@given(p=st.floats(0.001, 0.5), cycles=st.integers(1, 6), ratio=st.floats(0.2, 5.0))
def test_joint_plans_hold_the_sum_of_risks_to_the_probability(*, p: float, cycles: int, ratio: float) -> None:
    organs = [KIDNEYS, replace(MARROW, dose_gy_per_gbq=0.03 * ratio), replace(KIDNEYS, kind="dose", limit_gy=35.0)]
    each = plan_activity(organs, cycles=cycles, probability=p)
    joint = plan_activity(organs, cycles=cycles, probability=p, joint=True)
    kidneys = max(organs[i].exceedance(joint.activity_gbq, cycles) for i in (0, 2))  # one organ, one dose
    assert kidneys + organs[1].exceedance(joint.activity_gbq, cycles) == pytest.approx(p, rel=1e-6)
    assert joint.activity_gbq <= each.activity_gbq
    # An equal share for both organs is the most cautious way to hold the sum.
    assert joint.activity_gbq >= plan_activity(organs, cycles=cycles, probability=p / 2).activity_gbq * (1 - 1e-9)


def test_joint_plan_of_certain_doses_is_the_deterministic_limit() -> None:
    sure = [replace(KIDNEYS, relative_std=0.0), replace(MARROW, relative_std=0.0)]
    both = [plan_activity(sure, cycles=4, probability=0.05, joint=joint) for joint in (False, True)]
    assert both[0] == both[1]
    capped = plan_activity([KIDNEYS, MARROW], cycles=4, probability=0.05, joint=True, max_activity_gbq=2.0)
    assert (capped.activity_gbq, capped.binding_organ) == (2.0, "")
