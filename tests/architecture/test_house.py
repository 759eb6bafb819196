"""The house rules that a machine can check: imports go one way, one door per tool, files stay small."""

import ast
import io
import tokenize
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "theradose"
FILES = sorted(PACKAGE.rglob("*.py"))

# Top to bottom: a line may import only what stands above it (or beside it in the same layer).
LAYERS = (
    ("errors",),
    ("vocabulary",),
    ("sections", "experiment_sections", "settings"),
    ("provenance", "columns", "truth_schemas", "learning_schemas", "tables"),
    ("physics",),
    ("imaging",),
    ("cohort",),
    ("features",),
    ("models",),
    ("evaluation",),
    ("ops",),
    ("steps",),
    ("cli",),
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}

DOORS = {
    "mlflow": ("ops/tracking.py", "ops/registry.py", "ops/served_model.py"),
    "dvc": ("ops/versions.py",),
    "optuna": ("models/tuning.py",),
    "radiomics": ("features/engine.py",),
    "torch": ("models/",),
    "SimpleITK": ("imaging/", "features/engine.py"),
    "pydicom": ("imaging/",),
    "nibabel": ("imaging/nifti.py",),
    "yaml": ("settings.py",),
    "psutil": ("ops/owner.py",),
}
PHYSICS_MAY = {"numpy", "scipy", "theradose"}
MAX_LINES, MAX_CODE_LINES = 300, 29480  # docs/adr/0005 says what is counted and why


def name_of(path):
    return path.relative_to(PACKAGE).as_posix()


def layer_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def imports(path):
    """Return every module a file imports, at any depth, with the line it stands on."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: relative import"
            if node.module == "theradose":
                found += [(f"theradose.{alias.name}", node.lineno) for alias in node.names]
            else:
                found.append((node.module or "", node.lineno))
    return found


def upward_imports(path):
    """Return the imports of a file that go against the order of the layers."""
    own = RANK[layer_of(path)]
    faults = []
    for module, line in imports(path):
        parts = module.split(".")
        if parts[0] != "theradose" or len(parts) == 1 or parts[1].startswith("__"):
            continue
        if RANK[parts[1]] > own:
            faults.append(f"{name_of(path)}:{line} imports {module}")
    return faults


def strangers_through_doors(path):
    """Return imports of an outside tool by a file that is not its door."""
    faults = []
    for module, line in imports(path):
        doors = DOORS.get(module.split(".")[0])
        if doors is not None and not name_of(path).startswith(doors):
            faults.append(f"{name_of(path)}:{line} imports {module}")
    return faults


SOURCES = pytest.mark.parametrize("path", [path for path in FILES if path != PACKAGE / "__init__.py"], ids=name_of)


@SOURCES
def test_imports_go_one_way(path):
    assert layer_of(path) in RANK, f"{layer_of(path)} has no place in LAYERS"
    assert upward_imports(path) == []


@SOURCES
def test_outside_tools_have_one_door(path):
    assert strangers_through_doors(path) == []


@SOURCES
def test_physics_needs_only_numpy_and_scipy(path):
    if layer_of(path) != "physics":
        return
    stdlib = __import__("sys").stdlib_module_names
    tops = {module.split(".")[0] for module, _ in imports(path)}
    assert tops - set(stdlib) <= PHYSICS_MAY


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_files_are_small(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


def code_lines(text):
    """Return the number of lines that hold code: no blanks, no comments, no docstrings."""
    quiet = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in quiet:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


def test_only_code_counts_as_code():
    assert code_lines('"""A module."""\n\n# why\nx = 1\n\n\ndef f():\n    """Return 2."""\n    return 2\n') == 3


def test_the_whole_source_can_be_read_in_an_afternoon():
    assert sum(code_lines(path.read_text(encoding="utf-8")) for path in FILES) <= MAX_CODE_LINES


def test_nothing_is_imported_in_init():
    for path in PACKAGE.rglob("__init__.py"):
        assert imports(path) == [], name_of(path)


def test_no_imports_inside_functions_except_in_the_command():
    for path in FILES:
        if layer_of(path) == "cli":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inside = [
            f"{name_of(path)}:{node.lineno}"
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
            for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]
        assert inside == []


def test_no_fault_is_swallowed():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "everything"
                assert caught not in {"everything", "BaseException"}, f"{name_of(path)}:{node.lineno}"
                if caught == "Exception":
                    assert any(isinstance(n, ast.Raise) for n in ast.walk(node)), f"{name_of(path)}:{node.lineno}"


def test_only_steps_and_the_command_print():
    for path in FILES:
        if layer_of(path) in {"steps", "cli"}:
            continue
        calls = [n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.Call)]
        assert not any(isinstance(n.func, ast.Name) and n.func.id == "print" for n in calls), name_of(path)


def test_steps_are_thin():
    for path in sorted((PACKAGE / "steps").glob("*.py")):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 90, name_of(path)


def test_the_tests_of_this_file_can_fail(tmp_path, monkeypatch):
    """A file that breaks the rules is found by the functions above."""
    wrong = tmp_path / "physics" / "wrong.py"
    wrong.parent.mkdir()
    wrong.write_text("import torch\nfrom theradose.models import store\n", encoding="utf-8")
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    assert upward_imports(wrong) == ["physics/wrong.py:2 imports theradose.models"]
    assert strangers_through_doors(wrong) == ["physics/wrong.py:1 imports torch"]
