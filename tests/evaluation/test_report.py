import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theradose.errors import DataError
from theradose.evaluation.report import key_numbers, sections, write_report
from theradose.evaluation.report_cohort import cohort_table, status_table
from theradose.evaluation.report_doses import explained_spread, recovery_frame, recovery_table
from theradose.evaluation.report_methods import methods_text, provenance_section
from theradose.evaluation.report_patient_tables import refused_fits, totals_table
from theradose.evaluation.report_patients import example_patients, plane_through
from theradose.evaluation.report_scores import score_sheet, verdict_words
from theradose.evaluation.report_tables import MINUS, count, interval, median_range, percent, three
from theradose.evaluation.results import StudyResults, resolve
from theradose.imaging.grid import Grid
from theradose.imaging.volume import Volume
from theradose.provenance import sha256_file
from theradose.sections import QuantifySettings

ALL = ["cohort", "data", "patients", "doses", "recovery", "overview", "experiments", "cards", "methods", "provenance"]


def anchors(page):
    return re.findall(r'<section id="(\w+)">', page)


def written(study, folder):
    return write_report(study, folder)[0].read_text(encoding="utf-8")


@given(st.floats(1e-6, 1e7))
def test_three_digits_are_within_half_a_per_cent_and_never_an_exponent(value):
    text = three(value)
    assert "e" not in text
    assert float(text) == pytest.approx(value, rel=0.0051)


def test_numbers_in_words():
    assert three(-1.5) == f"{MINUS}1.50"
    assert three(9.999) == "10.0"
    assert three(None) == three(float("nan")) == "\N{EN DASH}"
    assert percent(-0.04, signed=True) == f"{MINUS}0.0 %"
    assert interval(float("nan"), 1.0) == ""
    assert count(0, "fault") == "0 faults"
    assert median_range(pd.Series([1.0, 5.0, 2.0])).note == "1.00 to 5.00"
    assert median_range(pd.Series([3.0])).note == ""


def test_whole_study_has_every_section_in_order(page):
    assert anchors(page) == ALL


def test_page_needs_no_network_and_runs_no_script(page):
    assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "")
    assert "<script" not in page
    assert "@import" not in page
    assert "url(" not in page
    for source in re.findall(r'src="([^"]{0,40})', page):
        assert source.startswith("data:image/")


def test_words_from_data_are_escaped(page):
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "A &amp; B &lt;study&gt;" in page


def test_every_picture_has_words_beside_it(page):
    assert page.count("<img ") == len(re.findall(r'<img src="data:[^"]+" alt="[^"]{10,}" width="\d+">', page)) >= 12


def test_page_is_small_enough_to_send(study, page):
    assert (study.root / "report" / "index.html").stat().st_size < 6e6
    assert page.endswith("</html>\n") or page.rstrip().endswith("</html>")


def test_virtual_and_research_use_only_stand_on_the_page(page):
    assert "Research use only. Not a medical device" in page
    assert "VIRTUAL PATIENTS" in page
    assert "made by a computer" in page


def test_nobody_is_dropped_in_silence(page):
    assert "v007" in page
    assert "quarantined" in page
    assert "Patients found 8 = worked on 7 + quarantined or excluded 1." in page


def test_same_results_same_bytes(real_patient, real_report, tmp_path):
    assert written(real_patient, tmp_path) == real_report.read_text(encoding="utf-8")


@pytest.mark.slow
def test_whole_study_same_bytes(study, page, tmp_path):
    assert written(study, tmp_path / "again") == page


def test_links_to_cards_lead_somewhere(study, page):
    links = re.findall(r'href="(cards/[^"]+)"', page)
    assert len(links) == 7
    assert all((study.root / "report" / link).is_file() for link in links)


def test_scores_lie_beside_the_page_as_csv(study, page):
    assert page
    table = pd.read_csv(study.root / "report" / "experiments.csv")
    assert set(table["experiment"]) == {"organ_dose", "dose_map"}
    assert set(table["role"]) == {"baseline", "model"}


