"""What the workflow knows of a study before it starts."""

from pathlib import Path

import pytest

from theradose.errors import SettingsError
from theradose.ops.plan import Plan, load_plan, step_code
from theradose.settings import StudySettings, load_experiment, load_study, parse_settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("file", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_study_of_the_repository_is_valid_and_named_as_its_file(file):
    study = load_study(file)
    assert study.study == file.stem
    assert load_plan(study.model_dump(mode="json") | {"cohort": {"name": "virtual"}}, ROOT).study.title


@pytest.mark.parametrize("file", sorted((ROOT / "config" / "experiments").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_experiment_of_the_repository_is_valid_and_named_as_its_file(file):
    assert load_experiment(file.parent, file.stem).name == file.stem


def test_models_are_two_files_each_in_the_order_of_the_settings():
    plan = load_plan({"study": "s", "experiments": ["dose_map_quick"]}, ROOT)
    first, *_ = plan.experiments["dose_map_quick"].all_predictors
    assert plan.model_files[:2] == [f"dose_map_quick/{first}/{name}" for name in ("model.json", "weights.safetensors")]
    assert len(plan.model_files) == 2 * len(plan.trained)


def test_who_is_excluded_does_not_change_the_cohort():
    plain = Plan(parse_settings(StudySettings, {}), {})
    without = Plan(parse_settings(StudySettings, {"cohort": {"exclude": ["v001"]}}), {})
    assert without.cohort_made == plain.cohort_made


def test_a_step_that_does_not_exist_has_no_digest():
    with pytest.raises(SettingsError, match="trian"):
        step_code("trian")


def test_a_missing_preset_is_named():
    with pytest.raises(SettingsError, match=r"config/radiomics/nowhere\.yaml"):
        load_plan({"radiomics": {"presets": {"pet": "nowhere"}}, "experiments": []}, ROOT)
