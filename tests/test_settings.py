"""Settings are typed, frozen, and refuse what they do not know, all faults at once."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from theradose.errors import SettingsError
from theradose.experiment_sections import ExperimentSettings
from theradose.sections import SplitSettings, StudySettings
from theradose.settings import (
    from_json,
    load_experiment,
    load_study,
    parse_settings,
    study_schema,
    to_json,
)


def test_a_misspelt_key_gets_a_guess() -> None:
    with pytest.raises(SettingsError, match=r"cohort\.virtual\.patiens: unknown key; did you mean patients\?"):
        parse_settings(StudySettings, {"cohort": {"virtual": {"patiens": 3}}})


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as fault:
        parse_settings(StudySettings, {"sed": 1, "split": {"folds": "many"}}, "study.yaml")
    for word in ("study.yaml", "sed", "seed", "split.folds", "many"):
        assert word in str(fault.value)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"organs": "kidneys"}, r"organs: should be a list, \[one, another\] \(got 'kidneys'\)"),
        ({"tuning": 5}, r"tuning: should be keys with values, \{key: value\} \(got 5\)"),
        ({"parameters": [1]}, r"parameters: should be keys with values"),
        ({"tuning": {"trials": "x"}}, r"tuning\.trials: .*integer"),
    ],
)
def test_a_value_of_another_shape_is_told_in_the_words_of_the_file(changes: dict[str, object], words: str) -> None:
    given = {"name": "m", "kind": "organ_dose", "title": "t", "baselines": ["ridge"], "predictors": [], **changes}
    with pytest.raises(SettingsError, match=words):
        parse_settings(ExperimentSettings, given)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"learning_curve": {"size": [5]}}, r"learning_curve\.size: unknown key; did you mean sizes\?"),
        ({"selection": {"stabilty": 0.9}}, r"selection\.stabilty: unknown key; did you mean stability\?"),
        ({"planning": {"cycle": 4}}, r"planning\.cycle: unknown key; did you mean cycles\?"),
        ({"learning_curve": {"sizes": [10, 5, 5]}}, r"learning_curve\.sizes: each number once"),
        ({"learning_curve": {"sizes": []}}, r"sizes: should hold one or more"),
    ],
)
def test_optional_sections_are_told_as_well_as_others(changes: dict[str, object], words: str) -> None:
    given = {"name": "m", "kind": "organ_dose", "title": "t", "baselines": ["ridge"], "predictors": [], **changes}
    with pytest.raises(SettingsError, match=words):
        parse_settings(ExperimentSettings, given)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        StudySettings().seed = 2  # type: ignore[misc]


def test_a_section_survives_the_way_to_its_step() -> None:
    section = SplitSettings(scheme="by_centre", test_centre="north")
    assert from_json(SplitSettings, to_json(section)) == section


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("study: [")
    with pytest.raises(SettingsError, match=r"broken\.yaml"):
        load_study(file)
    file.write_text("- a list")
    with pytest.raises(SettingsError, match="no mapping"):
        load_study(file)


def test_an_experiment_without_a_baseline_is_refused() -> None:
    values = {"name": "x", "kind": "organ_dose", "title": "t", "baselines": [], "predictors": ["mlp"]}
    with pytest.raises(SettingsError, match="never shown without a baseline"):
        parse_settings(ExperimentSettings, values)


def test_an_unknown_organ_is_refused() -> None:
    with pytest.raises(SettingsError, match="pancreas"):
        parse_settings(StudySettings, {"radiomics": {"organs": ["pancreas"]}})


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"organs": []}, "organs: name one or more"),
        ({"t_eff_h": {"kidnies": 30.0}}, "t_eff_h: .*kidnies.* unknown"),
        ({"kind": "outcome", "outcomes": ["kidney_toxity"]}, "outcomes: .*kidney_toxity.* unknown.*kidney_toxicity"),
        ({"outcomes": ["response"]}, "outcomes: only for experiments of kinds multitask, outcome"),
    ],
)
def test_what_an_experiment_names_must_exist(changed: dict[str, object], words: str) -> None:
    given = {"name": "e", "kind": "organ_dose", "title": "t", "baselines": ["pet_scaled"], "predictors": []}
    with pytest.raises(SettingsError, match=words):
        parse_settings(ExperimentSettings, {**given, **changed})


def test_an_experiment_has_a_file_of_its_name(tmp_path: Path) -> None:
    text = "name: organ_dose\nkind: organ_dose\ntitle: t\nbaselines: [pet_scaled]\npredictors: []\n"
    for stem in ("organ_dose", "second"):
        (tmp_path / f"{stem}.yaml").write_text(text, encoding="utf-8")
    assert load_experiment(tmp_path, "organ_dose").name == "organ_dose"
    with pytest.raises(SettingsError, match=r"not named as its file.*second.yaml.*got organ_dose · expected second"):
        load_experiment(tmp_path, "second")
    with pytest.raises(SettingsError, match=r"no file.*organ_doses.yaml.*did you mean organ_dose\?"):
        load_experiment(tmp_path, "organ_doses")


def test_the_schema_refuses_unknown_keys_at_every_level() -> None:
    schema = study_schema()
    assert schema["additionalProperties"] is False
    assert all(part["additionalProperties"] is False for part in schema["$defs"].values())


def test_organs_that_a_study_leaves_out_keep_their_default() -> None:
    study = parse_settings(StudySettings, {"kinetics": {"population_t_eff_h": {"kidneys": 50.0}}})
    assert study.kinetics.population_t_eff_h["kidneys"] == 50.0
    assert study.kinetics.population_t_eff_h["liver"] == StudySettings().kinetics.population_t_eff_h["liver"]
    assert study.kinetics.uptake_half_time_h == StudySettings().kinetics.uptake_half_time_h


FAULTY = """\
# a study
study: mine
sed: 1

