"""Archives give back the regular files in them, and nothing else."""

import tarfile
import zipfile

import pytest

from theradose.cohort.archives import MAX_RATIO, is_archive, unpack
from theradose.errors import DataError


@pytest.mark.parametrize("name", ["x.zip", "x.ZIP", "x.tar", "x.tar.xz"])
def test_files_come_back_as_they_were(tmp_path, name) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "in" / "deep" / "a.dcm").write_bytes(b"1" * 100)
    (tmp_path / "in" / "b.dcm").write_bytes(b"2")
    if name.lower().endswith("zip"):
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted((tmp_path / "in").rglob("*")):
                archive.write(path, path.relative_to(tmp_path))
    else:
        with tarfile.open(tmp_path / name, "w:xz" if name.endswith("xz") else "w") as archive:
            archive.add(tmp_path / "in", "in")
    assert is_archive(tmp_path / name)
    assert unpack(tmp_path / name, tmp_path / "out") == 2
    assert (tmp_path / "out" / "in" / "deep" / "a.dcm").read_bytes() == b"1" * 100
    assert (tmp_path / "out" / "in" / "b.dcm").read_bytes() == b"2"


def test_a_size_that_lies_gives_no_more_than_it_says(tmp_path) -> None:
    """A zip whose directory says 10 bytes for a megabyte is damaged, not unpacked."""
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(1_000_000))
    content = (tmp_path / "x.zip").read_bytes()
    (tmp_path / "x.zip").write_bytes(content.replace((1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little")))
    with pytest.raises(DataError, match="damaged or locked"):
        unpack(tmp_path / "x.zip", tmp_path / "out")
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*")) <= 10


def test_what_grows_too_much_is_not_written(tmp_path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(5_000_000))
    assert MAX_RATIO * (tmp_path / "x.zip").stat().st_size < 5_000_000
    with pytest.raises(DataError, match=r"THR-255 .* got 1 files, 5000000 bytes"):
        unpack(tmp_path / "x.zip", tmp_path / "out")
    assert not (tmp_path / "out" / "zeros").exists()
