"""An error is one sentence with everything needed to act."""

import errno
import os
from pathlib import Path

import pytest

from theradose.errors import (
    EXIT_FAILED,
    EXIT_REFUSED,
    DataError,
    FitError,
    GeometryError,
    TheradoseError,
    UnitError,
    Where,
    storage_error,
)


def test_the_sentence_says_what_where_got_expected_and_remedy() -> None:
    error = DataError(
        "weight is missing",
        where=Where(patient="012", file="participants.tsv", field="weight_kg"),
        got=0,
        expected="20-250 kg",
        remedy="add the weight",
        code="THR-017",
    )
    assert str(error) == (
        "THR-017 weight is missing · patient 012 · file participants.tsv · field weight_kg · got 0 · "
        "expected 20-250 kg · add the weight"
    )


def test_only_what_is_known_is_said() -> None:
    assert str(TheradoseError("it broke")) == "THR-000 it broke"
    assert str(TheradoseError("zero counts", got=0)).endswith("got 0")


def test_a_refusal_carries_its_reason_and_ends_with_code_2() -> None:
    error = FitError("activity rises", reason="rising_activity", where=Where(voi="lesion_01", time_h=27.7))
    assert error.reason == "rising_activity"
    assert error.exit_code == EXIT_REFUSED
    assert "VOI lesion_01 · time 27.7 h" in str(error)


def test_data_errors_are_one_family() -> None:
    assert issubclass(UnitError, DataError)
    assert issubclass(GeometryError, DataError)


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (errno.ENOSPC, "THR-531", "free some space"), (errno.EDQUOT, "THR-531", "free some space"),
        (errno.EROFS, "THR-532", "choose a folder"), (errno.EACCES, "THR-532", "choose a folder"),
        (errno.EPERM, "THR-532", "choose a folder"), (errno.EIO, "THR-530", "look at the file"),
        (errno.ENOTDIR, "THR-530", "look at the file"),
    ],
)  # fmt: skip
def test_what_the_system_refuses_has_a_code_and_a_remedy(number: int, code: str, word: str) -> None:
    error = storage_error(OSError(number, os.strerror(number), "results/demo/tac.tsv"))
    assert (error.code, error.exit_code) == (code, EXIT_FAILED)
    assert "file results/demo/tac.tsv · got " in str(error)
    assert word in str(error)


def test_a_file_outside_the_project_is_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    inside = storage_error(OSError(errno.EACCES, "denied", str(tmp_path / "data" / "a.tsv")))
    outside = storage_error(OSError(errno.EACCES, "denied", "/hospital/DOE^JANE/1.dcm"))
    assert "file data/a.tsv ·" in str(inside)
    assert str(tmp_path) not in str(inside)
    assert "file outside the project folder ·" in str(outside)
    assert "JANE" not in str(outside)
    assert str(storage_error(OSError("odd"))).startswith("THR-530 file cannot be read or written · got oserror ·")


def test_of_a_rename_the_target_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    error = storage_error(OSError(errno.EACCES, "denied", ".a.tsv.1.tmp", None, "a.tsv"))
    assert "file a.tsv ·" in str(error)