def test_real_patient_has_what_was_measured_and_says_what_was_refused(real_report):
    page = real_report.read_text(encoding="utf-8")
    assert anchors(page) == ["cohort", "data", "patients", "doses", "methods", "provenance"]
    assert "fit refused: rising activity" in page
    assert "population" in page
    assert "the data set has no CT" in page
    assert "VIRTUAL" not in page
    assert not (real_report.parent / "cards").exists()


def test_radiomics_alone_makes_a_page_of_its_own(radiomics_only, tmp_path):
    page = written(radiomics_only, tmp_path)
    assert anchors(page) == ["cohort", "data", "patients", "features", "stability", "methods", "provenance"]
    assert "8 feature values of 2 patients, 4 of them not available." in page


def test_missing_check_is_a_sentence_not_a_traceback(study, tmp_path):
    with pytest.raises(DataError, match="participants"):
        sections(StudyResults(study.settings, tmp_path, study.root))


def test_cohort_table_by_hand():
    people = pd.DataFrame({
        "patient": ["a", "b", "c"], "centre": ["x", "x", "y"], "status": ["ok", "quarantined", "ok"],
        "reason": ["", "why", ""], "weight_kg": [70.0, 90.0, 80.0], "egfr_ml_min": [np.nan] * 3,
    })  # fmt: skip
    sheet = cohort_table(people)
    assert [head.name for head in sheet.heads] == [
        "Centre",
        "Patients",
        "Weight",
        "ok",
        "flagged",
        "quarantined",
        "excluded",
    ]
    assert [cell.text for cell in sheet.rows[0]] == ["x", "2", "80.0", "1", "0", "1", "0"]
    assert sheet.rows[0][2].note == "70.0 to 90.0"
    assert [cell.text for cell in status_table(people).rows[0]] == ["b", "x", "quarantined", "why"]
    assert status_table(people[people["status"] == "ok"]) is None


def test_recovery_numbers_are_those_of_the_table(study):
    table = recovery_frame(study)
    kidneys = study.recovery[study.recovery["organ"] == "kidneys"]
    row = next(row for row in recovery_table(table).rows if row[0].text == "kidneys")
    assert row[3].text == percent(100 * kidneys["tia_error"].mean(), signed=True)
    assert row[6].text == percent(100 * kidneys["tia_error_uncorrected"].mean(), signed=True)


def test_spread_is_explained_with_numbers_of_small_and_large_vois(study):
    table = recovery_frame(study)
    partial, *_, noise = explained_spread(table, study.table("tiac"))
    small = table[table["volume_ml"] <= table["volume_ml"].quantile(1 / 3)]
    assert percent(small["error_uncorrected"].median(), signed=True) in partial
    assert "standard uncertainty" in noise


def test_best_of_each_column_is_set_off_and_the_chosen_one_marked(study):
    experiment = study.experiments[0]
    sheet = score_sheet(experiment, "truth", "test", "all", "hybrid")
    column = [head.name for head in sheet.heads].index("MAPE")
    values = {row[0].text: float(row[column].text) for row in sheet.rows}
    best = [row[0].text for row in sheet.rows if row[column].kind == "best"]
    assert best == [min(values, key=values.get)]
    assert [row[0].text for row in sheet.rows if row[0].kind == "chosen"] == ["hybrid"]
    assert {row[0].text: row[0].note for row in sheet.rows}["population mean"] == "baseline"
    assert score_sheet(experiment, "truth", "validation", "all") is None


def test_verdict_says_when_no_model_beats_the_baseline(study):
    experiment = study.experiments[0]
    found = study.verdicts["organ_dose"]
    words = verdict_words(study, experiment)
    assert ("No model does better" in words) == (found["best"] == found["best_baseline"])


def test_first_scores_name_their_experiment_and_the_same_score_stands_once(study, monkeypatch):
    own = study.verdicts["organ_dose"]
    worse = {**own, "test": {name: {**score, "value": score["value"] + 5.0} for name, score in own["test"].items()}}
    verdicts = {"organ_dose": own, "organ_dose_nested": own, "organ_dose_centres": worse}
    monkeypatch.setitem(study.__dict__, "verdicts", verdicts)
    rest = [said for _, what, said in key_numbers(study) if "MAPE" in what]
    assert [said.partition(":")[0] for said in rest] == ["organ dose", "organ dose centres"]


