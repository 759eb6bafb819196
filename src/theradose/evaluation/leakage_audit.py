"""Does a way of predicting see labels it must not? Labels are shuffled by patient and everything is fitted again.

With shuffled labels nothing can be learned that holds outside the fold: predictions may be as good as the mean of all
labels, never better on average. Whatever beats it has seen held-out labels, by selection or tuning on all of them.
What this cannot find: a column that is itself a copy of the label. The manifest's leak class is there for that.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit
from sklearn.base import clone

from theradose.errors import DataError
from theradose.experiment_sections import ExperimentSettings
from theradose.models import examples, latency_examples, outcome_examples, tiac_examples
from theradose.models.folds import Folds, out_of_fold
from theradose.models.latency_examples import LatencyExamples
from theradose.models.predictors import TrainingPlan
from theradose.models.store import Trained
from theradose.models.tiac_examples import TiacExamples, log_tiac
from theradose.tables import AUDIT, write_table

# One-sided p of mean skill above that of the mean; small, for an audit is run on many predictors and organs.
LEAK_BELOW = 0.001
LEAST_PERMUTATIONS = 5
ROUNDING = 1e-9

Procedure = Callable[[np.ndarray], np.ndarray]
"""Labels (n,) to out-of-fold predictions (n,): everything that looks at a label happens inside."""
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

    Patients with the same number of rows swap with each other.
    """
    _, place, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    found = np.array(y, float)
    for size in np.unique(counts):
        rows = np.array([np.flatnonzero(place == k) for k in np.flatnonzero(counts == size)])
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
    if permutations < LEAST_PERMUTATIONS:
        raise DataError("too few shufflings for an audit", got=permutations, expected=f"at least {LEAST_PERMUTATIONS}")
    y = np.asarray(y, float)
    if np.ptp(y) == 0.0:
        raise DataError("labels that are all the same cannot be shuffled", got=float(y[0]), expected="two values")
    score = skill(y, procedure(y))
    drawn = [shuffled(y, groups, rng) for _ in range(permutations)]
    null = np.array([skill(labels, procedure(labels)) for labels in drawn])
    return Audit(score, null, (1 + int((null >= score).sum())) / (permutations + 1), _p_leak(null))


def _p_leak(null: np.ndarray) -> float:
    """Return the one-sided p that skills (permutations,) lie above 0 on average.

    A t test on the logarithm of the error ratio: one wild prediction must not hide a leak. Rounding alone must not make
    one of a constant prediction.
    """
    gain = -np.log(np.maximum(1.0 - null, ROUNDING))
    if gain.std() < ROUNDING:
        return float(gain.mean() < ROUNDING)
    return float(stats.ttest_1samp(gain, 0.0, alternative="greater").pvalue)


@dataclass(frozen=True)
class Shuffled:
    """What labels (n,) a kind of experiment has, its examples with others, and predictions on the scale of labels."""

    labels: Callable[[Any], np.ndarray]
    relabelled: Callable[[Any, np.ndarray], Any]
    subset: Callable[[Any, Collection[str]], Any]
    scaled: Callable[[Any, np.ndarray], np.ndarray]


def as_said(examples: Any, said: np.ndarray) -> np.ndarray:
    """Return predictions (n,) that are on the scale of labels already."""
    del examples
    return np.asarray(said)


def whose(labels: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return whose label (n,) everybody has got by a shuffling `y` (n,) of all, so that the rest can go with it."""
    order = np.argsort(labels, kind="stable")
    return np.asarray(order[np.searchsorted(labels[order], y)])


def _tiacs(own: TiacExamples, y: np.ndarray) -> TiacExamples:
    """Return examples with other patients' TIACs, half-lives with them."""
    rows = whose(own.base.log_dose, y)
    return replace(own, base=replace(own.base, dose=own.base.dose[rows]), t_bio_h=own.t_bio_h[rows])


def _latencies(own: LatencyExamples, y: np.ndarray) -> LatencyExamples:
    """Return examples with other patients' latencies, and whether these were seen or censored."""
    rows = whose(own.log_months, y)
    return replace(own, log_months=own.log_months[rows], observed=own.observed[rows])


SHUFFLED: dict[str, Shuffled] = {
    "organ_dose": Shuffled(
        lambda own: own.log_dose, lambda own, y: replace(own, dose=np.exp(y)), examples.subset, as_said
    ),
    "outcome": Shuffled(
        lambda own: own.observed,
        lambda own, y: replace(own, observed=y),
        outcome_examples.subset,
        lambda _, x: expit(x),
    ),
    "tiac": Shuffled(
        lambda own: own.base.log_dose, _tiacs, tiac_examples.subset, lambda own, said: log_tiac(said, own.half_life_h)
    ),
    "latency": Shuffled(lambda own: own.log_months, _latencies, latency_examples.subset, as_said),
}
SHUFFLED["renal_slope"] = replace(SHUFFLED["outcome"], scaled=as_said)
"""The kinds of experiment that can be audited: log doses and TIACs, events as 0 and 1, slopes, log latencies."""


def _folds_of(patients: Sequence[str], folds: Mapping[str, int], n_folds: int) -> Folds:
    """Return the inner folds of training patients by name, as training has them."""
    turn, names = np.array([folds[patient] % n_folds for patient in patients]), np.array(patients)
    return [(list(names[turn != k]), list(names[turn == k])) for k in sorted(set(turn.tolist()))]


def audit_models(
    settings: ExperimentSettings,
    parts: Mapping[str, Any],
    models: Mapping[str, Trained],
    *,
    folds: Mapping[str, int],
    seed: int,
) -> pd.DataFrame:
    """Audit every predictor and part of an experiment with its tuned parameters; return a table of schema AUDIT.

    Only training patients (those with a fold) take part; all shuffle in the same way. Tuning is not run again: it is
    judged out of fold and cannot see labels of the audit.
    """
    records, how = [], SHUFFLED[settings.kind]
    for (name, model), (part, everyone) in product(models.items(), parts.items()):
        own = how.subset(everyone, [p for p in everyone.patients if folds.get(p, -1) >= 0])
        named, predictor = _folds_of(own.patients, folds, settings.tuning.folds), model.predictors[part]

        def procedure(y: np.ndarray, own: Any = own, named: Folds = named, predictor: Any = predictor) -> np.ndarray:
            said = out_of_fold(
                type(predictor), predictor.parameters, how.relabelled(own, y),
                folds=named, subset=how.subset, seed=seed, training=TrainingPlan.of(settings),
            )  # fmt: skip
            return how.scaled(own, said)

        rng, shufflings = np.random.default_rng(seed), settings.audit_permutations
        found = audit(procedure, how.labels(own), own.patients, rng=rng, permutations=shufflings)
        record = {"predictor": name, "voi": part, "permutations": len(found.null), "skill": found.score}
        record |= {"null_mean": float(found.null.mean()), "null_max": float(found.null.max())}
        records.append({**record, "p": found.p, "p_leak": found.p_leak, "verdict": found.verdict})
    return pd.DataFrame(records)


def write_audit(
    *,
    settings: ExperimentSettings,
    parts: Mapping[str, Any],
    models: Mapping[str, Trained],
    folds: Mapping[str, int],
    seed: int,
    out: Path,
) -> None:
    """Write audit.tsv (schema AUDIT) when the experiment asks for it; an older one never stays beside newer scores."""
    (out / "audit.tsv").unlink(missing_ok=True)
    if settings.audit_permutations:
        write_table(audit_models(settings, parts, models, folds=folds, seed=seed), out / "audit.tsv", AUDIT)
