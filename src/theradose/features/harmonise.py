"""One scale for the features of several centres, learned from training patients alone: ComBat, or centre means.

ComBat as in Johnson, Li and Rabinovic, Biostatistics 8:118 (2007), parametric empirical Bayes, with covariates to
protect as in Fortin, NeuroImage 167:104 (2018). What is learned is a factor and an offset for each centre and column.
"""

from collections.abc import Hashable, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from theradose.errors import DataError, SettingsError, Where

COMBAT, CENTRE_MEANS = "combat", "centre_means"
ERROR, LEAVE = "error", "leave"
CONVERGED, MAX_STEPS = 1e-8, 1000
# A column whose spread within centres is below this part of its size does not vary; a variance cannot be smaller.
NO_SPREAD = 1e-12


def shrunk(mean: np.ndarray, var: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return location and variance of one centre's columns, each (p,), drawn towards those of all its columns.

    `mean` and `var` are those of the centre's standardised values and `n` counts them, each (p,). Where `var` is NaN
    (one patient) the variance is 1 and the location alone is drawn; where n is 0 it is 0 and 1.
    """
    there, known = n > 0, np.isfinite(var)
    location, variance = np.where(there, mean, 0.0), np.where(known, var, 1.0)
    if there.sum() < 2:
        return location, variance
    g, t2 = mean[there].mean(), mean[there].var(ddof=1)
    m, s2 = (var[known].mean(), var[known].var(ddof=1)) if known.sum() > 1 else (1.0, 0.0)
    shape = m**2 / max(s2, NO_SPREAD)
    squares = np.where(known, np.nan_to_num(var) * (n - 1), 0.0)
    for _ in range(MAX_STEPS):
        before = np.concatenate([location, variance])
        location = np.where(there, (n * t2 * mean + variance * g) / (n * t2 + variance), 0.0)
        misfit = squares + n * (np.where(there, mean, 0.0) - location) ** 2
        variance = np.where(known, (m * (1.0 + shape) + 0.5 * misfit) / (1.0 + shape + 0.5 * n), 1.0)
        if np.allclose(before, np.concatenate([location, variance]), rtol=CONVERGED, atol=CONVERGED):
            break
    return location, variance


def numbers_of(centre: Any, known: Any, new_centre: str) -> np.ndarray:
    """Return the place of each row's centre among those known, (n,), -1 for a new one that may be left as it is.

    DataError when there is a new one and `new_centre` is "error".
    """
    number = pd.Index(known).get_indexer(pd.Index(centre))
    new = sorted({str(name) for name, place in zip(centre, number, strict=True) if place < 0})
    if new and new_centre == ERROR:
        raise DataError(
            "a centre is new to what was harmonised",
            where=Where(field="harmonise"),
            got=new,
            expected=[str(name) for name in known],
            remedy="set harmonise.new_centre to leave, or fit with patients of this centre",
            code="THR-429",
        )
    return np.asarray(number)


def moved(values: np.ndarray, number: np.ndarray, factor: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Return values (n, p) times factor plus offset (centres, p) of each row's centre; number -1 changes nothing."""
    width = values.shape[1]
    return np.vstack([factor, np.ones(width)])[number] * values + np.vstack([offset, np.zeros(width)])[number]


class Harmonise(TransformerMixin, BaseEstimator):
    """Bring the columns of every centre to the mean and spread of all patients, or of a reference centre.

    Columns go by name in a table and by number in an array. `batch` holds the centre of each row (None: the last
    column) and is taken out. `columns` are harmonised (None: all others); `protect` are covariates whose effect is kept
    and that stay as they are. `method` is `combat`, or `centre_means`, which moves each centre's mean alone.
    A centre with one patient is moved but not stretched; columns that do not vary within centres stay; gaps stay gaps.
    A centre not seen in fit is refused (`new_centre` "error") or left as it is ("leave"; `is_known` tells).
    """

    def __init__(
        self,
        method: str = COMBAT,
        *,
        batch: Hashable = None,
        columns: Sequence[Hashable] | None = None,
        protect: Sequence[Hashable] = (),
        reference: Any = None,
        new_centre: str = ERROR,
    ) -> None:
        self.method, self.batch, self.columns, self.protect = method, batch, columns, protect
        self.reference, self.new_centre = reference, new_centre

    def _split(self, X: Any) -> tuple[pd.DataFrame, np.ndarray]:
        """Return the values (n, p) without the centre, and the centre of each row (n,)."""
        table = X if isinstance(X, pd.DataFrame) else pd.DataFrame(np.asarray(X))
        batch = table.columns[-1] if self.batch is None else self.batch
        wanted = [batch, *self.protect, *(self.columns or ())]
        missing = [name for name in wanted if name not in table]
        if missing:
            raise SettingsError("no column of this name to harmonise", got=missing, expected=list(table.columns[:5]))
        return table.drop(columns=[batch]).astype("float64"), table[batch].to_numpy()

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from X (n, p + 1); SettingsError when the reference centre has no row in it."""
        del y
        table, centre = self._split(X)
        names: list[Hashable] = list(table.columns)
        self.names_, self.n_features_in_ = names, table.shape[1] + 1
        self.centres_ = np.unique(centre)
        if self.reference is not None and self.reference not in self.centres_:
            known = list(self.centres_)
            raise SettingsError("reference centre has no training patient", got=self.reference, expected=known)
        self.protected_ = [self.names_.index(name) for name in self.protect]
        chosen = self.names_ if self.columns is None else self.columns
        values = table.to_numpy()
        known_values = np.where(np.isfinite(values), values, 0.0).sum(axis=0)
        self.level_ = (known_values / np.maximum(np.isfinite(values).sum(axis=0), 1))[self.protected_]
        shape = (len(self.centres_), table.shape[1])
        self.factor_, self.offset_ = np.ones(shape), np.zeros(shape)
        self.slope_ = np.zeros((len(self.protect), table.shape[1]))
        places = [i for i, name in enumerate(self.names_) if name in set(chosen) - set(self.protect)]
        # With one centre there is nothing to bring together.
        if len(self.centres_) > 1 and places:
            self._learn(values, np.searchsorted(self.centres_, centre), np.array(places))
        return self

    def _learn(self, values: np.ndarray, centre: np.ndarray, places: np.ndarray) -> None:
        """Set factor, offset and slope of the columns at `places` from values (n, p), centre (n,) by number."""
        n_centres = len(self.centres_)
        turn = np.eye(n_centres)[centre]
        design = np.hstack([turn, self._covariates(values)])
        there = np.isfinite(values[:, places])
        n = turn.T @ there
        mean, squares = np.zeros(n.shape), np.zeros(n.shape)
        for k, place in enumerate(places):
            rows = there[:, k]
            found = np.linalg.lstsq(design[rows], values[rows, place], rcond=None)[0]
            mean[:, k], self.slope_[:, place] = found[:n_centres], found[n_centres:]
            squares[:, k] = turn[rows].T @ (values[rows, place] - design[rows] @ found) ** 2
        over = n if self.reference is None else n * (self.centres_ == self.reference)[:, None]
        total = np.maximum(over.sum(axis=0), 1)
        grand = (over * mean).sum(axis=0) / total
        variance = np.where(over > 0, squares, 0.0).sum(axis=0) / total
        varies = variance > (NO_SPREAD * np.maximum(np.abs(grand), 1.0)) ** 2
        sd, places = np.sqrt(variance[varies]), places[varies]
        mean, squares, n, grand = mean[:, varies], squares[:, varies], n[:, varies], grand[varies]
        for c, name in enumerate(self.centres_):
            if name == self.reference:
                continue
            location = np.where(n[c] > 0, (mean[c] - grand) / sd, 0.0)
            spread = np.ones(len(sd))
            if self.method == COMBAT:
                var = np.where(n[c] > 1, squares[c] / np.maximum(n[c] - 1, 1) / sd**2, np.nan)
                location, spread = shrunk(location, var, n[c])
            self.factor_[c, places] = 1.0 / np.sqrt(spread)
            self.offset_[c, places] = grand - (grand + sd * location) / np.sqrt(spread)

    def _covariates(self, values: np.ndarray) -> np.ndarray:
        """Return the covariates to protect about their training means, gaps at the mean, (n, protected)."""
        return np.nan_to_num(values[:, self.protected_] - self.level_)

    def is_known(self, X: Any) -> np.ndarray:
        """Return which rows come from a centre seen in fit, (n,) bool."""
        check_is_fitted(self)
        return np.isin(self._split(X)[1], self.centres_)

    def transform(self, X: Any) -> np.ndarray:
        """Return the harmonised values (n, p) without the centre; DataError when a new centre is to be refused."""
        check_is_fitted(self)
        table, centre = self._split(X)
        number = numbers_of(centre, self.centres_, self.new_centre)
        values = table.to_numpy()
        kept = self._covariates(values) @ self.slope_
        return np.asarray(kept + moved(values - kept, number, self.factor_, self.offset_))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns that `transform` gives, (p,)."""
        del input_features
        check_is_fitted(self)
        return np.asarray([str(name) for name in self.names_], object)
