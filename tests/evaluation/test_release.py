"""The numbers of a study that are kept in git: few, short, and those of untouched patients."""

import pandas as pd

from theradose.evaluation.release import recovered_numbers, study_numbers

COLUMNS = ["experiment", "predictor", "voi", "reference", "partition", "metric", "value"]
TABLE = pd.DataFrame(
    [
        ("organ_dose", "ridge", "all", "label", "test", "mape", 20.123456789),
        ("organ_dose", "ridge", "all", "truth", "test", "mape", 19.0),
        ("organ_dose", "ridge", "all", "label", "train", "mape", 1.0),
        ("organ_dose", "ridge", "kidneys", "label", "test", "mape", 2.0),
        ("organ_dose", "ridge", "all", "label", "test", "coverage", None),
        ("dose_map", "unet2d", "all", "label", "test", "rmse", 0.000123456789),
    ],
    columns=COLUMNS,
)
BEST = {"organ_dose": {"best": "ridge"}, "dose_map": {"best": "unet2d"}}


def test_only_scores_over_all_organs_of_test_patients_are_kept():
    found = study_numbers(TABLE, BEST, {})
    assert found["experiments"] == {
        "organ_dose": {"best": "ridge", "test": {"ridge": {"label": {"mape": 20.1235}, "truth": {"mape": 19.0}}}},
        "dose_map": {"best": "unet2d", "test": {"unet2d": {"label": {"rmse": 0.000123457}}}},
    }
    assert found["tia_relative_error"] == {}


def test_the_recovery_of_each_organ_is_kept_with_its_uncorrected_number():
    numbers = {"mean": -0.0123456789, "sd": 0.02, "n": 10.0, "median": 0.5}
    recovery = {"organ": {"kidneys": {"tia_mbq_h": {"corrected": numbers, "uncorrected": numbers}, "dose_gy": {}}}}
    short = {"mean": -0.0123457, "sd": 0.02, "n": 10.0}
    assert recovered_numbers(recovery) == {"kidneys": {"corrected": short, "uncorrected": short}}
