"""The oracle of a study: what happened is one of what might have happened, and its spread is the limit of images."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from theradose.cohort.virtual.body import body_of
from theradose.cohort.virtual.course_kinds import COURSES, Habit
from theradose.cohort.virtual.floors import floor_mape
from theradose.cohort.virtual.latents import draw_latents
from theradose.cohort.virtual.ligands import LIGANDS
from theradose.cohort.virtual.oracle import THERAPIES, habit_of, latents_of, oracle_rows, possible_doses

LU177_PER_H = np.log(2.0) / 159.528
PATIENTS = 60


def rows_of(index: int, ligand: str = "psma") -> pd.DataFrame:
    """Return what the truth keeps of a patient, masses as drawn."""
    latents = draw_latents(8, index)
    body = body_of(latents, LIGANDS[ligand])
    rows = [(f"v{index}", organ, "mass_g", float(mass)) for organ, mass in body.mass_g.items()]
    rows.append((f"v{index}", "", "tumour_volume_ml", float(body.tumour_volume_ml)))
    derived = pd.DataFrame(rows, columns=["patient", "voi", "name", "value"])
    return pd.concat([latents.table(f"v{index}"), derived], ignore_index=True)


def habit(rows: pd.DataFrame, ligand: str = "psma") -> Habit:
    return habit_of(rows, ligand=ligand, texture_coupling=0.6, difficulty="xue_like", cycles=1)


def possible(index: int, kind: str = "closed_form", ligand: str = "psma") -> dict[str, np.ndarray]:
    rows = rows_of(index, ligand)
    planted = {"kidneys": 0.5, "parotids": 0.6}
    return possible_doses(rows, habit(rows, ligand), planted, kind=kind, lambda_per_h=LU177_PER_H, seed=3)


def test_draws_come_back_from_the_table() -> None:
    assert latents_of(rows_of(4)).draws == draw_latents(8, 4).draws


def test_the_planted_therapy_is_one_of_those_that_might_have_been() -> None:
    ranks = [float((possible(index)["kidneys"] < 0.5).mean()) for index in range(PATIENTS)]
    assert stats.kstest(ranks, "uniform").pvalue > 0.01


def test_the_spread_is_the_limit_of_images() -> None:
    spreads = [np.log(possible(index)["kidneys"]).std(ddof=1) for index in range(PATIENTS)]
    budget = np.hypot(0.12, 159.528 / 199.528 * 0.188 * 0.8)  # drift, and what texture does not tell of the half-life
    assert np.sqrt(np.mean(np.square(spreads))) == pytest.approx(budget, rel=0.06)


def test_its_prediction_and_its_error_by_the_formula() -> None:
    doses = np.exp(np.log(0.5) + 0.2 * np.random.default_rng(0).standard_normal(200000))
    (row,) = oracle_rows("v1", {"kidneys": doses})
    assert row["predicted_gy_per_gbq"] == pytest.approx(0.5 * np.exp(-(0.2**2)), rel=3e-3)
    assert row["expected_ape"] == pytest.approx(100 * float(floor_mape(0.2)), rel=3e-3)


def test_the_same_seed_gives_the_same_therapies() -> None:
    assert np.array_equal(possible(2)["kidneys"], possible(2)["kidneys"])
    assert not np.array_equal(possible(2)["kidneys"], possible(3)["kidneys"])


@pytest.mark.slow
def test_the_second_tier_has_its_own_therapies() -> None:
    found = possible(1, "ode", "dotatate")["kidneys"]
    assert found.shape == (THERAPIES["ode"],)
    assert 0.05 < np.log(found).std() < 0.4
    rows = rows_of(1, "dotatate")
    now = COURSES["ode"](latents_of(rows), habit(rows, "dotatate")).coefficients_h(LU177_PER_H, cycle=1)
    assert now["kidneys"] > 0
