"""The model that MLflow serves: covariates of patients and organs in, dose per activity with an interval out.

MLflow runs this file itself (a model from code), so nothing is pickled; the weights are our own model folder.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from theradose.models.examples import NEEDED, OrganExamples
from theradose.models.organ_dose import RESIDUALS, natural, outside
from theradose.models.store import Trained, load_model

MODEL_ARTIFACT = "model"
PATIENT, ORGAN = "patient", "voi"
OUTPUT = ("patient", "voi", "dose_gy_per_gbq", "low_gy_per_gbq", "high_gy_per_gbq", "note")


def input_columns(trained: Trained) -> list[str]:
    """Return the columns the model reads: patient, organ, and every covariate one of its predictors uses."""
    used = {name for predictor in trained.predictors.values() for name in predictor.state().get("columns", [])}
    ranges = {name for part in trained.card["parts"].values() for name in part["ranges"]}
    return [PATIENT, ORGAN, *sorted(used | ranges | set(NEEDED))]


def _of_organ(trained: Trained, organ: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Predict the rows of one organ; a row without PET uptake or weight gets no number but a note."""
    numbers = rows.drop(columns=[PATIENT, ORGAN]).astype("float64")
    known = np.logical_and.reduce([numbers[name].to_numpy() > 0 for name in NEEDED])
    good = numbers[known].reset_index(drop=True)
    patients = [str(patient) for patient in rows.loc[known, PATIENT]]
    examples = OrganExamples(organ, patients, ["test"] * len(good), good, np.full(len(good), np.nan))
    found = rows[[PATIENT, ORGAN]].assign(**dict.fromkeys(OUTPUT[2:5], np.nan), note="no PET uptake or body weight")
    if len(good):
        log_dose = trained.predictors[organ].predict(examples)
        doses = natural(log_dose, trained.calibration[organ][RESIDUALS], trained.card["interval"])
        ranges = trained.card["parts"][organ]["ranges"]
        values: list[dict[str, float]] = [{str(k): float(v) for k, v in row.items()} for row in good.to_dict("records")]
        found.loc[known, list(OUTPUT[2:])] = pd.DataFrame(
            {
                "dose_gy_per_gbq": doses.point,
                "low_gy_per_gbq": doses.low,
                "high_gy_per_gbq": doses.high,
                "note": ["; ".join(outside(row, ranges)) for row in values],
            }
        ).to_numpy(dtype=object)
    return found


def organ_doses(trained: Trained, covariates: pd.DataFrame) -> pd.DataFrame:
    """Return dose per activity (Gy/GBq) with interval for each row (patient, organ) of a covariate table.

    Columns the model does not read are ignored, those it reads and does not find count as missing values.
    """
    parts = []
    for organ, rows in covariates.reindex(columns=input_columns(trained)).groupby(ORGAN, sort=False):
        if organ in trained.predictors:
            parts.append(_of_organ(trained, str(organ), rows))
        else:
            note = f"the model knows {', '.join(trained.predictors)}"
            parts.append(rows[[PATIENT, ORGAN]].assign(**dict.fromkeys(OUTPUT[2:5], np.nan), note=note))
    table = pd.concat(parts).loc[covariates.index]
    return table.astype(dict.fromkeys(OUTPUT[2:5], "float64")).reset_index(drop=True)


class OrganDoseModel(PythonModel):
    """Our model folder behind MLflow's interface."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the model folder; MLflow calls this by keyword, so the name of the argument is fixed."""
        self.trained = load_model(Path(context.artifacts[MODEL_ARTIFACT]))

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predict each row of a covariate table."""
        del context, params
        return organ_doses(self.trained, model_input)


set_model(OrganDoseModel())
