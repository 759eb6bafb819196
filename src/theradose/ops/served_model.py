"""The model that MLflow serves: covariates of patients and organs in, dose per activity or a planned activity out.

MLflow runs this file itself (a model from code), so nothing is pickled; the weights are our own model folder.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from theradose.errors import TheradoseError
from theradose.models.new_patients import predict_new
from theradose.models.patient_plan import PlanRequest, plan_patient
from theradose.models.store import Trained, load_model
from theradose.vocabulary import RESEARCH_USE_ONLY

MODEL_ARTIFACT = "model"
PARAMS: dict[str, Any] = {"cycles": 0, "probability": 0.05, "joint": False, "radionuclide": "Lu-177"}


def served(trained: Trained, covariates: pd.DataFrame) -> pd.DataFrame:
    """Return `predict_new` as a flat table: the reasons for doubt of a row are one text, empty when there is none."""
    found = predict_new(trained, covariates)
    return found.assign(reasons=found["reasons"].map("; ".join))


def served_plans(trained: Trained, covariates: pd.DataFrame, params: Mapping[str, Any]) -> pd.DataFrame:
    """Return a row for each patient: the planned activity (GBq a cycle, and in all) and what holds it there.

    `params` as PARAMS, without `cycles` above zero there is no plan. `probability` is that of exceeding each organ's
    limit, or with `joint` any of them. A patient whose plan is refused has no number and the reason.
    """
    asked = {name: params[name] for name in ("cycles", "probability", "joint")}
    rows = []
    for patient, own in predict_new(trained, covariates).groupby("patient", sort=False):
        found: dict[str, Any] = {"patient": patient, **asked, "research_use_only": RESEARCH_USE_ONLY}
        try:
            plan = plan_patient(trained, own, PlanRequest(**asked), radionuclide=str(params["radionuclide"])).plan
            found |= {"activity_gbq": plan.activity_gbq, "total_gbq": plan.total_gbq}
            found |= {"binding_organ": plan.binding_organ, "binding_limit": plan.binding_kind, "refused": ""}
        except TheradoseError as error:
            found |= {"activity_gbq": np.nan, "total_gbq": np.nan, "binding_organ": "", "binding_limit": ""}
            found |= {"refused": str(error)}
        rows.append(found)
    return pd.DataFrame(rows)


class OrganDoseModel(PythonModel):
    """Our model folder behind MLflow's interface."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model folder; MLflow calls this by keyword, so the name of the argument is fixed."""
        self.trained = load_model(Path(context.artifacts[MODEL_ARTIFACT]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predict every organ of the model for every patient of a covariate table; with `cycles`, plan instead."""
        del context
        asked = PARAMS | (params or {})
        plans = bool(asked["cycles"])
        table = served_plans(self.trained, model_input, asked) if plans else served(self.trained, model_input)
        # NaN is no JSON: what cannot be said is null in an answer.
        return table.astype(dict.fromkeys(table.columns[table.isna().any()], object)).where(table.notna(), None)


set_model(OrganDoseModel())
