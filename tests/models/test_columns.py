import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from theradose.models.columns import Columns, LogSkewed, SelectInformative, preparation, rank_correlation, skewness


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
