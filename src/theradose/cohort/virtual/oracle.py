"""What one who sees everything before therapy would predict for the patients of a study, and how far off that is.

Every patient's therapy is drawn anew many times with all else held fixed (`resimulation`); the dose follows the TIAC.
No model of images, numbers or anything else that is known before therapy can do better than `best_prediction` of these.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from theradose.cohort.virtual.body import body_of
from theradose.cohort.virtual.course_kinds import COURSES, Habit
from theradose.cohort.virtual.floors import best_prediction, expected_ape
from theradose.cohort.virtual.latents import MANY, Latents, Value, stream
from theradose.cohort.virtual.ligands import LIGANDS
from theradose.cohort.virtual.resimulation import of_therapy

Array = NDArray[np.float64]
DRAWN = "z_"
THERAPIES = {"closed_form": 400, "ode": 40}
"""How many therapies are drawn of each patient: the closed form takes all at once, the ODE one after the other."""


def latents_of(rows: pd.DataFrame) -> Latents:
    """Return the draws of one patient from rows of the truth (schema LATENTS)."""
    drawn = rows[rows["name"].str.startswith(DRAWN)]
    names = drawn["name"].str.removeprefix(DRAWN)
    return Latents({(str(v), str(n)): float(z) for v, n, z in zip(drawn["voi"], names, drawn["value"], strict=True)})


def habit_of(rows: pd.DataFrame, *, ligand: str, texture_coupling: float, difficulty: str, cycles: int) -> Habit:
    """Return what kinetics need to know of one patient from rows of the truth (schema LATENTS)."""
    weighed = rows[rows["name"] == "mass_g"]
    masses: dict[str, Value] = dict(zip(weighed["voi"], weighed["value"], strict=True))
    tumour_ml = float(rows.loc[rows["name"] == "tumour_volume_ml", "value"].iloc[0])
    body = body_of(latents_of(rows), LIGANDS[ligand])
    return Habit(ligand, body, masses, tumour_ml, texture_coupling, difficulty, cycles)


def _coefficients_h(kind: str, latents: Latents, habit: Habit, lambda_per_h: float) -> Mapping[str, Array]:
    """Return the TIAC of the first cycle by organ, h."""
    found = COURSES[kind](latents, habit).coefficients_h(lambda_per_h, cycle=1)
    return {organ: np.asarray(hours) for organ, hours in found.items()}


def possible_doses(
    rows: pd.DataFrame, habit: Habit, dose: Mapping[str, float], *, kind: str, lambda_per_h: float, seed: int
) -> dict[str, Array]:
    """Return organ -> doses (therapies,) that a patient might have got, in the unit of `dose`, the planted ones."""
    latents, many = latents_of(rows), THERAPIES[kind]
    rng = stream(seed, MANY, f"oracle {rows['patient'].iloc[0]}")
    fresh = {key: rng.standard_normal(many) for key in of_therapy() if key in latents.draws}
    now = _coefficients_h(kind, latents, habit, lambda_per_h)
    if kind == "ode":
        each = [Latents({**latents.draws, **{k: float(z[i]) for k, z in fresh.items()}}) for i in range(many)]
        runs = [_coefficients_h(kind, one, habit, lambda_per_h) for one in each]
        again = {organ: np.array([run[organ] for run in runs]) for organ in dose}
    else:
        again = dict(_coefficients_h(kind, Latents({**latents.draws, **fresh}), habit, lambda_per_h))
    return {organ: gy * again[organ] / now[organ] for organ, gy in dose.items()}


def oracle_rows(patient: str, possible: Mapping[str, Array]) -> list[dict[str, object]]:
    """Return per organ the best prediction, its expected absolute percentage error and the spread of log dose."""
    rows: list[dict[str, object]] = []
    for organ, doses in possible.items():
        point = best_prediction(doses[:, None])
        error = 100.0 * float(expected_ape(point, doses[:, None])[0])
        spread = float(np.log(doses).std(ddof=1))
        rows.append(
            {"patient": patient, "voi": organ, "predicted_gy_per_gbq": float(point[0]), "expected_ape": error,
             "log_sd": spread}
        )  # fmt: skip
    return rows
