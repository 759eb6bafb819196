"""What every predictor of the registry must do; joining the registry means inheriting these tests."""

import numpy as np
import pytest
from safetensors.numpy import save

from theradose.errors import DataError, LeakageError, SettingsError
from theradose.models.outcome_examples import subset
from theradose.models.predictors import Choice, FloatRange, IntRange, TrainingPlan
from theradose.models.registry import PREDICTORS, predictor_named

PLAN = TrainingPlan(epochs=4, patience=4, batch_size=8)


@pytest.fixture
def ready(latency_examples, patch_examples, tiac_organ):
    """Return, for some kinds, what makes all examples and those of training."""
    return {"latency": latency_examples, "multitask": patch_examples, "tiac": tiac_organ}


@pytest.fixture
def cohorts(organ_examples, image_cohort, outcome_examples, ready):
    """Return, for each kind, all examples of a small study and those of the training partition."""

    def images():
        examples = image_cohort(n_patients=6, n_slices=2, copies=0)[0]
        return examples, examples.pick(np.array(examples.partitions) == "train")

    def organs():
        training, everyone, _ = organ_examples()
        return everyone, training

    def outcomes():
        everyone = outcome_examples()[0]
        return everyone, subset(everyone, [p for p in everyone.patients if p < "v040"])

    return {"outcome": outcomes, "organ_dose": organs, "dose_map": images, **ready}


@pytest.fixture(params=sorted(PREDICTORS))
def case(request, cohorts):
    predictor = PREDICTORS[request.param]
    return predictor, *cohorts[predictor.kind]()


def fitted(predictor, examples, seed=3):
    model = predictor()
    model.fit(examples, seed=seed, training=PLAN)
    return model


def said(predictor, everyone, prediction):
    """Return what a predictor has to say; models of dose and outcome stay silent where they have no head or organ."""
    if predictor.kind != "multitask":
        return prediction
    n = len(everyone.organs)
    parts = {"doses": prediction[:, :n][np.isfinite(everyone.log_dose)], "outcomes": prediction[:, n:].ravel()}
    assert all(np.isnan(values).all() for name, values in parts.items() if name not in predictor.heads)
    assert np.isnan(prediction[:, :n][np.isnan(everyone.log_uptake)]).all()
    return np.concatenate([parts[name] for name in predictor.heads])


def test_registered_under_its_own_name_and_kind(case):
    predictor = case[0]
    assert PREDICTORS[predictor.name] is predictor
    assert predictor_named(predictor.name, predictor.kind) is predictor


def test_predicts_a_finite_number_for_each_example(case):
    predictor, everyone, training = case
    prediction = fitted(predictor, training).predict(everyone)
    assert len(prediction) == len(everyone.patients)
    assert np.isfinite(said(predictor, everyone, prediction)).all()


def test_same_seed_gives_same_bytes(case):
    predictor, _, training = case
    assert save(fitted(predictor, training).tensors()) == save(fitted(predictor, training).tensors())


def test_restored_predicts_equal_bytes(case):
    predictor, everyone, training = case
    model = fitted(predictor, training)
    again = predictor.restore(model.state(), model.tensors())
    assert again.predict(everyone).tobytes() == model.predict(everyone).tobytes()
    assert save(again.tensors()) == save(model.tensors())
    assert again.state() == model.state()


def test_unfitted_predictor_refuses(case):
    predictor, everyone, _ = case
    with pytest.raises(DataError, match="not fitted"):
        predictor().predict(everyone)
    with pytest.raises(DataError, match="not fitted"):
        predictor().tensors()


def test_test_patient_in_a_fit_is_a_leak(case):
    predictor, everyone, _ = case
    with pytest.raises(LeakageError, match="test patient"):
        fitted(predictor, everyone)


def test_unknown_parameter_is_refused(case):
    with pytest.raises(SettingsError, match="no such parameter"):
        case[0](no_such_parameter=1)


def test_defaults_lie_inside_the_search_space(case):
    predictor = case[0]
    for name, span in predictor.space.items():
        value = predictor.defaults[name]
        if isinstance(span, Choice):
            assert value in span.values
        else:
            assert isinstance(span, FloatRange | IntRange)
            assert span.low <= value <= span.high


def test_history_counts_epochs_from_one_without_gaps(case):
    predictor, _, training = case
    seen = []
    history = predictor().fit(training, seed=1, training=PLAN, on_epoch=lambda epoch, losses: seen.append(epoch))
    assert [row["epoch"] for row in history] == seen == list(range(1, len(history) + 1))


def test_wrong_kind_is_refused():
    with pytest.raises(SettingsError, match="expected"):
        predictor_named("ridge", "dose_map")
