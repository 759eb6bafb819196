"""Organ doses of patients a trained model has never seen, with every reason for doubt beside the number."""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from theradose.errors import DataError
from theradose.models.beside import NEEDED_BESIDE, NOISE, UPTAKE, others, together, with_others
from theradose.models.domain import Domain
from theradose.models.examples import NEEDED, OrganExamples, why_not
from theradose.models.organ_dose import RESIDUALS, natural, outside
from theradose.models.predictors import TEST
from theradose.models.store import Trained

COLUMNS = ("patient", "voi", "dose_gy_per_gbq", "median_gy_per_gbq", "low_gy_per_gbq", "high_gy_per_gbq", "reasons")
# More than half of the inputs filled with training medians is a prediction for somebody else.
MISSING_ABOVE = 0.5
NO_DOMAIN: dict[str, list[str]] = {"columns": []}


def input_columns(trained: Trained) -> list[str]:
    """Return every covariate that one of the model's predictors or its training range needs, sorted."""
    used = {name for predictor in trained.predictors.values() for name in predictor.state().get("columns", [])}
    ranges = {name for part in trained.card["parts"].values() for name in part["ranges"]}
    usual = {name for part in trained.card["parts"].values() for name in part.get("domain", NO_DOMAIN)["columns"]}
    beside = {name for name in usual if name.startswith((UPTAKE, NOISE))}
    behind = {*NEEDED_BESIDE} if NOISE in beside else set()
    return sorted(used | ranges | usual - beside | behind | set(NEEDED))


def require_organ_dose(trained: Trained) -> None:
    """Raise DataError when a model does not predict organ doses, or those of a later cycle."""
    if trained.card.get("kind") != "organ_dose":
        raise DataError("the model predicts no organ doses", got=trained.card.get("kind"), expected="organ_dose")
    if "cycle" in trained.card:
        raise DataError(
            "the model predicts a later cycle from doses measured in the one before, which images before therapy lack",
            got=f"cycle {trained.card['cycle']}",
            expected="a model of the first cycle",
            remedy="use a model of an experiment without `cycle`",
            code="THR-431",
        )


def _missing(trained: Trained, organ: str, values: dict[str, float]) -> list[str]:
    """Return a reason when the organ's predictor finds too few of its inputs."""
    used = trained.predictors[organ].state().get("columns", [])
    gone = [name for name in used if not np.isfinite(values[name])]
    return [f"{len(gone)} of {len(used)} inputs are missing"] if len(gone) > MISSING_ABOVE * len(used) else []


def _new_centre(trained: Trained, organ: str, centre: str) -> list[str]:
    """Return a reason when features were harmonised and the patient's centre was not among those learned from."""
    known = trained.predictors[organ].state().get("centres")
    return [] if not known or centre in known else [f"centre {centre or 'unknown'} is new: features not harmonised"]


def _unlike(trained: Trained, organ: str, examples: OrganExamples, organs: pd.DataFrame) -> list[str]:
    """Return why a patient is unlike those learned from; a model that does not know how they look has its ranges."""
    card = trained.card["parts"][organ]
    if "domain" not in card:
        return outside({str(n): float(v) for n, v in examples.covariates.iloc[0].items()}, card["ranges"])
    domain = Domain.restore(card["domain"], trained.calibration[organ])
    return domain.abstain(with_others(examples, organs, others(organs, organ)))[0]


@dataclass(frozen=True)
class NewOrgan:
    """An organ of a new patient: what a predictor takes in, and why not to trust what it says.

    Without PET uptake or weight there are no examples, and the reason says so.
    """

    patient: str
    organ: str
    examples: OrganExamples | None
    reasons: list[str]


def _one(
    trained: Trained, organ: str, patient: str, row: dict[Hashable, float], *, centre: str, organs: pd.DataFrame
) -> NewOrgan:
    """Return one organ of one patient."""
    refused = why_not(row, np.nan, labelled=False)
    if refused:
        return NewOrgan(patient, organ, None, [refused])
    numbers = pd.DataFrame([row], dtype=float)
    examples = OrganExamples(organ, [patient], [TEST], numbers, np.array([np.nan]), centres=[centre])
    values = {str(name): float(value) for name, value in row.items()}
    reasons = _unlike(trained, organ, examples, organs) + _missing(trained, organ, values)
    return NewOrgan(patient, organ, examples, reasons + _new_centre(trained, organ, centre))


def _dose(trained: Trained, new: NewOrgan) -> dict[str, Any]:
    """Predict the dose of one organ of one patient; NaN where there is nothing to predict from."""
    row: dict[str, Any] = {"patient": new.patient, "voi": new.organ, "reasons": new.reasons}
    if new.examples is None:
        return row | dict.fromkeys(COLUMNS[2:6], np.nan)
    log_dose = trained.predictors[new.organ].predict(new.examples)
    doses = natural(log_dose, trained.calibration[new.organ][RESIDUALS], trained.card["interval"])
    values = (float(v[0]) for v in (doses.point, doses.median, doses.low, doses.high))
    return row | dict(zip(COLUMNS[2:6], values, strict=True))


def new_organs(trained: Trained, covariates: pd.DataFrame) -> list[NewOrgan]:
    """Return each organ of the model for each patient of a covariate table, with all reasons for doubt.

    Reasons are a patient unlike those learned from, most inputs missing, a centre that features could not be harmonised
    for (column `centre`, if there is one), what stands in the column `doubts`, if there is one. Columns the model does
    not use are ignored, columns it uses and does not find count as missing.
    """
    columns = input_columns(trained)
    table = covariates.reindex(columns=["patient", "voi", *columns])
    table[columns] = table[columns].astype("float64").replace([np.inf, -np.inf], np.nan)
    known = dict(zip(zip(table["patient"], table["voi"], strict=True), table[columns].to_dict("records"), strict=True))
    nothing: dict[Hashable, float] = dict.fromkeys(columns, np.nan)
    given = covariates.get("centre", pd.Series("", covariates.index))
    centres = dict(zip(covariates["patient"], given, strict=True))
    doubts = dict(zip(covariates["patient"], covariates.get("doubts", [()] * len(covariates)), strict=True))
    organs = together(table)
    found = [
        _one(trained, organ, patient, known.get((patient, organ), nothing), centre=str(centres[patient]), organs=organs)
        for patient in dict.fromkeys(table["patient"])
        for organ in trained.predictors
    ]
    return [replace(new, reasons=[*new.reasons, *doubts[new.patient]]) for new in found]


def predict_new(trained: Trained, covariates: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each organ of the model and each patient of a covariate table.

    Doses are in Gy/GBq: the point that lowers MAPE, the median, and the interval (NaN when it would be infinite).
    `reasons` lists why a prediction should not be trusted (`new_organs`). DataError when the model predicts no doses.
    """
    require_organ_dose(trained)
    return pd.DataFrame([_dose(trained, new) for new in new_organs(trained, covariates)], columns=list(COLUMNS))
