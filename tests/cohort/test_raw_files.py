"""The files of an import: named by us, hashed twice, and none lost."""

import pytest

from theradose.cohort.raw_files import PLAIN, RawFiles, accounting, opened
from theradose.errors import DataError, TheradoseError


@pytest.mark.parametrize("name", ["IM_0031.dcm", "003.dcm", "rs.dcm", "I12", "slice-7.nii.gz"])
def test_names_that_cannot_name_a_person_are_shown(name) -> None:
    assert PLAIN.fullmatch(name)


@pytest.mark.parametrize("name", ["DOE^JANE.dcm", "doe_003.dcm", "19500101.dcm", "1.2.840.113.dcm", "12345.dcm"])
def test_names_that_may_name_a_person_are_not(tmp_path, name) -> None:
    assert not PLAIN.fullmatch(name)
    (tmp_path / name).write_bytes(b"x")
    raw = RawFiles()
    raw.add("pt-01", [tmp_path / name])
    assert list(raw.shown().values()) == ["pt-01_0001.dcm"]


def test_every_file_is_accounted_for() -> None:
    assert accounting(5, 3, {"a link": 2}) == [
        "left aside: 2 files (a link)", "5 files found = 3 used + 2 left aside with reason",
    ]  # fmt: skip
    with pytest.raises(TheradoseError, match=r"files were lost .* got 4 · expected 5"):
        accounting(5, 3, {"a link": 1})


def test_a_file_that_grows_is_named(tmp_path) -> None:
    raw = RawFiles()
    (tmp_path / "a").write_text("one")
    raw.add("pt-01", [tmp_path / "a"])
    raw.require_unchanged()
    (tmp_path / "a").write_text("two")
    with pytest.raises(DataError, match=r"THR-332 .* file pt-01_0001 · got 1 changed files"):
        raw.require_unchanged()


def test_a_damaged_archive_is_not_called_by_its_name(tmp_path) -> None:
    (tmp_path / "CANARY.tar.gz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"THR-204 .* file archive 1 of 1") as caught, opened(tmp_path):
        pass
    assert "CANARY" not in str(caught.value)
