"""How an experiment's scores change with the number of patients learned from: would more of them help?"""

from collections.abc import Callable, Collection, Mapping
from itertools import product
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from theradose.experiment_sections import ExperimentSettings, LearningCurveSettings
from theradose.learning_schemas import LEARNING_CURVE
from theradose.models.folds import TRAIN, fit_seed
from theradose.models.predictors import TEST, TrainingPlan
from theradose.models.store import Trained
from theradose.tables import write_table

FILE = "learning_curve.tsv"


class Judged(Protocol):
    """What a kind of experiment gives (`steps.kinds.Kind`): the examples of some patients, what tuning lowers."""

    @property
    def subset(self) -> Callable[[Any, Collection[str]], Any]:
        """Returns the examples of some patients."""

    @property
    def score(self) -> Callable[[Any, np.ndarray], float]:
        """Returns the score of predictions, lower when better."""


def names_in(examples: Any, partition: str) -> list[str]:
    """Return the patients of a partition, sorted, each once."""
    both = zip(examples.patients, examples.partitions, strict=True)
    return sorted({patient for patient, where in both if where == partition})


def learning_curve(
    asked: LearningCurveSettings,
    parts: Mapping[str, Any],
    models: Mapping[str, Trained],
    *,
    kind: Judged,
    training: TrainingPlan,
    seed: int,
) -> pd.DataFrame:
    """Return what every predictor scores on the test patients when it learns from fewer (schema LEARNING_CURVE).

    The score is what tuning lowers. Each repeat draws an order of the training patients, whose first ones are learned
    from; all predictors see the same. Hyperparameters stay those of all patients, so that the left end of a curve is
    a little too good. The whole training partition is repeat 0: the model itself. A part without test patients is left
    out; without any the table has no rows.
    """
    records: list[dict[str, object]] = []
    judged = {part: everyone for part, everyone in parts.items() if names_in(everyone, TEST)}
    for (name, model), (part, everyone) in product(models.items(), judged.items()):
        learning, predictor = names_in(everyone, TRAIN), model.predictors[part]
        held = kind.subset(everyone, names_in(everyone, TEST))
        row: dict[str, object] = {"predictor": name, "voi": part}
        whole = kind.score(held, predictor.predict(held))
        records.append({**row, "patients": len(learning), "repeat": 0, "score": whole})
        smaller = [n for n in asked.sizes if n < len(learning)]
        for repeat, n in product(range(asked.repeats), smaller):
            order = np.random.default_rng([seed, repeat]).permutation(learning)
            again = type(predictor)(**predictor.parameters)
            again.fit(kind.subset(everyone, order[:n].tolist()), seed=fit_seed(seed, repeat), training=training)
            records.append({**row, "patients": n, "repeat": repeat, "score": kind.score(held, again.predict(held))})
    return pd.DataFrame(records, columns=LEARNING_CURVE.names())


def write_learning_curve(
    kind: Judged,
    training: TrainingPlan,
    *,
    settings: ExperimentSettings,
    parts: Mapping[str, Any],
    models: Mapping[str, Trained],
    folds: Mapping[str, int],
    seed: int,
    out: Path,
) -> bool:
    """Write learning_curve.tsv when the experiment asks for it; an older one never stays beside newer scores.

    Return whether it has what it asked for: where nobody is in the partition test there is no curve.
    """
    del folds
    (out / FILE).unlink(missing_ok=True)
    if settings.learning_curve is None:
        return True
    curve = learning_curve(settings.learning_curve, parts, models, kind=kind, training=training, seed=seed)
    if not curve.empty:
        write_table(curve, out / FILE, LEARNING_CURVE)
    return not curve.empty
