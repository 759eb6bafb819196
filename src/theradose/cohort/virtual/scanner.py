"""What a centre's scanners make of the truth: blur, counts, calibration and CT noise."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.special import ndtr

from theradose.errors import SettingsError, Where
from theradose.physics.units import BQ_PER_MBQ, MM3_PER_ML

FWHM_PER_SD = float(2.0 * np.sqrt(2.0 * np.log(2.0)))
TAIL_SD = 4.0
SPECT_CALIBRATION_SD = 0.03
"""Sd of the log of a SPECT scan's calibration (design of the cohort, section 3)."""


@dataclass(frozen=True)
class Camera:
    """An emission scanner.

    `fwhm_mm` is the resolution of the final image. `counts_per_mbq_s` is the number of counts that would leave the
    noise of the reconstructed image, far fewer than are detected; `filter_fwhm_mm` smooths that noise.
    `from_fine_voxels` tells that the image was made on small voxels and averaged into those of the grid; otherwise
    `fwhm_mm` was measured on the grid's own voxels.
    """

    fwhm_mm: float
    filter_fwhm_mm: float
    counts_per_mbq_s: float
    frame_s: float
    from_fine_voxels: bool = False
    log_bias: float = 0.0


@dataclass(frozen=True)
class Centre:
    """A hospital: its PET, its SPECT and the noise of its CT."""

    pet: Camera
    spect: Camera
    ct_noise_hu: float


# Resolution and PET calibration bias: design of the cohort, section 3. Counts are set so that voxels of 8 mm have
# about 5 % noise in the liver on PET and 5 % in the kidneys on SPECT at 24 h (typical images, unverified).
CENTRES: dict[str, Centre] = {
    "north": Centre(
        Camera(5.5, 4.0, 3000.0, 180.0, from_fine_voxels=True), Camera(12.5, 7.5, 1.0, 1200.0), ct_noise_hu=8.0
    ),
    "south": Centre(
        Camera(6.5, 4.5, 2200.0, 180.0, from_fine_voxels=True, log_bias=+0.10),
        Camera(14.0, 9.0, 0.8, 1200.0),
        ct_noise_hu=12.0,
    ),
    "west": Centre(
        Camera(7.5, 5.0, 1600.0, 180.0, from_fine_voxels=True, log_bias=-0.08),
        Camera(16.0, 10.0, 0.6, 1500.0),
        ct_noise_hu=10.0,
    ),
}


def centre(name: str) -> Centre:
    """Return a centre of CENTRES; SettingsError when there is none of that name."""
    if name not in CENTRES:
        raise SettingsError(
            "unknown centre",
            where=Where(field="cohort.virtual.centres"),
            got=name,
            expected=f"one of {sorted(CENTRES)}",
        )
    return CENTRES[name]


def blurred(values: np.ndarray, fwhm_mm: float, spacing_mm: float) -> np.ndarray:
    """Return an image (z, y, x) convolved with a Gaussian; nothing enters through the edges, and some leaves."""
    return np.asarray(ndimage.gaussian_filter(values, fwhm_mm / FWHM_PER_SD / spacing_mm, mode="constant"))


def blurred_and_averaged(values: np.ndarray, fwhm_mm: float, spacing_mm: float) -> np.ndarray:
    """Return an image convolved with a Gaussian and averaged over its voxels, edges as in `blurred`.

    The weight of the voxel n steps away is Phi((n + 1/2) / s) - Phi((n - 1/2) / s), s the sd in voxels. A Gaussian
    narrower than a voxel would otherwise fall between the voxel centres and leave no blur at all.
    """
    sd = fwhm_mm / FWHM_PER_SD / spacing_mm
    steps = np.arange(-int(np.ceil(TAIL_SD * sd)), int(np.ceil(TAIL_SD * sd)) + 1)
    kernel = ndtr((steps + 0.5) / sd) - ndtr((steps - 0.5) / sd)
    for axis in range(values.ndim):
        values = ndimage.correlate1d(values, kernel / kernel.sum(), axis=axis, mode="constant")
    return values


def emission_image(
    bq_per_ml: np.ndarray, camera: Camera, spacing_mm: float, calibration: float, rng: np.random.Generator
) -> np.ndarray:
    """Return the image in Bq/mL that a camera makes of an activity map at the time of the scan, shape (z, y, x).

    The mean is the blurred map; Poisson noise of that mean is smoothed by the filter and added. What falls below
    zero is set to zero. `calibration` multiplies the result (1 is right).
    """
    blur = blurred_and_averaged if camera.from_fine_voxels else blurred
    mean = blur(bq_per_ml, camera.fwhm_mm, spacing_mm)
    counts_per_unit = camera.counts_per_mbq_s * camera.frame_s * spacing_mm**3 / MM3_PER_ML / BQ_PER_MBQ
    noise = blurred(rng.poisson(counts_per_unit * mean) - counts_per_unit * mean, camera.filter_fwhm_mm, spacing_mm)
    return np.maximum(calibration * (mean + noise / counts_per_unit), 0.0)


def ct_image(labels: np.ndarray, hu: dict[int, float], noise_hu: float, rng: np.random.Generator) -> np.ndarray:
    """Return a CT in whole HU from the CT number of each label, with white noise inside and outside the body."""
    lookup = np.zeros(int(labels.max()) + 1)
    for label, value in hu.items():
        if label < lookup.size:
            lookup[label] = value
    return np.asarray(np.round(lookup[labels] + noise_hu * rng.standard_normal(labels.shape)))
