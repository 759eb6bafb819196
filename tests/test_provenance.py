"""A result's stamp changes with code and data, and with nothing else."""

from pathlib import Path

import pytest

from theradose.errors import DataError, Where
from theradose.provenance import code_digest, digest, import_closure, sha256_file, verify_file, write_atomically


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, content in {
        "steps/one.py": "from theradose.physics.dose import dose\ndose(1)\n",
        "steps/two.py": "from theradose.imaging import volume\n",
        "physics/dose.py": 'TABLE = "nuclides.csv"\ndef dose(x):\n    """Return it."""\n    return x * 2\n',
        "physics/data/nuclides.csv": "a\n1\n",
        "physics/data/other.csv": "b\n",
        "imaging/volume.py": "X = 1\n",
    }.items():
        file = tmp_path / "theradose" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return tmp_path


def digests(src: Path) -> dict[str, str]:
    from theradose import provenance

    provenance._module.cache_clear()
    return {name: code_digest(f"theradose.steps.{name}", src) for name in ("one", "two")}


def test_the_closure_holds_what_is_reached(package: Path) -> None:
    assert import_closure("theradose.steps.one", package) == ["theradose.physics.dose", "theradose.steps.one"]
    assert "theradose.imaging.volume" in import_closure("theradose.steps.two", package)


@pytest.mark.parametrize(
    ("file", "old", "new", "changed"),
    [
        ("physics/dose.py", "x * 2", "x * 3", {"one"}),
        ("physics/dose.py", "x * 2", "x * 2  # twice", set()),
        ("physics/dose.py", "Return it.", "Give it back.", set()),
        ("physics/data/nuclides.csv", "1", "2", {"one"}),
        ("physics/data/other.csv", "b", "c", set()),
        ("imaging/volume.py", "X = 1", "X = 2", {"two"}),
    ],
)
def test_only_steps_that_use_a_change_notice_it(
    package: Path, file: str, old: str, new: str, changed: set[str]
) -> None:
    before = digests(package)
    path = package / "theradose" / file
    path.write_text(path.read_text().replace(old, new))
    after = digests(package)
    assert {name for name in before if before[name] != after[name]} == changed


def test_an_import_inside_a_function_counts(package: Path) -> None:
    (package / "theradose/steps/two.py").write_text("def f():\n    import theradose.physics.dose\n")
    assert "theradose.physics.dose" in import_closure("theradose.steps.two", package)


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "image"
    file.write_bytes(b"1234")
    stamp = sha256_file(file)
    verify_file(file, stamp, Where(patient="a"))
    file.write_bytes(b"1235")
    with pytest.raises(DataError, match="changed since intake"):
        verify_file(file, stamp, Where(patient="a"))
    file.unlink()
    with pytest.raises(DataError, match="missing"):
        verify_file(file, stamp, Where(patient="a"))


def test_writing_leaves_no_temporary_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "deep" / "x", b"1")
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["x"]


def test_a_digest_ignores_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 2, "b": 1})
