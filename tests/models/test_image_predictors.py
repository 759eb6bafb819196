from functools import cache

import numpy as np
import pytest

from theradose.errors import DataError, LeakageError
from theradose.models.dose_map import score
from theradose.models.image_examples import subset
from theradose.models.image_predictors import fit_scale, scaled_map
from theradose.models.predictors import TrainingPlan
from theradose.models.volume_predictors import MAP_PREDICTORS

PLAN = TrainingPlan(epochs=2, patience=2, batch_size=8)
PRINTED = {"unet2d_raw", "unet2d_normalised", "unet2d_eta0"}
NETWORK_MAPS = sorted(set(MAP_PREDICTORS) - {"pet_scaled_map", "unet2d_calibrated", *PRINTED})
# Three dimensions take a minute of a slow machine to learn.
LEARNING = [pytest.param(name, marks=[pytest.mark.slow] * (name == "unet3d")) for name in NETWORK_MAPS]


def training(examples):
    return subset(
        examples, [p for p, part in zip(examples.patients, examples.partitions, strict=True) if part == "train"]
    )


def fitted(name, examples, seed=1, plan=PLAN, **parameters):
    predictor = MAP_PREDICTORS[name](**parameters)
    return predictor, predictor.fit(training(examples), seed=seed, training=plan)


@pytest.fixture(scope="module")
def once(image_cohort):
    """Return what gives a predictor fitted to the usual cohort, and its history; each is fitted once."""
    return cache(lambda name: fitted(name, image_cohort()[0]))


@pytest.mark.parametrize("name", sorted(MAP_PREDICTORS))
def test_contract_of_all_map_predictors(name, image_cohort, once):
    examples, _ = image_cohort()
    predictor, history = once(name)
    prediction = predictor.predict(examples)
    assert predictor.name == name
    assert predictor.kind == "dose_map"
    assert prediction.shape == examples.dose.shape
    assert prediction.dtype == np.float32
    assert prediction.min() >= 0.0
    assert np.isfinite(prediction).all()
    assert prediction[~examples.mask].max() == 0.0
    again, repeated = fitted(name, examples)
    assert history == repeated
    assert again.predict(examples).tobytes() == prediction.tobytes()
    restored = MAP_PREDICTORS[name].restore(predictor.state(), predictor.tensors())
    assert restored.predict(examples).tobytes() == prediction.tobytes()
    assert set(predictor.space) <= set(predictor.defaults)


@pytest.mark.parametrize("name", sorted(MAP_PREDICTORS))
def test_a_test_patient_never_enters_a_fit(name, image_cohort):
    examples, _ = image_cohort()
    with pytest.raises(LeakageError, match="test patient"):
        MAP_PREDICTORS[name]().fit(examples, seed=1, training=PLAN)


@pytest.mark.parametrize("name", sorted(MAP_PREDICTORS))
def test_a_prediction_does_not_look_at_the_dose(name, image_cohort, once):
    examples, _ = image_cohort()
    predictor, _ = once(name)
    expected = predictor.predict(examples)
    examples.dose[:] = np.nan
    assert predictor.predict(examples).tobytes() == expected.tobytes()


def test_scale_is_found_where_dose_is_proportional(image_cohort):
    examples, _ = image_cohort(k=0.02)
    examples.inputs[:, 1] = 0.0
    examples.dose[:] = 0.02 * 100.0 * examples.inputs[:, 0]
    assert fit_scale(examples) == pytest.approx(0.02, rel=1e-6)
    assert scaled_map(examples, 0.02) == pytest.approx(examples.dose, rel=1e-5)


def test_every_patient_counts_alike_and_has_its_best_line(image_cohort):
    examples, _ = image_cohort(n_patients=3, copies=0, test=0)
    hot = np.asarray(examples.table["patient"] == "v001")
    examples.dose[hot] *= 9.0
    slopes = [fit_scale(subset(examples, [patient])) for patient in examples.grids]
    assert fit_scale(examples) == pytest.approx(np.prod(slopes) ** (1 / 3))

    own = subset(examples, ["v001"])

    def error(k):
        return float((((scaled_map(own, k) - own.dose)[own.mask]) ** 2).mean())

    assert error(slopes[1]) < min(error(slopes[1] * 0.99), error(slopes[1] * 1.01))


def test_dose_follows_uptake_per_activity_not_suv(image_cohort):
    # The same SUV in a patient twice as heavy is half the concentration per injected activity.
    examples, _ = image_cohort()
    predictor, _ = fitted("pet_scaled_map", examples)
    before = predictor.predict(examples)
    examples.table["bq_per_ml_per_mbq"] /= 2
    assert predictor.predict(examples) == pytest.approx(before / 2)


