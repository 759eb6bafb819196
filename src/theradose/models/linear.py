"""Ridge regression on selected covariates: of the log dose itself, and of what physics leaves unexplained."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from sklearn.linear_model import Ridge

from theradose.models.baselines import log_uptake_per_weight
from theradose.models.columns import Columns, learned
from theradose.models.examples import OrganExamples
from theradose.models.predictors import FloatRange, History, IntRange, OnEpoch, Predictor, Range, TrainingPlan


class RidgeDose(Predictor):
    """log D = b0 + b x with a penalty alpha |b|^2, x at most `k` standardised covariates chosen in the fold."""

    name: ClassVar[str] = "ridge"
    kind: ClassVar[str] = "organ_dose"
    space: ClassVar[dict[str, Range]] = {"alpha": FloatRange(0.1, 1e3, log=True), "k": IntRange(1, 30)}
    defaults: ClassVar[dict[str, Any]] = {"alpha": 10.0, "k": 10}

    def offset(self, examples: OrganExamples) -> np.ndarray:
        """Return the part of the log dose that is not fitted by ridge, (n,)."""
        return np.zeros(len(examples))

    def _fit(self, examples: Any, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None) -> History:
        del seed, on_epoch
        target = examples.log_dose - self.offset(examples)
        self.columns, chosen = learned(examples, target, self.parameters["k"], training)
        # scikit-learn refuses a matrix without columns: when nothing varies, the mean is all there is to learn.
        if chosen.shape[1]:
            ridge = Ridge(self.parameters["alpha"]).fit(chosen, target)
            self.slope, self.intercept = ridge.coef_, np.array([ridge.intercept_])
        else:
            self.slope, self.intercept = np.zeros(0), np.array([target.mean()])
        return []

    def _predict(self, examples: Any) -> np.ndarray:
        x = self.columns.prepare(examples)
        return np.asarray(self.offset(examples) + self.intercept[0] + (x * self.slope).sum(axis=1))

    def _arrays(self) -> dict[str, np.ndarray]:
        return {**self.columns.tensors(), "slope": self.slope, "intercept": self.intercept}

    def _notes(self) -> dict[str, Any]:
        return self.columns.notes() if self.is_fitted else {}

    def _restore(self, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        self.columns = Columns.restore(state, tensors)
        self.slope, self.intercept = tensors["slope"], tensors["intercept"]


class HybridDose(RidgeDose):
    """log D = log(SUV / weight) + r(x): physics carries the dose, a strongly shrunk ridge its residual.

    The intercept of r is log k of `pet_scaled`; with a large penalty the two are the same.
    """

    name: ClassVar[str] = "hybrid"
    space: ClassVar[dict[str, Range]] = {"alpha": FloatRange(10.0, 1e5, log=True), "k": IntRange(1, 30)}
    defaults: ClassVar[dict[str, Any]] = {"alpha": 1e5, "k": 10}

    def offset(self, examples: OrganExamples) -> np.ndarray:
        """Return log(SUV / weight), (n,)."""
        return log_uptake_per_weight(examples)
