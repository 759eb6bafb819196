"""The graph of rules: what it holds, what starts it, and that its files are clean."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from theradose.settings import study_schema

ROOT = Path(__file__).resolve().parents[2]
RULES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))


def test_a_bare_run_on_an_empty_tree_has_work_to_do(project):
    jobs = project.jobs(bare=True)
    assert jobs["total"] > 30
    assert {"simulate", "check", "quantify", "fit_kinetics", "compute_dose", "train", "evaluate", "register"} <= set(
        jobs
    )


def test_both_entries_give_the_same_graph(project):
    by_shim = project.jobs()
    directly = project.jobs("-s", "workflow/Snakefile")
    by_shim["all"] = by_shim.pop("default")
    assert by_shim == directly


def test_named_targets_make_their_part_only(project):
    assert set(project.jobs("dosimetry")) == {
        "simulate", "check", "quantify", "fit_kinetics", "compute_dose", "gather", "dosimetry", "total",
    }  # fmt: skip


def test_tables_of_the_graph_are_clean(project):
    project.snakemake("--lint")


def test_workflow_files_are_formatted():
    command = [Path(sys.executable).with_name("snakefmt"), "--check", "Snakefile", "workflow"]
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_the_schema_is_what_the_settings_say():
    written = yaml.safe_load((ROOT / "workflow" / "schemas" / "config.schema.yaml").read_text(encoding="utf-8"))
    assert written == study_schema(), "run `make schema`"


def rules():
    """Return (rule, text) of every rule of the workflow."""
    for file in RULES:
        parts = re.split(r"^ *rule (\w+):\n", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        yield from zip(parts[1::2], parts[2::2], strict=True)


@pytest.mark.parametrize(("name", "text"), rules())
def test_a_rule_runs_the_step_of_its_name_and_watches_its_code(name, text):
    assert re.findall(r"python -m theradose\.steps\.(\w+)", text) == [name]
    assert f'code=step_code("{name}")' in text
    assert (ROOT / "src" / "theradose" / "steps" / f"{name}.py").is_file()
    assert "directory(" not in text
    assert "run:" not in text


def test_every_step_has_a_rule_or_comes_before_all_jobs():
    files = sorted((ROOT / "src" / "theradose" / "steps").glob("*.py"))
    steps = {path.stem for path in files if "__main__" in path.read_text(encoding="utf-8")}
    begin = (ROOT / "workflow" / "rules" / "common.smk").read_text(encoding="utf-8")
    before = {step for step in ("check_experiments", "init_tracking") if f'"{step}": [' in begin}
    assert len(before) == 2
    assert steps - before == {name for name, _ in rules()}


def test_the_drawn_graph_shows_every_rule():
    drawn = (ROOT / "docs" / "rulegraph.md").read_text(encoding="utf-8")
    assert {name for name, _ in rules() if f"[{name}]" not in drawn} == set(), "run `make docs`"
