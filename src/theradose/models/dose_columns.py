"""Predicted doses as covariates of what comes after therapy: per activity, over the planned course, and as BED.

A patient's own dose may only come from a model that has not seen him, so rows of training patients must be out of fold.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from theradose.errors import LeakageError, SettingsError, Where
from theradose.physics.limits import constant, has_constant
from theradose.physics.radiobiology import bed_gy, g_factor_single
from theradose.sections import POPULATION_T_EFF_H
from theradose.vocabulary import ORGANS

TRAIN, NOT_IN_A_FOLD = "train", -1
MBQ_PER_GBQ = 1000.0
CYCLES = "planned_cycles"
PER_ACTIVITY, COURSE_DOSE, COURSE_BED = "dose_gy_per_gbq", "course_dose_gy", "course_bed_gy"
ALPHA_BETA_GY = 3.0  # late responding tissue in general, for organs without their own: Fowler, Br J Radiol 1989;62:679
REPAIRS_LIKE = "kidneys"  # own choice: organs without a repair time of their own take the kidneys'


def column(organ: str, what: str) -> str:
    """Return the name of a dose column, as the manifest of the latency writes it."""
    return f"predicted.{organ}.{what}"


def courses_of(participants: pd.DataFrame) -> pd.DataFrame:
    """Return patient, administered_gbq and cycles of participants; one cycle where nobody says how many are planned."""
    cycles = participants[CYCLES] if CYCLES in participants else pd.Series(1.0, participants.index)
    return pd.DataFrame(
        {
            "patient": participants["patient"],
            "administered_gbq": participants["administered_mbq"].astype("float64") / MBQ_PER_GBQ,
            "cycles": pd.to_numeric(cycles, errors="coerce").fillna(1.0).astype("float64"),
        }
    )


def unseen(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with columns patient, partition and fold, each of them by a model that has not seen the patient.

    LeakageError when a training patient's row belongs to no fold, or a patient stands in more than one partition.
    """
    bare = rows.loc[(rows["partition"] == TRAIN) & (rows["fold"] == NOT_IN_A_FOLD), "patient"]
    mixed = rows.groupby("patient")["partition"].nunique()
    for what, found in (
        ("a prediction of a training patient is not out of fold", sorted(set(bare))),
        ("a patient is predicted in more than one partition", sorted(mixed.index[mixed > 1])),
    ):
        if found:
            raise LeakageError(what, where=Where(patient=found[0]), got=found[:10], remedy="evaluate again")
    return rows


def predictions_of(predictions: pd.DataFrame, predictor: str) -> pd.DataFrame:
    """Return the rows of one predictor, checked by `unseen`; SettingsError when there is none of this name."""
    rows = predictions[predictions["predictor"] == predictor]
    if rows.empty:
        known = sorted(set(predictions["predictor"]))
        raise SettingsError(
            "nothing was predicted by this predictor", where=Where(field="predictor"), got=predictor, expected=known
        )
    return unseen(rows)


def course_bed_gy(organ: str, cycle_dose_gy: np.ndarray, cycles: np.ndarray, t_eff_h: float) -> np.ndarray:
    """Return the BED (n,) in Gy of equal cycles: cycles D (1 + G D / (alpha/beta)), NaN where the dose is.

    `cycle_dose_gy` (n,) in Gy, `t_eff_h` in h. Constants of the table of limits; DataError for a negative dose.
    """
    t_repair_h = constant(organ if has_constant(organ, "t_repair_h") else REPAIRS_LIKE, "t_repair_h").value
    alpha_beta_gy = ALPHA_BETA_GY
    if has_constant(organ, "alpha_beta_gy"):
        alpha_beta_gy = constant(organ, "alpha_beta_gy").value
    known = np.isfinite(cycle_dose_gy)
    bed = bed_gy(np.where(known, cycle_dose_gy, 0.0), g_factor_single(t_eff_h, t_repair_h), alpha_beta_gy)
    return np.where(known, cycles * bed, np.nan)


def dose_columns(
    predictions: pd.DataFrame,
    *,
    predictor: str,
    courses: pd.DataFrame,
    t_eff_h: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """Return a row per patient: patient and, for every organ predicted, dose per activity, course dose and course BED.

    `predictions` has the schema PREDICTIONS; `courses` holds patient, administered_gbq and cycles (courses_of); a
    patient without them gets no course. `t_eff_h` is the effective half-life in h behind G; organs that it leaves out
    have that of 177Lu-PSMA.
    SettingsError for an unknown predictor, LeakageError for a prediction by a model that has seen the patient.
    """
    rows = predictions_of(predictions, predictor)
    wide = rows.pivot_table(index="patient", columns="voi", values="predicted_gy_per_gbq").sort_index()
    course = courses.set_index("patient").reindex(wide.index)
    cycles = course["cycles"].to_numpy(float)
    half_lives_h = {**POPULATION_T_EFF_H, **(t_eff_h or {})}
    found: dict[str, np.ndarray] = {}
    for organ in (name for name in ORGANS if name in wide):
        per_gbq = wide[organ].to_numpy(float)
        cycle_dose_gy = per_gbq * course["administered_gbq"].to_numpy(float)
        found[column(organ, PER_ACTIVITY)] = per_gbq
        found[column(organ, COURSE_DOSE)] = cycle_dose_gy * cycles
        found[column(organ, COURSE_BED)] = course_bed_gy(organ, cycle_dose_gy, cycles, half_lives_h[organ])
    return pd.DataFrame({"patient": wide.index.astype("str"), **found})
