"""The one door to PyRadiomics: each filter once per image, shared by all VOIs, and a status beside every value."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pandas as pd
import pykwalify.errors
import SimpleITK as sitk
from radiomics import getFeatureClasses, imageoperations
from radiomics.featureextractor import RadiomicsFeatureExtractor

from theradose.errors import SettingsError, Where
from theradose.features.preprocess import cropped, resampled
from theradose.features.presets import ORIGINAL_NAME, Filter, Preset
from theradose.features.vois import COLUMNS, OK, radius_mm, voi_fault
from theradose.imaging.grid import Grid
from theradose.imaging.volume import Volume

# What PyRadiomics has to say stands in the column `status`; its own log would repeat it for every VOI.
for _name in ("radiomics", "pykwalify"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)

DISTRIBUTIONS = ("pyradiomics-bhklab", "pyradiomics")
# A matrix of grey levels grows with their square; 30 to 130 levels are usual, above 1024 memory runs out.
MAX_GREY_LEVELS = 1024
# About 128 MB as float64; larger images are cut to the VOIs and the preset's margin before filtering.
CROP_ABOVE_VOXELS = 16_000_000
SHAPE = "shape"

Found = dict[str, float]


@dataclass(frozen=True)
class _Voi:
    """A VOI ready for PyRadiomics: mask on the image's grid, its box, and its radius in mm."""

    name: str
    mask: sitk.Image
    box: np.ndarray
    radius_mm: float


@dataclass(frozen=True)
class _Job:
    """One image, as an array (z, y, x) and for ITK, with what is to be taken from it."""

    voxels: np.ndarray
    grid: Grid
    image: sitk.Image
    preset: Preset
    extractor: RadiomicsFeatureExtractor


def engine() -> str:
    """Return name and version of the PyRadiomics distribution that is installed, for the provenance."""
    for name in DISTRIBUTIONS:
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    return "pyradiomics of unknown version"


def extractor_of(preset: Preset) -> RadiomicsFeatureExtractor:
    """Return PyRadiomics' extractor for a preset; SettingsError when PyRadiomics does not know a key or a feature."""
    try:
        return RadiomicsFeatureExtractor(preset.content(), additionalInfo=False)
    except (pykwalify.errors.PyKwalifyException, ValueError) as error:
        raise SettingsError(
            "PyRadiomics refuses the preset", where=Where(file=preset.name), got=str(error).strip(), code="THR-112"
        ) from error


def wanted(preset: Preset) -> list[tuple[str, str, str]]:
    """Return every (filter, feature class, feature) a preset asks for; shape once, with the original image."""
    classes = getFeatureClasses()
    rows = []
    for name, chosen in preset.feature_classes.items():
        known = classes[name].getFeatureNames()
        features = list(chosen) if chosen else [feature for feature, deprecated in known.items() if not deprecated]
        filters = [ORIGINAL_NAME] if name == SHAPE else [f.name for f in preset.filters]
        rows += [(f, name, feature) for f in filters for feature in features]
    return rows


def prepare(
    volume: Volume, masks: Mapping[str, np.ndarray], preset: Preset, crop_above_voxels: int = CROP_ABOVE_VOXELS
) -> tuple[Volume, dict[str, np.ndarray]]:
    """Return image and masks as they are filtered: in the preset's unit and voxel size, cut when the image is large.

    UnitError when the image is in another unit, SettingsError when no LoG scale of the preset fits its voxels.
    """
    volume.require_unit(preset.unit, f"image for preset {preset.name}")
    volume, masks = resampled(volume, masks, preset.spacing_mm)
    preset.require_a_scale(volume.grid)
    return cropped(volume, masks, preset.margin_mm, crop_above_voxels)


def extract(
    volume: Volume,
    masks: Mapping[str, np.ndarray],
    preset: Preset,
    *,
    min_voxels: int = 3,
    crop_above_voxels: int = CROP_ABOVE_VOXELS,
) -> pd.DataFrame:
    """Return the features of all VOIs of an image: voi, filter, feature_class, feature, value, status.

    `masks` maps names to arrays of bool (z, y, x) on the grid of `volume` (g/mL for a PET preset, HU for CT). Every
    VOI gets all rows of the preset; where a value cannot be had it is NaN and `status` says why, else `status` is
    `ok`. UnitError for another unit, SettingsError when no LoG scale fits the voxels or PyRadiomics refuses a key.
    """
    extractor = extractor_of(preset)
    volume, masks = prepare(volume, masks, preset, crop_above_voxels)
    # The result does not depend on it, for the filters work line by line: one job uses one thread.
    process: Any = sitk.ProcessObject
    process.SetGlobalDefaultNumberOfThreads(1)
    voxels = volume.values
    job = _Job(voxels, volume.grid, _image(voxels, volume.grid, np.float64), preset, extractor)
    rows = wanted(preset)
    lines: dict[str, dict[str, Found | str]] = {name: {} for name in masks}
    vois = []
    for name, mask in masks.items():
        ready = _ready(job, name, mask, min_voxels)
        if isinstance(ready, str):
            lines[name] = dict.fromkeys([SHAPE, *(f.name for f in preset.filters)], ready)
        else:
            vois.append(ready)
            lines[name][SHAPE] = _shape(job, ready)
    for voi, f, outcome in _by_filter(job, vois):
        lines[voi.name][f.name] = outcome
    return _table(rows, lines)


