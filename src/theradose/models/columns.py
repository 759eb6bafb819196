"""From hundreds of raw covariates to a few standardised ones, learned from training patients alone.

Each step follows scikit-learn, so that they stand in one Pipeline and are fitted inside every fold. What they have
learned is kept as plain arrays: `Columns` repeats the whole chain without scikit-learn and without pickle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from theradose.errors import DataError, SettingsError, Where
from theradose.experiment_sections import HarmoniseSettings, SelectionSettings
from theradose.features.harmonise import LEAVE, Harmonise, moved, numbers_of
from theradose.features.selection import (
    REDUNDANT_ABOVE,
    DistinctColumns,
    UsableColumns,
    most_relevant,
    rank_correlation,
)
from theradose.models.examples import OrganExamples
from theradose.models.predictors import TrainingPlan

# Lognormal uptakes and volumes have skewness above 1; a normal sample of 20 stays below 1 in 97 % of cases.
SKEWED_ABOVE = 1.0


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

    A later value below half the smallest training value counts as that, so that a zero gives no infinity. The last
    `leave` columns stay as they are.
    """

    def __init__(self, leave: int = 0) -> None:
        self.leave = leave

    def fit(self, X: np.ndarray, y: np.ndarray | None = None) -> Self:
        """Find the columns; X (n, p) may hold NaN."""
        del y
        filled = np.where(np.isnan(X).all(axis=0), 0.0, X)
        lowest = np.nanmin(filled, axis=0)
        varies = np.nanmax(filled, axis=0) > lowest
        measured = np.arange(X.shape[1]) < X.shape[1] - self.leave
        self.logged_ = measured & varies & (lowest > 0) & (skewness(filled) > SKEWED_ABOVE)
        self.floor_ = np.where(self.logged_, lowest / 2.0, 0.0)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return X (n, p) with those columns as logarithms."""
        return log_where(X, self.logged_, self.floor_)


class SelectInformative(TransformerMixin, BaseEstimator):
    """Keep the k columns that rank patients most like the target, none of them nearly the same as a better one.

    The columns at the places `always` come first and count; one that does not vary is not kept.
    """

    def __init__(self, k: int = 10, redundant_above: float = REDUNDANT_ABOVE, always: Sequence[int] = ()) -> None:
        self.k = k
        self.redundant_above = redundant_above
        self.always = always

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Choose columns of standardised X (n, p) without gaps by the target y (n,)."""
        strength = rank_correlation(X, y)
        kept = [column for column in self.always if strength[column] > 0]
        for column in np.argsort(-strength, kind="stable"):
            if len(kept) >= self.k or strength[column] == 0:
                break
            if column in kept:
                continue
            same = np.abs(X[:, kept].T @ X[:, column]) / len(X) if kept else np.zeros(0)
            if (same <= self.redundant_above).all():
                kept.append(int(column))
        self.kept_ = np.array(kept, np.int64)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Return the kept columns (n, k)."""
        return np.asarray(X[:, self.kept_])


def preparation(
    k: int,
    harmonise: Harmonise | None = None,
    selection: SelectionSettings | None = None,
    always: Sequence[int] = (),
) -> Pipeline:
    """Return the unfitted chain: logarithms, medians into gaps, unit spread, selection of at most k columns.

    The columns at the places `always` are kept whatever their own correlation with the target, unless `selection` is
    given.
    With `harmonise` the last column holds the centre and is used up; with `selection` columns that are mostly missing
    go first, and its bounds replace those of SelectInformative.
    """
    between = [] if harmonise is None else [("harmonise", harmonise)]
    usable = [] if selection is None else [("usable", UsableColumns())]
    return Pipeline(
        [
            ("log", LogSkewed(leave=len(between))),
            *between,
            *usable,
            ("impute", SimpleImputer(strategy="median", keep_empty_features=True)),
            ("scale", StandardScaler()),
            ("select", SelectInformative(k, always=always) if selection is None else _chosen(k, selection)),
        ]
    )


def _chosen(k: int, selection: SelectionSettings) -> Pipeline:
    """Return the unfitted steps that leave no two columns alike and of these the most relevant."""
    relevant = most_relevant(min(k, selection.relevance))
    return Pipeline([("distinct", DistinctColumns(selection.redundancy)), ("relevant", relevant)])


def _places(chain: Pipeline) -> tuple[np.ndarray, np.ndarray]:
    """Return where the kept columns stood in the input of a fitted chain, and where after columns of no use left."""
    select = chain["select"]
    if isinstance(select, SelectInformative):
        return select.kept_, select.kept_
    kept = select["distinct"].get_support(indices=True)[select["relevant"].get_support(indices=True)]
    return chain["usable"].get_support(indices=True)[kept], kept


@dataclass(frozen=True)
class Columns:
    """What the chain has learned, for the kept columns alone: name, logarithm or not, floor, median, mean, spread."""

    names: tuple[str, ...]
    arrays: dict[str, np.ndarray]
    centres: tuple[str, ...] = ()
    new_centre: str = LEAVE

    @classmethod
    def of(cls, chain: Pipeline, names: Sequence[str], centres: Sequence[str] = ()) -> Self:
        """Take from a fitted `preparation` what its kept columns need.

        `names` (p,) are those of its input, `centres` those behind the numbers in its last column.
        """
        at_first, later = _places(chain)
        arrays = {
            "logged": chain["log"].logged_.astype(np.uint8)[at_first],
            "floor": chain["log"].floor_[at_first],
            "median": chain["impute"].statistics_[later],
            "mean": chain["scale"].mean_[later],
            "spread": chain["scale"].scale_[later],
        }
        chosen = tuple(names[i] for i in at_first)
        if "harmonise" not in chain.named_steps:
            return cls(chosen, arrays)
        step = chain["harmonise"]
        arrays |= {"centre_factor": step.factor_[:, at_first], "centre_offset": step.offset_[:, at_first]}
        return cls(chosen, arrays, tuple(centres), step.new_centre)

    @classmethod
    def restore(cls, state: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Self:
        """Build it again from `state["columns"]` and the arrays named `columns.*`."""
        prefix = "columns."
        arrays = {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
        return cls(tuple(state["columns"]), arrays, tuple(state.get("centres", ())), state.get("new_centre", LEAVE))

    def notes(self) -> dict[str, Any]:
        """Return what `restore` needs beside the arrays; JSON-like."""
        centres = {"centres": list(self.centres), "new_centre": self.new_centre} if self.centres else {}
        return {"columns": list(self.names), **centres}

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the arrays under the names `restore` looks for."""
        return {f"columns.{name}": values for name, values in self.arrays.items()}

    def apply(self, values: np.ndarray, centres: Sequence[str] = ()) -> np.ndarray:
        """Return raw values (n, k) of the kept columns as the chain would: logged, harmonised, filled, standardised.

        `centres` (n,) is needed when columns were harmonised; DataError for a new one when it is to be refused.
        """
        a = self.arrays
        logged = log_where(values, a["logged"].astype(bool), a["floor"])
        if self.centres:
            number = numbers_of(_one_each(centres, len(values)), self.centres, self.new_centre)
            logged = moved(logged, number, a["centre_factor"], a["centre_offset"])
        filled = np.where(np.isnan(logged), a["median"], logged)
        return np.asarray((filled - a["mean"]) / a["spread"])

    def prepare(self, examples: OrganExamples) -> np.ndarray:
        """Return the kept columns of examples as the chain would give them, (n, k)."""
        if not self.names:
            return np.zeros((len(examples), 0))
        return self.apply(np.stack([examples.column(name) for name in self.names], axis=1), examples.centres)


