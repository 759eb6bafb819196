"""Where a result came from: hashes of files, of settings, and of exactly the code that made it."""

import ast
import hashlib
import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from theradose import __version__
from theradose.errors import DataError, Where

SRC = Path(__file__).resolve().parents[1]
PACKAGE = Path(__file__).resolve().parent.name
DATA_FOLDERS = ("data", "templates")


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest(value: object) -> str:
    """Return 16 hexadecimal digits that stand for a JSON-like value."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def verify_file(path: Path, sha256: str, where: Where) -> None:
    """Raise DataError when a file is missing or its bytes are not those of the manifest."""
    if not path.is_file():
        raise DataError("file is missing", where=where, code="THR-201", remedy="restore it or exclude the patient")
    found = sha256_file(path)
    if found != sha256:
        raise DataError(
            "file has changed since intake",
            where=where,
            got=f"sha256 {found[:12]}",
            expected=sha256[:12],
            code="THR-202",
            remedy="restore the file from its version, or import the patient again",
        )


@dataclass(frozen=True)
class _Module:
    """A source file read once: what it does, what it imports, and the texts in it (which may name data files)."""

    meaning: bytes
    imports: frozenset[str]
    words: frozenset[str]


@cache
def _module(path: Path) -> _Module:
    """Read a source file; docstrings and comments count for nothing."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: set[str] = set()
    words: set[str] = set()
    docstrings: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstrings |= _without_docstring(node)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            words.add(node.value)
    own = frozenset(name for name in names if name == PACKAGE or name.startswith(PACKAGE + "."))
    return _Module(hashlib.sha256(ast.dump(tree).encode()).digest(), own, frozenset(words))


def _without_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> set[int]:
    """Take the docstring out of a node and return the identity of its text."""
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        node.body = node.body[1:] or [ast.Pass()]
        return {id(first.value)}
    return set()


def _file_of(module: str, src: Path) -> Path | None:
    """Return the source file of a module of this package, or None when it is no module."""
    base = src / module.replace(".", "/")
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


def import_closure(module: str, src: Path = SRC) -> list[str]:
    """Return the modules of this package that `module` reaches by imports, itself included, sorted."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _file_of(name, src)
        if name in found or path is None:
            continue
        found.add(name)
        waiting += _module(path).imports
    return sorted(found)


def _data_files(path: Path) -> list[Path]:
    """Return the data files beside a module that its text names."""
    folders = [path.parent / name for name in DATA_FOLDERS]
    files = [file for folder in folders if folder.is_dir() for file in sorted(folder.rglob("*")) if file.is_file()]
    return [file for file in files if file.name in _module(path).words]


def code_digest(module: str, src: Path = SRC) -> str:
    """Return 16 digits that change when code or data a module uses change, and not with comments or docstrings."""
    summary = hashlib.sha256()
    for name in import_closure(module, src):
        path = _file_of(name, src)
        if path is None:
            continue
        summary.update(name.encode() + _module(path).meaning)
        for file in _data_files(path):
            summary.update(file.name.encode() + file.read_bytes())
    return summary.hexdigest()[:16]


def git_commit(root: Path) -> str:
    """Return the commit of the working tree, with `+` when files differ from it, or `none` outside git."""
    command = ["git", "-C", str(root)]
    try:
        commit = subprocess.run([*command, "rev-parse", "HEAD"], capture_output=True, text=True, check=True)  # noqa: S603
        status = subprocess.run([*command, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return commit.stdout.strip() + ("+" if status.stdout.strip() else "")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it, so that a killed run leaves no half file.

    OSError, which names the file, when the system refuses; nothing is left behind then.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except OSError as error:
        error.filename = str(path)  # a full disk names no file
        with suppress(OSError):
            temporary.unlink()
        raise


def write_json(path: Path, value: object) -> None:
    """Write a value as readable JSON, atomically and with sorted keys."""
    write_atomically(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())


def write_provenance(
    folder: Path,
    step: str,
    inputs: Iterable[Path],
    settings: Mapping[str, object],
    name: str = "provenance.json",
) -> None:
    """Write `provenance.json` into a result folder: input hashes, settings, code digest, version, commit."""
    record = {
        "step": step,
        "inputs": {Path(path).as_posix(): sha256_file(Path(path)) for path in inputs},
        "settings": dict(settings),
        "code": code_digest(f"{PACKAGE}.steps.{step}"),
        "version": __version__,
    }
    write_json(folder / name, record)
