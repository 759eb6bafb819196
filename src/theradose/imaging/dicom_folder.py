"""What lies in a folder of DICOM files: which series, which structure sets, and what was left aside and why."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataset import Dataset

from theradose.errors import DataError, TheradoseError, Where
from theradose.imaging.dicom import DAMAGE, read_header

IMAGES = ("PT", "NM", "CT")
STRUCTURES = ("RTSTRUCT", "SEG")
DOSE = "RTDOSE"
SECONDARY = ("LOCALIZER", "MIP", "SCREEN SAVE", "PROJECTION IMAGE")
PREAMBLE = 132
# What the files of one patient share. Exports without names often give all patients one identifier.
PERSON = ("PatientID", "PatientBirthDate", "PatientSex")


@dataclass
class Found:
    """The files of a folder by what they are; `ignored` gives a reason for every file left aside.

    `series` maps SeriesInstanceUID to its files, `modality` to PT, NM or CT; `structures` are RTSTRUCT and SEG, whose
    modality `kinds` tells; `doses` are RTDOSE; `burned_in` the files whose header says that text is burnt into the
    pixels; `people` holds what headers say of a person, by field, to compare only; `damaged` what cannot be read, with
    the fault.
    """

    series: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    modality: dict[str, str] = field(default_factory=dict)
    structures: list[Path] = field(default_factory=list)
    kinds: dict[Path, str] = field(default_factory=dict)
    doses: list[Path] = field(default_factory=list)
    burned_in: set[Path] = field(default_factory=set)
    ignored: list[tuple[Path, str]] = field(default_factory=list)
    people: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    damaged: list[tuple[Path, TheradoseError]] = field(default_factory=list)

    def clashes(self) -> list[str]:
        """Return the fields in which the files differ, so that they are of more than one patient."""
        return [name for name, stated in self.people.items() if len(stated) > 1]


def _is_dicom(path: Path) -> bool:
    """Tell whether a file starts as DICOM files do."""
    with path.open("rb") as handle:
        return handle.read(PREAMBLE)[-4:] == b"DICM"


def _why_aside(header: Dataset) -> str | None:
    """Return why an image does not count, None when it does."""
    modality = str(header.get("Modality", ""))
    if modality not in IMAGES:
        return f"modality {modality or 'not given'}"
    kinds = {str(kind).upper() for kind in header.get("ImageType") or ()}
    aside = sorted(kinds & set(SECONDARY))
    return f"image type {aside[0]}" if aside else None


def _add(found: Found, path: Path) -> None:
    """Put a file where it belongs; DataError when it is a damaged DICOM file."""
    if path.is_symlink():
        found.ignored.append((path, "a link"))
        return
    try:
        dicom = _is_dicom(path)
    except DAMAGE as error:
        raise DataError("file cannot be read", where=Where(file=path.name), got=type(error).__name__) from error
    if not dicom:
        if path.suffix.lower() == ".dcm":
            raise DataError("DICOM file is damaged", where=Where(file=path.name), got="no DICM mark", code="THR-204")
        found.ignored.append((path, "no DICOM file"))
        return
    _sort(found, path, read_header(path))


def _sort(found: Found, path: Path, header: Dataset) -> None:
    """Put a DICOM file where its header says that it belongs."""
    reason = _why_aside(header)
    for name in PERSON:
        stated = str(header.get(name) or "").strip().upper()
        if stated or name == PERSON[0]:  # an empty birth date says nothing, an empty identifier is another one
            found.people[name].add(stated)
    series = str(header.get("SeriesInstanceUID", ""))
    if str(header.get("BurnedInAnnotation", "")).upper() == "YES":
        found.burned_in.add(path)
    if header.get("Modality") in STRUCTURES:
        found.structures.append(path)
        found.kinds[path] = str(header.Modality)
    elif header.get("Modality") == DOSE:
        found.doses.append(path)
    elif reason is not None:
        found.ignored.append((path, reason))
    else:
        found.series[series].append(path)
        found.modality[series] = str(header.Modality)


def sort_files(files: Iterable[Path]) -> Found:
    """Sort files into image series, structure sets, damaged ones and the rest; links are not followed."""
    found = Found()
    for path in files:
        try:
            _add(found, path)
        except TheradoseError as error:
            found.damaged.append((path, error))
    return found


def find_series(files: Iterable[Path]) -> Found:
    """Sort files into image series, structure sets and the rest; DataError when a DICOM file is damaged."""
    found = sort_files(files)
    for _, error in found.damaged:
        raise error
    return found
