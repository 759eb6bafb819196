import numpy as np
import pytest

from theradose.errors import LeakageError, SettingsError
from theradose.experiment_sections import ExperimentSettings
from theradose.models.dose_map import ALL, calibrate, card, load, require_split, score
from theradose.models.folds import inner_folds, out_of_fold, training_patients
from theradose.models.image_examples import join, save_examples, subset
from theradose.models.image_predictors import PetScaledMap
from theradose.models.predictors import TrainingPlan
from theradose.tables import SPLITS, write_table

SETTINGS = ExperimentSettings(
    name="maps", kind="dose_map", title="Maps", baselines=("pet_scaled_map",), predictors=("unet2d",)
)


def test_score_by_hand(image_cohort):
    examples, _ = image_cohort(n_patients=3, copies=1)
    prediction = examples.dose.copy()
    first = np.asarray(examples.table["patient"] == "v000")
    prediction[first & examples.originals] += 0.3
    assert score(examples, prediction) == pytest.approx(0.1, rel=1e-5)  # 0.3 for one patient, 0 for two


def test_copies_and_air_do_not_count(image_cohort):
    examples, _ = image_cohort(n_patients=3, copies=2)
    prediction = examples.dose.copy()
    prediction[~examples.originals] = 99.0
    prediction[~examples.mask] = 99.0
    assert score(examples, prediction) == 0.0


def test_load_reads_the_one_part(image_cohort, tmp_path):
    examples, splits = image_cohort()
    save_examples(examples, tmp_path / "augment")
    write_table(splits, tmp_path / "splits.tsv", SPLITS)
    parts = load(splits=tmp_path / "splits.tsv", pairs=tmp_path / "augment", settings=SETTINGS)
    assert list(parts) == [ALL]
    assert parts[ALL].patients == examples.patients
    with pytest.raises(SettingsError, match="needs image pairs"):
        load(splits=tmp_path / "splits.tsv", pairs=None, settings=SETTINGS)


def test_pairs_of_another_split_are_refused(image_cohort):
    examples, splits = image_cohort()
    require_split(examples.table, splits)
    other = splits.assign(partition=["test", *splits["partition"][1:]])
    with pytest.raises(LeakageError, match="another split"):
        require_split(examples.table, other)
    with pytest.raises(LeakageError, match="without a split"):
        require_split(examples.table, splits[1:])


def test_copies_of_a_held_out_patient_are_refused(image_cohort):
    examples, splits = image_cohort()
    table = examples.table.copy()
    table.loc[table.index[-1], "copy"] = 1
    with pytest.raises(LeakageError, match="augmented copies of a held-out patient"):
        require_split(table, splits)


def test_copies_of_held_out_patients_are_allowed_where_pairs_say_so(image_cohort, tmp_path):
    examples, splits = image_cohort()
    held = examples.pick(np.asarray(examples.table["partition"] == "test"))
    held.table["copy"] = 1
    both = join([examples, held])
    require_split(both.table, splits, held_out_copies=True)
    write_table(splits, tmp_path / "splits.tsv", SPLITS)
    for allowed in (False, True):
        save_examples(both, tmp_path / str(allowed), held_out_copies=allowed)
    load(splits=tmp_path / "splits.tsv", pairs=tmp_path / "True", settings=SETTINGS)
    with pytest.raises(LeakageError, match="augmented copies of a held-out patient"):
        load(splits=tmp_path / "splits.tsv", pairs=tmp_path / "False", settings=SETTINGS)
    with pytest.raises(LeakageError, match="another split"):
        require_split(both.table, splits.assign(partition="train"), held_out_copies=True)


def test_calibration_names_nobody_and_card_tells_what_was_learned_from(image_cohort):
    examples, _ = image_cohort(n_patients=3, copies=1, test=0)
    errors = calibrate(examples, examples.dose + 0.2)["rmse_gy_per_gbq"]
    assert errors == pytest.approx([0.2, 0.2, 0.2], rel=1e-5)
    facts = card(examples)
    assert (facts["patients"], facts["pairs"], facts["pairs_without_copies"]) == (3, 24, 12)
    assert facts["size_voxel"] == [16, 16]


def test_copies_of_a_patient_to_predict_never_train(image_cohort):
    examples, splits = image_cohort(n_patients=7, copies=3)
    learned, predicted = [], []

    class Watching(PetScaledMap):
        def _fit(self, examples, **others):
            learned.append(set(examples.patients))
            return super()._fit(examples, **others)

        def _predict(self, examples):
            predicted.append(set(examples.patients))
            return super()._predict(examples)

    training = subset(examples, training_patients(splits))
    folds = inner_folds(splits, 3)
    plan = TrainingPlan()
    found = out_of_fold(Watching, {}, training, folds=folds, subset=subset, seed=1, training=plan)
    assert found.shape == training.dose.shape
    assert len(learned) == len(predicted) == 3
    assert all(not inside & held for inside, held in zip(learned, predicted, strict=True))
    assert set.union(*predicted) == set(training.patients)
    assert "v006" not in set.union(*learned, *predicted)
