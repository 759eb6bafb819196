"""Folds inside the training partition, by patient, and predictions each made without the patient's own data."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd

from theradose.errors import DataError, LeakageError, Where
from theradose.models.predictors import OnEpoch, Predictor, TrainingPlan

TRAIN = "train"
Folds = list[tuple[list[str], list[str]]]
Subset = Callable[[Any, Collection[str]], Any]
Watch = Callable[[str], OnEpoch | None]
"""Returns who sees the epochs of a fit, named in words."""
OnFold = Callable[[int, np.ndarray, np.ndarray], None]
"""Takes how many folds are done, which examples have a prediction (n,) bool, and these predictions."""


def unwatched(fit: str) -> None:
    """Let nobody see the epochs of a fit."""
    del fit


def training_patients(splits: pd.DataFrame) -> list[str]:
    """Return the patients of the training partition, sorted."""
    return sorted(splits.loc[splits["partition"] == TRAIN, "patient"])


def inner_folds(splits: pd.DataFrame, folds: int) -> Folds:
    """Return (patients to learn from, patients to predict) for each inner fold of the training partition.

    The folds of the split (schema SPLITS) are dealt over at most `folds` of them, so that all models of a study see
    the same ones.
    """
    training = splits[splits["partition"] == TRAIN].sort_values("patient")
    place = training["fold"].to_numpy() % folds
    names = training["patient"].to_numpy()
    return [(list(names[place != k]), list(names[place == k])) for k in sorted(set(place))]


def fit_seed(seed: int, fold: int) -> int:
    """Return the seed of a fit: fold 0, 1, ... inside, -1 for the final fit."""
    return int(np.random.SeedSequence([seed, fold + 1]).generate_state(1)[0] & 0x7FFFFFFF)


def out_of_fold(
    predictor: type[Predictor],
    parameters: Mapping[str, Any],
    examples: Any,
    *,
    folds: Folds,
    subset: Subset,
    seed: int,
    training: TrainingPlan,
    watch: Watch = unwatched,
    on_fold: OnFold | None = None,
) -> np.ndarray:
    """Return the prediction of each training example by a fit on the other folds, (n, ...), in the order of `examples`.

    `watch` names who sees the epochs of each fit. `on_fold` sees what has been predicted after every fold but the last
    and may end it all by raising.
    DataError when a fold has nobody left to learn from, or an example is in no fold; LeakageError when a patient is on
    both sides of one.
    """
    found: np.ndarray | None = None
    missing = np.ones(len(examples.patients), bool)
    for number, (learning, held) in enumerate(folds):
        where = np.isin(list(examples.patients), held)
        if not where.any():
            continue
        own = subset(examples, learning)
        both = sorted(set(own.patients) & set(held))
        if both:
            raise LeakageError(
                "a patient is learned from and predicted in one fold", where=Where(patient=both[0]), got=both
            )
        if len(own.patients) == 0:
            raise DataError("nobody is left to learn from in a fold", got=f"{len(set(examples.patients))} patients")
        model = predictor(**parameters)
        model.fit(own, seed=fit_seed(seed, number), training=training, on_epoch=watch(f"fold {number + 1}"))
        values = model.predict(subset(examples, held))
        found = np.zeros((len(missing), *values.shape[1:]), values.dtype) if found is None else found
        found[where] = values
        missing &= ~where
        if on_fold is not None and missing.any():
            on_fold(number + 1, ~missing, found[~missing])
    if found is None or missing.any():
        raise DataError("training examples outside every fold", got=int(missing.sum()), expected=0)
    return found
