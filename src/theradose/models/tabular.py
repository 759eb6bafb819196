"""What predictors of organ doses on selected covariates share: the choice of columns, the mean, and what is stored."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from theradose.models.columns import Columns, learned
from theradose.models.examples import OrganExamples
from theradose.models.predictors import History, OnEpoch, Predictor, TrainingPlan


class TabularDose(Predictor):
    """log D = offset + f(x), x at most `k` standardised covariates chosen in the fold for what the offset leaves.

    A subclass writes `_learn` and `_apply` and names the arrays of the one that the other needs in `stored`. Without a
    column that varies, f is the mean.
    """

    kind: ClassVar[str] = "organ_dose"
    stored: ClassVar[tuple[str, ...]]
    # By itself weight says little of the dose, beside the uptake it is what turns SUV into activity.
    always: ClassVar[tuple[str, ...]] = ()

    def offset(self, examples: OrganExamples) -> np.ndarray:
        """Return the part of the log dose that is not learned, (n,)."""
        return np.zeros(len(examples))

    def target(self, examples: Any) -> np.ndarray:
        """Return what is learned, (n,): the log dose per activity."""
        return np.asarray(examples.log_dose)

    def _fit(self, examples: Any, *, seed: int, training: TrainingPlan, on_epoch: OnEpoch | None) -> History:
        del on_epoch
        target = self.target(examples) - self.offset(examples)
        self.columns, x = learned(examples, target, self.parameters["k"], training, self.always)
        self.learned = {"intercept": np.array([target.mean()])}
        # scikit-learn refuses a matrix without columns: when nothing varies, the mean is all there is to learn.
        if x.shape[1]:
            self.learned |= self._learn(x, target, seed)
        return []

    def _predict(self, examples: Any) -> np.ndarray:
        varying = self._apply(self.columns.prepare(examples)) if self.columns.names else 0.0
        return np.asarray(self.offset(examples) + self.learned["intercept"][0] + varying)

    @abstractmethod
    def _learn(self, x: np.ndarray, target: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        """Return what is learned from x (n, k) and the target (n,) as arrays; `intercept` is the mean unless given."""

    @abstractmethod
    def _apply(self, x: np.ndarray) -> np.ndarray:
        """Return what is added to offset and intercept, (n,), from x (n, k) and `self.learned`."""

    def _arrays(self) -> dict[str, np.ndarray]:
        return {**self.columns.tensors(), **self.learned}

    def _notes(self) -> dict[str, Any]:
        return self.columns.notes() if self.is_fitted else {}

    def _restore(self, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> None:
        self.columns = Columns.restore(state, tensors)
        names = self.stored if self.columns.names else ()
        self.learned = {name: tensors[name] for name in ("intercept", *names)}


def without_order(x: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows x (n, k) and target (n,) in the order of the target: a place in a model then says not who is who."""
    order = np.argsort(target, kind="stable")
    return x[order], target[order]
