"""The kinds of experiment: where tune and train find what differs between organ doses and dose maps."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from theradose.models import dose_map, latency, multitask, organ_dose, outcome, renal_slope, tiac
from theradose.models.fitting import Fitted


@dataclass(frozen=True)
class Kind:
    """What a kind of experiment brings (how it is judged stands in `steps.judges`).

    `load(splits, covariates, covariate_manifest, labels, pairs, stability, settings)` reads the files it needs
    (others are None) and returns {part: examples}: one part an organ for organ_dose, the one part "all" for dose_map.
    A part is tuned, fitted and stored by itself. Examples have `.patients` and `.partitions`
    (models.predictors.Examples).
    `subset(examples, patients)` keeps the examples of some patients, in their order.
    `score(examples, prediction)` is what tuning lowers.
    `calibrate(examples, prediction)` returns named arrays kept with the model, made from out-of-fold predictions of the
    training patients, without patient names (organ_dose: residuals for the interval; {} when there is nothing).
    `card(examples)` returns JSON-like facts of the training examples kept with the model (ranges, columns; {}).
    `finish(parts, fitted)` adds to the models what takes the training examples of all parts; most kinds add nothing.
    """

    load: Callable[..., dict[str, Any]]
    subset: Callable[[Any, Collection[str]], Any]
    score: Callable[[Any, np.ndarray], float]
    calibrate: Callable[[Any, np.ndarray], dict[str, np.ndarray]]
    card: Callable[[Any], dict[str, Any]]
    finish: Callable[[Mapping[str, Any], Fitted], None]


def nothing(parts: Mapping[str, Any], found: Fitted) -> None:
    """Add nothing to fitted models."""
    del parts, found


MODULES = {
    "organ_dose": organ_dose,
    "dose_map": dose_map,
    "multitask": multitask,
    "outcome": outcome,
    "latency": latency,
    "tiac": tiac,
    "renal_slope": renal_slope,
}
KINDS: dict[str, Kind] = {
    name: Kind(
        module.load, module.subset, module.score, module.calibrate, module.card, getattr(module, "finish", nothing)
    )
    for name, module in MODULES.items()
}
