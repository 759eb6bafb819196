"""From many columns to the few that can be used, can be trusted, differ from each other and tell of the target.

Every step follows scikit-learn and is fitted inside every fold: chosen on all patients, noise looks like signal.
"""

from typing import Self

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.base import BaseEstimator
from sklearn.feature_selection import SelectKBest, SelectorMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from theradose.errors import DataError

# Radiomic features above |rho| 0.9 count as one (usual in the field; Zwanenburg 2019).
REDUNDANT_ABOVE = 0.9


def unit_ranks(X: np.ndarray) -> np.ndarray:
    """Return the ranks of each column of X (n, p) without gaps, mean 0 and length 1; 0 for constant columns."""
    ranks = rankdata(X, axis=0)
    ranks -= ranks.mean(axis=0)
    length = np.sqrt((ranks**2).sum(axis=0))
    return np.asarray(np.divide(ranks, length, out=np.zeros_like(ranks), where=length > 0))


def rank_correlation(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return |Spearman's rho| of each column of X (n, p) with y (n,); 0 for constant columns."""
    ranks, target = rankdata(X, axis=0), rankdata(y)
    ranks, target = ranks - ranks.mean(axis=0), target - target.mean()
    norm = np.sqrt((ranks**2).sum(axis=0) * (target**2).sum())
    return np.asarray(np.divide(np.abs(target @ ranks), norm, out=np.zeros(X.shape[1]), where=norm > 0))


class _Selector(SelectorMixin, BaseEstimator):
    """A selector that keeps the columns of `kept_` (p,) bool; `lets_gaps_pass` says what scikit-learn may give it."""

    lets_gaps_pass = True

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.lets_gaps_pass
        return tags

    def _get_support_mask(self) -> np.ndarray:
        check_is_fitted(self)
        return np.asarray(self.kept_)


class UsableColumns(_Selector):
    """Keep the columns that vary and of which at most a part `max_missing` is missing or infinite."""

    def __init__(self, max_missing: float = 0.5) -> None:
        self.max_missing = max_missing

    def fit(self, X: np.ndarray, y: np.ndarray | None = None) -> Self:
        """Look at X (n, p)."""
        del y
        X = validate_data(self, X, ensure_all_finite=False, dtype=np.float64)
        there = np.isfinite(X)
        low, high = (f(np.where(there, X, away), axis=0) for f, away in ((np.min, np.inf), (np.max, -np.inf)))
        self.kept_ = (there.mean(axis=0) >= 1.0 - self.max_missing) & (high > low)
        if not self.kept_.any():
            raise DataError("no column can be used", got=f"{X.shape[1]} flat or mostly empty ones", code="THR-421")
        return self


class DistinctColumns(_Selector):
    """Keep no two columns whose |Spearman's rho| is above `above`: the one that ranks like the target stays.

    Without a target the earlier one stays. Greedy, from the most relevant column down.
    """

    lets_gaps_pass = False

    def __init__(self, above: float = REDUNDANT_ABOVE) -> None:
        self.above = above

    def fit(self, X: np.ndarray, y: np.ndarray | None = None) -> Self:
        """Compare the columns of X (n, p) without gaps."""
        X = validate_data(self, X, dtype=np.float64)
        order = np.arange(X.shape[1]) if y is None else np.argsort(-rank_correlation(X, y), kind="stable")
        ranks = unit_ranks(X)
        alike = np.abs(ranks.T @ ranks) > self.above
        self.kept_, free = np.zeros(X.shape[1], bool), np.ones(X.shape[1], bool)
        for column in order:
            if free[column]:
                self.kept_[column] = True
                free &= ~alike[column]
        return self


def unstable_columns(stability: pd.DataFrame, bound: float) -> frozenset[str]:
    """Return the covariates, `modality.filter.class.feature`, that small changes of image and outline move too much.

    `stability` has schema STABILITY; a feature is unstable when the lower bound of its ICC over all changes is below
    `bound`, or unknown, in one of the organs.
    """
    rows = stability[(stability["versions"] == "all") & ~(stability["icc_low"] >= bound)]
    return frozenset(rows["modality"] + "." + rows["filter"] + "." + rows["feature_class"] + "." + rows["feature"])


def most_relevant(k: int) -> SelectKBest:
    """Return the unfitted step that keeps the k columns with the highest |Spearman's rho| with the target."""
    return SelectKBest(rank_correlation, k=k)
