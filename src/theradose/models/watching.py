"""Which image pairs watch for the end of a training: those of some training patients, or of validation patients."""

import numpy as np

from theradose.errors import LeakageError
from theradose.models.image_examples import ImageExamples
from theradose.models.predictors import VALIDATION, TrainingPlan

HELD_BACK = 5  # one patient in five watches for the end of training


def hold_back(
    examples: ImageExamples, seed: int, *, early_stopping: bool
) -> tuple[ImageExamples, ImageExamples | None]:
    """Split training pairs by patient into those learned from and those that watch for the end of training.

    One patient in five is held back, unaugmented pairs only, with all copies out of the learning part. With fewer than
    five patients, or without early stopping, nobody is.
    """
    names = sorted(set(examples.patients))
    if not early_stopping or len(names) < HELD_BACK:
        return examples, None
    watching = np.random.default_rng([seed, 2]).permutation(names)[: len(names) // HELD_BACK]
    held = np.asarray(examples.table["patient"].isin(watching))
    return examples.pick(~held), examples.pick(held & examples.originals)


def watched_by(
    examples: ImageExamples, seed: int, training: TrainingPlan
) -> tuple[ImageExamples, ImageExamples | None]:
    """Return the pairs that are learned from and those that watch: validation pairs of the plan, or held back here.

    LeakageError when a pair that watches is not of the partition validation, or of a patient who is learned from.
    """
    if training.watching is None:
        return hold_back(examples, seed, early_stopping=training.patience < training.epochs)
    both = sorted(set(training.watching.patients) & set(examples.patients))
    if both or set(training.watching.partitions) != {VALIDATION}:
        raise LeakageError(
            "only validation patients may watch a training", got=both or sorted(set(training.watching.partitions))
        )
    return examples, training.watching
