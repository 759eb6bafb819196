"""The kinds of experiment: where tune, train, evaluate find what differs between organ doses and dose maps."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from theradose.evaluation import organ_dose as organ_dose_evaluation
from theradose.models import organ_dose


@dataclass(frozen=True)
class Kind:
    """What a kind of experiment brings.

    `load(splits, covariates, covariate_manifest, labels, pairs, settings)` reads the files it needs (the others are None)
    and returns {part: examples}: one part an organ for organ_dose, the one part "all" for dose_map. A part is tuned,
    fitted and stored by itself. Examples have `.patients` and `.partitions` (models.predictors.Examples).
    `subset(examples, patients)` keeps the examples of some patients, in their order.
    `score(examples, prediction)` is what tuning lowers.
    `calibrate(examples, prediction)` returns named arrays kept with the model, made from out-of-fold predictions of the
    training patients, without patient names (organ_dose: residuals for the interval; {} when there is nothing).
    `card(examples)` returns JSON-like facts of the training examples kept with the model (ranges, columns; {}).
    `evaluate(settings, parts, models, truth, seed, out)` writes predictions.tsv and metrics.tsv into `out`; `models` is
    {predictor name: models.store.Trained}, `truth` the truth folder or None.
    """

    load: Callable[..., dict[str, Any]]
    subset: Callable[[Any, Collection[str]], Any]
    score: Callable[[Any, np.ndarray], float]
    calibrate: Callable[[Any, np.ndarray], dict[str, np.ndarray]]
    card: Callable[[Any], dict[str, Any]]
    evaluate: Callable[..., None]


KINDS: dict[str, Kind] = {
    "organ_dose": Kind(
        load=organ_dose.load,
        subset=organ_dose.subset,
        score=organ_dose.score,
        calibrate=organ_dose.calibrate,
        card=organ_dose.card,
        evaluate=organ_dose_evaluation.evaluate,
    ),
}
