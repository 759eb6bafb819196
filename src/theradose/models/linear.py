"""Ridge regression on selected covariates: of the log dose itself, and of what physics leaves unexplained."""

from typing import Any, ClassVar

import numpy as np
from sklearn.linear_model import Ridge

from theradose.models.baselines import log_last_dose, log_uptake_per_weight
from theradose.models.examples import NEEDED, OrganExamples
from theradose.models.predictors import FloatRange, IntRange, Range
from theradose.models.tabular import TabularDose


class RidgeDose(TabularDose):
    """log D = b0 + b x with a penalty alpha |b|^2, x at most `k` standardised covariates chosen in the fold."""

    name: ClassVar[str] = "ridge"
    always: ClassVar[tuple[str, ...]] = NEEDED
    stored: ClassVar[tuple[str, ...]] = ("slope",)
    space: ClassVar[dict[str, Range]] = {"alpha": FloatRange(0.1, 1e3, log=True), "k": IntRange(1, 30)}
    defaults: ClassVar[dict[str, Any]] = {"alpha": 10.0, "k": 10}

    def _learn(self, x: np.ndarray, target: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        del seed
        ridge = Ridge(self.parameters["alpha"]).fit(x, target)
        return {"slope": ridge.coef_, "intercept": np.array([ridge.intercept_])}

    def _apply(self, x: np.ndarray) -> np.ndarray:
        return np.asarray((x * self.learned["slope"]).sum(axis=1))


class HybridDose(RidgeDose):
    """log D = log(SUV / weight) + r(x): physics carries the dose, a strongly shrunk ridge its residual.

    The intercept of r is log k of `pet_scaled`; with a large penalty the two are the same.
    """

    name: ClassVar[str] = "hybrid"
    always: ClassVar[tuple[str, ...]] = ()
    space: ClassVar[dict[str, Range]] = {"alpha": FloatRange(10.0, 1e5, log=True), "k": IntRange(1, 30)}
    defaults: ClassVar[dict[str, Any]] = {"alpha": 1e5, "k": 10}

    def offset(self, examples: OrganExamples) -> np.ndarray:
        """Return log(SUV / weight), (n,)."""
        return log_uptake_per_weight(examples)


class LastCycleHybrid(HybridDose):
    """log D = log(dose of the cycle before) + r(x): the last dose carries this one, a strongly shrunk ridge its change.

    The intercept of r is the mean log change of the training patients, all that is left with a large penalty.
    """

    name: ClassVar[str] = "last_cycle_hybrid"

    def offset(self, examples: OrganExamples) -> np.ndarray:
        """Return the log dose per activity of the cycle before, (n,)."""
        return log_last_dose(examples)
