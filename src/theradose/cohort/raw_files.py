"""The files that a data set was made of, by their hashes: what they were, and whether they are still the same.

A flipped byte of a DICOM image is a wrong number that no reader notices. So every file is hashed when it comes in, and
again whenever it is read, under a name of our own: the hospital's names may name people.
"""

import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from theradose.cohort.archives import is_archive, unpack
from theradose.cohort.layout import Dataset
from theradose.columns import TEXT, WHOLE, Column, Schema
from theradose.errors import DataError, TheradoseError, Where
from theradose.provenance import sha256_file
from theradose.tables import read_table, write_table
from theradose.vocabulary import counted

RAW_FILES = Schema(
    "raw_files",
    (Column("file", TEXT), Column("sha256", TEXT), Column("n_bytes", WHOLE, low=0), Column("use", TEXT)),
    ("file",),
)
SIDECAR = "sidecar"
# File names that cannot name a person: IM_0031.dcm, 003.dcm, rs.dcm.
PLAIN = re.compile(r"(im|img|image|i|ct|pt|pet|nm|spect|rs|r|slice|z)?[-_. ]?\d{0,4}(\.dcm|\.nii|\.nii\.gz)?", re.I)


def intake_folder(data: Dataset) -> Path:
    """Return where a data set keeps what happened at its intake."""
    return data.root / "derivatives" / "intake"


def raw_file(data: Dataset, patient: str) -> Path:
    """Return the table (schema RAW_FILES) of the files that a patient was made of."""
    return intake_folder(data) / f"sub-{patient}_files.tsv"


def require_source(source: Path, option: str | None = None) -> None:
    """Raise DataError unless a source (given by a command line's `option`) is a folder or an archive."""
    if not source.is_dir() and not is_archive(source):
        raise DataError(
            "source is a file, but no archive" if source.exists() else "source is missing", where=Where(field=option),
            expected="a folder or archive", remedy="name the folder that holds the files", code="THR-201",
        )  # fmt: skip


@contextmanager
def opened(source: Path) -> Iterator[list[Path]]:
    """Give all files of a folder or archive, sorted; archives are replaced by what they hold, unpacked for a while.

    DataError when there is no such folder or file.
    """
    if not source.is_file():
        require_source(source)
    files = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_symlink() or p.is_file())
    archives = [p for p in files if is_archive(p) and not p.is_symlink()]
    with tempfile.TemporaryDirectory() as scratch:
        for number, archive in enumerate(archives):
            try:
                unpack(archive, Path(scratch) / f"{number:04d}")
            except TheradoseError as error:
                error.where = Where()  # the name of an archive may name a person
                raise error.at(file=f"archive {number + 1} of {len(archives)}") from None
        inside = sorted(p for p in Path(scratch).rglob("*") if p.is_file())
        yield [p for p in files if p not in archives] + inside


@dataclass
class RawFiles:
    """The files of one import: our names for them, their hashes at the start, and what became of each."""

    names: dict[Path, str] = field(default_factory=dict)
    hashes: dict[Path, str] = field(default_factory=dict)
    use: dict[Path, str] = field(default_factory=dict)

    def add(self, kind: str, files: Iterable[Path]) -> None:
        """Name files `pt-01_0001.dcm`, in their order, and hash them."""
        for number, path in enumerate(files, start=1):
            ending = "".join(path.suffixes[-2:] if path.name.endswith(".nii.gz") else path.suffixes[-1:])
            kept = ending if re.fullmatch(r"(\.[a-z]{2,4}){1,2}", ending) else ""
            self.names[path], self.hashes[path] = f"{kind}_{number:04d}{kept}", sha256_file(path)

    def shown(self) -> dict[Path, str]:
        """Return how messages call the files: our name, and their own beside it when it cannot name a person."""
        return {
            path: f"{name} ({path.name})" if PLAIN.fullmatch(path.name) else name for path, name in self.names.items()
        }

    def set_use(self, files: Iterable[Path], use: str) -> None:
        """Say what became of files."""
        self.use |= dict.fromkeys(files, use)

    def require_unchanged(self) -> None:
        """Raise DataError when a file is another than at the start: someone is still writing into the folder."""
        changed = [path for path, sha in self.hashes.items() if not path.is_file() or sha256_file(path) != sha]
        if changed:
            raise DataError(
                "file changed while it was imported", where=Where(file=self.names[changed[0]]), code="THR-332",
                got=f"{len(changed)} changed files", remedy="wait until all files have arrived, then import again",
            )  # fmt: skip

    def since(self, data: Dataset, patient: str) -> list[str]:
        """Return a line when a patient was imported before, from files that were others."""
        file = raw_file(data, patient)
        before = set(read_table(file, RAW_FILES)["sha256"]) if file.is_file() else set(self.hashes.values())
        new = [name for path, name in self.names.items() if self.hashes[path] not in before]
        return [f"NOTE not as in the last import: {counted(len(new), 'file')}, {', '.join(new[:5])}"] if new else []

    def rows(self) -> list[dict[str, object]]:
        """Return the rows of the table of raw files."""
        return [
            {"file": name, "sha256": self.hashes[p], "n_bytes": p.stat().st_size, "use": self.use.get(p, "unused")}
            for p, name in self.names.items()
        ]


def accounting(found: int, used: int, reasons: Mapping[str, int]) -> list[str]:
    """Return lines that account for every file; TheradoseError when one is lost."""
    aside = sum(reasons.values())
    if found != used + aside:
        raise TheradoseError("files were lost in the import", got=used + aside, expected=found, code="THR-338")
    lines = [f"left aside: {counted(n, 'file')} ({why})" for why, n in sorted(reasons.items())]
    return [*lines, f"{counted(found, 'file')} found = {used} used + {aside} left aside with reason"]


def write_raw(data: Dataset, patient: str, rows: list[dict[str, object]]) -> Path:
    """Write the table of the files of a patient."""
    return write_table(pd.DataFrame(rows, columns=RAW_FILES.names()), raw_file(data, patient), RAW_FILES)


def hashes_of(source: Path, also: Iterable[Path] = ()) -> Counter[str]:
    """Return how often each hash is there in a source; `also` are files beside it, such as the mapping table."""
    with opened(source) as files:
        return Counter(sha256_file(path) for path in (*files, *also) if not path.is_symlink())


def patients_with_raw(data: Dataset) -> list[str]:
    """Return the patients whose raw files were hashed at intake."""
    names = (path.name.removeprefix("sub-") for path in intake_folder(data).glob("sub-*_files.tsv"))
    return sorted(name.removesuffix("_files.tsv") for name in names)


def require_raw(data: Dataset, patient: str, hashes: Mapping[str, int]) -> str:
    """Return a line when a source (`hashes_of`) still holds, byte for byte, all files that a patient was made of.

    DataError names the first file that is missing or has changed.
    """
    table = read_table(raw_file(data, patient), RAW_FILES)
    table = table[table["use"] != SIDECAR]
    here, lost = Counter(hashes), []
    for row in table.to_dict("records"):
        here[row["sha256"]] -= 1
        if here[row["sha256"]] < 0:
            lost.append(str(row["file"]))
    if lost:
        raise DataError(
            "raw file is missing or has changed since intake", where=Where(patient=patient, file=lost[0]),
            got=f"{len(lost)} of {len(table)} files", expected="the bytes of intake", code="THR-331",
            remedy="restore it, or import the patient again",
        )  # fmt: skip
    return f"patient {patient}: {len(table)} raw files as at intake"
