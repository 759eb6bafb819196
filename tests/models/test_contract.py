"""What every predictor of the registry must do; joining the registry means inheriting these tests."""

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from theradose.errors import DataError, LeakageError, SettingsError
from theradose.models.aft_network import AFT_LOSSES
from theradose.models.losses import LOSSES
from theradose.models.outcome_examples import subset
from theradose.models.predictors import Choice, FloatRange, IntRange, TrainingPlan
from theradose.models.registry import PREDICTORS, predictor_named, unfit
from theradose.vocabulary import EGFR_SLOPE

PLAN = TrainingPlan(epochs=3, patience=3, batch_size=8)


@pytest.fixture(scope="module")
def ready(latency_examples, patch_examples, tiac_organ):
    """Return, for some kinds, what makes all examples and those of training."""
    return {"latency": latency_examples, "multitask": patch_examples, "tiac": tiac_organ}


@pytest.fixture(scope="module")
def cohorts(organ_examples, image_cohort, outcome_examples, ready):
    """Return, for each kind, all examples of a small study and those of the training partition."""

    def images():
        examples = image_cohort(n_patients=6, n_slices=2, copies=0)[0]
        return examples, examples.pick(np.array(examples.partitions) == "train")

    def organs():
        training, everyone, _ = organ_examples(earlier=True)
        return everyone, training

    def outcomes(outcome="kidney_toxicity"):
        everyone = outcome_examples(outcome=outcome)[0]
        return everyone, subset(everyone, [p for p in everyone.patients if p < "v040"])

    slopes = partial(outcomes, EGFR_SLOPE)
    return {"outcome": outcomes, "renal_slope": slopes, "organ_dose": organs, "dose_map": images, **ready}


@pytest.fixture(scope="module", params=sorted(PREDICTORS))
def case(request, cohorts):
    predictor = PREDICTORS[request.param]
    return predictor, *cohorts[predictor.kind]()


@pytest.fixture(scope="module")
def once(case):
    """Return a model fitted for all tests of its predictor, its history and the epochs it told of."""
    predictor, _, training = case
    model, told = predictor(), []
    history = model.fit(training, seed=3, training=PLAN, on_epoch=lambda epoch, losses: told.append(epoch))
    return model, history, told


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


def test_predicts_a_finite_number_for_each_example(case, once):
    predictor, everyone, _ = case
    prediction = once[0].predict(everyone)
    assert len(prediction) == len(everyone.patients)
    assert np.isfinite(said(predictor, everyone, prediction)).all()


def test_same_seed_gives_same_bytes(case, once):
    predictor, _, training = case
    assert save(fitted(predictor, training).tensors()) == save(once[0].tensors())


def test_restored_predicts_equal_bytes(case, once):
    predictor, everyone, _ = case
    model = once[0]
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


def test_history_counts_epochs_from_one_without_gaps(once):
    _, history, told = once
    assert [row["epoch"] for row in history] == told == list(range(1, len(history) + 1))


def test_a_fixed_hyperparameter_is_kept_and_not_searched():
    fixed = predictor_named("unet2d", "dose_map", {"loss": "r_s_dvh", "eta": 0.0})
    plain = PREDICTORS["unet2d"]
    assert set(plain.space) - set(fixed.space) == {"eta"}
    assert fixed().parameters == {**plain.defaults, "loss": "r_s_dvh", "eta": 0.0}
    assert (fixed.name, plain.defaults["loss"]) == ("unet2d", "r_s")
    with pytest.raises(SettingsError, match="no such parameter"):
        predictor_named("unet2d", "dose_map", {"los": "mse"})


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("eta", "0.01", "float, like"),
        ("eta", True, "float, like"),
        ("loss", 1, "str, like"),
        ("features", 8.5, "int, like"),
        ("loss", "msee", "one of .*r_s_raw"),
        ("initialisation", "xavier", "one of .*normal"),
        ("learning_rate", -1, "above 0"),
        ("learning_rate", 0, "above 0"),
        ("weight_decay", -1e-3, "from 0 "),
        ("eta", math.nan, "from 0 "),
        ("features", -8, "from 0 "),
        ("dropout", 1.0, "below 1$"),
    ],
)
def test_an_impossible_value_of_a_fixed_hyperparameter_is_refused_before_the_fit(name, value, expected):
    assert name in PREDICTORS["unet2d"].defaults
    with pytest.raises(SettingsError, match=f"parameters.unet2d.{name} .*expected .*{expected}"):
        predictor_named("unet2d", "dose_map", {name: value})


def test_a_whole_number_may_stand_for_a_number_and_nothing_for_a_weight():
    assert predictor_named("unet2d", "dose_map", {"eta": 0})().parameters["eta"] == 0


@pytest.mark.parametrize("predictor", PREDICTORS.values(), ids=PREDICTORS)
def test_defaults_and_ends_of_ranges_are_possible_values_and_words_belong_to_hyperparameters(predictor):
    assert set(predictor.words) <= set(predictor.defaults)
    for name, value in predictor.defaults.items():
        span = predictor.space.get(name)
        ends = () if span is None else span.values if isinstance(span, Choice) else (span.low, span.high)
        assert [unfit(predictor, name, one) for one in (value, *ends)] == [""] * (1 + len(ends))


def test_the_documents_name_every_predictor_loss_and_hyperparameter():
    text = (Path(__file__).resolve().parents[2] / "docs" / "experiments.md").read_text(encoding="utf-8")
    together: dict[tuple[str, str], list[str]] = {}
    for predictor in PREDICTORS.values():
        given = ", ".join(sorted(predictor.defaults)) or "none"
        together.setdefault((predictor.kind, given), []).append(f"`{predictor.name}`")
    for (kind, given), names in together.items():
        assert f"| `{kind}` | {', '.join(names)} | {given} |" in text
    assert all(f"`{loss}`" in text for loss in (*LOSSES, *AFT_LOSSES))


def test_wrong_kind_is_refused():
    with pytest.raises(SettingsError, match="expected"):
        predictor_named("ridge", "dose_map")
