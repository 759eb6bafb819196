"""All features of one patient and session: PET in SUV and CT before therapy, SPECT of a cycle, over whole organs."""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from theradose.cohort.layout import PRE, Dataset
from theradose.errors import DataError, UnitError, Where
from theradose.features.cache import FeatureCache
from theradose.features.peak import local_rows
from theradose.features.presets import UNIT_OF, Preset
from theradose.features.radiomics import extract
from theradose.features.vois import OK, measure, organ_masks
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import read_sidecar
from theradose.imaging.normalise import match_resolution
from theradose.imaging.resample import resample_labels
from theradose.imaging.suv import to_suv
from theradose.imaging.volume import Volume
from theradose.tables import FEATURES

IN_SUV = ("SUV", UNIT_OF["pet"])
EMISSION = ("pet", "spect")
NONE_KEPT = FeatureCache()


def in_preset_unit(image: Volume, modality: str, sidecar: Mapping[str, object], weight_kg: float | None) -> Volume:
    """Return a PET or SPECT in g/mL (SUV by body weight) and others as they are; one in SUV keeps its values.

    UnitError when the image's unit allows neither.
    """
    if modality not in EMISSION:
        return image.require_unit(UNIT_OF[modality], modality)
    if image.unit in IN_SUV:
        return image.with_values(image.values, UNIT_OF["pet"])
    image.require_unit("Bq/mL", modality.upper())
    if weight_kg is None:
        raise UnitError(
            f"{modality.upper()} in Bq/mL needs the body weight to become SUV", got=image.unit, expected=UNIT_OF["pet"]
        )
    return to_suv(image, dict(sidecar), weight_kg)


def image_features(volume: Volume, masks: Mapping[str, np.ndarray], preset: Preset, *, min_voxels: int) -> pd.DataFrame:
    """Return what a preset asks of an image: PyRadiomics' features, then our own; arguments and errors as `extract`."""
    found = extract(volume, masks, preset, min_voxels=min_voxels)
    if not preset.own:
        return found
    return pd.concat([found, local_rows(volume, masks, preset.own)], ignore_index=True)


def patient_features(
    data: Dataset,
    patient: str,
    *,
    weight_kg: float,
    presets: Mapping[str, Preset],
    organs: Sequence[str],
    min_voxels: int,
    session: str = PRE,
    cache: FeatureCache = NONE_KEPT,
    fwhm_mm: tuple[float, float] | None = None,
) -> pd.DataFrame:
    """Return the rows of the feature table (schema FEATURES) of a patient's images of one session.

    `presets` maps modalities (`pet`, `ct`; `spect` with a preset made for PET) to what is extracted. A mask on another
    grid is put on the image's; a session without a mask has the one before therapy. A patient without mask or images
    has no rows, an organ that the mask does not hold neither. `cache` keeps the features of an image. `fwhm_mm`: the
    resolution that a PET has and the one it is brought to, mm.
    """
    drawn_in = PRE if data.rows(patient, "mask", session).empty else session
    masks = data.rows(patient, "mask", drawn_in)
    images = [row for modality in presets for _, row in data.rows(patient, modality, session).iterrows()]
    tables = [pd.DataFrame(columns=FEATURES.names())]
    if masks.empty or not images:
        return tables[0]
    mask = data.load_one(patient, "mask", drawn_in)
    drawn = organ_masks(mask, organs, Where(patient=patient, file=str(masks.loc[0, "file"])))
    for row in images:
        modality = str(row["modality"])
        image = in_preset_unit(data.load(row), modality, read_sidecar(data.root / str(row["file"])), weight_kg)
        if fwhm_mm is not None and modality == "pet":
            image = match_resolution(image, *fwhm_mm)
        vois = drawn if mask.grid.same_as(image.grid) else _on_grid(mask, image.grid, organs, drawn)
        preset = presets[modality]
        make = partial(image_features, image, vois, preset, min_voxels=min_voxels)
        found = [cache.get(image, vois, preset, min_voxels, make)]
        if modality in EMISSION:
            found.append(measure(image, vois))
        table = pd.concat(found, ignore_index=True)
        tables.append(table.assign(patient=patient, session=session, modality=modality, time_h=row["time_h"]))
    return pd.concat(tables[1:], ignore_index=True)[FEATURES.names()]


def _on_grid(mask: Volume, grid: Grid, organs: Sequence[str], drawn: Mapping[str, object]) -> dict[str, np.ndarray]:
    """Return the masks of the organs drawn on another grid; one too small for its voxels becomes empty."""
    seen = organ_masks(resample_labels(mask, grid), organs)
    return {organ: seen.get(organ, np.zeros(grid.shape_zyx, bool)) for organ in drawn}


def resolution_of(centre: str, fwhm_mm: Mapping[str, float]) -> tuple[float, float] | None:
    """Return the resolution (FWHM, mm) of a centre's PET and that of the worst centre, None when none is stated.

    DataError when the resolution of others is stated and not that of this centre.
    """
    if not fwhm_mm:
        return None
    if centre not in fwhm_mm:
        raise DataError(
            "the resolution of this centre's PET is not stated",
            where=Where(field="radiomics.pet_fwhm_mm"),
            got=centre,
            expected=", ".join(sorted(fwhm_mm)),
            remedy="measure it and add it, or leave all of them out",
            code="THR-440",
        )
    return fwhm_mm[centre], max(fwhm_mm.values())


def missing_vois(features: pd.DataFrame, patients: Sequence[str], organs: Sequence[str]) -> list[str]:
    """Return `patient organ` for every organ of a patient that has no feature at all."""
    held = features[features["status"] == OK]
    known = set(zip(held["patient"], held["voi"], strict=True))
    return [f"{patient} {organ}" for patient in patients for organ in organs if (patient, organ) not in known]