def test_examples_are_the_middle_and_the_highest_kidney_dose(study):
    kidneys = study.organs[study.organs["voi"] == "kidneys"].sort_values("dose_gy_per_gbq")["patient"].tolist()
    assert list(example_patients(study)) == [kidneys[len(kidneys) // 2], kidneys[-1]]


def test_planes_go_through_kidneys_with_a_dose_else_through_the_highest_dose():
    grid = Grid((6, 5, 4), (10.0, 10.0, 10.0))
    mask = np.zeros(grid.shape_zyx, np.int16)
    mask[2, 3, 1] = 5
    dose = np.zeros(grid.shape_zyx, np.float32)
    dose[4, 1, 2] = 9.0
    assert plane_through(Volume(dose, grid, "Gy"), Volume(mask, grid, "label")) == (40.0, 10.0)
    dose[2, 3, 1] = 1.0
    assert plane_through(Volume(dose, grid, "Gy"), Volume(mask, grid, "label")) == (20.0, 30.0)
    assert plane_through(Volume(dose, grid, "Gy"), None) == (40.0, 10.0)


def test_totals_only_where_they_were_measured(study):
    assert totals_table(study, "v000") is None  # its remark is about registration


def test_refused_fits_are_told_with_what_took_their_place(real_patient, study):
    (line,) = refused_fits(real_patient, "p1")
    assert line.startswith("lesion 01: rising activity")
    assert "Taken instead: effective half-life 60.0 h." in line
    assert refused_fits(study, "v001") == []


def test_methods_name_settings_versions_and_seed(study):
    text = methods_text(study)
    for wanted in (
        "geometric transfer matrix",
        "4, 24, 72, 168 h",
        "torch",
        "1 was quarantined",
        str(study.settings.seed),
    ):
        assert wanted in text


def test_methods_name_the_engine_that_made_the_doses_and_what_was_assumed_of_uncertainty(study):
    quantify = QuantifySettings(
        calibration_uncertainty=0.041, scan_variation=0.017, fwhm_uncertainty=0.073, outline_fwhm_mm=3.5
    )
    settings = study.settings.model_copy(update={"quantify": quantify})
    text = methods_text(StudyResults(settings, study.data_root, study.root))
    for wanted in (
        "4.1 % of the calibration, common to all scans (calibration_uncertainty)",
        "1.7 % of each scan on its own (scan_variation)",
        "7.3 % of the camera's resolution (fwhm_uncertainty)",
        "images of 3.5 mm full width at half maximum (outline_fwhm_mm)",
        "engine “kernel”",
        "Cross-dose, what a VOI gets from outside it, came from the same engine",
    ):
        assert wanted in text
    earlier = StudyResults(study.settings, study.data_root, study.root)
    earlier.__dict__["organs"] = study.organs.assign(engine="local")
    text = methods_text(earlier)
    assert "Dose from outside a VOI was not counted." in text
    assert "photons were taken to leave the body" in text
    assert "sphere" not in text


def test_provenance_holds_the_hash_of_the_manifest(study):
    cells = [cell.text for row in provenance_section(study)["hashes"].rows for cell in row]
    assert sha256_file(study.data.manifest_file) in cells


def test_report_does_not_count_itself_as_provenance(study, page):
    before = provenance_section(study)["code"]
    path = study.root / "report" / "provenance.json"
    path.write_text('{"step": "report", "code": "0"}')
    assert provenance_section(study)["code"] == before
    path.unlink()


def test_images_are_found_beside_their_table_or_from_the_working_folder(tmp_path):
    beside = tmp_path / "a.nii.gz"
    beside.write_bytes(b"x")
    assert resolve(tmp_path, "a.nii.gz") == beside
    assert resolve(tmp_path / "other", str(beside)) == beside
    assert resolve(tmp_path / "other", "a.nii.gz", tmp_path) == beside
