"""The command ends with a sentence and its exit code whatever the system refuses."""

import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-c", "from theradose.cli.main import run; run()"]


def test_a_full_disk_behind_the_output_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*COMMAND, "schema"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 4
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("theradose: THR-531 file cannot be read or written · got no space left on device ·")


def test_a_reader_that_has_read_enough_is_no_fault() -> None:
    with subprocess.Popen([*COMMAND, "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        running.stdout.close()
        assert running.stderr.read() == ""


@pytest.mark.parametrize("command", [["schema", "--out", "file/schema.json"]], ids=lambda words: words[0])
def test_a_folder_that_cannot_be_is_told_by_its_place_in_the_project(command, tmp_path) -> None:
    (tmp_path / "file").write_text("no folder")
    done = subprocess.run([*COMMAND, *command], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 4
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith("theradose: THR-530 file cannot be read or written · file file/schema.json · got ")
    assert str(tmp_path) not in sentence
