"""Settings meet the workflow: typos, studies side by side, parts that are switched off."""

import json

STUDY = """\
study: {study}
seed: {seed}
cohort: {{name: {cohort}, virtual: {{patients: 8}}}}
experiments: []
"""


def write_study(project, study, cohort, seed=1):
    file = f"config/{study}.yaml"
    (project.root / file).write_text(STUDY.format(study=study, cohort=cohort, seed=seed), encoding="utf-8")
    return type(project)(project.root, file)


def test_a_misspelt_key_gives_one_sentence_with_the_right_word(project):
    project.edit("config/quick.yaml", "copies: 1", "copys: 1")
    said = project.snakemake("-n", ok=False)
    (sentence,) = [line for line in said.splitlines() if line.startswith("theradose:")]
    assert "augment.copys: unknown key; did you mean copies?" in sentence
    assert "Traceback" not in said


def test_a_value_out_of_range_is_named_with_what_is_allowed(project):
    project.edit("config/quick.yaml", "patients: 10", "patients: 0")
    said = project.snakemake("-n", ok=False)
    assert "cohort.virtual.patients: Input should be greater than or equal to 1 (got 0)" in said


def test_a_misspelt_key_of_an_experiment_names_its_file(project):
    project.edit("config/experiments/organ_dose_quick.yaml", "organs:", "organ:")
    said = project.snakemake("-n", ok=False)
    assert "config/experiments/organ_dose_quick.yaml" in said
    assert "did you mean organs?" in said


def test_two_studies_write_to_different_places(project):
    first, second = write_study(project, "first", "one"), write_study(project, "second", "two")
    assert set(first.outputs()).isdisjoint(second.outputs())
    assert len(first.outputs()) > 10


def test_two_studies_may_share_a_cohort_only_when_it_is_the_same(project):
    first, second = write_study(project, "first", "shared"), write_study(project, "second", "shared")
    results = project.root / "results" / "first"
    results.mkdir(parents=True)
    said = first.snakemake("-n")
    assert "THR" not in said
    record = {"study": "first", "seed": 1, "radionuclide": "Lu-177", "cohort": cohort_settings("shared")}
    (results / "study.json").write_text(json.dumps(record), encoding="utf-8")
    assert second.jobs()["total"] > 5
    other = write_study(project, "second", "shared", seed=2)
    assert "study first has made this cohort from other settings" in other.snakemake("-n", ok=False)


def cohort_settings(name):
    from theradose.settings import CohortSettings, VirtualSettings

    return CohortSettings(name=name, virtual=VirtualSettings(patients=8)).model_dump(mode="json")


def test_a_missing_data_set_is_named_with_its_remedy(project):
    project.edit("config/quick.yaml", "source: virtual", "source: folder")
    said = project.snakemake("-n", ok=False)
    assert "data/quick/manifest.tsv" in said
    assert "theradose import" in said


def test_parts_that_a_study_lacks_are_left_out(project):
    study = write_study(project, "small", "small")
    jobs = study.jobs()
    assert {"compute_dose", "extract_features", "report"} <= set(jobs)
    assert not {"tune", "train", "evaluate", "register", "init_tracking", "augment"} & set(jobs)
    text = (project.root / study.config).read_text(encoding="utf-8")
    (project.root / study.config).write_text(text + "radiomics: {presets: {}}\n", encoding="utf-8")
    assert "extract_features" not in study.jobs()
    (project.root / study.config).write_text(text + "check: {require: [pet, mask]}\n", encoding="utf-8")
    assert not {"quantify", "compute_dose"} & set(study.jobs())


def test_experiments_without_doses_are_refused(project):
    project.edit("config/quick.yaml", "split:", "check: {require: [pet, ct, mask]}\nsplit:")
    assert "experiments learn from doses, but no SPECT is required" in project.snakemake("-n", ok=False)
