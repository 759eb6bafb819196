import numpy as np
import pytest
from safetensors.numpy import save

from theradose.errors import DataError, LeakageError
from theradose.models.folds import out_of_fold
from theradose.models.multitask import score
from theradose.models.multitask_baselines import base_log_odds
from theradose.models.multitask_predictors import (
    FREE,
    MULTITASK_PREDICTORS,
    PHYSICS,
    RESIDUAL,
    DoseAlone,
    ImagesAlone,
    OutcomeAlone,
    PhysicsAndRates,
    RidgeAndLogistic,
    VectorAlone,
    WholeModel,
    t_bio_h,
)
from theradose.models.patch_examples import subset
from theradose.models.predictors import TrainingPlan

PLAN = TrainingPlan(epochs=3, patience=3, batch_size=8)


class Watched(dict):
    """Patches that write down whose are looked at."""

    def __init__(self, patches):
        super().__init__(patches)
        self.seen = set()

    def __getitem__(self, patient):
        self.seen.add(patient)
        return super().__getitem__(patient)


def watched(examples):
    patches = Watched(examples.patches)
    object.__setattr__(examples, "patches", patches)
    return patches


def fitted(predictor, training, plan=PLAN, seed=3, **parameters):
    model = predictor(**parameters)
    model.fit(training, seed=seed, training=plan)
    return model


def folds_of(training):
    names = list(training.patients)
    return [([n for i, n in enumerate(names) if i % 2 != k], names[k::2]) for k in range(2)]


def test_no_patient_of_the_test_partition_is_looked_at_in_a_fit(patch_examples):
    everyone, _ = patch_examples()
    patches = watched(everyone)
    training = subset(
        everyone, [p for p, x in zip(everyone.patients, everyone.partitions, strict=True) if x == "train"]
    )
    fitted(WholeModel, training)
    assert patches.seen == set(training.patients)
    with pytest.raises(LeakageError, match="test patient"):
        fitted(WholeModel, everyone)
    assert patches.seen == set(training.patients)


def test_a_patient_predicted_out_of_fold_is_not_looked_at_in_the_fit(patch_examples):
    _, training = patch_examples()
    names = training.patients
    own = subset(training, names[:10])
    patches = watched(own)
    fitted(WholeModel, own)
    assert patches.seen == set(names[:10])


def test_a_model_without_images_reads_none(patch_examples):
    _, training = patch_examples()
    patches = watched(training)
    fitted(VectorAlone, training).predict(training)
    assert patches.seen == set()


@pytest.mark.parametrize("head", [RESIDUAL, PHYSICS, FREE])
def test_every_dose_head_begins_where_it_says(patch_examples, head):
    _, training = patch_examples()
    nothing = TrainingPlan(epochs=1, patience=1, batch_size=64)
    said = fitted(WholeModel, training, nothing, dose_head=head, learning_rate=1e-12).predict(training)
    physics = fitted(PhysicsAndRates, training).predict(training)
    mean = np.nanmean(training.log_dose, axis=0)
    there = np.isfinite(training.log_dose)
    expected = np.where(there, mean, np.nan) if head == FREE else physics[:, :2]
    np.testing.assert_allclose(said[:, :2], expected, atol=1e-4)
    np.testing.assert_allclose(said[:, 2:], physics[:, 2:], atol=1e-4)


def test_labels_of_another_kind_do_not_reach_a_single_task(patch_examples):
    _, training = patch_examples()
    changed, _ = patch_examples()
    changed = subset(changed, training.patients)
    changed.events[:] = 1.0 - changed.events
    first, second = (fitted(DoseAlone, x).predict(training)[:, :2] for x in (training, changed))
    # outcomes choose columns of the patient and start the heads of outcomes, which the doses never see
    assert first.tobytes() == second.tobytes()
    whole = [fitted(WholeModel, x).predict(training)[:, :2] for x in (training, changed)]
    assert whole[0].tobytes() != whole[1].tobytes()


