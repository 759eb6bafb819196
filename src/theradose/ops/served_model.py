"""The model that MLflow serves: covariates of patients and organs in, dose per activity with an interval out.

MLflow runs this file itself (a model from code), so nothing is pickled; the weights are our own model folder.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from theradose.models.new_patients import predict_new
from theradose.models.store import Trained, load_model

MODEL_ARTIFACT = "model"


def served(trained: Trained, covariates: pd.DataFrame) -> pd.DataFrame:
    """Return `predict_new` as a flat table: the reasons for doubt of a row are one text, empty when there is none."""
    found = predict_new(trained, covariates)
    return found.assign(reasons=found["reasons"].map("; ".join))


class OrganDoseModel(PythonModel):
    """Our model folder behind MLflow's interface."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model folder; MLflow calls this by keyword, so the name of the argument is fixed."""
        self.trained = load_model(Path(context.artifacts[MODEL_ARTIFACT]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predict every organ of the model for every patient of a covariate table."""
        del context, params
        return served(self.trained, model_input)


set_model(OrganDoseModel())
