"""Gaussian processes on selected covariates: of the log dose itself, and of what physics leaves unexplained."""

import warnings
from typing import Any, ClassVar

import numpy as np
from scipy.spatial.distance import cdist
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from theradose.models.baselines import log_uptake_per_weight
from theradose.models.examples import OrganExamples
from theradose.models.predictors import Choice, FloatRange, IntRange, Range
from theradose.models.tabular import TabularDose, without_order

# In units of the target's variance (signal, noise) and of the spread of a column (length).
LEAST_SIGNAL, NOISE, LENGTH = 1e-6, (1e-3, 10.0), (0.5, 1e3)


def kernel(columns: int, *, ard: bool, signal: float) -> Any:
    """Return signal * RBF + noise with a length for each column (`ard`) or one for all, `signal` the largest allowed.

    It starts at the usual distance of two patients in so many columns, with half of the variance in each term.
    """
    length = np.full(columns if ard else 1, np.sqrt(columns))
    amplitude = ConstantKernel(min(0.5, signal), (min(LEAST_SIGNAL, signal), signal))
    return amplitude * RBF(length, LENGTH) + WhiteKernel(0.5, NOISE)


class GaussianDose(TabularDose):
    """log D by a Gaussian process whose lengths, signal and noise are the most likely for the training patients.

    `signal` bounds the variance of the signal, in units of the variance of the target: a small one shrinks to the mean.
    The model holds the standardised covariates of its training patients: whoever gets it gets these.
    """

    name: ClassVar[str] = "gp"
    stored: ClassVar[tuple[str, ...]] = ("points", "alpha", "length", "signal", "noise")
    space: ClassVar[dict[str, Range]] = {"ard": Choice((False, True)), "k": IntRange(1, 20)}
    defaults: ClassVar[dict[str, Any]] = {"ard": False, "k": 8, "signal": 10.0}

    def _learn(self, x: np.ndarray, target: np.ndarray, seed: int) -> dict[str, np.ndarray]:
        points, target = without_order(x, target)
        prior = kernel(x.shape[1], ard=self.parameters["ard"], signal=self.parameters["signal"])
        process = GaussianProcessRegressor(prior, normalize_y=True, random_state=seed)
        with warnings.catch_warnings():
            # A parameter at its bound is an answer here: no signal, or a column without a say.
            warnings.simplefilter("ignore", ConvergenceWarning)
            process.fit(points, target)
        best = process.kernel_.get_params()
        return {
            "points": points,
            "alpha": process.alpha_ * target.std(),
            "length": np.atleast_1d(best["k1__k2__length_scale"]),
            "signal": np.array([best["k1__k1__constant_value"]]),
            "noise": np.array([best["k2__noise_level"]]),
        }

    def _apply(self, x: np.ndarray) -> np.ndarray:
        a = self.learned
        apart = cdist(x / a["length"], a["points"] / a["length"], "sqeuclidean")
        return np.asarray(a["signal"][0] * (np.exp(-0.5 * apart) * a["alpha"]).sum(axis=1))


class HybridGaussianDose(GaussianDose):
    """log D = log(SUV / weight) + g(x): physics carries the dose, a Gaussian process its residual.

    The mean of g is log k of `pet_scaled`; with a small `signal` the two are the same.
    """

    name: ClassVar[str] = "hybrid_gp"
    space: ClassVar[dict[str, Range]] = {"signal": FloatRange(1e-3, 1.0, log=True), "k": IntRange(1, 20)}
    defaults: ClassVar[dict[str, Any]] = {"ard": False, "k": 8, "signal": 0.1}

    def offset(self, examples: OrganExamples) -> np.ndarray:
        """Return log(SUV / weight), (n,)."""
        return log_uptake_per_weight(examples)
