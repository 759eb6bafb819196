"""A small trained model of organ doses, stored as the workflow stores it."""

import numpy as np
import pandas as pd
import pytest

from theradose.models import organ_dose
from theradose.models.baselines import PetScaled
from theradose.models.examples import OrganExamples
from theradose.models.linear import RidgeDose
from theradose.models.predictors import TrainingPlan
from theradose.models.store import Trained, save_model

N = 16
CARD = {"kind": "organ_dose", "interval": 0.9}


def covariates():
    """Return covariates of patients and two organs; the dose follows uptake over weight."""
    rng = np.random.default_rng(5)
    rows = []
    for i in range(N):
        weight = rng.uniform(60, 100)
        for organ, scale in (("kidneys", 20.0), ("liver", 5.0)):
            suv = scale * rng.lognormal(0.0, 0.4)
            rows.append((f"v{i:03d}", organ, suv, weight, rng.uniform(100, 400), rng.normal(), "text"))
    names = ["patient", "voi", "physics.pet_suv_mean", "physics.weight_kg", "physics.volume_ml", "pet.extra", "unused"]
    return pd.DataFrame(rows, columns=names)


def train(table, predictor, **parameters):
    """Return the model of one predictor, trained on all patients."""
    models, calibration, cards = {}, {}, {}
    for organ, rows in table.groupby("voi"):
        numbers = rows.drop(columns=["patient", "voi", "unused"]).reset_index(drop=True)
        noise = np.random.default_rng(1).normal(0, 0.1, len(rows))
        dose = (numbers["physics.pet_suv_mean"] / numbers["physics.weight_kg"]).to_numpy() * np.exp(noise)
        examples = OrganExamples(str(organ), list(rows["patient"]), ["train"] * len(rows), numbers, dose)
        models[str(organ)] = predictor(**parameters)
        models[str(organ)].fit(examples, seed=0, training=TrainingPlan())
        calibration[str(organ)] = organ_dose.calibrate(examples, models[str(organ)].predict(examples))
        cards[str(organ)] = organ_dose.card(examples)
    return Trained(models, calibration, {**CARD, "predictor": predictor.name, "parts": cards})


@pytest.fixture(scope="session")
def table():
    """The covariates of all patients and organs."""
    return covariates()


@pytest.fixture(scope="session")
def model_folder(table, tmp_path_factory):
    """The folder of a ridge model."""
    folder = tmp_path_factory.mktemp("ridge") / "model"
    save_model(folder, train(table, RidgeDose, alpha=1.0, k=2))
    return folder


@pytest.fixture(scope="session")
def other_folder(table, tmp_path_factory):
    """The folder of a physics model."""
    folder = tmp_path_factory.mktemp("scaled") / "model"
    save_model(folder, train(table, PetScaled))
    return folder
