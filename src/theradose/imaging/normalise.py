"""Images of all patients on one scale and one voxel size, so that a network sees anatomy and uptake, not scanners."""

from collections.abc import Mapping

import numpy as np
from scipy import ndimage, special

from theradose.errors import DataError, SettingsError
from theradose.imaging.grid import Grid
from theradose.imaging.resample import resample, resample_labels
from theradose.imaging.volume import Volume
from theradose.physics.recovery import FWHM_PER_SD
from theradose.vocabulary import QUANTITIES, VOIS

MBQ_PER_GBQ = 1000.0
SUV = QUANTITIES["suv_bw"].unit
WINDOW = "window fraction"
DOSE_UNIT = "Gy/GBq"
TAILS_SD = 5.0
SPACING_TOLERANCE = 1e-3  # relative; below it two voxel sizes are the same


def model_grid(grid: Grid, spacing_mm: float) -> Grid:
    """Return the grid of cubic voxels that fills the box of `grid`; `grid` itself when it already has that spacing.

    The box keeps its centre and its axes; its sides are rounded to whole voxels (at least one).
    """
    old = np.asarray(grid.spacing_mm)
    if np.allclose(old, spacing_mm, rtol=SPACING_TOLERANCE, atol=0.0):
        return grid
    shape_xyz = np.asarray(grid.shape_zyx[::-1])
    new_xyz = np.maximum(np.rint(shape_xyz * old / spacing_mm), 1.0)
    to_first_mm = (shape_xyz - 1) / 2 * old - (new_xyz - 1) / 2 * spacing_mm
    origin = np.asarray(grid.origin_mm) + np.asarray(grid.direction) @ to_first_mm
    return Grid(
        (int(new_xyz[2]), int(new_xyz[1]), int(new_xyz[0])),
        (spacing_mm, spacing_mm, spacing_mm),
        (float(origin[0]), float(origin[1]), float(origin[2])),
        grid.direction,
    )


def pet_unit(scale_suv: float) -> str:
    """Return the unit of a normalised PET, `SUV/10` when one unit is 10 SUV."""
    return f"SUV/{scale_suv:g}"


def normalise_pet(pet: Volume, scale_suv: float) -> Volume:
    """Return a PET in SUV (body weight) over `scale_suv`, float32; not clipped, so hot lesions keep their ratio."""
    pet.require_unit(SUV, "PET")
    return pet.with_values((pet.values / scale_suv).astype(np.float32), pet_unit(scale_suv))


def concentration_per_unit(weight_kg: float, scale_suv: float) -> float:
    """Return what one unit of a normalised PET means in Bq/mL per MBq injected.

    SUV = C[Bq/mL] W[g] / A[Bq], so C/A = SUV / W. A dose per activity scales with C/A, not with SUV.

    >>> concentration_per_unit(80.0, 10.0)
    125.0
    """
    return scale_suv * 1000.0 / weight_kg


def match_resolution(image: Volume, fwhm_have_mm: float, fwhm_want_mm: float) -> Volume:
    """Return an image smoothed by a Gaussian so that its resolution falls from one FWHM to a larger one, float32.

    FWHMs of Gaussians add in quadrature. The kernel is the discrete Gaussian (Lindeberg 1990), exp(-t) I_n(t), whose
    variance in voxels is t exactly, also where it is narrower than a voxel and a sampled Gaussian would do nothing.
    Beyond its edges the image goes on as it ends. SettingsError when the resolution would have to rise.
    """
    if fwhm_want_mm < fwhm_have_mm:
        raise SettingsError(
            "smoothing cannot make an image sharper", got=f"{fwhm_have_mm:g} mm", expected=f"<= {fwhm_want_mm:g} mm"
        )
    values = image.values.astype(np.float64)
    for axis, spacing_mm in enumerate(image.grid.spacing_zyx_mm):
        variance = (fwhm_want_mm**2 - fwhm_have_mm**2) / (FWHM_PER_SD * spacing_mm) ** 2
        reach = int(np.ceil(TAILS_SD * np.sqrt(variance))) + 3
        weights = special.ive(np.abs(np.arange(-reach, reach + 1)), variance)
        values = ndimage.correlate1d(values, weights / weights.sum(), axis=axis, mode="nearest")
    return image.with_values(values.astype(np.float32), image.unit)


def normalise_ct(ct: Volume, window_hu: tuple[float, float]) -> Volume:
    """Return a CT (HU) as its place in a window: 0 at and below the low end, 1 at and above the high end, float32."""
    low, high = window_hu
    if high <= low:
        raise SettingsError("normalise.ct_window_hu must rise", got=window_hu, expected="low < high, in HU")
    ct.require_unit("HU", "CT")
    return ct.with_values(np.clip((ct.values - low) / (high - low), 0.0, 1.0).astype(np.float32), WINDOW)


def dose_per_activity(dose: Volume, administered_mbq: float) -> Volume:
    """Return a dose map (Gy) per administered activity, Gy/GBq, float32; DataError when no activity was given."""
    dose.require_unit("Gy", "dose map")
    if not administered_mbq > 0:
        raise DataError("administered activity must be positive", got=administered_mbq, expected="> 0 MBq")
    return dose.with_values((dose.values / (administered_mbq / MBQ_PER_GBQ)).astype(np.float32), DOSE_UNIT)


def on_grid(images: Mapping[str, Volume], grid: Grid) -> dict[str, Volume]:
    """Return images on one grid: labels to the voxels they fill by half, the rest linear; those there are untouched."""
    return {role: _moved(role, image, grid) for role, image in images.items()}


def _moved(role: str, image: Volume, grid: Grid) -> Volume:
    """Return one image on a grid."""
    if grid.same_as(image.grid):
        return image
    return resample_labels(image, grid) if role == "organs" else resample(image, grid, interpolation="linear")


def body_mask(organs: Volume, ct: Volume) -> np.ndarray:
    """Return where the body is, (z, y, x) bool: the labelled voxels when the remainder of the body is labelled.

    Without that label: tissue above the low end of the CT window, the largest piece, holes (lungs, bowel gas) of each
    axial slice filled, and every labelled voxel.
    """
    organs.grid.require_same(ct.grid, "CT")
    labelled = np.asarray(organs.values > 0)
    if (organs.values == VOIS["remainder"].label).any():
        return labelled
    pieces, n_pieces = ndimage.label(ct.require_unit(WINDOW, "CT").values > 0)
    if n_pieces == 0:
        return labelled
    largest = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    return np.stack([ndimage.binary_fill_holes(piece) for piece in largest]) | labelled
