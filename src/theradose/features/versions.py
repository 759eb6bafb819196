"""The features of one patient in all versions of image and outline, the draws beside them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from theradose.cohort.layout import PRE, Dataset
from theradose.columns import PATIENT, VOI, Column, Schema, text
from theradose.errors import DataError, TheradoseError, Where
from theradose.features.patient import in_preset_unit
from theradose.features.perturb import apply as perturb
from theradose.features.perturb import perturbations
from theradose.features.presets import Preset
from theradose.features.radiomics import extract
from theradose.features.vois import label_masks, organ_masks
from theradose.imaging.augment import copy_rng
from theradose.imaging.nifti import read_sidecar, read_volume
from theradose.imaging.resample import resample_labels
from theradose.imaging.volume import Volume
from theradose.vocabulary import PATIENT_ID, voi_of_label

VERSIONED = Schema(
    "features_by_version",
    (
        PATIENT, text("version"), VOI, text("filter"), text("feature_class"), text("feature"),
        Column("value", empty=True), text("status"),
    ),
    ("patient", "version", "voi", "filter", "feature_class", "feature"),
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What the versions of one patient gave: features (schema VERSIONED) and draws (schema DRAWS)."""

    features: pd.DataFrame
    draws: pd.DataFrame


@dataclass(frozen=True)
class FileCase:
    """A patient as two NIfTI files: an image in `unit` and a label mask; `voi` is what a mask of ones outlines."""

    patient: str
    image: Path
    mask: Path
    unit: str
    voi: str


def versions_of(
    patient: str, image: Volume, masks: Mapping[str, np.ndarray], preset: Preset, *, seed: int, min_voxels: int
) -> Found:
    """Return the features of every version of an image (in the preset's unit) and masks (z, y, x) of bool on its grid.

    What is drawn depends on seed and patient alone. Errors as in `features.radiomics.extract`.
    """
    drawn, tables = perturbations(copy_rng(seed, patient, 0)), []
    for change in drawn:
        seen, outlined = perturb(change, image, masks, preset.preparation)
        table = extract(seen, outlined, preset, min_voxels=min_voxels)
        tables.append(table.assign(patient=patient, version=change.name))
    records = [(patient, number, seed, change.to_json()) for number, change in enumerate(drawn)]
    features = pd.concat(tables, ignore_index=True)[VERSIONED.names()]
    return Found(features, pd.DataFrame(records, columns=["patient", "copy", "seed", "draw"]))


def versions_in_files(case: FileCase, preset: Preset, *, seed: int, min_voxels: int) -> Found:
    """Return the features of every version of a patient's files; errors as in `read_volume` and `extract`."""
    try:
        image, labels = read_volume(case.image, case.unit), read_volume(case.mask, "label")
        if not labels.grid.same_as(image.grid):
            labels = resample_labels(labels, image.grid)
        masks = label_masks(labels)
        if list(masks) == [voi_of_label(1)]:
            masks = {case.voi: masks.popitem()[1]}
        return versions_of(case.patient, image, masks, preset, seed=seed, min_voxels=min_voxels)
    except TheradoseError as error:
        raise error.at(patient=case.patient) from None


def folder_cases(folder: Path, image: str, mask: str, unit: str, voi: str) -> tuple[list[FileCase], list[str]]:
    """Return the patients of a folder that have both files, sorted, and the names of the folders that do not.

    Every folder in `folder` is a patient. DataError with fewer than two patients, or when a name can be none.
    """
    folders = sorted(path for path in Path(folder).glob("*") if path.is_dir())
    cases = [FileCase(path.name, path / image, path / mask, unit, voi) for path in folders]
    usable = [case for case in cases if case.image.is_file() and case.mask.is_file()]
    if len(usable) < 2:
        got = f"{len(usable)} of {len(folders)} folders with {image} and {mask}"
        raise DataError("stability needs two patients or more", got=got, expected="a folder for each", code="THR-201")
    for case in usable:
        if re.fullmatch(PATIENT_ID, case.patient) is None:
            raise DataError("a folder's name can be no patient's", got=case.patient, expected=PATIENT_ID)
    return usable, [case.patient for case in cases if case not in usable]


def joined(found: Sequence[Found]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return features (schema VERSIONED) and draws (schema DRAWS) of several patients as two tables."""
    return (
        pd.concat([one.features for one in found], ignore_index=True),
        pd.concat([one.draws for one in found], ignore_index=True),
    )


def versions_in_dataset(
    data: Dataset,
    patient: str,
    preset: Preset,
    *,
    weight_kg: float,
    organs: Sequence[str],
    seed: int,
    min_voxels: int,
) -> Found | None:
    """Return the features of every version of a patient's first image before therapy, None without image or mask."""
    images, masks = data.rows(patient, preset.modality, PRE), data.rows(patient, "mask", PRE)
    if images.empty or masks.empty:
        return None
    row = images.iloc[0]
    image = in_preset_unit(data.load(row), preset.modality, read_sidecar(data.root / str(row["file"])), weight_kg)
    labels = data.load_one(patient, "mask", PRE)
    if not labels.grid.same_as(image.grid):
        labels = resample_labels(labels, image.grid)
    vois = organ_masks(labels, organs, Where(patient=patient, file=str(masks.loc[0, "file"])))
    return versions_of(patient, image, vois, preset, seed=seed, min_voxels=min_voxels)
