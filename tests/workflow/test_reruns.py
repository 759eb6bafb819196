"""What re-runs: exactly the steps that use what has changed, and nothing for words, times and a new tracking run."""

import os
import re

from theradose.settings import load_experiment

PARAMS = "params have changed since last execution:"


def movers(said, reason):
    """Return the rules that a dry run names for one reason."""
    return set(said.split(reason, 1)[1].split("\n", 2)[1].replace(",", " ").split()) if reason in said else set()


def jobs_of(said):
    """Return the rules of the last job table of a dry run."""
    return (
        set(re.findall(r"^([a-z_]+) +\d+$", said.rsplit("Job stats:", 1)[1], re.MULTILINE))
        if "Job stats" in said
        else set()
    )


def test_a_finished_study_has_nothing_to_do(finished):
    assert "Nothing to be done" in finished.snakemake("-n")


def test_a_changed_formula_reruns_the_steps_that_use_it(finished):
    finished.edit("src/theradose/physics/kinetics.py", "import numpy as np\n", "import numpy as np\n\nEXTRA = 1.0\n")
    said = finished.snakemake("-n")
    users = movers(said, PARAMS)
    assert "fit_kinetics" in users
    assert not users & {"simulate", "check", "quantify", "split", "extract_features", "augment", "tune", "gather"}
    assert {"fit_kinetics", "compute_dose", "tune", "train", "evaluate", "report"} <= jobs_of(said)


def test_a_changed_comment_or_docstring_reruns_nothing(finished):
    path = finished.root / "src/theradose/physics/kinetics.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"""', '"""Other words. ', 1) + "# a comment at the end\n", encoding="utf-8")
    assert "Nothing to be done" in finished.snakemake("-n")


def test_a_changed_value_reruns_the_steps_that_get_its_section(finished):
    finished.edit("config/quick.yaml", "copies: 1", "copies: 2")
    said = finished.snakemake("-n")
    assert movers(said, PARAMS) == {"augment"}
    jobs = set(jobs_of(said))
    assert {"augment", "tune", "train"} <= jobs
    assert not {"simulate", "check", "quantify", "normalise", "extract_features"} & jobs


def test_excluding_a_patient_makes_no_new_cohort(finished):
    finished.edit("config/quick.yaml", "name: quick\n", "name: quick\n  exclude: [v003]\n")
    jobs = set(finished.jobs())
    assert "check" in jobs
    assert "simulate" not in jobs


def test_files_that_are_only_newer_rerun_nothing(finished):
    for path in sorted((finished.root / "data").rglob("*")):
        os.utime(path)
    assert "Nothing to be done" in finished.snakemake("-n")


def test_other_data_rerun_their_descendants_and_not_what_made_them(finished):
    (finished.root / "data/quick/manifest.tsv").write_text("another version\n", encoding="utf-8")
    jobs = set(finished.jobs())
    assert {"check", "quantify", "extract_features", "normalise", "train", "report"} <= jobs
    assert "simulate" not in jobs


def test_a_new_title_or_tracking_run_trains_nothing_again(finished):
    finished.edit("config/quick.yaml", "title: Quick", "title: Another quick")
    assert set(finished.jobs()) == {"report", "summarise", "default", "total"}
    (finished.root / "results/quick/tracking.json").write_text("another run\n", encoding="utf-8")
    assert not {"tune", "train", "evaluate"} & set(finished.jobs())


def test_an_experiment_that_is_added_is_learned_and_the_others_are_not_again(finished):
    folder = finished.root / "config" / "experiments"
    text = (folder / "organ_dose_quick.yaml").read_text(encoding="utf-8")
    (folder / "mine.yaml").write_text(text.replace("name: organ_dose_quick", "name: mine"), encoding="utf-8")
    finished.edit("config/quick.yaml", "experiments: [", "experiments: [mine, ")
    jobs = finished.jobs()
    predictors = len(load_experiment(folder, "mine").all_predictors)
    assert (jobs["tune"], jobs["train"], jobs["evaluate"]) == (predictors, predictors, 1)
    assert {"compare", "register", "report"} <= set(jobs)
    assert not {"simulate", "extract_features", "compute_dose"} & set(jobs)


def test_what_is_judged_afterwards_trains_nothing_anew(finished):
    file = "config/experiments/organ_dose_quick.yaml"
    finished.edit(file, "learning_curve: {sizes: [5], repeats: 2}", "audit_permutations: 5\nplanning: {cycles: 2}")
    jobs = set(finished.jobs())
    assert {"evaluate", "plan_activities", "report"} <= jobs
    assert not {"tune", "train", "extract_features"} & jobs


def test_a_changed_bound_of_the_searches_tunes_again(finished):
    finished.edit("config/quick.yaml", "title: Quick", "workflow: {trials: 1}\ntitle: Quick")
    assert {"tune", "train", "evaluate", "report"} <= set(finished.jobs())
