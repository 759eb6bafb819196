"""Partial least squares: a few directions in many correlated covariates, chosen for the log dose."""

from typing import Any, ClassVar

import numpy as np
from sklearn.cross_decomposition import PLSRegression

from theradose.models.linear import RidgeDose
from theradose.models.predictors import IntRange, Range


class PlsDose(RidgeDose):
    """log D = b0 + b x with b within `components` directions; linear like ridge, so it is stored and applied as one."""

    name: ClassVar[str] = "pls"
    space: ClassVar[dict[str, Range]] = {"components": IntRange(1, 6), "k": IntRange(1, 60)}
    defaults: ClassVar[dict[str, Any]] = {"components": 2, "k": 20}

    def _learn(self, x: np.ndarray, target: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        del seed
        components = min(self.parameters["components"], len(x) - 1, x.shape[1])
        pls = PLSRegression(components, scale=False).fit(x, target)
        # The library predicts from centred columns; ours are that already, up to rounding.
        slope = pls.coef_[0]
        return {"slope": slope, "intercept": pls.intercept_ - (x.mean(axis=0) * slope).sum()}
