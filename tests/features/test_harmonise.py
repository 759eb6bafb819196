import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from theradose.errors import DataError, SettingsError
from theradose.features.harmonise import CENTRE_MEANS, LEAVE, Harmonise, shrunk

VALUES = np.array(
    [[5.1, 2.0, 7.7], [4.7, 2.4, 8.1], [5.9, 1.7, 7.2], [5.5, 2.9, 8.8],
     [6.8, 3.6, 7.0], [7.4, 3.1, 6.1], [6.1, 4.4, 7.9], [7.9, 3.9, 5.5]]
)  # fmt: skip
CENTRE = ["a"] * 4 + ["b"] * 4
AGE = [61.0, 70.0, 66.0, 74.0, 59.0, 71.0, 80.0, 64.0]
# What neuroCombat 0.2.12 (Fortin) makes of them, four decimals; it stops at a relative change of 1e-4.
NEUROCOMBAT = np.array(
    [[5.9185, 2.7009, 7.1594], [5.4997, 3.1098, 7.5784], [6.7561, 2.3943, 6.6357], [6.3373, 3.6209, 8.3116],
     [6.042, 2.9376, 7.4072], [6.5027, 2.5519, 6.717], [5.5045, 3.5548, 8.0975], [6.8867, 3.1691, 6.2569]]
)  # fmt: skip
NEUROCOMBAT_AGE_KEPT = np.array(
    [[5.9162, 2.7061, 7.1275], [5.5071, 3.1103, 7.498], [6.8024, 2.3543, 6.5136], [6.3903, 3.6456, 8.2554],
     [6.1005, 2.8491, 7.3013], [6.4484, 2.598, 6.8452], [5.4019, 3.6589, 8.3413], [6.8805, 3.1236, 6.2757]]
)  # fmt: skip
NAMES = ["f0", "f1", "f2"]


def small():
    return pd.DataFrame(VALUES, columns=NAMES).assign(age=AGE, centre=CENTRE)


def cohort(seed=0, n=60, p=30, centres=3, shift=1.0):
    rng = np.random.default_rng(seed)
    code = np.arange(n) % centres
    pure = rng.normal(size=(n, p))
    offset, spread = shift * rng.normal(size=(centres, p)), 1.0 + 0.4 * np.arange(centres)
    return pure, pure * spread[code, None] + offset[code], code


def slow_twin(values, centre, rounds=3000):
    """ComBat of Johnson 2007 as its equations stand, one centre and column at a time."""
    n, p = values.shape
    names = sorted(set(centre))
    rows = {name: [i for i in range(n) if centre[i] == name] for name in names}
    found = np.zeros_like(values)
    grand = values.mean(axis=0)
    means = {name: values[rows[name]].mean(axis=0) for name in names}
    sd = [np.sqrt(sum((values[i, g] - means[centre[i]][g]) ** 2 for i in range(n)) / n) for g in range(p)]
    z = (values - grand) / sd
    for name in names:
        own = z[rows[name]]
        gamma_hat, delta_hat = own.mean(axis=0), own.var(axis=0, ddof=1)
        gamma_bar, tau2 = gamma_hat.mean(), gamma_hat.var(ddof=1)
        v, s2 = delta_hat.mean(), delta_hat.var(ddof=1)
        lam, theta = (v**2 + 2 * s2) / s2, (v**3 + v * s2) / s2
        for g in range(p):
            gamma, delta = gamma_hat[g], delta_hat[g]
            for _ in range(rounds):
                gamma = (len(own) * tau2 * gamma_hat[g] + delta * gamma_bar) / (len(own) * tau2 + delta)
                delta = (theta + 0.5 * ((own[:, g] - gamma) ** 2).sum()) / (len(own) / 2 + lam - 1)
            found[rows[name], g] = sd[g] / np.sqrt(delta) * (own[:, g] - gamma) + grand[g]
    return found


def test_numbers_of_neurocombat():
    got = Harmonise(batch="centre", columns=NAMES).fit_transform(small())
    np.testing.assert_allclose(got[:, :3], NEUROCOMBAT, atol=5e-3)
    got = Harmonise(batch="centre", columns=NAMES, protect=["age"]).fit_transform(small())
    np.testing.assert_allclose(got[:, :3], NEUROCOMBAT_AGE_KEPT, atol=5e-3)
    assert got[:, 3].tolist() == AGE


def test_as_the_equations_one_by_one():
    _, seen, code = cohort(n=30, p=5)
    got = Harmonise().fit_transform(np.column_stack([seen, code]))
    np.testing.assert_allclose(got, slow_twin(seen, code.tolist(), 60), rtol=1e-6)


def test_centres_come_together_and_what_was_made_comes_back():
    pure, seen, code = cohort(n=300)
    got = Harmonise().fit_transform(np.column_stack([seen, code]))
    means = np.array([got[code == c].mean(axis=0) for c in range(3)])
    spreads = np.array([got[code == c].std(axis=0) for c in range(3)])
    assert np.abs(means - got.mean(axis=0)).max() < 0.1 * np.ptp(seen.mean(axis=0)) + 0.2
    assert np.abs(np.log(spreads / spreads.mean(axis=0))).max() < 0.15
    for j in range(seen.shape[1]):
        assert np.corrcoef(got[:, j], pure[:, j])[0, 1] > 0.98


