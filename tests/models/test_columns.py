from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import save
from scipy import stats

from theradose.errors import DataError, SettingsError
from theradose.experiment_sections import HarmoniseSettings, SelectionSettings
from theradose.features.selection import rank_correlation
from theradose.models.columns import Columns, LogSkewed, SelectInformative, learned, preparation, skewness
from theradose.models.examples import subset
from theradose.models.linear import RidgeDose
from theradose.models.mlp import MlpDose
from theradose.models.predictors import TrainingPlan


def test_positive_skewed_columns_become_logarithms():
    rng = np.random.default_rng(1)
    X = np.column_stack([np.exp(1.5 * rng.normal(size=60)), rng.normal(size=60), -np.exp(1.5 * rng.normal(size=60))])
    step = LogSkewed().fit(X)
    assert step.logged_.tolist() == [True, False, False]
    np.testing.assert_allclose(step.transform(X)[:, 0], np.log(X[:, 0]))
    assert step.transform(np.array([[0.0, 1.0, 1.0]]))[0, 0] == pytest.approx(np.log(X[:, 0].min() / 2))


def test_empty_and_constant_columns_stay():
    X = np.column_stack([np.full(9, np.nan), np.full(9, 3.0)])
    assert not LogSkewed().fit(X).logged_.any()


def test_skewness_as_scipy():
    X = np.random.default_rng(2).lognormal(size=(30, 4))
    X[3, 1] = np.nan
    np.testing.assert_allclose(skewness(X), stats.skew(X, axis=0, nan_policy="omit"))


@given(hnp.arrays(float, (12, 3), elements=st.integers(-5, 5)), hnp.arrays(float, 12, elements=st.integers(-5, 5)))
def test_rank_correlation_is_spearmans(X, y):
    for column, found in zip(X.T, rank_correlation(X, y), strict=True):
        if np.ptp(column) == 0 or np.ptp(y) == 0:
            assert found == 0
        else:
            assert found == pytest.approx(abs(stats.spearmanr(column, y).statistic), abs=1e-12)


def test_selection_takes_the_informative_and_skips_its_copies():
    rng = np.random.default_rng(3)
    y = rng.normal(size=50)
    good, other = y + 0.1 * rng.normal(size=50), 0.6 * y + rng.normal(size=50)
    X = np.column_stack([rng.normal(size=50), good, 2 * good + 1, other])
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    assert set(SelectInformative(k=2).fit(X, y).kept_) in ({1, 3}, {2, 3})


def test_stored_columns_repeat_the_chain(organ_examples):
    training, everyone, _ = organ_examples()
    X = training.covariates.to_numpy(float)
    chain = preparation(6).fit(X, training.log_dose)
    columns = Columns.of(chain, list(training.covariates.columns))
    assert 1 <= len(columns.names) <= 6
    again = Columns.restore({"columns": list(columns.names)}, columns.tensors())
    np.testing.assert_allclose(
        again.apply(everyone.covariates[list(again.names)].to_numpy(float)),
        chain.transform(everyone.covariates.to_numpy(float)),
        rtol=1e-12,
    )


def plan(**changes):
    return TrainingPlan(harmonise=HarmoniseSettings(**{"columns": ["radiomic.*"], **changes}))


def at_centres(examples, n=3):
    return replace(examples, centres=[f"c{i % n}" for i in range(len(examples))])


def shifted(examples, factor=3.0):
    """Return examples whose radiomic columns read higher at one centre."""
    covariates = examples.covariates.copy()
    rows = np.array(examples.centres) == "c1"
    image = [c for c in covariates if c.startswith("radiomic.")]
    covariates.loc[rows, image] = covariates.loc[rows, image] * factor
    return replace(examples, covariates=covariates)


