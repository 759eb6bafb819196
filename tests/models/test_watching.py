"""Who watches for the end of a training on images: training patients held back, or those of partition validation."""

from dataclasses import replace

import numpy as np
import pytest

from theradose.errors import LeakageError
from theradose.models.image_examples import subset
from theradose.models.image_predictors import Cnn2dMap
from theradose.models.predictors import TrainingPlan
from theradose.models.watching import hold_back, watched_by

PLAN = TrainingPlan(epochs=3, patience=2, batch_size=8)


def of_partition(examples, partition):
    return examples.pick(np.asarray(examples.table["partition"] == partition))


def training(examples):
    return of_partition(examples, "train")


@pytest.fixture
def parted(image_cohort):
    """Return training examples and others of validation patients, copies and all."""
    examples, _ = image_cohort(n_patients=8, copies=2, test=0)
    late = examples.table["patient"].isin(["v005", "v006", "v007"])
    table = examples.table.assign(partition=np.where(late, "validation", "train"))
    marked = replace(examples, table=table)
    return of_partition(marked, "train"), of_partition(marked, "validation")


def test_augmented_copies_of_a_held_back_patient_never_train(image_cohort):
    examples, _ = image_cohort(n_patients=11, copies=3)
    part = training(examples)
    learned, watched = hold_back(part, seed=4, early_stopping=True)
    assert not set(learned.patients) & set(watched.patients)
    assert set(learned.patients) | set(watched.patients) == set(part.patients)
    assert len(set(watched.patients)) == 2
    assert set(watched.table["copy"]) == {0}
    assert set(learned.table["copy"]) == {0, 1, 2, 3}


def test_nobody_is_held_back_without_early_stopping_or_with_few_patients(image_cohort):
    examples, _ = image_cohort(n_patients=11)
    assert hold_back(examples, 1, early_stopping=False) == (examples, None)
    few, _ = image_cohort(n_patients=4)
    assert hold_back(few, 1, early_stopping=True) == (few, None)


def test_validation_patients_watch_and_then_nobody_is_held_back(parted):
    learning, validation = parted
    learned, watched = watched_by(learning, 1, replace(PLAN, watching=validation))
    assert learned is learning
    assert watched is validation
    assert set(watched.table["copy"]) == {0, 1, 2}
    assert watched_by(learning, 1, PLAN)[1] is not None
    assert watched_by(learning, 1, replace(PLAN, patience=3)) == (learning, None)


def test_a_patient_who_is_learned_from_or_tested_never_watches(parted):
    learning, validation = parted
    test = replace(validation, table=validation.table.assign(partition="test"))
    for strange in (subset(learning, ["v001"]), test):
        with pytest.raises(LeakageError, match="validation"):
            watched_by(learning, 1, replace(PLAN, watching=strange))


def test_validation_doses_choose_the_epoch_and_nothing_else(parted):
    learning, validation = parted
    plan = TrainingPlan(epochs=6, patience=6, batch_size=8, watching=validation)

    def fit(watching):
        model = Cnn2dMap(learning_rate=0.01)
        return model, model.fit(learning, seed=1, training=replace(plan, watching=watching))

    model, history = fit(validation)
    spoiled = replace(validation, dose=np.flip(validation.dose, axis=1) * 7.0)
    other, moved = fit(spoiled)
    assert [row["train_loss"] for row in history] == [row["train_loss"] for row in moved]
    assert [row["validation_loss"] for row in history] != [row["validation_loss"] for row in moved]
    assert model.k == other.k


def test_training_ends_when_validation_gains_no_more(parted):
    learning, validation = parted
    model = Cnn2dMap(learning_rate=0.01)
    plan = TrainingPlan(epochs=40, patience=2, batch_size=8, watching=replace(validation, dose=-validation.dose))
    history = model.fit(learning, seed=1, training=plan)
    best = min(range(len(history)), key=lambda place: history[place]["validation_loss"])
    assert len(history) == best + 1 + 2 < 40