def test_without_differences_little_is_done():
    pure, _, code = cohort(n=600)
    got = Harmonise().fit_transform(np.column_stack([pure, code]))
    assert np.abs(got - pure).max() < 0.25


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(0.1, 50), st.floats(-100, 100))
def test_does_not_depend_on_the_unit(seed, factor, offset):
    _, seen, code = cohort(seed, n=24, p=4)
    here = Harmonise().fit_transform(np.column_stack([seen, code]))
    there = Harmonise().fit_transform(np.column_stack([factor * seen + offset, code]))
    np.testing.assert_allclose(there, factor * here + offset, rtol=1e-5, atol=1e-5 * factor)


def test_a_protected_covariate_keeps_its_effect():
    rng = np.random.default_rng(2)
    code = np.arange(200) % 2
    age = rng.normal(65, 8, 200) + 10.0 * code  # one centre has the older patients
    seen = 0.1 * age[:, None] + 0.3 * rng.normal(size=(200, 6)) + code[:, None]
    table = pd.DataFrame(seen, columns=list("abcdef")).assign(age=age, centre=code)
    plain = Harmonise(batch="centre", columns=list("abcdef")).fit_transform(table)
    kept = Harmonise(batch="centre", columns=list("abcdef"), protect=["age"]).fit_transform(table)
    assert np.polyfit(age, kept[:, 0], 1)[0] == pytest.approx(0.1, abs=0.01)
    assert np.polyfit(age, plain[:, 0], 1)[0] < 0.08


def test_reference_centre_stays_as_it_is():
    _, seen, code = cohort()
    got = Harmonise(reference=1).fit_transform(np.column_stack([seen, code]))
    np.testing.assert_allclose(got[code == 1], seen[code == 1])
    assert np.abs(got[code == 0].mean(axis=0) - seen[code == 1].mean(axis=0)).max() < 0.35
    with pytest.raises(SettingsError, match="reference"):
        Harmonise(reference=7).fit(np.column_stack([seen, code]))


def test_centre_means_by_hand():
    table = pd.DataFrame({"x": [1.0, 3.0, 11.0, 13.0], "centre": list("aabb")})
    got = Harmonise(CENTRE_MEANS, batch="centre").fit_transform(table)
    np.testing.assert_allclose(got[:, 0], [6.0, 8.0, 6.0, 8.0])


def test_new_patients_do_not_move_what_was_learned():
    _, seen, code = cohort()
    X = np.column_stack([seen, code])
    step = Harmonise().fit(X[:40])
    alone = np.vstack([step.transform(row[None]) for row in X[40:]])
    np.testing.assert_allclose(step.transform(X[40:]), alone)


def test_a_new_centre_is_refused_or_left_and_flagged():
    _, seen, code = cohort()
    X, new = np.column_stack([seen, code]), np.column_stack([seen[:5], [0, 9, 1, 9, 2]])
    with pytest.raises(DataError, match="THR-429"):
        Harmonise().fit(X).transform(new)
    step = Harmonise(new_centre=LEAVE).fit(X)
    got = step.transform(new)
    np.testing.assert_allclose(got[[1, 3]], seen[[1, 3]])
    assert step.is_known(new).tolist() == [True, False, True, False, True]
    assert np.abs(got[0] - seen[0]).max() > 0.1


def test_one_patient_alone_is_moved_and_not_stretched():
    _, seen, code = cohort()
    code = np.where(np.arange(60) == 59, 5, code)
    step = Harmonise().fit(np.column_stack([seen, code]))
    assert (step.factor_[-1] == 1.0).all()
    assert np.isfinite(step.offset_).all()
    assert (step.offset_[-1] != 0.0).all()


def test_gaps_stay_gaps_and_do_not_spread():
    _, seen, code = cohort()
    seen[3, 2] = np.nan
    seen[code == 1, 4] = np.nan  # a centre that never measures it
    seen[:, 5] = np.nan
    got = Harmonise().fit_transform(np.column_stack([seen, code]))
    assert (np.isnan(got) == np.isnan(seen)).all()


def test_flat_columns_and_a_single_centre_stay():
    _, seen, code = cohort()
    seen[:, 0] = 4.0
    seen[:, 1] = code
    got = Harmonise().fit_transform(np.column_stack([seen, code]))
    np.testing.assert_array_equal(got[:, :2], seen[:, :2])
    alone = Harmonise().fit_transform(np.column_stack([seen, np.zeros(60)]))
    np.testing.assert_array_equal(alone, seen)
    assert Harmonise(columns=[]).fit_transform(np.column_stack([seen, code])) == pytest.approx(seen)


def test_contract_of_a_transformer():
    table = small()
    step = clone(Harmonise(batch="centre", protect=["age"], new_centre=LEAVE))
    with pytest.raises(NotFittedError):
        step.transform(table)
    before = table.copy()
    assert step.fit(table) is step
    pd.testing.assert_frame_equal(table, before)
    assert list(step.get_feature_names_out()) == [*NAMES, "age"]
    with pytest.raises(SettingsError, match="no column"):
        Harmonise(batch="hospital").fit(table)


def test_shrinking_lies_between_the_centre_and_all_columns():
    mean, var, n = np.array([-1.0, 0.0, 4.0]), np.array([0.5, 1.0, 3.0]), np.full(3, 6)
    location, variance = shrunk(mean, var, n)
    assert (np.abs(location - 1.0) < np.abs(mean - 1.0)).all()
    assert variance.min() > 0.5
    assert variance.max() < 3.5
    one = shrunk(np.array([2.0]), np.array([0.7]), np.array([5]))
    assert (one[0][0], one[1][0]) == (2.0, 0.7)