@pytest.mark.parametrize("selection", [None, SelectionSettings(relevance=5)])
@pytest.mark.parametrize("method", ["none", "combat", "centre_means"])
def test_stored_columns_repeat_what_was_learned(organ_examples, method, selection):
    training = shifted(at_centres(organ_examples(n_patients=60)[0]))
    asked = replace(plan(method=method), selection=selection)
    columns, values = learned(training, training.log_dose, 8, asked)
    again = Columns.restore(columns.notes(), columns.tensors())
    np.testing.assert_allclose(again.prepare(training), values, rtol=1e-9, atol=1e-12)
    assert len(columns.names) <= (8 if selection is None else 5)
    assert columns.centres == (() if method == "none" else ("c0", "c1", "c2"))


def test_harmonised_columns_lose_the_centre_and_clinical_ones_stay(organ_examples):
    training = shifted(at_centres(organ_examples(n_patients=90)[0]))
    columns, values = learned(training, training.log_dose, 30, plan(method="combat"))
    turn = np.array(training.centres) == "c1"
    for name, column in zip(columns.names, values.T, strict=True):
        if name.startswith("radiomic.uptake"):
            assert abs(column[turn].mean() - column[~turn].mean()) < 0.4
    place = columns.names.index("physics.pet_suv_mean") if "physics.pet_suv_mean" in columns.names else None
    if place is not None:
        np.testing.assert_array_equal(columns.arrays["centre_factor"][:, place], 1.0)


def test_a_new_centre_is_left_or_refused_and_a_missing_one_is_told(organ_examples):
    training = at_centres(organ_examples()[0])
    columns, _ = learned(training, training.log_dose, 4, plan(method="combat"))
    new = replace(training, centres=["c9"] * len(training))
    assert np.isfinite(columns.prepare(new)).all()
    strict, _ = learned(training, training.log_dose, 4, plan(method="combat", new_centre="error"))
    with pytest.raises(DataError, match="THR-429"):
        strict.prepare(new)
    with pytest.raises(DataError, match="centre of every patient"):
        columns.prepare(replace(training, centres=()))
    with pytest.raises(SettingsError, match="reference centre"):
        learned(training, training.log_dose, 4, plan(method="combat", reference="c9"))


@pytest.mark.parametrize("predictor", [RidgeDose, MlpDose])
def test_held_out_patients_do_not_reach_harmonising_or_selection(organ_examples, predictor):
    training = at_centres(organ_examples(n_patients=40)[0])
    asked = replace(plan(method="combat"), selection=SelectionSettings(relevance=5), epochs=3)
    half = subset(training, training.patients[:16])
    changed = training.covariates.copy()
    changed.iloc[16:] = changed.iloc[16:] * 50.0 + 3.0
    other = subset(replace(training, covariates=changed), training.patients[:16])
    first, second = predictor(), predictor()
    for model, examples in ((first, half), (second, other)):
        model.fit(examples, seed=1, training=asked)
    assert save(first.tensors()) == save(second.tensors())
    again = predictor.restore(first.state(), first.tensors())
    assert again.predict(training).tobytes() == first.predict(training).tobytes()


def test_columns_that_are_always_kept_come_first_and_count(organ_examples):
    training, _, _ = organ_examples()
    plain, _ = learned(training, training.log_dose, 3, TrainingPlan())
    weakest = plain_order(training)[-1]
    assert weakest not in plain.names
    kept, x = learned(training, training.log_dose, 3, TrainingPlan(), (weakest, "no.such_column"))
    assert kept.names[0] == weakest
    assert x.shape[1] == 3
    np.testing.assert_allclose(kept.prepare(training), x, atol=1e-9)
    flat = replace(training, covariates=training.covariates.assign(**{weakest: 1.0}))
    assert weakest not in learned(flat, flat.log_dose, 3, TrainingPlan(), (weakest,))[0].names


def plain_order(examples):
    """Return the columns from the most to the least like the log dose in rank."""
    values = examples.covariates.rank().to_numpy()
    strength = np.abs([np.corrcoef(column, examples.log_dose)[0, 1] for column in np.nan_to_num(values).T])
    return [examples.covariates.columns[i] for i in np.argsort(-strength)]
