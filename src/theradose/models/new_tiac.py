"""TIACs of patients a trained model has never seen, with every radionuclide, and every reason for doubt beside them."""

from typing import Any

import numpy as np
import pandas as pd

from theradose.errors import DataError
from theradose.models.examples import VOLUME
from theradose.models.new_patients import NewOrgan, new_organs
from theradose.models.organ_dose import natural
from theradose.models.store import Trained
from theradose.models.tiac import residuals_of
from theradose.models.tiac_examples import TiacExamples, log_tiac, t_eff_of
from theradose.physics.nuclides import nuclide
from theradose.physics.translation import dose_ratio

NUMBERS = ("tiac_h", "median_h", "low_h", "high_h", "t_eff_h", "dose_ratio")
COLUMNS = ("patient", "voi", "radionuclide", *NUMBERS, "reasons")


def require_tiac(trained: Trained) -> None:
    """Raise DataError when a model does not predict TIACs."""
    if trained.card.get("kind") != "tiac":
        raise DataError("the model predicts no TIACs", got=trained.card.get("kind"), expected="tiac")


def _needs_volume(trained: Trained, new: NewOrgan) -> bool:
    """Tell whether a predictor that multiplies by the volume has none: its number would mean nothing."""
    used = trained.predictors[new.organ].state().get("columns", [])
    return new.examples is not None and VOLUME in used and not new.examples.column(VOLUME)[0] > 0


def _rows(trained: Trained, new: NewOrgan) -> list[dict[str, Any]]:
    """Return one row a radionuclide for one organ of one patient, without numbers where there is nothing to predict."""
    card = trained.card["parts"][new.organ]
    study, names = card["radionuclide"], card["translated_to"]
    place: dict[str, Any] = {"patient": new.patient, "voi": new.organ}
    if new.examples is None or _needs_volume(trained, new):
        reasons = new.reasons if new.examples is None else [f"no volume ({VOLUME})", *new.reasons]
        empty: dict[str, Any] = dict.fromkeys(NUMBERS, np.nan)
        return [{**place, "radionuclide": name, **empty, "reasons": reasons} for name in names]
    examples = TiacExamples(new.examples, np.array([np.nan]), study, {})
    prediction = trained.predictors[new.organ].predict(examples)
    own_h = np.exp(log_tiac(prediction, nuclide(study).half_life_h))
    rows = []
    for name in names:
        half_life_h = nuclide(name).half_life_h
        log_h = log_tiac(prediction, half_life_h)
        tiac = natural(log_h, trained.calibration[new.organ][residuals_of(name)], trained.card["interval"])
        ratio = dose_ratio(own_h, np.exp(log_h), study, name)
        values = (tiac.point, tiac.median, tiac.low, tiac.high, t_eff_of(prediction, half_life_h), ratio)
        numbers = dict(zip(NUMBERS, (float(value[0]) for value in values), strict=True))
        rows.append({**place, "radionuclide": name, **numbers, "reasons": new.reasons})
    return rows


def predict_new_tiacs(trained: Trained, covariates: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each patient of a covariate table, organ of the model and radionuclide.

    TIAC in h: the point that lowers MAPE, the median, the interval (NaN when it would be infinite); T_eff in h;
    `dose_ratio` the dose per activity over that of the study's radionuclide, by energy of charged particles alone.
    `reasons` as for doses. DataError when the model predicts no TIACs.
    """
    require_tiac(trained)
    rows = [row for new in new_organs(trained, covariates) for row in _rows(trained, new)]
    return pd.DataFrame(rows, columns=list(COLUMNS))
