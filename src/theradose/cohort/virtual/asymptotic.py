"""The limit by learning: models trained on tens of thousands of patients with the same observables as a study has.

What the best of them leaves unexplained is, but for a few per mille, what nobody can explain. The oracle ladder reveals
one hidden cause after the other and so says what the rest of the error is made of.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from theradose.cohort.virtual.floors import best_prediction, expected_ape
from theradose.cohort.virtual.observables import Clinic, observables
from theradose.cohort.virtual.tier_one import TierOne

Array = NDArray[np.float64]
TRAINED, RIDGE = 2 / 3, 1e-3
QUANTILES = 200


@dataclass(frozen=True)
class Asymptote:
    """What a model with ample data leaves: sd of log dose, and its MAPE on patients it was not trained on."""

    log_sd: float
    mape: float


def linear() -> Pipeline:
    """Return ridge regression on all columns."""
    return make_pipeline(StandardScaler(), Ridge(RIDGE))


def quadratic() -> Pipeline:
    """Return ridge regression on all columns, their squares and products."""
    return make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False), StandardScaler(), Ridge(RIDGE))


def _judged(truth: Array, guess: Array, train: slice, test: slice) -> Asymptote:
    """Judge guesses of log dose; the step from log to dose is that which is best on the training patients."""
    ratio = np.exp(np.quantile((truth - guess)[train], (np.arange(QUANTILES) + 0.5) / QUANTILES))[:, None]
    factor = best_prediction(ratio)
    left = (truth - guess)[test]
    return Asymptote(float(left.std()), float(expected_ape(factor, np.exp(left)[:, None])[0]))


def learned(x: Array, log_dose: Array) -> dict[str, Asymptote]:
    """Return what ridge, quadratic ridge and boosting of its residual leave of `log_dose` (n,), x (n, columns)."""
    cut = int(TRAINED * log_dose.size)
    train, test = slice(0, cut), slice(cut, None)
    line = linear().fit(x[train], log_dose[train]).predict(x)
    curved = quadratic().fit(x[train], log_dose[train]).predict(x)
    trees = HistGradientBoostingRegressor(
        max_iter=60, learning_rate=0.1, max_leaf_nodes=15, l2_regularization=1.0, random_state=0
    ).fit(x[train], (log_dose - curved)[train])
    guesses = {"ridge": line, "quadratic": curved, "boosted": curved + trees.predict(x)}
    return {name: _judged(log_dose, guess, train, test) for name, guess in guesses.items()}


def hidden(cohort: TierOne, organ: str) -> dict[str, Array]:
    """Return the causes that the ladder reveals in turn: true uptake on PET, half-life, uptake at therapy."""
    kinetics = cohort.kinetics
    return {
        "perfect_pet": np.log(np.column_stack([kinetics.uptake_pet[name] for name in cohort.mass_g])),
        "half_life": np.log(np.asarray(kinetics.t_bio_h[organ]))[:, None],
        "drift": np.log(np.asarray(kinetics.uptake[organ]))[:, None],
    }


def ladder(cohort: TierOne, organ: str, clinic: Clinic, seed: int) -> dict[str, Asymptote]:
    """Return what is left of log dose when hidden causes are revealed one after the other, on top of the table.

    The better of ridge and quadratic ridge: what the products cost in patients, early steps do not earn.
    """
    log_dose = np.log(np.asarray(cohort.dose_gy_per_gbq[organ][0]))
    x = observables(cohort, clinic, "table", seed)
    cut = int(TRAINED * log_dose.size)
    found = {}
    for name, columns in ({"table": np.empty((log_dose.size, 0))} | hidden(cohort, organ)).items():
        x = np.hstack([x, columns])
        guesses = (model.fit(x[:cut], log_dose[:cut]).predict(x) for model in (linear(), quadratic()))
        judged = (_judged(log_dose, guess, slice(0, cut), slice(cut, None)) for guess in guesses)
        found[name] = min(judged, key=lambda one: one.log_sd)
    return found
