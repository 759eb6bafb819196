"""Fit one predictor to every part of an experiment: the final model, and its calibration from fits on folds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from theradose.errors import DataError
from theradose.models.folds import Folds, Subset, fit_seed, out_of_fold, unwatched
from theradose.models.predictors import OnEpoch, Predictor, TrainingPlan
from theradose.models.tuning import Objective, Tell

FINAL = -1


@dataclass
class Fitted:
    """What training gives for each part: the fitted predictor, arrays for intervals, facts, scores; and the history."""

    predictors: dict[str, Predictor] = field(default_factory=dict)
    calibration: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    out_of_fold: dict[str, np.ndarray] = field(default_factory=dict)
    cards: dict[str, dict[str, Any]] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)

    def summary(self) -> dict[str, dict[str, Any]]:
        """Return hyperparameters, out-of-fold score and facts of each part."""
        return {
            part: {"parameters": model.parameters, "score": self.scores[part], **self.cards[part]}
            for part, model in self.predictors.items()
        }

    def series(self) -> list[dict[str, Any]]:
        """Return the history with each loss under the name of its part, `kidneys/train_loss`."""
        return [
            {"epoch": row["epoch"], **{f"{row['part']}/{n}": v for n, v in row.items() if n not in ("part", "epoch")}}
            for row in self.history
        ]


def objective(
    predictor: type[Predictor],
    examples: Any,
    *,
    folds: Folds,
    subset: Subset,
    score: Callable[[Any, np.ndarray], float],
    seed: int,
    training: TrainingPlan,
    pruning: bool = False,
) -> Objective:
    """Return what a search lowers: the score of training examples out of fold.

    With `pruning` a predictor that iterates tells after every fold what it has scored so far.
    """

    def judge(parameters: dict[str, Any], tell: Tell) -> float:
        def on_fold(done: int, known: np.ndarray, predicted: np.ndarray) -> None:
            try:
                value = score(subset(examples, set(np.array(examples.patients)[known].tolist())), predicted)
            except DataError:  # nobody of the first folds has the event: no score yet, and nothing to end a trial for
                value = np.nan
            tell(done, value)

        watched = on_fold if pruning and predictor.iterates else None
        predicted = out_of_fold(
            predictor, parameters, examples, folds=folds, subset=subset, seed=seed, training=training, on_fold=watched
        )
        return score(examples, predicted)

    return judge


def fit_parts(
    predictor: type[Predictor],
    parts: Mapping[str, Any],
    parameters: Mapping[str, Mapping[str, Any]],
    *,
    folds: Folds,
    subset: Subset,
    score: Callable[[Any, np.ndarray], float],
    calibrate: Callable[[Any, np.ndarray], dict[str, np.ndarray]],
    card: Callable[[Any], dict[str, Any]],
    seed: int,
    training: TrainingPlan,
    watch: Callable[[str, str], OnEpoch | None] | None = None,
) -> Fitted:
    """Fit a predictor to the training examples of each part with the part's own hyperparameters.

    `watch(part, fit)` names who sees the epochs of each fit.
    """
    found = Fitted()
    for part, examples in parts.items():
        own = parameters[part]
        see = unwatched if watch is None else partial(watch, part)
        predicted = out_of_fold(
            predictor, own, examples, folds=folds, subset=subset, seed=seed, training=training, watch=see
        )
        found.out_of_fold[part], found.calibration[part] = predicted, calibrate(examples, predicted)
        found.cards[part], found.scores[part] = card(examples), score(examples, predicted)
        found.predictors[part] = predictor(**own)
        seen = see("final fit")
        rows = found.predictors[part].fit(examples, seed=fit_seed(seed, FINAL), training=training, on_epoch=seen)
        found.history += [{"part": part, **row} for row in rows]
    return found
