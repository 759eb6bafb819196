import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.utils.estimator_checks import parametrize_with_checks

from theradose.errors import DataError
from theradose.features.selection import (
    DistinctColumns,
    UsableColumns,
    most_relevant,
    rank_correlation,
    unit_ranks,
    unstable_columns,
)

# The one check that expects an error of scikit-learn's own.
OTHERWISE = {"UsableColumns": {"check_fit2d_1sample": "one patient has no spread: our own error"}}


@parametrize_with_checks(
    [DistinctColumns(), UsableColumns()], expected_failed_checks=lambda one: OTHERWISE.get(type(one).__name__, {})
)
def test_steps_follow_scikit_learn(estimator, check):
    check(estimator)


def table(n=40, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n)
    good = y + 0.3 * rng.normal(size=n)
    found = {"noise": rng.normal(size=n), "copy": np.exp(good), "good": good + 0.05 * rng.normal(size=n)}
    found |= {"flat": np.ones(n), "empty": np.full(n, np.nan), "half": np.where(np.arange(n) % 5 < 2, np.nan, y**3)}
    return pd.DataFrame(found), y


def test_unit_ranks_give_spearman():
    X = np.random.default_rng(1).normal(size=(30, 4))
    np.testing.assert_allclose(unit_ranks(X).T @ unit_ranks(X), stats.spearmanr(X).statistic, atol=1e-12)


def test_usable_columns_vary_and_are_mostly_there():
    X, _ = table()
    X.loc[0, "noise"] = np.inf
    assert list(UsableColumns(0.5).fit(X).get_feature_names_out()) == ["noise", "copy", "good", "half"]
    assert list(UsableColumns(0.3).fit(X).get_feature_names_out()) == ["noise", "copy", "good"]
    with pytest.raises(DataError, match="no column can be used"):
        UsableColumns().fit(np.ones((5, 2)))


def test_of_two_alike_the_more_relevant_stays_and_without_target_the_earlier():
    X, y = table()
    X = X[["noise", "copy", "good"]]
    better = "copy" if rank_correlation(X.to_numpy(), y)[1] > rank_correlation(X.to_numpy(), y)[2] else "good"
    assert list(DistinctColumns().fit(X, y).get_feature_names_out()) == ["noise", better]
    assert list(DistinctColumns().fit(X).get_feature_names_out()) == ["noise", "copy"]
    assert DistinctColumns(above=1.0).fit(X).get_support().all()


def greedy(X, y, above):
    """The same by two loops."""
    order = sorted(range(X.shape[1]), key=lambda j: -rank_correlation(X[:, [j]], y)[0])
    kept = []
    for j in order:
        if all(abs(stats.spearmanr(X[:, i], X[:, j]).statistic) <= above for i in kept):
            kept.append(j)
    return sorted(kept)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.2, 0.95))
def test_distinct_columns_as_by_two_loops(seed, above):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(15, 3)) @ rng.normal(size=(3, 7)) + 0.3 * rng.normal(size=(15, 7))
    y = rng.normal(size=15)
    kept = DistinctColumns(above).fit(X, y).get_support(indices=True)
    assert kept.tolist() == greedy(X, y, above)


def test_most_relevant_takes_the_strongest():
    X, y = table()
    X = X[["noise", "copy", "good"]]
    assert "noise" not in most_relevant(2).fit(X, y).get_feature_names_out()


def test_unstable_columns_by_hand():
    rows = [
        ("kidneys", "Mean", "all", 0.95), ("lesions", "Mean", "all", 0.92), ("kidneys", "Skewness", "all", 0.95),
        ("lesions", "Skewness", "all", 0.5), ("kidneys", "Range", "all", np.nan), ("kidneys", "Mean", "mask", 0.1),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["voi", "feature", "versions", "icc_low"])
    table = table.assign(modality="pet", filter="original", feature_class="firstorder")
    found = unstable_columns(table, 0.9)
    assert found == {"pet.original.firstorder.Skewness", "pet.original.firstorder.Range"}
