"""Activities planned for every patient of an experiment, and whether the limits they were planned to are kept.

Doses are those predicted for patients the model was not trained on: out of fold in training, by the final model
elsewhere. A limit is exceeded when the dose that the label (or the planted truth) gives is above what the plan allows,
by the half-lives of the plan. Who is unlike those learned from gets no plan.
"""

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from theradose.errors import DataError, TheradoseError
from theradose.learning_schemas import PLANS
from theradose.models.domain import Domain
from theradose.models.patient_plan import PatientPlan, PlanRequest, plan_patient
from theradose.models.store import Trained
from theradose.physics.planning import TARGET

REFERENCES = {"label": "label_gy_per_gbq", "truth": "truth_gy_per_gbq"}
OUTSIDE = "unlike those learned from"
# In doubt, or a BED limit without a half-life (only that of Lu-177 is known): no plan, but no end of the study either.
NO_PLAN = ("THR-435", "missing_t_eff")


def cuts(trained: Trained) -> dict[str, float]:
    """Return for each organ the domain score above which a patient is unlike those learned from."""
    parts = trained.card["parts"]
    return {
        organ: Domain.restore(parts[organ]["domain"], trained.calibration[organ]).cut
        if "domain" in parts[organ]
        else np.inf
        for organ in trained.predictors
    }


def predicted(own: pd.DataFrame, cut: Mapping[str, float]) -> pd.DataFrame:
    """Return the predictions of one patient as `plan_patient` takes them."""
    found = own[["voi", "median_gy_per_gbq", "domain_score"]].to_dict("records")
    return pd.DataFrame([{**row, "reasons": [OUTSIDE] * (row["domain_score"] > cut[row["voi"]])} for row in found])


def kept(found: PatientPlan, dose_gy_per_gbq: Mapping[str, float]) -> tuple[float, float]:
    """Return whether the binding organ's limit is exceeded (1 or 0), and the activity in GBq that doses would allow.

    NaN without a dose of the organs, and for a plan that no organ binds.
    """
    cycles, activity_gbq = found.request.cycles, found.plan.activity_gbq
    limited = [risk for risk in found.risks if risk.kind != TARGET]
    allowed = {
        (risk.organ, risk.kind): risk.allowed_dose_gy(cycles) / dose_gy_per_gbq[risk.organ]
        for risk in limited
        if dose_gy_per_gbq.get(risk.organ, np.nan) > 0
    }
    own = allowed.get((found.plan.binding_organ, found.plan.binding_kind), np.nan)
    whole = len(allowed) == len(limited) and len(limited) > 0
    return float(activity_gbq > own) if own == own else np.nan, min(allowed.values()) if whole else np.nan


def _one(own: pd.DataFrame, trained: Trained, request: PlanRequest, radionuclide: str, cut: Mapping[str, float]) -> Any:
    """Return the cells of one patient's plan."""
    try:
        found = plan_patient(trained, predicted(own, cut), request, radionuclide=radionuclide)
    except TheradoseError as error:
        if error.code not in NO_PLAN:
            raise
        return {"doubt": str(error.got or error)}
    row: dict[str, Any] = {
        "activity_gbq": found.plan.activity_gbq,
        "binding_organ": found.plan.binding_organ,
        "binding_limit": found.plan.binding_kind,
    }
    for name, column in REFERENCES.items():
        doses = dict(zip(own["voi"], own[column].astype(float), strict=True))
        row[f"exceeded_{name}"], row[f"allowed_{name}_gbq"] = kept(found, doses)
    return row


def plans(
    predictions: pd.DataFrame, models: Mapping[str, Trained], request: PlanRequest, *, radionuclide: str
) -> pd.DataFrame:
    """Return the plan of every patient by every predictor, schema PLANS.

    `predictions` as an experiment of kind organ_dose writes them. DataError when none of its organs has a limit.
    """
    organs = list(dict.fromkeys(predictions["voi"]))
    if not any(request.has_limit(organ) for organ in organs):
        raise DataError(
            "nothing to plan: none of the predicted organs has a limit",
            got=organs,
            remedy="leave `planning` out of the experiment, or add organs at risk to it",
        )

    def rows() -> Iterator[dict[Hashable, Any]]:
        for predictor, trained in models.items():
            cut, known = cuts(trained), predictions[predictions["predictor"] == predictor]
            for (patient, partition), own in known.groupby(["patient", "partition"], sort=True):
                cells = _one(own, trained, request, radionuclide, cut)
                yield {"predictor": predictor, "patient": patient, "partition": partition, **cells}

    texts = {"binding_organ": "", "binding_limit": "", "doubt": ""}
    return pd.DataFrame(list(rows()), columns=PLANS.names()).fillna(texts)