def _one_each(centres: Sequence[str], n: int) -> Sequence[str]:
    """Return the centres; DataError when not every example has one."""
    if len(centres) != n:
        raise DataError("harmonising needs the centre of every patient", got=f"{len(centres)} of {n}", code="THR-421")
    return centres


def _harmoniser(settings: HarmoniseSettings, names: Sequence[str], centres: Sequence[str]) -> Harmonise | None:
    """Return the unfitted step for named columns, centres as their numbers; None when nothing is asked for."""
    if settings.method == "none":
        return None
    if settings.reference is not None and settings.reference not in centres:
        raise SettingsError(
            "reference centre has no training patient",
            where=Where(field="harmonise.reference"),
            got=settings.reference,
            expected=list(centres),
        )
    columns = [i for i, name in enumerate(names) if any(fnmatchcase(name, p) for p in settings.columns)]
    reference = None if settings.reference is None else centres.index(settings.reference)
    return Harmonise(settings.method, columns=columns, reference=reference, new_centre=settings.new_centre)


def learned(
    examples: OrganExamples, target: np.ndarray, k: int, plan: TrainingPlan, always: Sequence[str] = ()
) -> tuple[Columns, np.ndarray]:
    """Fit the chain that a plan asks for to training examples; return its columns and their values, (n, k).

    `target` (n,) is what the columns are chosen for; those named in `always` are kept where they vary.
    """
    names, X = list(examples.covariates.columns), examples.covariates.to_numpy(float)
    centres = sorted(set(examples.centres))
    step = _harmoniser(plan.harmonise, names, centres)
    if step is not None:
        X = np.column_stack([X, np.searchsorted(centres, _one_each(examples.centres, len(X)))])
    chain = preparation(k, step, plan.selection, [names.index(name) for name in always if name in names])
    chosen = chain.fit_transform(X, target)
    return Columns.of(chain, names, centres), chosen
