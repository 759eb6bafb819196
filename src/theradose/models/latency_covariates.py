"""The 130 covariates of the latency of toxicity: what images and clinic say, and what models predict out of fold.

A predicted covariate of a training patient comes from fits without him. The fits behind other patients' covariates may
have seen his dose and his events, as in any stacking of models, but never his latency.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.special import logit

from theradose.errors import LeakageError, Where
from theradose.features.manifest import fill, manifest
from theradose.models.dose_columns import courses_of, dose_columns, predictions_of

KEY = ["patient", "voi"]
LEAST_PROBABILITY = 1e-6  # own choice: log odds stay within 14


def surrogate_columns(doses: pd.DataFrame, outcomes: pd.DataFrame, predictor: str) -> pd.DataFrame:
    """Return a row per patient: the log dose per activity of every organ and the log odds of every event.

    `doses` (schema PREDICTIONS) and `outcomes` (schema OUTCOME_PREDICTIONS) of the multi-task network. SettingsError
    when it predicted nothing, LeakageError for a prediction by a model that has seen the patient.
    """
    own = predictions_of(doses, predictor)
    own = own.assign(column="surrogate." + own["voi"] + ".log_dose", value=np.log(own["predicted_gy_per_gbq"]))
    events = predictions_of(outcomes, predictor)
    chance = events["probability"].clip(LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
    events = events.assign(column="surrogate." + events["outcome"] + ".logit", value=logit(chance))
    both = pd.concat([own, events])[["patient", "column", "value"]].replace([np.inf, -np.inf], np.nan)
    wide = both.pivot_table(index="patient", columns="column", values="value", dropna=False)
    return wide.rename_axis(columns=None).reset_index()


def require_split(predictions: pd.DataFrame, splits: pd.DataFrame) -> None:
    """Raise LeakageError when a patient was predicted in another partition or fold than the split has him in."""
    place = ["partition", "fold"]
    both = predictions[["patient", *place]].merge(splits[["patient", *place]], on="patient", suffixes=("", "_split"))
    apart = (both["partition"] != both["partition_split"]) | (both["fold"] != both["fold_split"])
    if apart.any():
        found = sorted(set(both.loc[apart, "patient"]))
        raise LeakageError(
            "predictions were made on another split", where=Where(patient=found[0]), got=found[:10],
            remedy="evaluate the experiment again",
        )  # fmt: skip


def latency_covariates(
    covariates: pd.DataFrame,
    participants: pd.DataFrame,
    splits: pd.DataFrame,
    *,
    doses: pd.DataFrame,
    dose_predictor: str,
    surrogates: tuple[pd.DataFrame, pd.DataFrame] | None,
    surrogate_predictor: str,
    t_eff_h: Mapping[str, float],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the covariates of patients of the split, with 130 columns in the manifest's order, and the manifest.

    `covariates` come from presets lifex71 and ct_latency; `doses` has the schema PREDICTIONS, `surrogates` are doses
    and events (schemas PREDICTIONS, OUTCOME_PREDICTIONS), without which their columns stay empty. DataError when an
    image column is missing, SettingsError when a predictor is, LeakageError as `dose_columns` and `require_split`.
    """
    rows = manifest()
    table = fill(covariates)[0]
    table = table[table["patient"].isin(splits["patient"])]
    require_split(doses[doses["predictor"] == dose_predictor], splits)
    made = [dose_columns(doses, predictor=dose_predictor, courses=courses_of(participants), t_eff_h=t_eff_h)]
    if surrogates is not None:
        for one in surrogates:
            require_split(one[one["predictor"] == surrogate_predictor], splits)
        made.append(surrogate_columns(*surrogates, surrogate_predictor))
    for own in made:
        table = table.merge(own, on="patient", how="left")
    table = table.reindex(columns=[*KEY, *rows["column"]]).sort_values("patient", ignore_index=True)
    return table.astype(dict.fromkeys(rows["column"], np.float64)), rows


def empty_columns(table: pd.DataFrame) -> list[str]:
    """Return the covariates in which nobody has a value."""
    return [str(name) for name in table.columns if name not in KEY and not np.isfinite(table[name]).any()]
