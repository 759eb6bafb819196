"""A folder of planted truth is known by what lies in it, from wherever a path comes."""

import os
from pathlib import Path

import pytest

from theradose.cohort.truth_folder import is_truth, mark_truth


def test_the_note_makes_the_truth_whatever_the_folder_is_called(tmp_path: Path) -> None:
    mark_truth(tmp_path / "any" / "name")
    assert "may open this folder" in (tmp_path / "any" / "name" / "PLANTED_TRUTH").read_text(encoding="utf-8")
    assert is_truth(tmp_path / "any" / "name")
    assert is_truth(tmp_path / "any" / "name" / "not" / "yet" / "there.tsv")
    assert not is_truth(tmp_path / "any")
    assert not is_truth(tmp_path / "any" / "name.tsv")


def test_a_folder_called_truth_is_none_and_a_lost_note_opens_nothing(tmp_path: Path) -> None:
    (tmp_path / "truth").mkdir()
    assert not is_truth(tmp_path / "truth" / "manifest.tsv")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "truth_voi.parquet").touch()
    assert is_truth(tmp_path / "old" / "manifest.tsv")


def test_links_dots_and_the_working_folder_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark_truth(tmp_path / "truth" / "a" / "b")
    (tmp_path / "other").mkdir()
    (tmp_path / "folder").symlink_to(tmp_path / "truth" / "a" / "b")
    (tmp_path / "file").symlink_to("truth/a/b/PLANTED_TRUTH")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    monkeypatch.chdir(tmp_path / "other")
    hidden = ("../folder", "../folder/x", "../file", "../link", "../truth/./a/b/x", b"../file", "../folder/../b/x")
    assert [path for path in hidden if not is_truth(path)] == []
    assert not is_truth("../folder/..")  # where the link leads, not where it stands
    assert not is_truth("b/x")
    monkeypatch.chdir(tmp_path / "truth" / "a")
    assert is_truth("b/x")


@pytest.mark.parametrize("word", ["", "x" * 5000, "a\0b", '{"seed": 1}', os.devnull])
def test_what_is_no_path_to_it_is_none(word: str) -> None:
    assert not is_truth(word)
