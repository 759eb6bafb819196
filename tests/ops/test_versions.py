"""What DVC has recorded, read without DVC."""

import pytest

from theradose.ops.versions import VersionError, record_outputs, recorded_versions

LOCK = """\
schema: '2.0'
stages:
  cohort:
    cmd: snakemake cohort
    deps:
    - {path: workflow, hash: md5, md5: aaa.dir, size: 1, nfiles: 1}
    outs:
    - {path: data/demo, hash: md5, md5: abc.dir, size: 10, nfiles: 2}
  models:
    cmd: snakemake
    outs:
    - {path: models/demo, hash: md5, md5: def.dir, size: 10, nfiles: 2}
"""


def test_the_versions_of_all_outputs_are_read(tmp_path):
    lock = tmp_path / "dvc.lock"
    lock.write_text(LOCK, encoding="utf-8")
    assert recorded_versions(lock) == {"data/demo": "abc.dir", "models/demo": "def.dir"}


def test_before_the_first_record_there_is_none(tmp_path):
    assert recorded_versions(tmp_path / "dvc.lock") == {}


def test_without_a_repository_recording_says_what_is_needed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VersionError, match="git repository"):
        record_outputs()
