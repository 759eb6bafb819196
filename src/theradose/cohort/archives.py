"""Archives from outside, unpacked without trusting a name, a link or a size in them."""

import lzma
import tarfile
import zlib
from pathlib import Path

from theradose.errors import DataError, Where

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
# Own limits: a study of ten whole-body CTs and SPECTs has about 10 000 files and 10 GB; images compress about tenfold.
MAX_MEMBERS = 200_000
MAX_BYTES = 50 * 10**9
MAX_RATIO = 500


def is_archive(path: Path) -> bool:
    """Tell whether a file is an archive by its name."""
    return path.is_file() and path.name.lower().endswith(SUFFIXES)


def _refuse(path: Path, got: str, expected: str) -> DataError:
    """Return the fault of an archive that is not unpacked."""
    remedy = "unpack it yourself and import the folder"
    return DataError(
        "archive is not safe", where=Where(file=path.name), got=got, expected=expected, remedy=remedy, code="THR-255"
    )


def unpack(archive: Path, to: Path) -> int:
    """Unpack the regular files of a tar archive under a folder and return their number.

    DataError when it is damaged, leads out of the folder, holds links or devices, or is too large.
    """
    files = size = 0
    limit = min(MAX_BYTES, MAX_RATIO * archive.stat().st_size)
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isdir():
                    continue
                if not member.isreg():
                    raise _refuse(archive, "a link or device", "files only")
                size += member.size
                if files >= MAX_MEMBERS or size > limit:
                    raise _refuse(archive, f"{files} files, {size} bytes", f"at most {MAX_MEMBERS}, {limit} bytes")
                tar.extract(member, to, filter="data")
                files += 1
    except tarfile.FilterError as error:
        raise _refuse(archive, "a name that leads out of the folder", "names inside it") from error
    except (tarfile.TarError, lzma.LZMAError, zlib.error, OSError, EOFError, ValueError) as error:
        raise DataError(
            "archive is damaged", where=Where(file=archive.name), got=type(error).__name__, code="THR-204"
        ) from error
    return files
