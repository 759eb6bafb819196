"""The nearest training patients: the mean of their log doses."""

from typing import Any, ClassVar

import numpy as np
from sklearn.neighbors import KNeighborsRegressor

from theradose.models.predictors import Choice, IntRange, Range
from theradose.models.tabular import TabularDose, without_order


class NearestPatients(TabularDose):
    """log D of the `neighbours` patients nearest in the chosen columns, all alike or the nearer the more.

    The model holds the standardised covariates and doses of its training patients: whoever gets it gets these.
    """

    name: ClassVar[str] = "knn"
    stored: ClassVar[tuple[str, ...]] = ("points", "values")
    space: ClassVar[dict[str, Range]] = {
        "neighbours": IntRange(1, 25),
        "weights": Choice(("uniform", "distance")),
        "k": IntRange(1, 20),
    }
    defaults: ClassVar[dict[str, Any]] = {"neighbours": 7, "weights": "distance", "k": 4}

    def _learn(self, x: np.ndarray, target: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        del seed
        points, target = without_order(x, target)
        return {"points": points, "values": target, "intercept": np.zeros(1)}

    def _apply(self, x: np.ndarray) -> np.ndarray:
        points, values = self.learned["points"], self.learned["values"]
        # A tree measures every distance by itself; the default's shortcut depends on who else is predicted.
        nearest = KNeighborsRegressor(
            min(self.parameters["neighbours"], len(points)), weights=self.parameters["weights"], algorithm="kd_tree"
        )
        return np.asarray(nearest.fit(points, values).predict(x))
