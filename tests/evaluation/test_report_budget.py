import numpy as np
import pandas as pd
import pytest

from theradose.evaluation.report_budget import (
    bar_words,
    budget_frame,
    budget_section,
    budget_table,
    budget_words,
    lesion_words,
    verdict_cell,
    verdict_table,
)
from theradose.evaluation.report_tables import percent, three
from theradose.physics.uncertainty import PROFILES
from theradose.vocabulary import BUDGET_STEPS

EVEN = dict.fromkeys(BUDGET_STEPS, 0.04)


def frame_of(*patients):
    """Return a frame of budgets of one organ: 4 % throughout, three scans, but for what is given."""
    rows = [{"patient": f"p{i}", "voi": "kidneys", "n_scans": 3, **EVEN, **own} for i, own in enumerate(patients)]
    return pd.DataFrame(rows)


def by_organ(sheet):
    return {row[0].text: row for row in sheet.rows}


def test_budget_of_the_page_is_that_of_the_table(study):
    table = study.table("budget")
    sheet = budget_table(budget_frame(study))
    assert [head.name for head in sheet.heads[2:]] == [
        "Volume", "Recovery", "Calibration", "Counts", "Activity", "Fit", "TIA", "S value", "Dose",
    ]  # fmt: skip
    assert set(by_organ(sheet)) == {"kidneys", "liver", "lesions"}
    for organ, row in by_organ(sheet).items():
        for step, cell in zip(BUDGET_STEPS, row[2:], strict=True):
            own = [
                float(r.relative_std) for r in table.itertuples()
                if (r.voi, r.level, r.step) == (organ, "organ", step)
            ]  # fmt: skip
            assert len(own) == int(row[1].text) == 7
            assert cell.text == three(100 * sorted(own)[3])


def test_a_bad_step_shows_in_the_row_of_its_organ_alone():
    calm = by_organ(budget_table(frame_of({}, {}, {})))["kidneys"]
    loud = by_organ(budget_table(frame_of({"fit": 0.3}, {"fit": 0.3}, {})))["kidneys"]
    changed = [step for step, a, b in zip(BUDGET_STEPS, calm[2:], loud[2:], strict=True) if a.text != b.text]
    assert changed == ["fit"]
    assert loud[2 + BUDGET_STEPS.index("fit")].kind == "warn"


def test_s_value_is_never_the_largest_step_since_it_holds_the_volume_again():
    row = by_organ(budget_table(frame_of({"volume": 0.11, "s": 0.112})))["kidneys"]
    assert [step for step, cell in zip(BUDGET_STEPS, row[2:], strict=True) if cell.kind] == ["volume"]
    assert "Largest single step: volume in kidneys." in budget_words(frame_of({"volume": 0.11, "s": 0.112}))[0]


def test_budgets_belong_to_the_doses_beside_them(study):
    frame = budget_frame(study).set_index(["patient", "voi"])["dose"]
    organs = study.organs.set_index(["patient", "voi"])
    shown = organs["dose_std_gy"] / organs["dose_gy"]
    np.testing.assert_allclose(shown, frame.loc[shown.index], rtol=1e-9)


def test_scans_are_counted_for_each_patient(study, real_patient):
    assert set(budget_frame(study)["n_scans"]) == {4}
    assert set(budget_frame(real_patient)["n_scans"]) == {2}


@pytest.mark.parametrize(
    ("patients", "profile", "text", "note"),
    [
        ([{}, {}], "paper_workflow", "pass", ""),
        ([{"dose": 0.05}], "paper_workflow", "fail", "dose 5.0 %"),
        ([{"volume": 0.12, "recovery": 0.11}, {"volume": 0.14}], "paper_step", "fail", "volume 13.0 %, recovery 7.5 %"),
        ([{"volume": 0.12}, {}], "paper_step", "pass in 1 of 2", "volume 8.0 %"),
        ([{"dose": 0.12}], "published", "pass", ""),
        ([{"dose": 0.15}], "published", "fail", "dose 15.0 %"),
        ([{"dose": 0.15, "n_scans": 2}], "published", "pass", ""),
        ([{"dose": 0.15, "n_scans": 1}, {"dose": 0.15, "n_scans": 4}], "published", "pass in 1 of 2", "dose 15.0 %"),
        ([{"activity": 0.5, "tia": 0.5}], "paper_step", "pass", ""),
    ],
)
def test_verdicts_by_hand(patients, profile, text, note):
    cell = verdict_cell(frame_of(*patients), profile)
    assert (cell.text, cell.note) == (text, note)
    assert cell.kind == {"pass": "ok", "fail": "bad"}.get(text, "warn")


def test_every_organ_gets_a_word_by_every_profile(study):
    sheet = verdict_table(budget_frame(study))
    assert [head.unit for head in sheet.heads[1:]] == [bar_words(profile) for profile in PROFILES]
    for row in sheet.rows:
        assert all(cell.text.startswith(("pass", "fail")) for cell in row[1:])
    lesions = by_organ(sheet)["lesions"]
    assert lesions[1].text == "fail"
    assert lesions[1].note.startswith("dose ")


def test_calibration_says_what_it_leaves_of_the_workflows_five_per_cent():
    left, *_ = (text for text in budget_words(frame_of({"calibration": 0.03})) if "better than its parts" in text)
    assert "A profile may fail" in left
    assert "of the 5 % for a whole workflow it leaves 4.0 % to all other steps" in left  # 3-4-5
    assert "alone is more than that" in budget_words(frame_of({"calibration": 0.06}))[1]


def test_interval_is_a_factor_on_both_sides():
    assert "goes from 0.78 to 1.29 times the dose for kidneys" in budget_words(frame_of({"dose": 0.13}))[0]


def test_single_lesions_are_less_sure_than_all_together(study):
    (text,) = lesion_words(study)
    table = study.table("budget")
    own = table[(table["voi"] == "lesion_01") & (table["step"] == "dose")]["relative_std"]
    assert f"known to {percent(100 * own.median())} (median of 7 lesions" in text


def test_without_a_budget_there_is_no_section(radiomics_only):
    assert budget_section(radiomics_only) is None


def test_page_shows_budget_and_verdicts_under_the_doses(page):
    doses = page.split('<section id="doses">')[1].split("</section>")[0]
    assert doses.index("Voxels against scaled S") < doses.index("How sure the doses are")
    assert "Held against named profiles" in doses
    assert "a chain cannot be better than its parts" in doses


def test_every_number_of_the_budget_has_its_unit(study):
    heads = budget_table(budget_frame(study)).heads
    assert [head.name for head in heads if head.number and not head.unit] == ["Patients"]
