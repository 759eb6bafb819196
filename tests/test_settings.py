"""Settings are typed, frozen, and refuse what they do not know, all faults at once."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from theradose.errors import SettingsError
from theradose.sections import ExperimentSettings, SplitSettings, StudySettings
from theradose.settings import from_json, load_study, parse_settings, study_schema, to_json  # fmt: skip


def test_a_misspelt_key_gets_a_guess() -> None:
    with pytest.raises(SettingsError, match=r"cohort\.virtual\.patiens: unknown key; did you mean patients\?"):
        parse_settings(StudySettings, {"cohort": {"virtual": {"patiens": 3}}})


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as fault:
        parse_settings(StudySettings, {"sed": 1, "split": {"folds": "many"}}, "study.yaml")
    for word in ("study.yaml", "sed", "seed", "split.folds", "many"):
        assert word in str(fault.value)


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


def test_the_schema_refuses_unknown_keys_at_every_level() -> None:
    schema = study_schema()
    assert schema["additionalProperties"] is False
    assert all(part["additionalProperties"] is False for part in schema["$defs"].values())


def test_organs_that_a_study_leaves_out_keep_their_default() -> None:
    study = parse_settings(StudySettings, {"kinetics": {"population_t_eff_h": {"kidneys": 50.0}}})
    assert study.kinetics.population_t_eff_h["kidneys"] == 50.0
    assert study.kinetics.population_t_eff_h["liver"] == StudySettings().kinetics.population_t_eff_h["liver"]
    assert study.kinetics.uptake_half_time_h == StudySettings().kinetics.uptake_half_time_h
