"""Does a way of predicting see labels it must not? Labels are shuffled by patient and everything is fitted again.

With shuffled labels nothing can be learned that holds outside the fold: predictions may be as good as the mean of all
labels, never better on average. Whatever beats it has seen held-out labels, by selection or tuning on all of them.
What this cannot find: a column that is itself a copy of the label. The manifest's leak class is there for that.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.base import clone

from theradose.errors import DataError

# One-sided p of mean skill above that of the mean; small, for an audit is run on many predictors and organs.
LEAK_BELOW = 0.001
LEAST_PERMUTATIONS = 5
ROUNDING = 1e-9

Procedure = Callable[[np.ndarray], np.ndarray]
"""Labels (n,) or (n, targets) to out-of-fold predictions of that shape: whatever looks at a label happens inside."""
Places = Sequence[tuple[np.ndarray, np.ndarray]]
"""For each fold, the rows to learn from and the rows to predict."""


@dataclass(frozen=True)
class Audit:
    """What shuffling found: skill with true labels, skill with each shuffling (permutations,), and two p-values.

    Skill is 1 less the squared error over that of the mean of all labels: 0 is chance, 1 is perfect. That mean knows
    held-out labels; the mean of the other folds does not, and a constant that nobody fitted can be better than it.
    `p` is the part of shufflings (the true order among them) that do as well as the true labels; `p_leak` says how
    likely shuffled labels are predicted this well, on average, by somebody who cannot see them.
    """

    score: float
    null: np.ndarray
    p: float
    p_leak: float

    @property
    def passed(self) -> bool:
        """Tell whether no leak was found."""
        return self.p_leak >= LEAK_BELOW

    @property
    def verdict(self) -> str:
        """Return `clean` or `leak`."""
        return "clean" if self.passed else "leak"

    def sentence(self) -> str:
        """Return the finding in words."""
        found = "no leak was found" if self.passed else "held-out labels have been seen"
        return (
            f"With labels shuffled by patient {len(self.null)} times and everything fitted again, skill is "
            f"{self.null.mean():.3f} on average where chance gives 0 or less (p {self.p_leak:.2g}): {found}. With the "
            f"true labels it is {self.score:.3f} (p {self.p:.2g} of being chance)."
        )


def shuffled(y: np.ndarray, groups: Sequence[str], rng: np.random.Generator) -> np.ndarray:
    """Return labels (n,) handed around between patients; the rows of a patient stay together and in order.

    Patients with the same number of rows swap with each other. A label that is not known (NaN) stays where it is.
    """
    found = np.array(y, float)
    known = np.flatnonzero(np.isfinite(found))
    _, place, counts = np.unique(np.asarray(groups)[known], return_inverse=True, return_counts=True)
    for size in np.unique(counts):
        rows = known[np.array([np.flatnonzero(place == k) for k in np.flatnonzero(counts == size)])]
        found[rows] = np.asarray(y, float)[rng.permutation(rows, axis=0)]
    return found


def skill(y: np.ndarray, predicted: np.ndarray) -> float:
    """Return 1 - squared error of predictions (n,) over that of the mean of all labels y (n,), which must differ."""
    return float(1.0 - np.sum((y - predicted) ** 2) / np.sum((y - y.mean()) ** 2))


def in_folds(pipeline: Any, x: np.ndarray | pd.DataFrame, folds: Places) -> Procedure:
    """Return the honest procedure: a copy of a scikit-learn pipeline is fitted in each fold and predicts the rest."""

    def rows(which: np.ndarray) -> np.ndarray | pd.DataFrame:
        return x.iloc[which] if isinstance(x, pd.DataFrame) else x[which]

    def procedure(y: np.ndarray) -> np.ndarray:
        found = np.full(len(y), np.nan)
        for learning, held in folds:
            found[held] = clone(pipeline).fit(rows(learning), y[learning]).predict(rows(held))
        return found

    return procedure


def audit(
    procedure: Procedure,
    y: np.ndarray,
    groups: Sequence[str],
    *,
    rng: np.random.Generator,
    permutations: int,
) -> Audit:
    """Run a procedure on true and on shuffled labels (n,), `groups` the patient of each row.

    DataError for too few shufflings, or labels that are all the same.
    """

    def one(labels: np.ndarray) -> np.ndarray:
        return procedure(labels[:, 0])[:, None]

    return audits(one, np.asarray(y, float)[:, None], groups, rng=rng, permutations=permutations)[0]


def audits(
    procedure: Procedure,
    y: np.ndarray,
    groups: Sequence[str],
    *,
    rng: np.random.Generator,
    permutations: int,
) -> dict[int, Audit]:
    """Run a procedure of several targets at once; return what was found of each by its column of y (n, targets).

    The patients of a target whose label is known swap it, each target by itself. Targets that are never predicted or
    all the same are left out. DataError for too few shufflings, or when all targets are left out.
    """
    if permutations < LEAST_PERMUTATIONS:
        raise DataError("too few shufflings for an audit", got=permutations, expected=f"at least {LEAST_PERMUTATIONS}")
    y = np.asarray(y, float)
    score = _skills(y, procedure(y))
    told = np.flatnonzero(np.isfinite(score))
    if not len(told):
        raise DataError(
            "labels that are all the same, or never predicted, cannot be audited",
            got=f"{y.shape[1]} targets of {len(y)} rows", expected="two values of one target",
        )  # fmt: skip
    nulls = []
    for _ in range(permutations):
        labels = np.column_stack([shuffled(column, groups, rng) for column in y.T])
        nulls.append(_skills(labels, procedure(labels)))
    found = {}
    for target in told.tolist():
        null = np.array([skills[target] for skills in nulls])
        as_well = 1 + int((null >= score[target]).sum())
        found[target] = Audit(float(score[target]), null, as_well / (permutations + 1), _p_leak(null))
    return found


def _skills(y: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the skill of each target, (targets,), over rows with label and prediction; NaN where labels are equal."""
    found = np.full(y.shape[1], np.nan)
    for target, (labels, said) in enumerate(zip(y.T, predicted.T, strict=True)):
        both = np.isfinite(labels) & np.isfinite(said)
        if len(np.unique(labels[both])) > 1:
            found[target] = skill(labels[both], said[both])
    return found


def _p_leak(null: np.ndarray) -> float:
    """Return the one-sided p that skills (permutations,) lie above 0 on average.

    A t test on the logarithm of the error ratio: one wild prediction must not hide a leak. Rounding alone must not make
    one of a constant prediction.
    """
    gain = -np.log(np.maximum(1.0 - null, ROUNDING))
    if gain.std() < ROUNDING:
        return float(gain.mean() < ROUNDING)
    return float(stats.ttest_1samp(gain, 0.0, alternative="greater").pvalue)
