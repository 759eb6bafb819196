"""Ridge regression on selected covariates: of the log dose itself, and of what physics leaves unexplained."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline

from theradose.models.baselines import log_uptake_per_weight
from theradose.models.columns import Columns, preparation
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
        del seed, training, on_epoch
        target = examples.log_dose - self.offset(examples)
        chain = Pipeline([("prepare", preparation(self.parameters["k"])), ("ridge", Ridge(self.parameters["alpha"]))])
        names = list(examples.covariates.columns)
        chosen = chain["prepare"].fit_transform(examples.covariates.to_numpy(float), target)
        self.columns = Columns.of(chain["prepare"], names)
        # scikit-learn refuses a matrix without columns: when nothing varies, the mean is all there is to learn.
        if chosen.shape[1]:
            chain["ridge"].fit(chosen, target)
            self.slope, self.intercept = chain["ridge"].coef_, np.array([chain["ridge"].intercept_])
        else:
            self.slope, self.intercept = np.zeros(0), np.array([target.mean()])
        return []

    def _predict(self, examples: Any) -> np.ndarray:
        raw = np.stack([examples.column(name) for name in self.columns.names], axis=1) if self.columns.names else None
        x = np.zeros((len(examples), 0)) if raw is None else self.columns.apply(raw)
        return np.asarray(self.offset(examples) + self.intercept[0] + (x * self.slope).sum(axis=1))

    def _arrays(self) -> dict[str, np.ndarray]:
        return {**self.columns.tensors(), "slope": self.slope, "intercept": self.intercept}

    def _notes(self) -> dict[str, Any]:
        return {"columns": list(self.columns.names)} if self.is_fitted else {}

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
