"""Who can know what was planted in virtual patients, read off rules and sources; tests/steps/test_entry.py tries it."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from theradose.provenance import import_closure
from theradose.steps.entry import MAY_OPEN_TRUTH

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "theradose"
FILES = sorted(PACKAGE.rglob("*.py"))
STEPS = sorted(path.stem for path in (PACKAGE / "steps").glob("*.py") if path.stem != "__init__")
WORKFLOW = [ROOT / "Snakefile", ROOT / "workflow" / "Snakefile", *sorted((ROOT / "workflow" / "rules").glob("*.smk"))]

# Files that may make virtual patients, and files that may name what was planted: its schemas and its tables.
MAKERS = (
    "cohort/virtual/", "steps/simulate.py", "steps/limit.py", "evaluation/",
    "cli/cohort.py", "cli/bars.py",  # verbs that make patients of their own and open no study's truth
)  # fmt: skip
KNOWERS = (
    *MAKERS,
    "steps/evaluate_labels.py",
    "tables.py",
    "truth_schemas.py",
    "cohort/truth_folder.py",
    "ops/study.py",
)
JUDGES = "theradose.steps.judges"  # what evaluate does for each kind of experiment, no step by itself
NAMES = re.compile(r"TRUTH_\w+|LATENTS|PLANTED_TRUTH|(truth_\w+|latents)\.(parquet|tsv)")
# Readers that open files in C or C++, where no hook of Python sees it, and the files that may call them on a path.
UNSEEN = {
    "safe_open": ("evaluation/report_scores.py", "models/image_examples.py"),
    "load_file": ("models/store.py",),
    **dict.fromkeys(("ParquetFile", "ParquetDataset", "read_feather", "memory_map"), ()),
    **dict.fromkeys(("ReadImage", "ImageFileReader", "ImageSeriesReader"), ()),
}


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def rules() -> dict[str, str]:
    """Return {rule: its text} of the workflow."""
    found = {}
    for file in WORKFLOW:
        parts = re.split(r"^ *rule (\w+):\n", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        found |= dict(zip(parts[1::2], parts[2::2], strict=True))
    return found


def names_truth(text: str) -> bool:
    """Return whether a rule names the truth, or whatever `simulate` makes."""
    return re.search(r"truth|rules\.simulate", text, re.IGNORECASE) is not None


def test_only_rules_that_make_or_judge_name_the_truth() -> None:
    found = {name for name, text in rules().items() if names_truth(text)}
    assert found <= MAY_OPEN_TRUTH
    assert {"simulate", "evaluate", "evaluate_labels"} <= found


def test_other_inputs_of_rules_hold_no_truth() -> None:
    """Shared functions and lists name it once, as a target that no rule with work to do takes in."""
    lines = (ROOT / "workflow" / "rules" / "common.smk").read_text(encoding="utf-8").splitlines()
    own = [line.strip() for line in lines if names_truth(line)]
    assert [re.split(r"[=:]", line)[0].strip() for line in own] == ["DATA, TRUTH, R, MODELS", '"cohort"']
    takers = {name: text for name, text in rules().items() if 'TARGETS["cohort"]' in text or "rules.all" in text}
    assert set(takers) == {"all", "cohort", "default"}
    for name, text in takers.items():
        assert re.search(r"^ *(shell|run|script|notebook|wrapper):", text, re.MULTILINE) is None, name


def test_only_the_step_that_judges_loads_the_judges() -> None:
    """They know how outcomes were planted, as evaluate may; no step that learns reaches them."""
    assert {step for step in STEPS if JUDGES in import_closure(f"theradose.steps.{step}")} == {"judges", "evaluate"}


@pytest.mark.parametrize("step", sorted(set(STEPS) - MAY_OPEN_TRUTH - {"judges"}))
def test_a_step_that_does_not_simulate_carries_no_simulator(step: str) -> None:
    """Nothing that it imports, at any depth, can draw the patients again from their seed."""
    reached = import_closure(f"theradose.steps.{step}")
    assert f"theradose.steps.{step}" in reached
    assert [module for module in reached if module.startswith("theradose.cohort.virtual")] == []


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    """Return everything in a source file."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def foreign_imports(path: Path) -> list[str]:
    """Return the imports of the simulator by a file that may not make patients."""
    found = []
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    wanted = [module for module in found if module.startswith("theradose.cohort.virtual")]
    return [] if name_of(path).startswith(MAKERS) else wanted


def foreign_names(path: Path) -> list[str]:
    """Return what a file that may not know the truth names of it."""
    nodes = nodes_of(path)
    words = {node.id for node in nodes if isinstance(node, ast.Name)}
    words |= {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return [] if name_of(path).startswith(KNOWERS) else sorted(word for word in words if NAMES.fullmatch(word))


def unseen_readers(path: Path) -> list[str]:
    """Return the calls of a file that open files behind Python's back, and `read_parquet` of anything but a handle."""
    found = []
    for node in nodes_of(path):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func).rsplit(".", 1)[-1]
        opened = called == "read_parquet" and [ast.unparse(one) for one in node.args] != ["handle"]
        if opened or (called in UNSEEN and name_of(path) not in UNSEEN[called]):
            found.append(called)
    return found


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_knows_of_the_truth_what_it_may(path: Path) -> None:
    assert foreign_imports(path) == []
    assert foreign_names(path) == []
    assert unseen_readers(path) == []


def test_models_features_and_images_are_among_the_files_looked_at() -> None:
    tops = {name_of(path).split("/")[0] for path in FILES if not name_of(path).startswith(KNOWERS)}
    assert {"models", "features", "imaging", "physics", "cli", "steps"} <= tops


def test_the_tests_of_this_file_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = tmp_path / "models" / "wrong.py"
    wrong.parent.mkdir()
    wrong.write_text(
        "import pandas as pd\nfrom safetensors import safe_open\nfrom theradose.cohort.virtual import latents\n"
        "from theradose.tables import TRUTH_VOI\n"
        "def look(path):\n    safe_open(path)\n    return pd.read_parquet(path / 'truth_voi.parquet'), TRUTH_VOI\n",
        encoding="utf-8",
    )
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    assert foreign_imports(wrong) == ["theradose.cohort.virtual.latents"]
    assert foreign_names(wrong) == ["TRUTH_VOI", "truth_voi.parquet"]
    assert sorted(unseen_readers(wrong)) == ["read_parquet", "safe_open"]
    assert names_truth('    input:\n        f"{TRUTH}/manifest.tsv"')
