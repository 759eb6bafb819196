"""Examples for models of dose and outcome together: a row a patient, with a patch and covariates of every organ."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from theradose.errors import DataError, UnitError, Where
from theradose.imaging.nifti import read_volume
from theradose.imaging.volume import Volume
from theradose.models.baselines import log_uptake_per_weight
from theradose.models.dose_columns import courses_of
from theradose.models.examples import OrganExamples, allowed_columns, load_organs
from theradose.models.examples import subset as organ_subset
from theradose.physics.nuclides import nuclide
from theradose.provenance import verify_file
from theradose.tables import (
    COVARIATE_MANIFEST,
    COVARIATES,
    IMAGES,
    ORGAN_DOSE,
    OUTCOMES,
    PARTICIPANTS,
    SPLITS,
    concat_tables,
    read_table,
)
from theradose.vocabulary import organ_of, voi_of_label

SIDE_VOXEL = 24  # at 8 mm a box of 192 mm, at 4 mm one of 96 mm: the largest VOI of an organ or its middle
CHANNELS = 3  # log(1 + SUV), place in the CT window, mask of the organ
ROLES = ("pet", "ct", "organs")
SUV_UNIT = "SUV/"
PERSON = "person"
OF_THE_PATIENT = ("clinical", "biological")
UPTAKE, COURSE = "log_uptake_per_weight", "course.activity_gbq"
NO_IMAGES = "no normalised images"

Files = Mapping[str, Mapping[str, tuple[Path, str]]]


def cube_about(values: np.ndarray, centre: Sequence[int], side: int) -> np.ndarray:
    """Return the (side, side, side) part of (z, y, x) values about a voxel; what lies outside the image is zero."""
    found = np.zeros((side, side, side), values.dtype)
    first = [middle - side // 2 for middle in centre]
    taken = tuple(slice(max(a, 0), max(min(a + side, n), 0)) for a, n in zip(first, values.shape, strict=True))
    inside = values[taken]
    place = tuple(slice(s.start - a, s.start - a + n) for s, a, n in zip(taken, first, inside.shape, strict=True))
    found[place] = inside
    return found


def suv_of(pet: Volume) -> np.ndarray:
    """Return a normalised PET, in `SUV/10` or another scale, as SUV in g/mL; UnitError for another unit."""
    try:
        scale = float(pet.unit.removeprefix(SUV_UNIT))
    except ValueError as error:
        raise UnitError("normalised PET is in the wrong unit", got=pet.unit, expected="SUV/<scale>") from error
    return np.asarray(pet.values * scale)


def organ_patch(images: Mapping[str, Volume], organ: str, side: int) -> np.ndarray:
    """Return log(1 + SUV), CT and mask about the middle of the largest VOI of an organ, (3, side, side, side) float16.

    All zero where the organ has no voxel.
    """
    labels = images["organs"].values
    known, counts = np.unique(labels[labels > 0], return_counts=True)
    sizes = dict(zip(known.tolist(), counts.tolist(), strict=True))
    own = [label for label in sizes if organ_of(voi_of_label(label)) == organ]
    if not own:
        return np.zeros((CHANNELS, side, side, side), np.float16)
    middle = np.argwhere(labels == max(own, key=sizes.__getitem__)).mean(axis=0).round().astype(int).tolist()
    mask = np.isin(labels, own)
    uptake = np.log1p(np.maximum(suv_of(images["pet"]), 0.0))
    channels = (uptake, images["ct"].values, mask)
    return np.stack([cube_about(np.asarray(x, np.float16), middle, side) for x in channels])


class Patches(Mapping[str, np.ndarray]):
    """The patches of each patient, (organs, 3, side, side, side) float16, read when first asked for and then kept.

    165 patients with six organs take 82 MB. Every file is checked against its hash.
    """

    def __init__(self, files: Files, organs: Sequence[str], side: int = SIDE_VOXEL) -> None:
        self.files, self.organs, self.side = files, tuple(organs), side
        self.kept: dict[str, np.ndarray] = {}

    def __getitem__(self, patient: str) -> np.ndarray:
        if patient not in self.kept:
            self.kept[patient] = self._read(patient)
        return self.kept[patient]

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def _read(self, patient: str) -> np.ndarray:
        images: dict[str, Volume] = {}
        for role in ROLES:
            path, sha256 = self.files[patient][role]
            verify_file(path, sha256, Where(patient=patient, file=path.as_posix()))
            images[role] = read_volume(path)
        for role in ROLES[1:]:
            images["pet"].grid.require_same(images[role].grid, role, Where(patient=patient))
        return np.stack([organ_patch(images, organ, self.side) for organ in self.organs])


@dataclass(frozen=True)
class PatchExamples:
    """Patients with what is known of each before therapy, and what came of it.

    `organs` holds for each organ the patients that have it, with covariates and dose; `person` (n rows) covariates of
    the patient and the log uptake of each organ; `events` (n, outcomes) 0, 1 or NaN when not known; `patches` the
    images by patient, (organs, 3, side, side, side). `half_life_h` is the physical one of the therapy.
    """

    patients: Sequence[str]
    partitions: Sequence[str]
    organs: dict[str, OrganExamples]
    person: OrganExamples
    outcomes: tuple[str, ...]
    events: np.ndarray
    patches: Mapping[str, np.ndarray]
    half_life_h: float
    left_out: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.patients)

    def place(self, organ: str) -> np.ndarray:
        """Return which rows the patients of an organ have, (m,) whole numbers in the order of `organs[organ]`."""
        rows = {patient: row for row, patient in enumerate(self.patients)}
        return np.array([rows[patient] for patient in self.organs[organ].patients], np.int64)

    def spread(self, values: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return values of the patients of each organ, {organ: (m,)}, as (n, organs), NaN for those without it."""
        found = np.full((len(self), len(self.organs)), np.nan)
        for column, organ in enumerate(self.organs):
            found[self.place(organ), column] = values[organ]
        return found

    @property
    def log_dose(self) -> np.ndarray:
        """Return the logarithm of the dose per activity in Gy/GBq, (n, organs), NaN when not known."""
        return self.spread({organ: part.log_dose for organ, part in self.organs.items()})

    @property
    def log_uptake(self) -> np.ndarray:
        """Return log(SUV / weight), (n, organs), NaN without the organ."""
        return self.spread({organ: log_uptake_per_weight(part) for organ, part in self.organs.items()})


