import pandas as pd
import pytest

from theradose.evaluation.report_doses import doses_section, doses_table, map_frame, map_table, map_words
from theradose.evaluation.report_tables import MINUS


def frame_of(**differences):
    """Return a frame of organs whose map differs by so many %, a patient each."""
    rows = [
        {
            "patient": f"p{i}", "voi": organ, "voi_ml": 1.5, "dose_uncorrected_gy": 2.0,
            "dose_voxel_gy": 2.0 * (1 + d / 100), "difference_percent": d,
        }
        for organ, found in differences.items() for i, d in enumerate(found)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def row_of(sheet, organ):
    return next(row for row in sheet.rows if row[0].text == organ)


def column(sheet, name):
    return [head.name for head in sheet.heads].index(name)


def test_cross_dose_is_a_share_of_the_dose(study, results_tree):
    sheet = doses_table(study.organs)
    cell = row_of(sheet, "kidneys")[column(sheet, "Cross-dose")]
    assert float(cell.text) == pytest.approx(100 * results_tree.CROSS_SHARE)
    assert sheet.heads[column(sheet, "Cross-dose")].unit == "%"


def test_map_is_held_against_the_dose_without_recovery_correction(study, results_tree):
    frame = map_frame(study)
    for organ, factor in results_tree.MAP_OVER_S.items():
        own = frame[frame["voi"] == organ]
        # Two kidneys of one factor, hence the same for their organ.
        assert own["difference_percent"].to_numpy() == pytest.approx(100 * (factor - 1), abs=1e-9)
        assert (abs(own["dose_voxel_gy"] / own["dose_gy"] - factor) > 0.02).all()
    kidneys = frame[frame["voi"] == "kidneys"].iloc[0]
    assert kidneys["voi_ml"] == pytest.approx(kidneys["volume_ml"] / 2)


def test_map_table_by_hand():
    sheet = map_table(frame_of(liver=[1.0, -2.0, 4.0]))
    row = row_of(sheet, "liver")
    cell = row[column(sheet, f"Map / S {MINUS} 1")]
    assert (cell.text, cell.note) == ("+1.0", f"{MINUS}2.0 to +4.0")
    within = row[column(sheet, "Within ±3 %")]
    assert (within.text, within.kind) == ("66.7", "warn")
    assert row_of(map_table(frame_of(liver=[3.0])), "liver")[-1].kind == "ok"
    assert [head.name for head in sheet.heads if head.number and not head.unit] == ["Patients"]


def test_each_organ_beyond_three_per_cent_is_named_with_its_reason():
    agree, *beyond = map_words(frame_of(marrow=[70.0, 68.0], liver=[0.2, 2.9], lesions=[-8.0, -1.0], spleen=[3.2, 5.0]))
    assert agree == "Voxels and scaled S agree within 3 % in every patient: liver."
    spleen, marrow, lesions = beyond
    assert "marrow, in 2 of 2 patients, there +69.0 % (median)" in marrow
    assert "keeps 0.57 of the electrons' energy" in marrow
    assert "+75.4 % for electrons alone" in marrow  # 1 / 0.57
    assert f"lesions, in 1 of 2 patients, there {MINUS}8.0 % (median)" in lesions
    assert "1.50 mL" in lesions
    assert "staircase" in lesions
    assert "pattern of the image within a VOI" in spleen
    assert "staircase" not in spleen + marrow


def test_reason_is_that_of_the_patients_who_differ():
    _, spleen = map_words(frame_of(spleen=[-0.6, -1.0, -0.8, 7.0], liver=[0.0]))
    assert "spleen, in 1 of 4 patients, there +7.0 %" in spleen
    assert "staircase" not in spleen


def test_an_organ_without_dose_agrees_with_nothing():
    assert map_words(frame_of(liver=[float("nan")])) == []
    assert row_of(map_table(frame_of(liver=[float("nan"), 1.0])), "liver")[1].text == "1"


def test_section_says_why_lesions_of_the_study_differ(study):
    found = doses_section(study)
    assert found["map_why"][0].endswith("kidneys, liver.")
    assert found["map_why"][1].startswith(f"Beyond 3 %: lesions, in 7 of 7 patients, there {MINUS}8.0 % (median).")
