"""Settings meet the workflow: typos, studies side by side, parts that are switched off."""

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
    lines = (project.root / "config/quick.yaml").read_text(encoding="utf-8").splitlines()
    (number,) = [n for n, line in enumerate(lines, start=1) if "copys" in line]
    assert f"line {number}: augment.copys: unknown key; did you mean copies?" in sentence
    assert "Traceback" not in said


def test_two_studies_write_to_different_places(project):
    first, second = write_study(project, "first", "one"), write_study(project, "second", "two")
    ours, theirs = first.outputs(), second.outputs()
    assert set(ours).isdisjoint(theirs)
    assert len(ours) == len(theirs) > 10


def test_parts_that_a_study_lacks_are_left_out(project):
    study = write_study(project, "small", "small")
    jobs = study.jobs()
    assert {"compute_dose", "extract_features", "report"} <= set(jobs)
    assert not {"tune", "train", "evaluate", "register", "augment"} & set(jobs)
    text = (project.root / study.config).read_text(encoding="utf-8")
    only_pet = "radiomics: {presets: {pet: pet_8mm}}\ncheck: {require: [pet, mask]}\n"
    (project.root / study.config).write_text(text + only_pet, encoding="utf-8")
    jobs = study.jobs()
    assert "extract_features" in jobs
    assert not {"quantify", "compute_dose", "evaluate_labels"} & set(jobs)


def test_a_misspelt_predictor_ends_the_run_before_its_first_job(project):
    project.edit("config/experiments/organ_dose_quick.yaml", "hybrid", "hybird")
    said = project.snakemake("--cores", "1", ok=False)
    assert "organ_dose_quick.predictors · got hybird" in said
    assert "did you mean hybrid?" in said
    assert "no job was begun" in said
    assert "Traceback" not in said
    assert not (project.root / "data").exists() or not list((project.root / "data").rglob("*.nii.gz"))
    assert not list((project.root / "results").rglob("*.tsv"))
