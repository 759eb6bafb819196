"""What can go wrong, named by who must act; every message says what, where, got, expected and what to do."""

import errno
from dataclasses import dataclass, replace
from pathlib import Path

EXIT_OK = 0
EXIT_REFUSED = 2
EXIT_QUARANTINED = 3
EXIT_FAILED = 4
EXIT_INTERRUPTED = 5


@dataclass(frozen=True)
class Where:
    """The place of a fault: as much of patient, VOI, time, file and field as is known."""

    patient: str | None = None
    voi: str | None = None
    time_h: float | None = None
    file: str | None = None
    field: str | None = None

    def words(self) -> list[str]:
        """Return the known parts as short phrases, most general first."""
        time = None if self.time_h is None else f"{self.time_h:g} h"
        named = {"patient": self.patient, "VOI": self.voi, "time": time, "file": self.file, "field": self.field}
        return [f"{name} {value}" for name, value in named.items() if value is not None]


class TheradoseError(Exception):
    """The base of all errors that a user can act on; `exit_code` is what the command line ends with."""

    code = "THR-000"
    exit_code = EXIT_FAILED

    def __init__(
        self,
        what: str,
        *,
        where: Where | None = None,
        got: object = None,
        expected: object = None,
        remedy: str | None = None,
        code: str | None = None,
    ) -> None:
        self.what, self.where, self.got, self.expected, self.remedy = what, where or Where(), got, expected, remedy
        if code is not None:
            self.code = code
        super().__init__(self.sentence())

    def at(self, **place: str | float) -> "TheradoseError":
        """Add what a caller knows of the place (patient, voi, time_h, file, field) and return the error itself."""
        self.where = replace(self.where, **{k: v for k, v in place.items() if getattr(self.where, k) is None})  # type: ignore[arg-type]
        self.args = (self.sentence(),)
        return self

    def sentence(self) -> str:
        """Return the whole message as one line."""
        parts = [f"{self.code} {self.what}", *self.where.words()]
        if self.got is not None:
            parts.append(f"got {self.got}")
        if self.expected is not None:
            parts.append(f"expected {self.expected}")
        if self.remedy is not None:
            parts.append(self.remedy)
        return " ".join(" · ".join(parts).split())


class SettingsError(TheradoseError):
    """The study's configuration must change."""

    code = "THR-100"
    exit_code = EXIT_REFUSED


class DataError(TheradoseError):
    """A patient's file or table must change."""

    code = "THR-200"
    exit_code = EXIT_REFUSED


class UnitError(DataError):
    """A number is in another unit than declared."""

    code = "THR-210"


class GeometryError(DataError):
    """Images or masks do not lie on the grids they should."""

    code = "THR-220"


class FitError(TheradoseError):
    """A time-activity curve cannot be fitted as asked; `reason` names the rule that refused it."""

    code = "THR-300"
    exit_code = EXIT_REFUSED

    def __init__(self, what: str, *, reason: str, **details: object) -> None:
        self.reason = reason
        super().__init__(what, **details)  # type: ignore[arg-type]


class LeakageError(TheradoseError):
    """Something of a held-out patient has reached what is fitted."""

    code = "THR-400"


class StorageError(TheradoseError):
    """The machine refuses to read or write a file."""

    code = "THR-530"


REFUSED = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), ("THR-531", "free some space, then resume")),
    **dict.fromkeys(
        (errno.EROFS, errno.EACCES, errno.EPERM),
        ("THR-532", "choose a folder that you may read and write, or ask for the right to"),
    ),
}


def storage_error(error: OSError) -> StorageError:
    """Return the error for what the operating system refused; only files below the working folder are named."""
    code, remedy = REFUSED.get(error.errno or 0, ("THR-530", "look at the file and at the disk, then try again"))
    name = error.filename2 or error.filename
    path = Path(str(name)).absolute() if isinstance(name, str | Path) else None
    here = path is not None and path.is_relative_to(Path.cwd())
    file = None if path is None else path.relative_to(Path.cwd()).as_posix() if here else "outside the project folder"
    got = (error.strerror or type(error).__name__).lower()
    return StorageError("file cannot be read or written", where=Where(file=file), got=got, remedy=remedy, code=code)