def test_same_seed_same_bytes_and_another_seed_other_weights(patch_examples):
    _, training = patch_examples()
    first, again, other = (save(fitted(WholeModel, training, seed=seed).tensors()) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_a_bright_ct_is_learned_from_images_and_from_covariates(patch_examples):
    _, training = patch_examples(60, n_test=10, organs=("kidneys",), outcomes=(), spread=0.05)
    plan, settings = TrainingPlan(epochs=40, patience=40, batch_size=16), {"dropout": 0.0, "learning_rate": 1e-2}
    errors = {}
    for predictor in (PhysicsAndRates, ImagesAlone, VectorAlone):
        own = {} if predictor is PhysicsAndRates else settings
        predicted = out_of_fold(
            predictor, own, training, folds=folds_of(training), subset=subset, seed=1, training=plan
        )
        errors[predictor.name] = score(training, predicted)
    assert errors["multitask_images"] < 0.7 * errors["multitask_physics"]
    assert errors["multitask_vector"] < 0.7 * errors["multitask_physics"]


def test_base_rates_by_hand():
    events = np.array([[1.0, 0.0], [0.0, 0.0], [np.nan, 0.0]])
    assert base_log_odds(events) == pytest.approx([0.0, np.log(0.5 / 3.5)])


def test_logistic_ridge_follows_its_mark(patch_examples):
    everyone, training = patch_examples(60, n_test=10, outcomes=("response",))
    model = fitted(RidgeAndLogistic, training, alpha_outcome=1.0, k_outcome=2)
    assert "biological.mark" in model.columns["response"].names
    mark = everyone.person.column("biological.mark")
    assert np.corrcoef(model.predict(everyone)[:, -1], mark)[0, 1] > 0.7


@pytest.mark.parametrize("name", sorted(MULTITASK_PREDICTORS))
def test_an_event_that_nobody_had_and_an_organ_that_nobody_has(patch_examples, name):
    everyone, training = patch_examples()
    with_liver = set(training.organs["liver"].patients)
    bare = subset(training, [p for p in training.patients if p not in with_liver])
    own = subset(training, training.patients[:8])
    own.events[:, 0] = 0.0
    # one patient without a liver among patients whose livers are taken away
    no_liver = {**own.organs, "liver": bare.organs["liver"]}
    object.__setattr__(own, "organs", no_liver)
    model = fitted(MULTITASK_PREDICTORS[name], own)
    said = model.predict(everyone)
    assert np.isnan(said[:, 1]).all()
    if "doses" in model.heads:
        assert np.isfinite(said[:, 0]).all()
    if "outcomes" in model.heads:
        assert np.isfinite(said[:, 2:]).all()
        assert (said[:, 2] < 0).all()
    again = type(model).restore(model.state(), model.tensors())
    assert again.predict(everyone).tobytes() == said.tobytes()


def test_a_model_refuses_other_outcomes(patch_examples):
    _, training = patch_examples()
    other, _ = patch_examples(outcomes=("response",))
    with pytest.raises(DataError, match="other organs or outcomes"):
        fitted(OutcomeAlone, training).predict(other)


def test_no_outcomes_at_all(patch_examples):
    everyone, training = patch_examples(outcomes=())
    for name in ("multitask", "multitask_ridge", "multitask_physics"):
        assert fitted(MULTITASK_PREDICTORS[name], training).predict(everyone).shape == (20, 2)


def test_some_watch_for_the_end_when_patience_is_short(patch_examples):
    _, training = patch_examples()
    history = fitted(VectorAlone, training).fit(training, seed=1, training=TrainingPlan(epochs=4, patience=2))
    assert all("validation_loss" in row for row in history)


def test_biological_half_life_gives_the_effective_one_again():
    assert 1.0 / (1.0 / t_bio_h("kidneys") + 1.0 / 159.528) == pytest.approx(32.0)
