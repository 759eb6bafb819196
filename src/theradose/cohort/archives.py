"""Archives from outside, unpacked without trusting a name, a link or a size in them."""

import lzma
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path

from theradose.errors import DataError, Where

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".zip")
# Own limits: a study of ten whole-body CTs and SPECTs has about 10 000 files and 10 GB; images compress about tenfold.
MAX_MEMBERS = 200_000
MAX_BYTES = 50 * 10**9
MAX_RATIO = 500
OUTSIDE = "a name that leads out of the folder"
# What readers raise on damaged bytes; RuntimeError and NotImplementedError on a password or an unknown method.
DAMAGE = (
    tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, OSError, EOFError, ValueError, RuntimeError,
)  # fmt: skip


def is_archive(path: Path) -> bool:
    """Tell whether a file is an archive by its name."""
    return path.is_file() and path.name.lower().endswith(SUFFIXES)


def _refuse(path: Path, got: str, expected: str) -> DataError:
    """Return the fault of an archive that is not unpacked."""
    remedy = "unpack it yourself and import the folder"
    return DataError(
        "archive is not safe", where=Where(file=path.name), got=got, expected=expected, remedy=remedy, code="THR-255"
    )


class _Budget:
    """What may still be unpacked from an archive; `take` refuses what is too much."""

    def __init__(self, archive: Path) -> None:
        self.archive, self.files, self.size = archive, 0, 0
        self.limit = min(MAX_BYTES, MAX_RATIO * archive.stat().st_size)

    def take(self, size: int) -> None:
        self.files, self.size = self.files + 1, self.size + size
        if self.files > MAX_MEMBERS or self.size > self.limit:
            allowed = f"at most {MAX_MEMBERS}, {self.limit} bytes"
            raise _refuse(self.archive, f"{self.files} files, {self.size} bytes", allowed)


def _untar(budget: _Budget, to: Path) -> None:
    """Unpack the regular files of a tar archive."""
    with tarfile.open(budget.archive) as tar:
        for member in (member for member in tar if not member.isdir()):
            if not member.isreg():
                raise _refuse(budget.archive, "a link or device", "files only")
            budget.take(member.size)
            tar.extract(member, to, filter="data")


def _unzip(budget: _Budget, to: Path) -> None:
    """Unpack the regular files of a zip archive; what Unix calls a link or device stands in the upper 16 bits."""
    with zipfile.ZipFile(budget.archive) as packed:
        for member in (member for member in packed.infolist() if not member.is_dir()):
            if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
                raise _refuse(budget.archive, "a link or device", "files only")
            if not (to / member.filename).resolve().is_relative_to(to.resolve()):
                raise _refuse(budget.archive, OUTSIDE, "names inside it")
            budget.take(member.file_size)
            packed.extract(member, to)


def unpack(archive: Path, to: Path) -> int:
    """Unpack the regular files of a tar or zip archive under a folder and return their number.

    DataError when it is damaged or locked, leads out of the folder, holds links or devices, or is too large. An archive
    in it stays packed.
    """
    budget = _Budget(archive)
    try:
        (_unzip if archive.name.lower().endswith(".zip") else _untar)(budget, to)
    except tarfile.FilterError as error:
        raise _refuse(archive, OUTSIDE, "names inside it") from error
    except DAMAGE as error:
        raise DataError(
            "archive is damaged or locked", where=Where(file=archive.name), got=type(error).__name__, code="THR-204"
        ) from error
    return budget.files
