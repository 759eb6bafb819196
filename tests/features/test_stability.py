import doctest
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theradose.features import stability
from theradose.features.perturb import VERSIONS
from theradose.features.stability import base_values, cov_within, icc, redundancy, stability_table
from theradose.tables import STABILITY, checked

# Shrout and Fleiss 1979, table 2; the interval is the one of McGraw and Wong's formula in R's `psych` and in pingouin.
SHROUT_FLEISS = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float)


def slow_icc(values):
    """The slow twin: sums of squares of a two-way analysis of variance, cell by cell."""
    n, k = values.shape
    grand = sum(values[i, j] for i in range(n) for j in range(k)) / (n * k)
    row = [sum(values[i, j] for j in range(k)) / k for i in range(n)]
    column = [sum(values[i, j] for i in range(n)) / n for j in range(k)]
    between = sum(k * (r - grand) ** 2 for r in row) / (n - 1)
    raters = sum(n * (c - grand) ** 2 for c in column) / (k - 1)
    error = sum((values[i, j] - row[i] - column[j] + grand) ** 2 for i in range(n) for j in range(k))
    error /= (n - 1) * (k - 1)
    return (between - error) / (between + (k - 1) * error + k * (raters - error) / n)


def test_the_published_example():
    found = icc(SHROUT_FLEISS)
    assert found.value == pytest.approx(0.2898, abs=5e-5)
    assert found.low == pytest.approx(0.0188, abs=5e-5)
    assert doctest.testmod(stability).failed == 0


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(2, 8))
def test_the_fast_form_agrees_with_the_slow_one(seed, n, k):
    values = np.random.default_rng(seed).normal(size=(n, k)) + np.arange(n)[:, None]
    assert icc(values).value == pytest.approx(slow_icc(values), rel=1e-9, abs=1e-12)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 100.0), st.floats(-50.0, 50.0))
def test_unit_and_offset_of_a_feature_do_not_matter(seed, scale, offset):
    values = np.random.default_rng(seed).normal(size=(8, 7)) + 2 * np.arange(8)[:, None]
    one, other = icc(values), icc(scale * values + offset)
    assert (other.value, other.low) == pytest.approx((one.value, one.low), rel=1e-6, abs=1e-9)


def test_identical_versions_are_one_and_pure_noise_is_nothing():
    rng = np.random.default_rng(1)
    patients = rng.normal(size=(40, 1))
    assert icc(np.repeat(patients, 7, axis=1)) == stability.Icc(1.0, 1.0)
    noise = icc(rng.normal(size=(400, 7)))
    assert abs(noise.value) < 0.05
    assert noise.low < 0.01


def test_the_bound_covers_the_true_value_as_often_as_it_says():
    """Planted variances 4 between patients, 1 within: ICC 0.8; the lower end is above it in 2.5 % of studies."""
    rng = np.random.default_rng(2)
    above = [icc(2.0 * rng.normal(size=(20, 1)) + rng.normal(size=(20, 7))).low > 0.8 for _ in range(1000)]
    assert 0.01 < np.mean(above) < 0.045


def test_a_version_that_shifts_all_patients_alike_costs_agreement():
    patients = np.arange(10.0)[:, None]
    values = np.hstack([patients, patients + 3.0])
    assert icc(values).value == pytest.approx(slow_icc(values))
    assert icc(values).value < 0.8


@pytest.mark.parametrize(
    "values",
    [np.ones((5, 7)), np.ones((1, 7)), np.empty((0, 7)), np.arange(5.0)[:, None], np.array([[1.0, 2.0], [1.0, 2.0]])],
)
def test_without_spread_or_partners_there_is_no_icc(values):
    found = icc(values)
    assert math.isnan(found.value)
    assert math.isnan(found.low)


def test_scatter_within_a_patient_is_the_median_of_sd_over_mean():
    values = np.array([[9.0, 11.0], [-90.0, -110.0], [0.0, 0.0], [3.0, 3.0]])
    assert cov_within(values) == pytest.approx(math.sqrt(2.0) / 10.0)
    assert math.isnan(cov_within(np.zeros((3, 2))))


def versions(patients=12, seed=0):
    """A table of versions: a steady feature, one that outlines spoil, one of noise, one that misses a value."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(patients):
        for version in VERSIONS:
            spoilt = 20.0 * rng.normal() if version in ("grow", "shrink", "contour") else 0.0
            for feature, value in {
                "Steady": i + 0.01 * rng.normal(),
                "Outline": i + spoilt,
                "Noise": rng.normal(),
                "Gap": np.nan if (i, version) == (3, "shrink") else float(i),
            }.items():
                status = "ok" if np.isfinite(value) else "no voxel"
                rows.append((f"p{i:02d}", version, "lesions", "original", "glcm", feature, value, status))
    names = ["patient", "version", "voi", "filter", "feature_class", "feature", "value", "status"]
    return pd.DataFrame(rows, columns=names)


def test_the_table_tells_what_outlines_and_what_images_do():
    table = stability_table(versions(), "pet")
    checked(table, STABILITY)
    assert list(table["feature"].unique()) == ["Steady", "Outline", "Noise", "Gap"]
    stable = table.set_index(["feature", "versions"])["stable"].to_dict()
    assert [stable["Steady", group] for group in ("all", "image", "mask")] == ["yes", "yes", "yes"]
    assert [stable["Outline", group] for group in ("all", "image", "mask")] == ["no", "yes", "no"]
    assert [stable["Noise", group] for group in ("all", "image", "mask")] == ["no", "no", "no"]
    patients = table.set_index(["feature", "versions"])["patients"].to_dict()
    assert [patients["Gap", group] for group in ("all", "image", "mask")] == [11, 12, 11]


def test_the_order_of_rows_does_not_matter():
    table = versions()
    mixed = table.sample(frac=1.0, random_state=1)
    key = ["feature", "versions"]
    one, other = (stability_table(t, "pet").sort_values(key, ignore_index=True) for t in (table, mixed))
    pd.testing.assert_frame_equal(one, other)


def test_a_higher_bar_makes_fewer_features_stable():
    assert (stability_table(versions(), "pet", threshold=1.0)["stable"] == "no").sum() > (
        stability_table(versions(), "pet")["stable"] == "no"
    ).sum()


def test_features_that_say_the_same_stand_behind_the_first():
    rng = np.random.default_rng(3)
    one, two = rng.normal(size=(2, 30))
    values = pd.DataFrame({"a": one, "b": np.exp(one), "c": two, "minus": -two, "flat": 1.0, "empty": np.nan})
    found = redundancy(values).set_index("feature")
    assert dict(found["kept"]) == {"a": "yes", "b": "no", "c": "yes", "minus": "no", "flat": "no", "empty": "no"}
    assert dict(found["like"]) == {"a": "a", "b": "a", "c": "c", "minus": "c", "flat": "", "empty": ""}
    assert found.loc["minus", "rho"] == pytest.approx(-1.0)
    assert found["rho"].isna().sum() == 2


def test_base_values_put_filter_after_filter():
    table = versions(2)
    log = table.assign(filter="log-sigma-4-0-mm-3D")
    mixed = pd.concat([table[table["feature"] == "Steady"], log, table[table["feature"] != "Steady"]])
    names = [f"{f}.glcm.{name}" for f in ("original", "log-sigma-4-0-mm-3D") for name in table["feature"].unique()]
    values = base_values(mixed)
    assert list(values.columns) == names
    assert list(values.index) == [("p00", "lesions"), ("p01", "lesions")]