split:
  scheme: holdout
  folds: many
  test_fraction: 2
cohort: {virtual: {patiens: 3,
                   spect_times_h: [4, -1]}}
check:
  require: [pet, ct, mri]
radiomics: {organs: [pancreas]}
"""


def test_every_fault_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(FAULTY, encoding="utf-8")
    with pytest.raises(SettingsError) as fault:
        load_study(file)
    for said in (
        "line 3: sed: unknown key; did you mean seed?", "line 7: split.folds: ", "line 8: split.test_fraction: ",
        "line 9: cohort.virtual.patiens: unknown key; did you mean patients?",
        "line 10: cohort.virtual.spect_times_h.1: ", "line 12: check.require.2: ",
    ):  # fmt: skip
        assert said in str(fault.value)


def test_a_rule_between_keys_and_a_missing_key_have_a_line_where_one_is_known(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("study: mine\n\nradiomics:\n  presets: {}\n  organs: [pancreas]\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"got line 5: radiomics\.organs: \['pancreas'\] unknown"):
        load_study(file)
    file.write_text("quantify:\n  recovery: none\n  voxel_recovery: region_based\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"got line 3: quantify: voxel_recovery"):
        load_study(file)
    (tmp_path / "x.yaml").write_text("name: x\nkind: organ_dose\ntitle: t\nbaselines: [pet_scaled]\n")
    with pytest.raises(SettingsError, match=r"got predictors: must be given"):
        load_experiment(tmp_path, "x")


def test_of_several_files_the_last_that_has_the_key_is_named(tmp_path: Path) -> None:
    files = [tmp_path / "a.yaml", tmp_path / "b.yaml"]
    files[0].write_text("seed: 1\nsplit: {folds: many}\n", encoding="utf-8")
    files[1].write_text("\n\nseed: -1\n", encoding="utf-8")
    values = {"seed": -1, "split": {"folds": "many"}, "limit_patients": 0}
    with pytest.raises(SettingsError) as fault:
        parse_settings(StudySettings, values, "configuration", files)
    assert "b.yaml line 3: seed: " in str(fault.value)
    assert "a.yaml line 2: split.folds: " in str(fault.value)
    assert "; limit_patients: " in str(fault.value) or "got limit_patients: " in str(fault.value)


def test_harmonise_may_be_one_word_and_is_off_by_default():
    base = {"name": "t", "kind": "organ_dose", "title": "t", "baselines": ["ridge"], "predictors": []}
    assert parse_settings(ExperimentSettings, base).harmonise.method == "none"
    assert parse_settings(ExperimentSettings, base).selection is None
    told = parse_settings(ExperimentSettings, {**base, "harmonise": "combat", "selection": {"redundancy": 0.8}})
    assert (told.harmonise.method, told.harmonise.new_centre) == ("combat", "leave")
    assert (told.selection.redundancy, told.selection.relevance) == (0.8, 20)
    for wrong in ({"harmonise": "magic"}, {"selection": {"relevance": 0}}, {"kind": "dose_map", "harmonise": "combat"}):
        with pytest.raises(SettingsError):
            parse_settings(ExperimentSettings, {**base, **wrong})
