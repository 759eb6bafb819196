"""The two sides of every judgement: training patients out of fold, everybody else by the final model."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from theradose.models.predictors import Examples
from theradose.models.store import Trained

TRAIN, NOT_IN_A_FOLD = "train", -1
E = TypeVar("E", bound=Examples)


@dataclass(frozen=True)
class Side(Generic[E]):
    """Patients of one side, `said` (n, ...) of them, and whether by models that had not seen them (`out_of_fold`)."""

    out_of_fold: bool
    examples: E
    said: np.ndarray

    def own(self, labels: np.ndarray) -> np.ndarray | None:
        """Return the labels that an interval is made from out of fold; a final model brings its own residuals."""
        return labels if self.out_of_fold else None


def sides(examples: E, model: Trained, part: str, subset: Callable[[E, Collection[str]], E]) -> list[Side[E]]:
    """Return what a model says of training patients, and of all others where there are any; `subset` keeps patients."""
    everyone = list(zip(examples.patients, examples.partitions, strict=True))
    apart = [patient for patient, where in everyone if where != TRAIN]
    inside = subset(examples, [patient for patient, where in everyone if where == TRAIN])
    found = [Side(True, inside, model.out_of_fold[part])]
    if apart:
        outside = subset(examples, apart)
        found.append(Side(False, outside, model.predictors[part].predict(outside)))
    return found


def cells(predictor: str, examples: Examples, folds: Mapping[str, int]) -> dict[str, object]:
    """Return the columns that every table of predictions begins with: predictor, patient, partition, fold."""
    return {
        "predictor": predictor,
        "patient": list(examples.patients),
        "partition": list(examples.partitions),
        "fold": [folds.get(patient, NOT_IN_A_FOLD) for patient in examples.patients],
    }
