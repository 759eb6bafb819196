from theradose.evaluation.summary import experiment_lines, score_words, summary


def test_summary_says_who_how_good_and_where_in_six_to_ten_lines(study):
    text = summary(study)
    lines = text.splitlines()
    assert 6 <= len(lines) <= 10
    assert lines[1].startswith("Patients    6 ok, 1 flagged, 1 quarantined")
    assert "VIRTUAL" in lines[0]
    assert f"{study.root.as_posix()}/report/index.html" in text
    assert "make ui" in text
    assert max(len(line) for line in lines) < 200


def test_kidney_recovery_stands_beside_the_uncorrected_number(study):
    kidneys = study.recovery[study.recovery["organ"] == "kidneys"]
    line = next(line for line in summary(study).splitlines() if line.startswith("Labels"))
    assert f"{100 * kidneys['tia_error'].mean():+.1f} % from truth" in line
    assert f"without recovery correction {100 * kidneys['tia_error_uncorrected'].mean():+.1f} %" in line


def test_each_experiment_stands_beside_its_best_baseline(study):
    lines = experiment_lines(study)
    assert len(lines) == 2
    assert all("baseline" in line for line in lines)


def test_a_long_name_of_an_experiment_stands_apart_from_its_model(study, monkeypatch):
    (name, found), *_ = study.verdicts.items()
    long = "organ_dose_centres_combat"
    monkeypatch.setattr(type(study), "verdicts", property(lambda _: {name: found, long: found}))
    first, second = experiment_lines(study)
    assert second.startswith("Organ dose centres combat  ")
    assert second[27:] == first[27:]
    assert not second[27:].startswith(" ")


def test_reduced_studies_say_what_they_have(real_patient, radiomics_only):
    assert "1 time-activity curves, 1 fits refused" in summary(real_patient)
    assert "Radiomics   8 values of 2 patients" in summary(radiomics_only)
    assert "MLflow" not in summary(real_patient)


def test_score_in_words():
    score = {"value": 17.123, "low": 14.0, "high": 20.25, "unit": "%"}
    assert score_words(score, "mape") == "MAPE 17.1 % (14 to 20.2)"
    assert score_words({**score, "low": None, "high": None}, "mape") == "MAPE 17.1 %"
    assert score_words({**score, "unit": "1"}, "log_loss") == "log loss 17.1 (14 to 20.2)"
    assert score_words(None, "mape") == "no score"