def test_an_empty_pet_is_an_error(image_cohort):
    examples, _ = image_cohort()
    examples.inputs[:] = 0.0
    with pytest.raises(DataError, match="share no activity"):
        fit_scale(examples)


@pytest.mark.parametrize("name", LEARNING)
def test_a_residual_network_starts_as_physics_and_learns_what_physics_misses(name, image_cohort):
    examples, _ = image_cohort(n_patients=12, test=3)
    held = subset(examples, ["v009", "v010", "v011"])
    physics, _ = fitted("pet_scaled_map", examples)
    untrained, _ = fitted(name, examples, plan=TrainingPlan(1, 1, 8), learning_rate=1e-12)
    assert untrained.predict(held) == pytest.approx(physics.predict(held), abs=1e-5)
    trained, history = fitted(name, examples, plan=TrainingPlan(25, 25, 8), learning_rate=0.01)
    assert history[-1]["train_loss"] < 0.5 * history[0]["train_loss"]
    assert score(held, trained.predict(held)) < 0.7 * score(held, physics.predict(held))


@pytest.mark.parametrize("name", LEARNING)
def test_a_direct_network_with_the_papers_initialisation_learns_too(name, image_cohort):
    examples, _ = image_cohort()
    held = subset(examples, ["v005"])
    options = {"residual": False, "initialisation": "normal", "learning_rate": 0.01}
    trained, history = fitted(name, examples, plan=TrainingPlan(20, 20, 8), **options)
    assert history[-1]["train_loss"] < 0.3 * history[0]["train_loss"]
    assert score(held, trained.predict(held)) < 0.5 * score(held, np.zeros_like(held.dose))


def test_early_stopping_is_recorded(image_cohort):
    examples, _ = image_cohort(n_patients=8)
    _, history = fitted("cnn2d", examples, plan=TrainingPlan(4, 2, 8))
    assert all("validation_loss" in record for record in history)


def test_the_printed_predictors_differ_in_their_sum_term_alone(image_cohort, once):
    examples, _ = image_cohort()
    losses = {name: MAP_PREDICTORS[name]().parameters for name in PRINTED}
    assert {name: (own["loss"], own["eta"]) for name, own in losses.items()} == {
        "unet2d_raw": ("r_s_raw", 0.01), "unet2d_normalised": ("r_s", 0.01), "unet2d_eta0": ("r_s", 0.0),
    }  # fmt: skip
    rest = [{k: v for k, v in own.items() if k not in {"loss", "eta"}} for own in losses.values()]
    assert rest[0] == rest[1] == rest[2]
    assert (rest[0]["initialisation"], rest[0]["residual"]) == ("normal", False)
    assert len({once(name)[0].predict(examples).tobytes() for name in PRINTED}) == 3


def test_a_calibrated_network_is_the_network_and_its_head(image_cohort):
    examples, _ = image_cohort(n_patients=7)
    plain, history = fitted("unet2d", examples)
    both, again = fitted("unet2d_calibrated", examples)
    assert again == history
    assert len(both.head.gains) <= 10
    assert both.predict(examples).tobytes() == both.head.apply(plain.predict(examples)).tobytes()
    assert both.predict(examples).tobytes() != plain.predict(examples).tobytes()


def test_the_head_is_fitted_on_maps_of_patients_not_learned_from(image_cohort, monkeypatch):
    examples, _ = image_cohort(n_patients=7)
    learned, predicted = [], []
    kind = MAP_PREDICTORS["unet2d_calibrated"]
    fit, predict = kind.fit, kind.predict
    monkeypatch.setattr(
        kind, "fit", lambda self, own, **how: learned.append(set(own.patients)) or fit(self, own, **how)
    )
    monkeypatch.setattr(kind, "predict", lambda self, own: predicted.append(own) or predict(self, own))
    kind().fit(training(examples), seed=1, training=PLAN)
    assert len(predicted) == 3
    assert all(own.originals.all() for own in predicted)
    assert not any(set(own.patients) & learners for own, learners in zip(predicted, learned[1:], strict=True))
    assert set.union(*[set(own.patients) for own in predicted]) == set(training(examples).patients)


def test_too_few_patients_cannot_be_calibrated_on(image_cohort):
    examples, _ = image_cohort(n_patients=3)
    with pytest.raises(DataError, match="too few patients to calibrate"):
        fitted("unet2d_calibrated", examples)
