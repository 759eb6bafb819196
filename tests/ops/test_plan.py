"""What the workflow knows of a study before it starts."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from theradose.errors import SettingsError, StorageError
from theradose.ops.plan import load_plan, step_code
from theradose.ops.study import Plan
from theradose.sections import StudySettings
from theradose.settings import from_json, load_experiment, load_study, parse_settings, to_json

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("file", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_study_of_the_repository_is_valid_and_named_as_its_file(file):
    study = load_study(file)
    assert study.study == file.stem
    dumped = study.model_dump(mode="json")
    plan = load_plan(dumped | {"cohort": dumped["cohort"] | {"name": "virtual", "source": "virtual"}}, ROOT)
    assert plan.study.title
    for one in plan.experiments.values():  # as steps get them
        assert from_json(type(one), to_json(one)) == one


@pytest.mark.parametrize("file", sorted((ROOT / "config" / "experiments").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_experiment_of_the_repository_is_valid_and_named_as_its_file(file):
    assert load_experiment(file.parent, file.stem).name == file.stem


def test_models_are_two_files_each_in_the_order_of_the_settings():
    plan = load_plan({"study": "s", "experiments": ["dose_map_quick"]}, ROOT)
    first, *_ = plan.experiments["dose_map_quick"].all_predictors
    assert plan.model_files[:2] == [f"dose_map_quick/{first}/{name}" for name in ("model.json", "weights.safetensors")]
    assert len(plan.model_files) == 2 * len(plan.trained)


def test_a_bed_of_an_experiment_has_the_half_lives_of_its_study():
    asked = {
        "study": "s",
        "experiments": ["organ_dose", "toxicity"],
        "kinetics": {"population_t_eff_h": {"spleen": 70}},
    }
    plan = load_plan(asked, ROOT)
    assert plan.experiments["toxicity"].t_eff_h["spleen"] == 70.0
    assert plan.experiments["toxicity"].t_eff_h["kidneys"] > 0
    assert plan.experiments["organ_dose"].t_eff_h == {"spleen": 70.0}  # plans know the usual ones of 177Lu already
    usual = load_plan({"study": "s", "experiments": ["organ_dose", "organ_dose_nested"]}, ROOT).experiments
    assert usual["organ_dose"].planning is not None
    assert usual["organ_dose"].t_eff_h == {}


def test_a_study_for_a_quick_look_bounds_every_search_and_lengthens_none():
    asked = {"study": "s", "experiments": ["latency", "multitask", "organ_dose", "organ_dose_nested"]}
    plain, quick = (load_plan({**asked, "workflow": {"trials": n}}, ROOT).experiments for n in (None, 3))
    assert {name: one.tuning.trials for name, one in plain.items()} == {
        "latency": 20, "multitask": 2, "organ_dose": 10, "organ_dose_nested": 10,
    }  # fmt: skip
    assert [quick[name].tuning.trials for name in plain] == [3, 2, 3, 3]
    assert quick["organ_dose_nested"].nested.trials == 3 < plain["organ_dose_nested"].nested.trials
    assert quick["latency"].tuning.folds == plain["latency"].tuning.folds


@pytest.mark.parametrize(
    ("organs", "case", "fine"),
    [
        ("[kidneys]", "standard", True),
        ("[kidneys]", "cautious", True),
        ("[kidneys]", "standart", False),
        ("[kidneys]", "virtual", False),
        ("[spleen, liver]", "standard", True),
        ("[spleen]", "standard", False),
    ],
)
def test_activities_are_planned_where_the_table_has_a_limit(organs, case, fine, tmp_path):
    folder = tmp_path / "config" / "experiments"
    folder.mkdir(parents=True)
    shutil.copytree(ROOT / "config" / "radiomics", tmp_path / "config" / "radiomics")
    text = f"name: mine\nkind: organ_dose\ntitle: T\nbaselines: [pet_scaled]\npredictors: [ridge]\norgans: {organs}\n"
    (folder / "mine.yaml").write_text(text + f"planning: {{case: {case}}}\n", encoding="utf-8")
    asked = {"study": "s", "experiments": ["mine"]}
    if fine:
        assert load_plan(asked, tmp_path).experiments["mine"].planning.case == case
    else:
        with pytest.raises(SettingsError, match=rf"mine.planning.case.*{case}.*choose one of standard, cautious"):
            load_plan(asked, tmp_path)


def test_validation_patients_watch_only_where_the_split_makes_some():
    literal = {"study": "s", "experiments": ["dose_map_literal"], "radiomics": {"presets": {}}}
    assert load_plan({**literal, "split": {"scheme": "thirds"}}, ROOT).experiments
    with pytest.raises(SettingsError, match="the split has none") as caught:
        load_plan(literal, ROOT)
    assert "holdout, with dose_map_literal" in str(caught.value)


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


def test_a_value_out_of_range_is_named_with_what_is_allowed():
    said = r"cohort\.virtual\.patients: Input should be greater than or equal to 1 \(got 0\)"
    with pytest.raises(SettingsError, match=said):
        load_plan({"cohort": {"virtual": {"patients": 0}}}, ROOT)


def test_a_misspelt_key_of_an_experiment_names_its_file(tmp_path):
    folder = tmp_path / "config" / "experiments"
    folder.mkdir(parents=True)
    text = (ROOT / "config" / "experiments" / "organ_dose_quick.yaml").read_text(encoding="utf-8")
    (folder / "organ_dose_quick.yaml").write_text(text.replace("organs:", "organ:"), encoding="utf-8")
    with pytest.raises(SettingsError, match=r"organ_dose_quick\.yaml.*organ: unknown key; did you mean organs\?"):
        load_plan({"experiments": ["organ_dose_quick"]}, tmp_path)


def test_a_missing_data_set_is_named_with_its_remedy():
    with pytest.raises(SettingsError, match=r"data/nowhere/manifest\.tsv.*theradose import"):
        load_plan({"cohort": {"name": "nowhere", "source": "folder"}, "experiments": []}, ROOT)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"check": {"require": ["pet", "mask"]}}, "no SPECT is required"),
        ({"radiomics": {"presets": {}}}, "none are extracted"),
    ],
)
def test_experiments_need_what_they_learn_from(settings, words):
    with pytest.raises(SettingsError, match=words):
        load_plan({"experiments": ["organ_dose_quick"], **settings}, ROOT)


def test_a_later_cycle_needs_its_images_and_is_no_cause_of_outcomes(tmp_path):
    folder = tmp_path / "config" / "experiments"
    folder.mkdir(parents=True)
    text = (ROOT / "config/experiments/toxicity.yaml").read_text(encoding="utf-8")
    late = (ROOT / "config/experiments/organ_dose_cycle2.yaml").read_text(encoding="utf-8")
    (folder / "organ_dose_cycle2.yaml").write_text(late.replace("last_cycle_hybrid", "hybrid"), encoding="utf-8")
    text = text.replace("doses: organ_dose", "doses: organ_dose_cycle2")
    (folder / "toxicity.yaml").write_text(text, encoding="utf-8")
    shutil.copytree(ROOT / "config/radiomics", tmp_path / "config/radiomics")
    asked = {"experiments": ["organ_dose_cycle2"]}
    with pytest.raises(SettingsError, match=r"imaged_cycles.*got 1, with organ_dose_cycle2"):
        load_plan(asked, tmp_path)
    asked |= {"cohort": {"virtual": {"planned_cycles": 4, "imaged_cycles": 2}}}
    assert load_plan(asked, tmp_path).experiments["organ_dose_cycle2"].later_cycle == {"cycle": 2}
    with pytest.raises(SettingsError, match="toxicity reads predicted doses of the first cycle"):
        load_plan(asked | {"experiments": ["organ_dose_cycle2", "toxicity"]}, tmp_path)


def bare(study, **settings):
    return {"study": study, "experiments": [], "radiomics": {"presets": {}}, **settings}


def test_two_studies_share_a_virtual_cohort_only_when_it_is_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    load_plan(bare("first", seed=1, cohort={"name": "shared"})).record()
    same = bare("second", seed=1, cohort={"name": "shared", "exclude": ["v003"]})
    assert load_plan(same).data == "data/shared"
    for other in ({"seed": 2}, {"radionuclide": "Tb-161"}):
        with pytest.raises(SettingsError, match="study first has made this cohort from other settings"):
            load_plan(same | other)
    assert load_plan(bare("first", seed=2, cohort={"name": "shared"})).study.seed == 2
    assert load_plan(bare("second", seed=2, cohort={"name": "own"})).data == "data/own"


def test_the_recorded_settings_hold_every_default_and_can_be_read_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = load_plan(bare("mine"))
    plan.record()
    assert from_json(StudySettings, Path("results/mine/study.json").read_text(encoding="utf-8")) == plan.study
    assert plan.summary() == ""


@pytest.mark.parametrize("place", ["data", "truth", "results", "models", "metrics"])
def test_a_place_that_cannot_be_written_is_told_before_the_study_begins(place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = Plan(parse_settings(StudySettings, {"study": "s"}), {})
    plan.require_writable()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    shutil.rmtree(tmp_path / place)
    (tmp_path / place).write_text("no folder", encoding="utf-8")
    with pytest.raises(StorageError, match=rf"THR-530 .* file {place}/.*\.write-test"):
        plan.require_writable()


def test_a_full_disk_is_told_before_the_study_begins(tmp_path, monkeypatch):
    def refuse(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match=r"THR-531 .* file data/demo/\.write-test · got no space left on device"):
        Plan(parse_settings(StudySettings, {}), {}).require_writable()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
