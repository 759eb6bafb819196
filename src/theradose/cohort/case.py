"""One patient under check: the rows that speak of it, the images read so far, and how its faults are worded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath, PurePosixPath

from theradose.cohort.layout import PRE, Dataset
from theradose.cohort.participants import number_of
from theradose.errors import DataError, TheradoseError, Where
from theradose.imaging.volume import Volume

ERROR, WARN, NOTE = "ERROR", "WARN", "NOTE"
SAME_TIME_H = 0.05


@dataclass(frozen=True)
class Fault:
    """A finding about a patient (empty: about the data set); `message` is one whole sentence."""

    severity: str
    code: str
    patient: str
    message: str


@dataclass(frozen=True)
class Limits:
    """What a study asks of a patient: kinds of images, the latest SPECT in h, the radionuclide of the therapy.

    `counts` tells whether it knows the camera's sensitivity, without which a SPECT in counts is of no use; `organs` are
    those that its experiments learn.
    """

    require: tuple[str, ...]
    max_time_h: float
    radionuclide: str
    counts: bool = False
    organs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A row of the manifest."""

    session: str
    modality: str
    time_h: float
    file: str
    sha256: str


@dataclass
class Case:
    """A patient under check.

    `participant` holds the cells of its clinical row as text, None without one; `twins` the patients of each image
    hash and likeness. Checks add to `volumes` what they read and to `broken` what cannot be read.
    """

    data: Dataset
    patient: str
    limits: Limits
    rows: list[Row]
    participant: Mapping[str, str] | None
    participant_rows: int
    twins: Mapping[str, set[str]]
    volumes: dict[str, Volume] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)

    @property
    def modalities(self) -> set[str]:
        """The kinds of images in the manifest."""
        return {row.modality for row in self.rows}

    @property
    def likeness(self) -> str | None:
        """What two rows of one person share: weight, activity and measured SPECT times; None when that proves nothing.

        Whole hours are those of a protocol; a `person` in the table says who it is already.
        """
        times = sorted(row.time_h for row in self.images("spect"))
        numbers = [self.number("weight_kg"), self.number("administered_mbq")]
        nominal = all(abs(time - round(time)) < SAME_TIME_H for time in times)
        if nominal or None in numbers or (self.participant or {}).get("person", ""):
            return None
        return "kg MBq h".join(f" {value:.2f} " for value in (*numbers, *times) if value is not None)

    def number(self, name: str) -> float | None:
        """Return a cell of the clinical row, None when it is empty or no number."""
        return number_of((self.participant or {}).get(name, ""))

    def images(self, *modalities: str) -> list[Row]:
        """Return the rows of some kinds of images, of all without arguments."""
        return [row for row in self.rows if not modalities or row.modality in modalities]

    def mask_of(self, image: Row) -> str | None:
        """Return the mask file of an image: that of its session and time, else the one from before therapy."""
        own = [
            m for m in self.images("mask") if m.session == image.session and abs(m.time_h - image.time_h) < SAME_TIME_H
        ]
        before = [m for m in self.images("mask") if m.session == PRE]
        return next((m.file for m in (*own, *before)), None)

    def _fault(self, severity: str, code: str, what: str, file: str | None, field: str | None, **more: object) -> Fault:
        """Word a fault as all errors are worded."""
        where = Where(patient=self.patient, file=file, field=field)
        sentence = DataError(what, where=where, code=code, **more).sentence()  # type: ignore[arg-type]
        return Fault(severity, code, self.patient, sentence)

    def error(self, code: str, what: str, file: str | None = None, field: str | None = None, **more: object) -> Fault:
        """Return a fault that quarantines the patient; `more` is got, expected, remedy."""
        return self._fault(ERROR, code, what, file, field, **more)

    def warn(self, code: str, what: str, file: str | None = None, field: str | None = None, **more: object) -> Fault:
        """Return a fault that flags the patient."""
        return self._fault(WARN, code, what, file, field, **more)

    def note(self, code: str, what: str, file: str | None = None, field: str | None = None, **more: object) -> Fault:
        """Return a remark."""
        return self._fault(NOTE, code, what, file, field, **more)

    def caught(self, error: TheradoseError, file: str) -> Fault:
        """Turn an error raised by a reader into a fault of this patient and file; the file is not opened again."""
        self.broken.add(file)
        return self.reworded(error, file)

    def reworded(self, error: TheradoseError, file: str) -> Fault:
        """Turn an error into a fault of this patient and file, or of the file beside it that the error names."""
        field, file = (
            error.where.field,
            PurePosixPath(file).with_name(PurePath(error.where.file or file).name).as_posix(),
        )
        return self._fault(
            ERROR, error.code, error.what, file, field, got=error.got, expected=error.expected, remedy=error.remedy
        )
