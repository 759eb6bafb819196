import numpy as np
import pandas as pd
import pytest

from theradose.errors import LeakageError, SettingsError
from theradose.features.manifest import manifest
from theradose.models.dose_columns import courses_of, dose_columns
from theradose.tables import PREDICTIONS, checked


def predictions(*rows):
    """Return predictions of `hybrid` from (patient, voi, partition, fold, predicted)."""
    columns = ["patient", "voi", "partition", "fold", "predicted_gy_per_gbq"]
    table = pd.DataFrame(rows, columns=columns).assign(predictor="hybrid", label_gy_per_gbq=9.0)
    for name in ("low_gy_per_gbq", "high_gy_per_gbq", "truth_gy_per_gbq"):
        table[name] = np.nan
    return checked(table, PREDICTIONS)


COURSES = pd.DataFrame({"patient": ["a", "b"], "administered_gbq": [7.5, 5.0], "cycles": [4.0, 2.0]})


def test_a_course_by_hand():
    """5.75 Gy a cycle at 50 h: G = 2.8 / 52.8 and BED 6.424 Gy, four cycles 25.70 Gy, as the design has it."""
    table = predictions(("a", "kidneys", "train", 0, 5.75 / 7.5))
    found = dose_columns(table, predictor="hybrid", courses=COURSES, t_eff_h={"kidneys": 50.0})
    assert list(found["patient"]) == ["a"]
    assert found.loc[0, "predicted.kidneys.course_dose_gy"] == pytest.approx(23.0)
    assert found.loc[0, "predicted.kidneys.course_bed_gy"] == pytest.approx(25.70, abs=0.005)


def test_every_organ_gets_the_columns_of_the_manifest():
    organs = ("kidneys", "liver", "spleen", "marrow", "lesions")
    table = predictions(*((p, o, "test", -1, 0.5) for p in "ab" for o in organs))
    found = dose_columns(table, predictor="hybrid", courses=COURSES)
    assert set(found) == {"patient", *manifest().query("block == 'dose'")["column"]}
    assert np.isfinite(found.drop(columns="patient").to_numpy()).all()
    bed, dose = (found[[c for c in found if c.endswith(end)]].to_numpy() for end in ("bed_gy", "course_dose_gy"))
    assert (bed > dose).all()


def test_no_course_leaves_the_dose_per_activity():
    table = predictions(("c", "liver", "test", -1, 0.5))
    found = dose_columns(table, predictor="hybrid", courses=COURSES).iloc[0]
    assert found["predicted.liver.dose_gy_per_gbq"] == 0.5
    assert np.isnan(found["predicted.liver.course_dose_gy"])
    assert np.isnan(found["predicted.liver.course_bed_gy"])


def test_a_missing_organ_stays_missing_and_regions_are_no_columns():
    table = predictions(("a", "liver", "test", -1, 0.5), ("b", "spleen", "test", -1, 0.5), ("b", "body", "test", -1, 1))
    found = dose_columns(table, predictor="hybrid", courses=COURSES).set_index("patient")
    assert np.isnan(found.loc["b", "predicted.liver.course_bed_gy"])
    assert not [name for name in found if "body" in name]


def test_what_the_label_says_is_no_part_of_it():
    table = predictions(("a", "liver", "train", 1, 0.5))
    one = dose_columns(table, predictor="hybrid", courses=COURSES)
    two = dose_columns(table.assign(label_gy_per_gbq=1.0), predictor="hybrid", courses=COURSES)
    pd.testing.assert_frame_equal(one, two)


def test_a_longer_half_life_spares_and_those_not_given_stay():
    table = predictions(("a", "kidneys", "train", 1, 0.5), ("a", "liver", "train", 1, 0.5))
    usual, slow = (
        dose_columns(table, predictor="hybrid", courses=COURSES, t_eff_h=h) for h in (None, {"kidneys": 200.0})
    )
    changed = {name for name in usual if name != "patient" and slow[name].iloc[0] != usual[name].iloc[0]}
    assert changed == {"predicted.kidneys.course_bed_gy"}
    assert slow["predicted.kidneys.course_bed_gy"].iloc[0] < usual["predicted.kidneys.course_bed_gy"].iloc[0]


def test_a_training_patient_out_of_every_fold_is_a_leak():
    table = predictions(("a", "liver", "train", -1, 0.5), ("b", "liver", "test", -1, 0.5))
    with pytest.raises(LeakageError, match="not out of fold"):
        dose_columns(table, predictor="hybrid", courses=COURSES)


def test_a_patient_of_two_partitions_is_a_leak():
    table = predictions(("a", "liver", "train", 1, 0.5), ("a", "spleen", "test", -1, 0.5))
    with pytest.raises(LeakageError, match="more than one partition"):
        dose_columns(table, predictor="hybrid", courses=COURSES)


def test_unknown_predictor_is_refused():
    with pytest.raises(SettingsError, match=r"expected \['hybrid'\]"):
        dose_columns(predictions(("a", "liver", "train", 1, 0.5)), predictor="ridge", courses=COURSES)


def test_courses_of_participants():
    people = pd.DataFrame({"patient": ["a", "b"], "administered_mbq": [7400.0, np.nan]})
    found = courses_of(people)
    assert found["administered_gbq"].iloc[0] == pytest.approx(7.4)
    assert list(found["cycles"]) == [1.0, 1.0]
    assert list(courses_of(people.assign(planned_cycles=[4, 6]))["cycles"]) == [4.0, 6.0]
