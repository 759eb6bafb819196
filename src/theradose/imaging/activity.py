"""From SPECT images to activity in VOIs: the time numbers refer to, the resolution, the correction of spill-over."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from theradose.errors import DataError, Where
from theradose.imaging.grid import Grid
from theradose.imaging.plausible import tracer_of
from theradose.imaging.suv import NOT_CORRECTED, decay_reference, sidecar_number
from theradose.imaging.volume import Volume
from theradose.physics.decay import factor_to_scan_start
from theradose.physics.nuclides import nuclide
from theradose.physics.recovery import (
    ENOUGH_VOXELS,
    RECOVERY,
    mean_noise,
    region_ids,
    region_means,
    require_uncorrected,
    transfer_matrix,
    with_background,
)
from theradose.physics.recovery_curve import (
    edge_share,
    sphere_coefficient,
    sphere_log_slope,
    sphere_of_coefficient,
    volume_relative_std,
)
from theradose.physics.units import MM3_PER_ML, hours_from_seconds, mbq_from_bq_per_ml
from theradose.physics.voxel_recovery import region_based
from theradose.vocabulary import VOIS, voi_of_label

AS_DECLARED = "as_declared"
# Sidecar (s, rounded) and manifest (h, rounded) may differ by a rounding, 3 min at most.
SAME_TIME_H = 0.05
LARGEST_CHANGE = 3.0
BACKGROUND = ""


def at_scan_start(
    image: Volume, sidecar: Mapping[str, Any], *, radionuclide: str, start_h: float, reference: str = AS_DECLARED
) -> Volume:
    """Return an activity image (Bq/mL) as it was at the start of its scan, `start_h` after the administration.

    `reference` replaces what the sidecar declares unless it is `as_declared`. The image itself comes back when nothing
    changes. UnitError for another unit, DataError for another radionuclide, a time that contradicts the sidecar, or an
    unclear decay reference.
    """
    image.require_unit("Bq/mL", "SPECT")
    tracer = tracer_of(sidecar)
    if tracer != radionuclide:
        where = Where(field="TracerRadionuclide")
        raise DataError(
            "SPECT shows another radionuclide", where=where, got=tracer, expected=radionuclide, code="THR-243"
        )
    if "FrameTimesStart" in sidecar:
        stated_h = hours_from_seconds(sidecar_number(sidecar, "FrameTimesStart"))
        if abs(stated_h - start_h) > SAME_TIME_H:
            raise DataError(
                "sidecar and manifest give different times of the scan",
                where=Where(field="FrameTimesStart"),
                got=f"{stated_h:g} h",
                expected=f"{start_h:g} h after the administration",
                code="THR-244",
            )
    declared = decay_reference(sidecar) if reference == AS_DECLARED else reference
    duration_h = None
    if declared == NOT_CORRECTED:
        duration_h = hours_from_seconds(sidecar_number(sidecar, "FrameDuration"))
    factor = factor_to_scan_start(declared, nuclide(radionuclide).half_life_h, start_h, duration_h)
    return image if factor == 1.0 else image.with_values((image.values * factor).astype(np.float32))


def resolution_mm(sidecar: Mapping[str, Any], declared_mm: float | None, method: str) -> float | None:
    """Return the FWHM in mm that recovery is corrected for: the settings', else the sidecar's; DataError when neither.

    None when no correction is asked and no resolution is known. DataError (THR-247) when one is asked and the sidecar
    names another that was done before (RecoveryCorrection).
    """
    if method != "none":
        require_uncorrected(str(sidecar.get("RecoveryCorrection", "none")))
    stated = sidecar.get("EffectiveResolutionFWHM")
    known = declared_mm if declared_mm is not None else stated
    if known is not None and float(known) > 0:
        return float(known)
    if method == "none":
        return None
    raise DataError(
        "recovery cannot be corrected without the resolution of the image",
        where=Where(field="EffectiveResolutionFWHM"),
        got=stated,
        expected="FWHM in mm",
        remedy="measure it with a phantom and set quantify.fwhm_mm, or set quantify.recovery to none",
        code="THR-245",
    )


@dataclass(frozen=True)
class Regions:
    """The regions of a label mask, ready to measure images on its grid: labels, names (n,), transfer matrix (n, n).

    A region without a name is background: it takes part in the correction and is not reported.
    """

    grid: Grid
    labels: np.ndarray
    ids: np.ndarray
    names: tuple[str, ...]
    matrix: np.ndarray
    method: str
    fwhm_mm: float | None

    @property
    def correction(self) -> str:
        """What was corrected, in a few words for the table."""
        return self.method if self.method == "none" else f"{self.method} {self.fwhm_mm:g} mm"


def whole_labels(mask: Volume) -> np.ndarray:
    """Return the labels of a mask as integers; DataError when some are no whole number."""
    labels: np.ndarray = np.rint(mask.values).astype(np.int64)
    if not np.array_equal(labels, mask.values):
        raise DataError("mask holds values that are no labels", expected="whole numbers", code="THR-221")
    return labels


def regions_of(mask: Volume, *, method: str, fwhm_mm: float | None) -> Regions:
    """Return the regions of a mask with their transfer matrix; DataError when the mask is empty or a label is unknown.

    A mask that leaves out the remainder of the body gets a shell of background around its VOIs, so that what spills
    into them from there is known.
    """
    labels = whole_labels(mask)
    ids = region_ids(labels)
    if not ids.size:
        raise DataError("mask is empty", expected="at least one label", code="THR-272")
    try:
        names = [voi_of_label(int(label)) for label in ids]
    except KeyError as error:
        raise DataError("label of the mask has no name", got=error.args[0], code="THR-221") from error
    if method == "none" or fwhm_mm is None:
        return Regions(mask.grid, labels, ids, tuple(names), np.eye(ids.size), "none", fwhm_mm)
    spacing = mask.grid.spacing_zyx_mm
    if VOIS["remainder"].label not in ids:
        labels = with_background(labels, spacing, fwhm_mm, int(ids.max()) + 1)
        ids = region_ids(labels)
        names += [BACKGROUND] * (ids.size - len(names))
    return Regions(
        mask.grid, labels, ids, tuple(names), transfer_matrix(labels, ids, spacing, fwhm_mm), method, fwhm_mm
    )


@dataclass(frozen=True)
class Accuracy:
    """How well images are known, relative standard uncertainties: calibration (common to all scans), a scan, FWHM.

    `outline_fwhm_mm` is the resolution of the image that VOIs were outlined on.
    """

    calibration: float
    scan: float
    fwhm: float
    outline_fwhm_mm: float


@dataclass(frozen=True)
class VoiActivity:
    """The activity of a VOI in one image (MBq) with its noise, what the image shows, and how they are related.

    The last five are what the uncertainty budget takes of the VOI; see theradose.physics.uncertainty.
    """

    voi: str
    activity_mbq: float
    activity_std_mbq: float
    activity_uncorrected_mbq: float
    recovery_coefficient: float
    spill_in_mbq: float
    volume_ml: float
    flags: tuple[str, ...]
    volume_relative_std: float
    recovery_slope: float
    recovery_relative_std: float
    counts_slope: float
    calibration_relative_std: float


def _flags(corrected: float, uncorrected: float, voxels: int) -> tuple[str, ...]:
    """Return the flags of a measured activity."""
    ratio = corrected / uncorrected if uncorrected > 0 else 1.0
    found = {
        "negative_activity": corrected < 0,
        "small_voi": voxels < ENOUGH_VOXELS,
        "rc_unstable": corrected > 0 and not 1.0 / LARGEST_CHANGE <= ratio <= LARGEST_CHANGE,
    }
    return tuple(name for name, holds in found.items() if holds)


def _chain(volume_ml: float, coefficient: float, regions: Regions, accuracy: Accuracy) -> dict[str, float]:
    """Return how volume, resolution and calibration enter the activity of a VOI.

    A VOI behaves as the sphere that the image recovers equally well; R is a function of v / FWHM^3, so an FWHM that is
    wrong by u changes ln R by 3 u dlnR/dlnv. Without correction R is one, and an outline grows by half of its edge.
    """
    volume = volume_relative_std(
        volume_ml, voxel_mm=(regions.grid.voxel_ml * MM3_PER_ML) ** (1.0 / 3.0), fwhm_mm=accuracy.outline_fwhm_mm
    )
    slope, counts = 0.0, 0.5
    if regions.method != "none" and regions.fwhm_mm is not None:
        sphere_ml = sphere_of_coefficient(coefficient, regions.fwhm_mm)
        slope = float(sphere_log_slope(sphere_ml, regions.fwhm_mm))
        share = edge_share(sphere_ml, regions.fwhm_mm) / sphere_coefficient(sphere_ml, regions.fwhm_mm)
        counts = float(share) / 2.0
    return {
        "volume_relative_std": volume,
        "recovery_slope": slope,
        "recovery_relative_std": 3.0 * slope * accuracy.fwhm,
        "counts_slope": counts,
        "calibration_relative_std": accuracy.calibration,
    }


def voi_activities(image: Volume, regions: Regions, accuracy: Accuracy) -> list[VoiActivity]:
    """Measure every named region of an image in Bq/mL at its scan; GeometryError when the grids differ.

    The standard uncertainty is what is this scan's alone: the noise of the means, carried through the correction, and
    the variation from scan to scan. That of the calibration is common to all scans and stands beside. A negative
    activity is set to zero and flagged.
    """
    image.require_unit("Bq/mL", "SPECT")
    regions.grid.require_same(image.grid, "SPECT")
    spacing, values = image.grid.spacing_zyx_mm, image.values.astype(np.float64)
    recover = RECOVERY[regions.method]
    means = region_means(values, regions.labels, regions.ids)
    uniform = recover(means, np.zeros_like(means), regions.matrix).mean
    noise = mean_noise(
        values, regions.labels, regions.ids, uniform=uniform, spacing_zyx_mm=spacing, fwhm_mm=regions.fwhm_mm
    )
    found = recover(means, noise, regions.matrix)
    std = np.sqrt(np.diag(found.covariance) + (accuracy.scan * found.mean) ** 2)
    counts = np.bincount(regions.labels.ravel())[regions.ids]
    results = []
    for i, voi in enumerate(regions.names):
        if voi == BACKGROUND:
            continue
        ml = float(counts[i]) * image.grid.voxel_ml
        results.append(
            VoiActivity(
                voi=voi,
                activity_mbq=max(mbq_from_bq_per_ml(float(found.mean[i]), ml), 0.0),
                activity_std_mbq=mbq_from_bq_per_ml(float(std[i]), ml),
                activity_uncorrected_mbq=mbq_from_bq_per_ml(float(means[i]), ml),
                recovery_coefficient=float(found.coefficient[i]),
                spill_in_mbq=mbq_from_bq_per_ml(float(found.spill_in[i]), ml),
                volume_ml=ml,
                flags=_flags(float(found.mean[i]), float(means[i]), int(counts[i])),
                **_chain(ml, float(found.coefficient[i]), regions, accuracy),
            )
        )
    return results


def voxel_recovered(image: Volume, regions: Regions, applied: str = "none") -> Volume:
    """Return an image in Bq/mL corrected voxel by voxel, float32; each region keeps its corrected mean.

    `regions` hold a correction and its FWHM; `applied` names one that was done before (DataError THR-247).
    """
    regions.grid.require_same(image.require_unit("Bq/mL", "SPECT").grid, "SPECT")
    values = image.values.astype(np.float64)
    means = region_means(values, regions.labels, regions.ids)
    corrected = RECOVERY[regions.method](means, np.zeros_like(means), regions.matrix).mean
    found = region_based(
        values, regions.labels, corrected, spacing_zyx_mm=image.grid.spacing_zyx_mm, fwhm_mm=regions.fwhm_mm or 0.0,
        applied=applied,
    )  # fmt: skip
    return image.with_values(found.corrected.astype(np.float32))


def activity_per_voxel_mbq(image: Volume) -> np.ndarray:
    """Return an image in Bq/mL as MBq per voxel, (z, y, x)."""
    image.require_unit("Bq/mL", "SPECT")
    return mbq_from_bq_per_ml(image.values.astype(np.float64), np.asarray(image.grid.voxel_ml))
