"""Features of all VOIs of an image: each filter once, shared by them all, and a status beside every value."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage

from theradose.features.engine import SHAPE, Engine, Found, anchored_bins, cut, itk_image, wanted
from theradose.features.preparation import PLAIN
from theradose.features.preprocess import counted, cropped, resampled
from theradose.features.presets import Filter, Preset
from theradose.features.vois import COLUMNS, OK, radius_mm, size_fault, value_fault, voi_fault
from theradose.imaging.grid import Grid
from theradose.imaging.volume import Volume

# A matrix of grey levels grows with their square; 30 to 130 levels are usual, above 1024 memory runs out.
MAX_GREY_LEVELS = 1024
# About 128 MB as float64; larger images are cut to the VOIs and the preset's margin before filtering.
CROP_ABOVE_VOXELS = 16_000_000


@dataclass(frozen=True)
class _Region:
    """A mask for PyRadiomics and its box, first and last index along x, y and z."""

    mask: Any
    box: np.ndarray


@dataclass(frozen=True)
class _Voi:
    """A VOI as drawn, the voxels of it that count for intensities, and its radius.

    `fault` says why intensities cannot be had.
    """

    name: str
    drawn: _Region
    counted: _Region
    radius_mm: float
    fault: str | None = None


@dataclass(frozen=True)
class _Job:
    """One image, as an array (z, y, x) and for ITK, with what is to be taken from it."""

    voxels: np.ndarray
    grid: Grid
    image: Any
    preset: Preset
    engine: Engine


def prepare(
    volume: Volume, masks: Mapping[str, np.ndarray], preset: Preset, crop_above_voxels: int = CROP_ABOVE_VOXELS
) -> tuple[Volume, dict[str, np.ndarray]]:
    """Return image and masks as they are filtered: in the preset's unit and voxel size, cut when the image is large.

    UnitError when the image is in another unit, SettingsError when no LoG scale of the preset fits its voxels.
    """
    volume.require_unit(preset.unit, f"image for preset {preset.name}")
    volume, masks = resampled(volume, masks, preset.preparation)
    preset.require_a_scale(volume.grid)
    return cropped(volume, masks, preset.margin_mm(volume.grid), crop_above_voxels)


def extract(
    volume: Volume,
    masks: Mapping[str, np.ndarray],
    preset: Preset,
    *,
    min_voxels: int = 3,
    crop_above_voxels: int = CROP_ABOVE_VOXELS,
) -> pd.DataFrame:
    """Return the features of all VOIs of an image: voi, filter, feature_class, feature, value, status.

    `masks` maps names to arrays of bool (z, y, x) on the grid of `volume`, which is in the unit of the preset. Every
    VOI gets all rows of the preset; where a value cannot be had it is NaN and `status` says why, else `status` is `ok`.
    UnitError for another unit, SettingsError when no LoG scale fits the voxels or PyRadiomics refuses a key.
    """
    engine = Engine(preset)
    if preset.preparation.engine == PLAIN:
        return _plain(volume, masks, preset, engine)
    volume, masks = prepare(volume, masks, preset, crop_above_voxels)
    image = itk_image(volume.values, volume.grid, np.float64)
    job = _Job(volume.values, volume.grid, image, preset, engine)
    lines: dict[str, dict[str, Found | str]] = {name: {} for name in masks}
    vois = []
    for name, mask in masks.items():
        voi = _ready(job, name, mask, min_voxels)
        if isinstance(voi, str):
            lines[name] = dict.fromkeys([SHAPE, *(f.name for f in preset.filters)], voi)
        else:
            shape = engine.shape(job.image, voi.drawn.mask, voi.drawn.box)
            lines[name] = {SHAPE: shape, **{f.name: voi.fault or "" for f in preset.filters}}
            vois.append(voi)
    with anchored_bins(preset.preparation.bin_anchor):
        for voi, f, outcome in _by_filter(job, [voi for voi in vois if voi.fault is None]):
            lines[voi.name][f.name] = outcome
    return _table(wanted(preset), lines)


def _plain(volume: Volume, masks: Mapping[str, np.ndarray], preset: Preset, engine: Engine) -> pd.DataFrame:
    """Return the features as PyRadiomics alone computes them, VOI by VOI."""
    volume.require_unit(preset.unit, f"image for preset {preset.name}")
    image = itk_image(volume.values, volume.grid, volume.values.dtype.type)
    names = [SHAPE, *(f.name for f in preset.filters)]
    found = {name: engine.alone(image, itk_image(mask, volume.grid, np.uint8)) for name, mask in masks.items()}
    return _table(wanted(preset), {name: dict.fromkeys(names, outcome) for name, outcome in found.items()})


def _table(rows: list[tuple[str, str, str]], lines: Mapping[str, Mapping[str, Found | str]]) -> pd.DataFrame:
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


def _ready(job: _Job, name: str, mask: np.ndarray, min_voxels: int) -> _Voi | str:
    """Return a VOI ready for extraction, or the reason why it gives no features, shape neither."""
    values = job.voxels[mask]
    fault = size_fault(values, min_voxels)
    if fault is not None:
        return fault
    zyx = ndimage.find_objects(mask.astype(np.uint8))[0]
    fault = _shape_fault(job, mask[zyx])
    if fault is not None:
        return fault
    drawn = _Region(itk_image(mask, job.grid, np.uint8), _box_xyz(zyx))
    voi = _Voi(name, drawn, drawn, radius_mm(mask[zyx], job.grid.voxel_ml), value_fault(values))
    if not job.preset.preparation.resegments or voi.fault is not None:
        return voi
    inside = mask.copy()
    inside[mask] = counted(values, job.preset.preparation)
    fault = voi_fault(job.voxels[inside], min_voxels)
    if fault is not None:
        return replace(voi, fault=f"within the range that counts: {fault}")
    part = ndimage.find_objects(inside.astype(np.uint8))[0]
    return replace(voi, counted=_Region(itk_image(inside, job.grid, np.uint8), _box_xyz(part)))


def _shape_fault(job: _Job, mask: np.ndarray) -> str | None:
    """Return why PyRadiomics takes a mask, cut to its box, for no region, or None; on the whole image that is slow."""
    label = itk_image(mask, replace(job.grid, shape_zyx=mask.shape), np.uint8)
    try:
        job.engine.box(label, label)
    except ValueError as error:
        return str(error)
    return None


def _box_xyz(zyx: tuple[slice, ...]) -> np.ndarray:
    """Return first and last index along x, y and z, as PyRadiomics has it."""
    return np.array([index for part in reversed(zyx) for index in (part.start, part.stop - 1)])


def _by_filter(job: _Job, vois: list[_Voi]) -> Iterator[tuple[_Voi, Filter, Found | str]]:
    """Yield the features, or the reason for none, of every VOI in every filtered image; each filter runs once."""
    for _, group in groupby(job.preset.filters, key=lambda f: (f.kind, f.sigma_mm)):
        filters = list(group)
        sigma_mm = filters[0].sigma_mm or 0.0
        if filters[0].below_voxel(job.grid):
            yield from ((voi, f, "scale below a voxel") for voi in vois for f in filters)
            continue
        too_small = [voi for voi in vois if sigma_mm > voi.radius_mm]
        yield from ((voi, f, "scale above the radius of the VOI") for voi in too_small for f in filters)
        fitting = [voi for voi in vois if sigma_mm <= voi.radius_mm]
        if fitting:
            yield from _filtered(job, fitting, filters)


def _filtered(job: _Job, vois: list[_Voi], filters: list[Filter]) -> Iterator[tuple[_Voi, Filter, Found | str]]:
    """Run the filter that gives these images and yield the features of every VOI in each."""
    missing = {f.name: f for f in filters}
    for name, image in job.engine.filtered(job.image, filters[0]):
        f = missing.pop(name)
        yield from ((voi, f, _features(job, voi, f, image)) for voi in vois)
    yield from ((voi, f, "image too small to filter") for voi in vois for f in missing.values())


def _features(job: _Job, voi: _Voi, f: Filter, filtered: Any) -> Found | str:
    """Return the features of a VOI in a filtered image, or the reason why there are none."""
    part, mask, values = cut(filtered, voi.counted.mask, voi.counted.box)
    fault = voi_fault(values, 1)
    if fault is not None:
        return fault
    settings, anchor = job.engine.settings(f), job.preset.preparation.bin_anchor
    lowest = values.min() if anchor is None else min(anchor, values.min())
    if not settings.get("binCount") and (values.max() - lowest) / settings["binWidth"] > MAX_GREY_LEVELS:
        return f"more than {MAX_GREY_LEVELS} grey levels"
    return job.engine.features(part, mask, f)
