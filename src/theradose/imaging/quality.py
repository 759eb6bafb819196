"""How noisy, grainy and blurred a PET is, read off image, sidecar and mask: one scanner is told from another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from theradose.errors import TheradoseError
from theradose.imaging.plausible import tracer_of
from theradose.imaging.resample import resample_labels
from theradose.imaging.suv import decay_reference, sidecar_number
from theradose.imaging.volume import Volume
from theradose.physics.decay import factor_to_scan_start
from theradose.physics.nuclides import nuclide
from theradose.physics.units import BQ_PER_MBQ, hours_from_seconds
from theradose.vocabulary import VOIS

QUALITIES = {
    "noise": "noise of even tissue over its mean",
    "counts": "counts per MBq.s that leave such noise",
    "grain": "noise two voxels apart over that of neighbours",
    "spill": "uptake just outside organs over that inside",
}
# Tissue this far from all that is drawn holds no edge of an organ: two of the widest resolutions of a PET (7.5 mm).
MARGIN_MM = 15.0
LARGE = ("liver", "spleen", "kidney_left", "kidney_right")  # drawn always, and large enough to have an inside
FEWEST_EVEN, FEWEST_INSIDE = 100, 8  # own choice: voxels below which a median, a mean says little
STANDS_OUT = 2.0  # own choice: an organ with less uptake over that of even tissue has no edge to see
SD_PER_MEDIAN = 1.4826  # of the absolute value of a normal variable
WEIGHTS_OF_DIFFERENCE = 6.0  # 1 + 4 + 1, the squares of (1, -2, 1)


def _level(outside: np.ndarray) -> float:
    """Return about the mean of tissue among voxels (n,) of tissue and air."""
    tissue = outside[outside > outside.sum() / max(outside.size, 1)]  # air pulls the mean below tissue
    return float(tissue.mean()) if tissue.size else np.inf


def _even(values: np.ndarray, rest: np.ndarray, spacing_zyx_mm: tuple[float, float, float]) -> np.ndarray:
    """Return which voxels (z, y, x) lie in the body and far from all that is drawn; `rest` is what is not drawn."""
    far = ndimage.distance_transform_edt(rest, sampling=spacing_zyx_mm) > MARGIN_MM
    return np.asarray(far & rest & (ndimage.uniform_filter(values, 3) > _level(values[rest]) / 2.0))


def _roughness(values: np.ndarray, even: np.ndarray, step: int) -> float:
    """Return the standard deviation of white noise with the second differences, `step` voxels apart, of even tissue."""
    found = []
    for axis in range(values.ndim):
        v, e = np.moveaxis(values, axis, 0), np.moveaxis(even, axis, 0)
        here = e[: -2 * step] & e[step:-step] & e[2 * step :]
        found.append((v[: -2 * step] - 2.0 * v[step:-step] + v[2 * step :])[here])
    differences = np.abs(np.concatenate(found))
    if differences.size < FEWEST_EVEN:
        return float("nan")
    return float(SD_PER_MEDIAN * np.median(differences) / np.sqrt(WEIGHTS_OF_DIFFERENCE))


def _spill(values: np.ndarray, labels: np.ndarray, rest: np.ndarray, base: float) -> float:
    """Return the uptake of the voxels round large organs over that inside them, both above `base`; skin left out."""
    around, inside = 0.0, 0.0
    body = ndimage.binary_erosion((values > base / 2.0) | ~rest)
    for voi in LARGE:
        places = ndimage.find_objects((labels == VOIS[voi].label).astype(np.uint8))
        if not places:
            continue
        box = tuple(slice(max(axis.start - 3, 0), axis.stop + 3) for axis in places[0])
        own, v = labels[box] == VOIS[voi].label, values[box]
        core = ndimage.binary_erosion(own)
        others = ndimage.binary_dilation(~rest[box] & ~own, np.ones((3, 3, 3), bool))
        shell = ndimage.binary_dilation(own) & rest[box] & body[box] & ~others
        if core.sum() >= FEWEST_INSIDE and v[core].mean() > STANDS_OUT * base:
            around += float((v[shell] - base).sum())
            inside += float((v[core].mean() - base) * shell.sum())
    return around / inside if inside > 0.0 else float("nan")


def _mbq_s(pet: Volume, sidecar: Mapping[str, Any], level: float) -> float:
    """Return activity times frame (MBq.s) of a voxel with `level`, NaN when unit or sidecar do not tell."""
    if pet.unit != "Bq/mL":
        return float("nan")
    try:
        half_life_h = nuclide(str(tracer_of(sidecar))).half_life_h
        start_h, frame_s = (sidecar_number(sidecar, name) for name in ("FrameTimesStart", "FrameDuration"))
        start_h, frame_h = hours_from_seconds(start_h), hours_from_seconds(frame_s)
        to_start = factor_to_scan_start(decay_reference(sidecar), half_life_h, start_h, frame_h)
    except TheradoseError:
        return float("nan")
    return level * to_start / BQ_PER_MBQ * pet.grid.voxel_ml * frame_s


@dataclass(frozen=True)
class EvenTissue:
    """Tissue far from all that is drawn: its median, and the noise that differences one and two voxels apart show.

    In the unit of the image; NaN where there is too little.
    """

    base: float
    near: float
    far: float


def _drawn(mask: Volume, pet: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels of a mask on the grid of a PET, and which voxels are no organ."""
    labels = (mask if mask.grid.same_as(pet.grid) else resample_labels(mask, pet.grid)).values
    return labels, (labels == 0) | (labels == VOIS["remainder"].label)


def even_tissue(pet: Volume, mask: Volume) -> EvenTissue:
    """Return level and noise of the even tissue of a PET in any linear unit; `mask` may have another grid."""
    values = np.asarray(pet.values, np.float64)
    even = _even(values, _drawn(mask, pet)[1], pet.grid.spacing_zyx_mm)
    if even.sum() < FEWEST_EVEN:
        return EvenTissue(*[float("nan")] * 3)
    return EvenTissue(float(np.median(values[even])), *(_roughness(values, even, step) for step in (1, 2)))


def image_quality(pet: Volume, mask: Volume, sidecar: Mapping[str, Any]) -> dict[str, float]:
    """Return the QUALITIES of a PET in any linear unit, NaN where it does not tell; `mask` may have another grid.

    `counts` takes Poisson noise for granted: the mean of a voxel over its variance, per activity and time.
    """
    labels, rest = _drawn(mask, pet)
    found = even_tissue(pet, mask)
    base, near, far = found.base, found.near, found.far
    if np.isnan(base):
        return dict.fromkeys(QUALITIES, float("nan"))
    grain = far / near if near > 0.0 else float("nan")
    noise = near / base
    mbq_s = _mbq_s(pet, sidecar, base)
    counts = 1.0 / (noise**2 * mbq_s) if noise > 0.0 and mbq_s > 0.0 else float("nan")
    spill = _spill(np.asarray(pet.values, np.float64), labels, rest, base)
    return {"noise": noise, "counts": counts, "grain": grain, "spill": spill}
