"""Model selection: the criterion by hand, what it may choose, and that it chooses what made the data."""

import math

import numpy as np
import pytest

from theradose.errors import FitError
from theradose.physics.kinetic_fit import CurveFit
from theradose.physics.kinetics import fit_tac
from theradose.physics.selection import aicc, akaike_weights, criteria, is_accepted, judged, select


def fit(chi2=1.0, n=4, cv=0.1, phases=1, correlation=0.0):
    """Return a fit with equal CVs and one correlation between the constants of two phases."""
    values = np.ones(2 * phases)
    covariance = np.diag((cv * values) ** 2)
    if phases == 2:
        covariance[0, 1] = covariance[1, 0] = correlation * cv**2
    return CurveFit(values[:phases], values[phases:], covariance, chi2, n, at_physical_limit=False)


def test_criterion_by_hand() -> None:
    assert aicc(2.5, 7, 4) == pytest.approx(2.5 + 8 + 2 * 4 * 5 / 2)
    assert math.isinf(aicc(0.0, 5, 4))


@pytest.mark.parametrize(
    ("n", "models"),
    [(7, ["mono", "mono_uptake", "bi"]), (5, ["mono", "mono_uptake"]), (3, ["mono", "mono_uptake"]), (1, [])],
)
def test_models_without_finite_criterion_are_never_kept_beside_others(n: int, models: list[str]) -> None:
    assert judged(["mono", "mono_uptake", "bi"], n) == models


def test_smallest_criterion_wins_and_ties_go_to_the_first() -> None:
    assert select({"mono": fit(5.0), "mono_uptake": fit(1.0)}) == "mono_uptake"
    assert select({"mono": fit(1.0), "mono_uptake": fit(1.0)}) == "mono"
    assert select({"mono": fit(3.0, n=3), "mono_uptake": fit(1.0, n=3)}) == "mono_uptake"


def test_acceptance() -> None:
    assert not is_accepted(fit(cv=0.5))
    assert is_accepted(fit(cv=0.49))
    assert not is_accepted(fit(phases=2, correlation=-0.85))
    assert is_accepted(fit(phases=2, correlation=0.75))
    assert select({"mono": fit(9.0), "mono_uptake": fit(1.0, cv=0.6)}) == "mono"
    with pytest.raises(FitError, match="CV 60 %"):
        select({"mono": fit(cv=0.6)})


def test_weights_by_hand() -> None:
    # Equal fits of two and four parameters on seven points differ by the penalty alone: (8 + 20) - (4 + 3) = 21.
    scores = criteria({"mono": fit(1.0, n=7), "bi": fit(1.0, n=7, phases=2)})
    weights = akaike_weights(scores)
    assert weights["bi"] / weights["mono"] == pytest.approx(math.exp(-21 / 2))
    assert sum(weights.values()) == pytest.approx(1.0)


def test_two_phases_are_found_where_there_are_two() -> None:
    time = np.array([0.5, 2.0, 6.0, 24.0, 48.0, 96.0, 168.0])
    two = 60.0 * np.exp(-0.3 * time) + 50.0 * np.exp(-0.02 * time)
    one = 50.0 * np.exp(-0.02 * time)
    rng = np.random.default_rng(11)
    names = {"two": [], "one": []}
    for _ in range(20):
        for key, true in (("two", two), ("one", one)):
            noisy = true * (1 + 0.05 * rng.standard_normal(time.size))
            names[key].append(fit_tac(time, noisy, 0.05 * noisy, half_life_h=159.528, models=("mono", "bi")).model)
    assert names["two"].count("bi") >= 19
    assert names["one"].count("mono") >= 18
