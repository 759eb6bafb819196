"""From hundreds of raw covariates to a few standardised ones, learned from training patients alone.

Each step follows scikit-learn, so that they stand in one Pipeline and are fitted inside every fold. What they have
learned is kept as plain arrays: `Columns` repeats the whole chain without scikit-learn and without pickle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

# Lognormal uptakes and volumes have skewness above 1; a normal sample of 20 stays below 1 in 97 % of cases.
SKEWED_ABOVE = 1.0
# Radiomic features above |r| 0.9 count as one (usual in the field; Zwanenburg 2019).
REDUNDANT_ABOVE = 0.9


def log_where(values: np.ndarray, logged: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Return values (n, p) with the columns marked in `logged` (p,) as logarithms, first raised to their floor (p,)."""
    found = np.array(values, float)
    found[:, logged] = np.log(np.maximum(found[:, logged], floor[logged]))
    return found


def skewness(values: np.ndarray) -> np.ndarray:
    """Return the sample skewness m3 / m2^1.5 of each column of (n, p) values, gaps left out; 0 for constant columns."""
    apart = values - np.nanmean(values, axis=0)
    second, third = np.nanmean(apart**2, axis=0), np.nanmean(apart**3, axis=0)
    return np.asarray(np.divide(third, second**1.5, out=np.zeros(len(second)), where=second > 0))


class LogSkewed(TransformerMixin, BaseEstimator):
    """Take logarithms of columns that are positive and skewed to the right in training.

    A later value below half the smallest training value counts as that, so that a zero gives no infinity.
    """

    def fit(self, X: np.ndarray, y: np.ndarray | None = None) -> Self:
        """Find the columns; X (n, p) may hold NaN."""
        del y
        filled = np.where(np.isnan(X).all(axis=0), 0.0, X)
        lowest = np.nanmin(filled, axis=0)
        varies = np.nanmax(filled, axis=0) > lowest
        self.logged_ = varies & (lowest > 0) & (skewness(filled) > SKEWED_ABOVE)
        self.floor_ = np.where(self.logged_, lowest / 2.0, 0.0)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return X (n, p) with those columns as logarithms."""
        return log_where(X, self.logged_, self.floor_)


def rank_correlation(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return |Spearman's rho| of each column of X (n, p) with y (n,); 0 for constant columns."""
    ranks, target = rankdata(X, axis=0), rankdata(y)
    ranks, target = ranks - ranks.mean(axis=0), target - target.mean()
    norm = np.sqrt((ranks**2).sum(axis=0) * (target**2).sum())
    return np.asarray(np.divide(np.abs(target @ ranks), norm, out=np.zeros(X.shape[1]), where=norm > 0))


class SelectInformative(TransformerMixin, BaseEstimator):
    """Keep the k columns that rank patients most like the target, none of them nearly the same as a better one."""

    def __init__(self, k: int = 10, redundant_above: float = REDUNDANT_ABOVE) -> None:
        self.k = k
        self.redundant_above = redundant_above

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Choose columns of standardised X (n, p) without gaps by the target y (n,)."""
        strength = rank_correlation(X, y)
        kept: list[int] = []
        for column in np.argsort(-strength, kind="stable"):
            if len(kept) == self.k or strength[column] == 0:
                break
            same = np.abs(X[:, kept].T @ X[:, column]) / len(X) if kept else np.zeros(0)
            if (same <= self.redundant_above).all():
                kept.append(int(column))
        self.kept_ = np.array(kept, np.int64)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return the kept columns (n, k)."""
        return np.asarray(X[:, self.kept_])


def preparation(k: int) -> Pipeline:
    """Return the unfitted chain: logarithms, medians into gaps, unit spread, selection of at most k columns."""
    return Pipeline(
        [
            ("log", LogSkewed()),
            ("impute", SimpleImputer(strategy="median", keep_empty_features=True)),
            ("scale", StandardScaler()),
            ("select", SelectInformative(k)),
        ]
    )


@dataclass(frozen=True)
class Columns:
    """What the chain has learned, for the kept columns alone: name, logarithm or not, floor, median, mean, spread."""

    names: tuple[str, ...]
    arrays: dict[str, np.ndarray]

    @classmethod
    def of(cls, chain: Pipeline, names: Sequence[str]) -> Self:
        """Take from a fitted `preparation` what its kept columns need; `names` (p,) are those of its input."""
        kept = chain["select"].kept_
        arrays = {
            "logged": chain["log"].logged_.astype(np.uint8),
            "floor": chain["log"].floor_,
            "median": chain["impute"].statistics_,
            "mean": chain["scale"].mean_,
            "spread": chain["scale"].scale_,
        }
        return cls(tuple(names[i] for i in kept), {name: values[kept] for name, values in arrays.items()})

    @classmethod
    def restore(cls, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Self:
        """Build it again from `state["columns"]` and the arrays named `columns.*`."""
        prefix = "columns."
        arrays = {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
        return cls(tuple(state["columns"]), arrays)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays under the names `restore` looks for."""
        return {f"columns.{name}": values for name, values in self.arrays.items()}

    def apply(self, values: np.ndarray) -> np.ndarray:
        """Return raw values (n, k) of the kept columns as the chain would: logged, filled, standardised."""
        a = self.arrays
        logged = log_where(values, a["logged"].astype(bool), a["floor"])
        filled = np.where(np.isnan(logged), a["median"], logged)
        return np.asarray((filled - a["mean"]) / a["spread"])
