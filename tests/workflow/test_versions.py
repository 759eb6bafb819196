"""DVC beside Snakemake: restored bytes re-run nothing, an older data set re-runs its descendants."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

STUDY = """\
study: demo
title: A small demo for the test of versions
seed: {seed}
cohort: {{name: demo, virtual: {{patients: 10, spacing_mm: 10.0}}}}
split: {{scheme: holdout, test_fraction: 0.3, folds: 2}}
radiomics: {{organs: [kidneys, liver]}}
experiments: [organ_dose_quick]
"""
MODEL = "models/demo/organ_dose_quick/hybrid"
EVERYTHING_BELOW_THE_DATA = {
    "check", "split", "quantify", "fit_kinetics", "compute_dose", "gather", "extract_features", "assemble_covariates",
    "evaluate_labels", "limit", "stability", "tune", "train", "evaluate", "compare", "register", "report", "summarise",
}  # fmt: skip


class Versioned:
    """A project in git and DVC whose demo is small."""

    def __init__(self, project):
        self.project, self.root = project, project.root

    def run(self, *command):
        done = subprocess.run(command, cwd=self.root, env=self.environment, text=True, capture_output=True)
        assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
        return done.stdout + done.stderr

    @property
    def environment(self):
        names = {
            f"GIT_{who}_{what}": "test@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return {**self.project.environment, **names, "PATH": path, "DVC_NO_ANALYTICS": "1"}

    def git(self, *args):
        return self.run("git", *args)

    def dvc(self, *args):
        return self.run(sys.executable, "-m", "dvc", *args)

    def snakemake(self, *args):
        return self.run(sys.executable, "-m", "snakemake", *args)

    def would_run(self):
        said = self.snakemake("-n")
        table = said.rsplit("Job stats:", 1)[1] if "Job stats:" in said else ""
        return set(re.findall(r"^([a-z_]+) +\d+$", table, re.MULTILINE)) - {"default", "total"}

    def settings(self, seed):
        (self.root / "config" / "demo.yaml").write_text(STUDY.format(seed=seed), encoding="utf-8")

    def record(self, words):
        done = self.project.theradose("record")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "carries dvc_data" in done.stdout
        self.git("add", "-A")
        self.git("commit", "-q", "-m", words)

    def predict(self):
        done = self.project.theradose("predict", "data/demo", "--model", MODEL, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def versioned(tmp_path_factory, copy_to):
    """Two versions of the demo, one commit each; the second is checked out."""
    root = tmp_path_factory.mktemp("versions") / "one"
    root.mkdir()
    made = Versioned(copy_to(root))
    made.settings(seed=1)
    made.git("init", "-q")
    made.snakemake("--cores", "2")
    made.record("first")
    made.first = made.predict()
    made.settings(seed=2)
    made.snakemake("--cores", "2")
    made.record("second")
    return made


def test_recording_a_run_leaves_nothing_to_do(versioned):
    assert versioned.would_run() == set()
    assert "up to date" in versioned.dvc("status")


def test_restoring_the_same_bytes_reruns_nothing(versioned):
    shutil.rmtree(versioned.root / "data" / "demo")
    shutil.rmtree(versioned.root / "models" / "demo")
    versioned.dvc("checkout")
    assert versioned.would_run() == set()


def test_numbers_of_two_versions_are_compared(versioned):
    changes = json.loads(versioned.dvc("metrics", "diff", "--json", "HEAD~1"))
    assert "metrics/demo.json" in str(changes)


def test_an_older_data_set_reruns_its_descendants_and_an_older_model_predicts_as_then(versioned):
    versioned.git("checkout", "-q", "HEAD~1", "--", "dvc.lock")
    versioned.dvc("checkout", "cohort")
    assert versioned.would_run() == EVERYTHING_BELOW_THE_DATA
    versioned.dvc("checkout", "models")
    assert versioned.predict() == versioned.first
    versioned.git("checkout", "-q", "HEAD", "--", "dvc.lock")
    versioned.dvc("checkout")
    assert versioned.would_run() == set()


def test_a_clone_that_pulls_is_up_to_date_and_notices_later_changes(versioned, tmp_path):
    clone = tmp_path / "clone"
    versioned.git("clone", "-q", ".", str(clone))
    shutil.copytree(versioned.root / ".dvcstore", clone / ".dvcstore")
    other = Versioned(type(versioned.project)(clone))
    other.dvc("pull")
    other.snakemake("--touch", "--forceall", "--cores", "1")
    assert other.would_run() == set()
    other.settings(seed=3)
    assert {"simulate", *EVERYTHING_BELOW_THE_DATA} <= other.would_run()