def subset(examples: PatchExamples, patients: Collection[str]) -> PatchExamples:
    """Return the examples of some patients, in their order."""
    wanted = set(patients)
    chosen = [row for row, patient in enumerate(examples.patients) if patient in wanted]
    return PatchExamples(
        [examples.patients[row] for row in chosen],
        [examples.partitions[row] for row in chosen],
        {organ: organ_subset(part, wanted) for organ, part in examples.organs.items()},
        organ_subset(examples.person, wanted),
        examples.outcomes,
        examples.events[chosen],
        examples.patches,
        examples.half_life_h,
        {patient: why for patient, why in examples.left_out.items() if patient in wanted},
    )


def image_files(images: Sequence[Path]) -> dict[str, dict[str, tuple[Path, str]]]:
    """Return file and hash of each patient's normalised PET, CT and labels from tables of `normalise`."""
    table = concat_tables(images, IMAGES)
    found: dict[str, dict[str, tuple[Path, str]]] = {}
    for row in table[table["role"].isin(ROLES)].to_dict("records"):
        found.setdefault(str(row["patient"]), {})[str(row["role"])] = (Path(row["file"]), str(row["sha256"]))
    return {patient: roles for patient, roles in found.items() if set(roles) == set(ROLES)}


def person_columns(
    covariates: pd.DataFrame, names: Sequence[str], organs: Mapping[str, OrganExamples], participants: Path | None
) -> pd.DataFrame:
    """Return covariates of patients, the log uptake of each organ and the planned activity, indexed by patient."""
    found = covariates.drop_duplicates("patient").set_index("patient")[list(names)].astype("float64")
    for organ, part in organs.items():
        found[f"{organ}.{UPTAKE}"] = pd.Series(log_uptake_per_weight(part), list(part.patients))
    if participants is not None:
        courses = courses_of(read_table(participants, PARTICIPANTS)).set_index("patient")
        found[COURSE] = courses["administered_gbq"] * courses["cycles"]
    return found


def event_table(outcomes: Path | None, names: Sequence[str], patients: Sequence[str]) -> np.ndarray:
    """Return what happened to patients, (n, outcomes) 0, 1 or NaN; DataError when there is no such table."""
    if not names:
        return np.zeros((len(patients), 0))
    if outcomes is None:
        raise DataError("outcomes are not known", got="no table of outcomes", expected=list(names), code="THR-201")
    table = read_table(outcomes, OUTCOMES).set_index("patient")
    return table[list(names)].reindex(list(patients)).to_numpy(float)


def half_life_of(labels: pd.DataFrame) -> float:
    """Return the physical half-life in h of the radionuclide of the doses; DataError when there are several."""
    names = sorted(set(labels["radionuclide"]))
    if len(names) != 1:
        raise DataError("doses are not of one radionuclide", where=Where(field="radionuclide"), got=names, expected=1)
    return nuclide(names[0]).half_life_h


def load_patients(
    *,
    splits: Path,
    covariates: Path,
    covariate_manifest: Path,
    labels: Path,
    images: Sequence[Path],
    outcomes: Path | None,
    participants: Path | None,
    organs: Sequence[str],
    events: Sequence[str],
    patterns: Sequence[str],
) -> PatchExamples:
    """Return the examples of all patients that have images and one of the organs, in alphabetical order.

    No image is read here.
    """
    parts = load_organs(
        splits=splits, covariates=covariates, covariate_manifest=covariate_manifest, labels=labels, organs=organs,
        patterns=patterns,
    )  # fmt: skip
    who, files = read_table(splits, SPLITS).set_index("patient"), image_files(images)
    patients = sorted({patient for part in parts.values() for patient in part.patients} & set(files))
    reasons = {patient: why for part in parts.values() for patient, why in part.left_out.items()}
    left_out = {p: reasons.get(p, NO_IMAGES) if p in files else NO_IMAGES for p in who.index if p not in set(patients)}
    parts = {organ: organ_subset(part, patients) for organ, part in parts.items()}
    manifest = read_table(covariate_manifest, COVARIATE_MANIFEST)
    mine = set(manifest.loc[manifest["block"].isin(OF_THE_PATIENT), "column"])
    names = [name for name in allowed_columns(manifest, patterns) if name in mine]
    known = person_columns(read_table(covariates, COVARIATES), names, parts, participants).loc[patients]
    partitions, centres = ([str(x) for x in who.loc[patients, name]] for name in ("partition", "centre"))
    no_dose = np.full(len(patients), np.nan)
    person = OrganExamples(PERSON, patients, partitions, known.reset_index(drop=True), no_dose, {}, centres)
    return PatchExamples(
        patients, partitions, parts, person, tuple(events), event_table(outcomes, events, patients),
        Patches(files, organs), half_life_of(read_table(labels, ORGAN_DOSE)), left_out,
    )  # fmt: skip
