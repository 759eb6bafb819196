"""Scatter of features and doses over repeats, by hand."""

import numpy as np
import pandas as pd
import pytest

from theradose.errors import DataError
from theradose.evaluation.retest import feature_scatter, has_ratio, how_extracted, scatter
from theradose.learning_schemas import RETEST_FEATURES
from theradose.models.examples import SUV
from theradose.models.store import Trained
from theradose.tables import checked

DELTA = "delta.pet_4h-pet.original.firstorder.Mean"
SHAPE = "pet.original.shape.MeshVolume"


@pytest.fixture
def repeats():
    """Two patients, three repeats each: a mean of 10 with sd 1, one of 40 with sd 2; a change about zero."""
    values = np.array([9.0, 10.0, 11.0, 38.0, 40.0, 42.0])
    about = {"voi": "kidneys", "patient": ["a"] * 3 + ["b"] * 3, "repeat": [0, 1, 2] * 2}
    return pd.DataFrame({**about, SUV: values, DELTA: [-0.1, 0.0, 0.1] * 2, SHAPE: 5.0, "clinical.age_y": 60.0})


def test_cov_is_the_root_mean_square_over_patients_and_the_worst_is_told(repeats):
    (row,) = scatter(repeats, [SUV], 3).to_dict("records")
    assert (row["voi"], row["feature"], row["patients"], row["repeats"]) == ("kidneys", SUV, 2, 3)
    assert row["cov_pct"] == pytest.approx(np.sqrt((10.0**2 + 5.0**2) / 2))
    assert row["worst_cov_pct"] == pytest.approx(10.0)
    assert row["sd_over_between"] == pytest.approx(np.sqrt((1 + 4) / 2) / np.std([10.0, 40.0], ddof=1))


def test_a_patient_without_a_value_in_every_repeat_does_not_count(repeats):
    repeats.loc[1, SUV] = np.nan
    (row,) = scatter(repeats, [SUV], 3).to_dict("records")
    assert (row["patients"], row["cov_pct"]) == (1, pytest.approx(5.0))
    assert scatter(repeats.assign(**{SUV: np.nan}), [SUV], 3).empty


def test_what_may_be_near_zero_has_no_cov_and_what_noise_cannot_change_is_left_out(repeats):
    table = checked(feature_scatter(repeats, 3), RETEST_FEATURES).set_index("feature")
    assert set(table.index) == {SUV, DELTA}
    assert np.isnan(table.loc[DELTA, ["cov_pct", "worst_cov_pct"]].astype(float)).all()
    assert table.loc[SUV, "cov_pct"] > 0


def test_signs_decide_which_features_have_a_ratio():
    assert has_ratio(SUV)
    assert has_ratio("pet_24h.original.firstorder.Variance")
    assert not has_ratio("pet.original.firstorder.Skewness")
    assert not has_ratio("pet.log-sigma-8-0-mm-3D.firstorder.Mean")


def test_models_of_different_studies_are_refused():
    def model(min_voxels):
        return Trained({}, {}, {"radiomics": {"settings": {"min_voxels": min_voxels}}})

    assert how_extracted({"a": model(3), "b": model(3)}) == {"settings": {"min_voxels": 3}}
    for models in ({"a": model(3), "b": model(4)}, {"a": Trained({}, {}, {})}):
        with pytest.raises(DataError, match="how their features are extracted"):
            how_extracted(models)
