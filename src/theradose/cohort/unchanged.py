"""Whether a data set, and the files it was made of, are still what they were at intake."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from theradose.cohort.case import ERROR, WARN, Fault
from theradose.cohort.layout import Dataset
from theradose.cohort.raw_files import RAW_FILES, SIDECAR, hashes_of, patients_with_raw, raw_file, require_raw
from theradose.errors import DataError, Where
from theradose.provenance import verify_file
from theradose.tables import read_table


def changed_images(data: Dataset) -> Iterator[Fault]:
    """Yield an ERROR for each image that is not the one of the manifest, a WARN for each sidecar not of the import."""
    for row in data.manifest().to_dict("records"):
        patient, file = str(row["patient"]), str(row["file"])
        try:
            verify_file(data.root / file, str(row["sha256"]), Where(patient=patient, file=file))
        except DataError as error:
            yield Fault(ERROR, error.code, patient, str(error))
    for patient in patients_with_raw(data):
        table = read_table(raw_file(data, patient), RAW_FILES)
        for row in table[table["use"] == SIDECAR].to_dict("records"):
            try:
                verify_file(data.root / str(row["file"]), str(row["sha256"]), Where())
            except DataError as error:
                place = Where(patient=patient, file=str(row["file"]))
                said = DataError(f"sidecar: {error.what}", where=place, got=error.got, code="THR-333")
                yield Fault(WARN, said.code, patient, str(said))


def changed_sources(
    data: Dataset, source: Path, *, patients: Iterable[str] = (), also: Iterable[Path] = ()
) -> Iterator[Fault]:
    """Yield an ERROR for each patient (all by default) some of whose raw files are not in the source any more."""
    hashes = hashes_of(source, also)
    for patient in patients or patients_with_raw(data):
        try:
            require_raw(data, patient, hashes)
        except DataError as error:
            yield Fault(ERROR, error.code, patient, str(error))
