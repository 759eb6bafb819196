import numpy as np
import pytest

from theradose.errors import DataError, LeakageError
from theradose.models.examples import OrganExamples, subset
from theradose.models.folds import fit_seed, inner_folds, out_of_fold, training_patients
from theradose.models.linear import HybridDose, RidgeDose
from theradose.models.predictors import TrainingPlan

PLAN = TrainingPlan(epochs=3)


def predict(examples, folds, predictor=RidgeDose):
    return out_of_fold(predictor, {}, examples, folds=folds, subset=subset, seed=1, training=PLAN)


def test_folds_part_the_training_patients(organ_tables):
    splits = organ_tables(folds=4)[3]
    folds = inner_folds(splits, 4)
    assert len(folds) == 4
    held = [p for _, part in folds for p in part]
    assert sorted(held) == training_patients(splits)
    for learning, part in folds:
        assert not set(learning) & set(part)
        assert sorted([*learning, *part]) == training_patients(splits)


def test_fewer_folds_are_made_of_those_of_the_split(organ_tables):
    splits = organ_tables(folds=4)[3]
    by_fold = splits.set_index("patient")["fold"]
    for _, part in inner_folds(splits, 2):
        assert len({by_fold[p] % 2 for p in part}) == 1


@pytest.mark.parametrize("predictor", [RidgeDose, HybridDose])
def test_a_patients_own_dose_does_not_reach_its_prediction(organ_examples, predictor):
    training, _, splits = organ_examples()
    folds = inner_folds(splits, 4)
    dose = training.dose.copy()
    dose[3] *= 100.0
    changed = OrganExamples("kidneys", training.patients, training.partitions, training.covariates, dose)
    before, after = predict(training, folds, predictor), predict(changed, folds, predictor)
    together = next(part for _, part in folds if training.patients[3] in part)
    same = np.isin(training.patients, together)
    assert (before[same] == after[same]).all()
    assert (before[~same] != after[~same]).any()


def test_a_held_out_patients_features_do_not_reach_the_others_of_its_fold(organ_examples):
    training, _, splits = organ_examples()
    folds = inner_folds(splits, 4)
    covariates = training.covariates.copy()
    covariates.iloc[3] *= 50.0
    changed = OrganExamples("kidneys", training.patients, training.partitions, covariates, training.dose)
    together = next(part for _, part in folds if training.patients[3] in part)
    same = np.isin(training.patients, together)
    same[3] = False
    assert (predict(training, folds)[same] == predict(changed, folds)[same]).all()


def test_a_test_patient_in_a_fold_is_a_leak(organ_examples):
    _, everyone, _ = organ_examples()
    half = len(everyone) // 2
    folds = [(everyone.patients[:half], everyone.patients[half:]), (everyone.patients[half:], everyone.patients[:half])]
    with pytest.raises(LeakageError):
        predict(everyone, folds)


def test_an_example_outside_every_fold_is_refused(organ_examples):
    training, _, splits = organ_examples()
    with pytest.raises(DataError, match="outside every fold"):
        predict(training, inner_folds(splits, 4)[:2])


def test_what_is_predicted_is_told_after_every_fold_but_the_last(organ_examples):
    training, _, splits = organ_examples()
    folds, seen = inner_folds(splits, 4), []
    whole = out_of_fold(
        RidgeDose, {}, training, folds=folds, subset=subset, seed=1, training=PLAN,
        on_fold=lambda *told: seen.append(tuple(np.copy(x) for x in told)),
    )  # fmt: skip
    assert [int(done) for done, _, _ in seen] == [1, 2, 3]
    for done, known, predicted in seen:
        held = {patient for _, part in folds[:done] for patient in part}
        assert set(np.array(training.patients)[known]) == held
        assert (predicted == whole[known]).all()


def test_each_fit_has_its_own_seed():
    assert len({fit_seed(7, fold) for fold in range(-1, 20)}) == 21


def test_a_patient_on_both_sides_of_a_fold_is_a_leak(organ_examples):
    training, _, splits = organ_examples()
    learning, held = inner_folds(splits, 4)[0]
    with pytest.raises(LeakageError, match="in one fold"):
        predict(training, [([*learning, held[0]], held)])
