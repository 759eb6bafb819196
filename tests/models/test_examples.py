import numpy as np
import pandas as pd
import pytest

from theradose.errors import DataError, LeakageError, SettingsError
from theradose.models.examples import NEEDED, allowed_columns, examples_of, first_doses, subset
from theradose.vocabulary import IMPOSSIBLE


@pytest.fixture
def tables(organ_tables):
    return organ_tables(n_patients=12, n_test=4)


def test_join_by_hand(tables):
    covariates, manifest, labels, splits = tables
    columns = allowed_columns(manifest, ())
    examples = examples_of("liver", covariates, first_doses(labels), splits, columns)
    assert examples.patients == sorted(splits["patient"])
    row = labels[(labels["patient"] == "v003") & (labels["voi"] == "liver")].iloc[0]
    assert examples.dose[examples.patients.index("v003")] == row["dose_gy_per_gbq"]
    assert list(examples.covariates.columns) == columns
    assert examples.partitions[-1] == "test"


def test_order_of_rows_does_not_matter(tables):
    covariates, manifest, labels, splits = tables
    columns = allowed_columns(manifest, ())
    first = examples_of("liver", covariates, first_doses(labels), splits, columns)
    second = examples_of("liver", covariates[::-1], first_doses(labels[::-1]), splits[::-1], columns)
    assert first.patients == second.patients
    assert first.covariates.equals(second.covariates)
    assert (first.dose == second.dose).all()


def test_later_cycles_are_not_the_target(tables):
    labels = tables[2]
    second = labels.assign(cycle=2, dose_gy_per_gbq=99.0)
    both = first_doses(pd.concat([second, labels]))
    assert both["dose_gy_per_gbq"].max() < 99.0


@pytest.mark.parametrize("flag", IMPOSSIBLE)
def test_what_physics_does_not_allow_is_no_label(tables, flag):
    labels = tables[2]
    row = labels.index[(labels["level"] == "organ") & (labels["voi"] == "liver")][0]
    plain = labels.assign(flags="poor_fit;implausible_dose")
    wrong = plain.copy()
    wrong.loc[row, "flags"] = f"implausible_dose;{flag}"
    assert len(first_doses(plain)) == len(first_doses(labels)) == len(first_doses(wrong)) + 1


def test_who_cannot_be_an_example_is_named_with_the_reason(tables):
    covariates, manifest, labels, splits = tables
    covariates.loc[0, "physics.pet_suv_mean"] = np.nan
    covariates.loc[2, "physics.weight_kg"] = np.nan
    labels.loc[4, "dose_gy_per_gbq"] = 0.0
    organ = covariates.loc[0, "voi"]
    examples = examples_of(organ, covariates, first_doses(labels), splits, allowed_columns(manifest, ()))
    assert sorted(examples.left_out) == ["v000", "v001", "v002"]
    assert "PET uptake" in examples.left_out["v000"]
    assert "body weight" in examples.left_out["v001"]
    assert "reference dose" in examples.left_out["v002"]
    assert not set(examples.left_out) & set(examples.patients)


def test_organ_of_nobody_is_an_error(tables):
    covariates, manifest, labels, splits = tables
    with pytest.raises(DataError, match="no patient has this organ"):
        examples_of("spleen", covariates, first_doses(labels), splits, allowed_columns(manifest, ()))


def test_patterns_choose_columns_and_physics_stays(tables):
    manifest = tables[1]
    assert set(allowed_columns(manifest, ("radiomic.uptake_*",))) == {
        *NEEDED,
        *(f"radiomic.uptake_{k}" for k in range(3)),
    }
    with pytest.raises(SettingsError, match="no covariate"):
        allowed_columns(manifest, ("radiomic.upptake_*",))


def test_columns_known_only_after_therapy_are_left_out_and_never_chosen(tables):
    manifest = tables[1]
    manifest.loc[manifest["column"] == "radiomic.half", "leak_class"] = "post_therapy"
    assert "radiomic.half" not in allowed_columns(manifest, ())
    with pytest.raises(LeakageError, match="after therapy"):
        allowed_columns(manifest, ("radiomic.h*",))


def test_subset_keeps_rows_together(organ_examples):
    _, everyone, _ = organ_examples()
    some = subset(everyone, ["v005", "v002"])
    assert some.patients == ["v002", "v005"]
    at = [everyone.patients.index(p) for p in some.patients]
    assert (some.dose == everyone.dose[at]).all()
    assert some.covariates.equals(everyone.covariates.iloc[at].reset_index(drop=True))