def _table(rows: list[tuple[str, str, str]], lines: dict[str, dict[str, Found | str]]) -> pd.DataFrame:
    """Put values, or the reason for none, into the rows every VOI must have."""
    cells = []
    for voi, outcomes in lines.items():
        for f, kind, feature in rows:
            outcome = outcomes[SHAPE if kind == SHAPE else f]
            if isinstance(outcome, str):
                value, status = np.nan, outcome
            else:
                value = outcome.get(f"{f}_{kind}_{feature}", np.nan)
                value, status = (value, OK) if np.isfinite(value) else (np.nan, "PyRadiomics gave no finite value")
            cells.append((voi, f, kind, feature, value, status))
    return pd.DataFrame(cells, columns=list(COLUMNS)).astype({"value": "float64"})


def _image(values: np.ndarray, grid: Grid, kind: type) -> sitk.Image:
    """Turn an array (z, y, x) into an ITK image."""
    image: sitk.Image = sitk.GetImageFromArray(np.ascontiguousarray(values, kind))
    place: Any = image
    place.SetSpacing(grid.spacing_mm)
    place.SetOrigin(grid.origin_mm)
    place.SetDirection([float(cosine) for row in grid.direction for cosine in row])
    return image


def _ready(job: _Job, name: str, mask: np.ndarray, min_voxels: int) -> _Voi | str:
    """Return a VOI ready for extraction, or the reason why it gives no features."""
    fault = voi_fault(job.voxels[mask], min_voxels)
    if fault is not None:
        return fault
    label = _image(mask, job.grid, np.uint8)
    try:
        box, _ = imageoperations.checkMask(job.image, label, **job.extractor.settings)
    except ValueError as error:
        return str(error)
    return _Voi(name, label, box, radius_mm(mask, job.grid.voxel_ml))


def _shape(job: _Job, voi: _Voi) -> Found | str:
    """Return the shape features of a VOI, or the reason why there are none."""
    return _guarded(lambda: job.extractor.computeShape(job.image, voi.mask, voi.box, **job.extractor.settings))


def _by_filter(job: _Job, vois: list[_Voi]) -> Iterator[tuple[_Voi, Filter, Found | str]]:
    """Yield the features, or the reason for none, of every VOI in every filtered image, holding one image at a time."""
    for f in job.preset.filters:
        sigma_mm = f.sigma_mm or 0.0
        if f.below_voxel(job.grid):
            yield from ((voi, f, "scale below a voxel") for voi in vois)
            continue
        yield from ((voi, f, "scale above the radius of the VOI") for voi in vois if sigma_mm > voi.radius_mm)
        fitting = [voi for voi in vois if sigma_mm <= voi.radius_mm]
        if not fitting:
            continue
        settings = {**job.extractor.settings, **f.settings, "sigma": [sigma_mm]}
        filtered = list(getattr(imageoperations, f"get{f.kind}Image")(job.image, None, **settings))
        for voi in fitting:
            yield voi, f, _features(job, voi, f, filtered[0][0], settings) if filtered else "image too small to filter"


def _features(job: _Job, voi: _Voi, f: Filter, filtered: sitk.Image, settings: Mapping[str, Any]) -> Found | str:
    """Return the features of a VOI in a filtered image, or the reason why there are none."""
    part, mask = imageoperations.cropToTumorMask(filtered, voi.mask, voi.box)
    values = sitk.GetArrayViewFromImage(part)[sitk.GetArrayViewFromImage(mask) == 1]
    fault = voi_fault(values, 1)
    if fault is not None:
        return fault
    if not settings.get("binCount") and np.ptp(values) / settings["binWidth"] > MAX_GREY_LEVELS:
        return f"more than {MAX_GREY_LEVELS} grey levels"
    return _guarded(lambda: job.extractor.computeFeatures(part, mask, f.name, **settings))


def _guarded(compute: Callable[[], Mapping[str, Any]]) -> Found | str:
    """Return what PyRadiomics computes as plain numbers, or its complaint, so that the other VOIs go on."""
    try:
        # MCC comes from eigenvalues, which may carry an imaginary part of rounding.
        return {key: float(np.real(value)) for key, value in compute().items()}
    except (ValueError, RuntimeError, IndexError, MemoryError, ZeroDivisionError) as error:
        return f"PyRadiomics failed: {type(error).__name__}: {error}"
