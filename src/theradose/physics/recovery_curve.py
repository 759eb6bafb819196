"""The recovery coefficient as a curve of volume: measured with spheres and fitted, or in closed form for a Gaussian.

    R(v) = 1 - 1 / (1 + (v / alpha)^beta)

(Gear et al., Eur J Nucl Med Mol Imaging 45:2456, 2018). One curve belongs to one scanner, nuclide and reconstruction.
A sphere of radius r seen with a Gaussian of standard deviation sigma, outlined at its true edge, keeps

    R = int gamma(s) g(s) 4 pi s^2 ds,   gamma(s) = 1 - 3s/4r + s^3/16r^3,   s < 2r

g being the normalised Gaussian; what the image shows at the edge is phi / 2 of the true concentration (phi: Gear 2018).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq, curve_fit
from scipy.special import erf

from theradose.errors import FitError
from theradose.physics.recovery import FWHM_PER_SD
from theradose.physics.units import MM3_PER_ML

Array = NDArray[np.float64]

MIN_SPHERES = 3
PARAMETERS_FROM = (5.0, 1.0)  # start of a fit: half recovery at 5 mL, as with an FWHM of about 15 mm


def sphere_diameter_mm(volume_ml: ArrayLike) -> Array:
    """Return the diameter in mm of the sphere of a volume in mL, (6 v / pi)^(1/3).

    >>> sphere_diameter_mm([26.52]).round(1)
    array([37.])
    """
    return np.asarray((6.0 * np.asarray(volume_ml, float) * MM3_PER_ML / math.pi) ** (1.0 / 3.0))


def _in_sd(volume_ml: ArrayLike, fwhm_mm: float) -> Array:
    """Return the radius of a sphere in standard deviations of the Gaussian."""
    return np.asarray(sphere_diameter_mm(volume_ml) / 2.0 * FWHM_PER_SD / fwhm_mm)


def sphere_coefficient(volume_ml: ArrayLike, fwhm_mm: float) -> Array:
    """Return the recovery coefficient of uniform spheres (mL), any shape, at a Gaussian resolution in mm.

    >>> sphere_coefficient([150.0], 12.0).round(4)
    array([0.8164])
    """
    x = _in_sd(volume_ml, fwhm_mm)
    t, gone, unit = 2.0 * x, np.exp(-2.0 * x**2), math.sqrt(2.0 / math.pi)
    inside = erf(t / math.sqrt(2.0)) - unit * t * gone
    first = unit * (2.0 - (t**2 + 2.0) * gone)
    third = unit * (8.0 - (t**4 + 4.0 * t**2 + 8.0) * gone)
    return np.asarray(inside - 0.75 * first / x + third / (16.0 * x**3))


def sphere_log_slope(volume_ml: ArrayLike, fwhm_mm: float) -> Array:
    """Return dlnR/dlnv of uniform spheres (mL), any shape, at a resolution in mm; by central differences.

    R depends on radius over resolution alone, so dlnR/dlnFWHM is -3 times this: what an FWHM that is not well known
    does to R.

    >>> sphere_log_slope([150.0], 12.0).round(3)
    array([0.074])
    """
    step = 1e-4
    above, below = (np.log(sphere_coefficient(np.asarray(volume_ml) * math.exp(s), fwhm_mm)) for s in (step, -step))
    return np.asarray((above - below) / (2.0 * step))


def edge_share(volume_ml: ArrayLike, fwhm_mm: float) -> Array:
    """Return phi: twice what the image shows at the edge of uniform spheres (mL) over the true concentration.

    phi = erf(2r / sqrt(2) sigma) - (2 sigma / sqrt(2 pi) r) (1 - exp(-2 r^2 / sigma^2)); with the outline grown by dv
    the counts grow by phi dv / 2 (Gear 2018).

    >>> edge_share([150.0], 12.0).round(3)
    array([0.877])
    """
    x = _in_sd(volume_ml, fwhm_mm)
    return np.asarray(erf(math.sqrt(2.0) * x) - math.sqrt(2.0 / math.pi) / x * (1.0 - np.exp(-2.0 * x**2)))


def sphere_of_coefficient(coefficient: float, fwhm_mm: float) -> float:
    """Return the volume in mL of the sphere with a given recovery coefficient (0 to 1) at a resolution in mm.

    An organ that is no sphere behaves, when its outline or the resolution changes a little, as the sphere that the
    image recovers equally well: recovery is ruled by surface per volume. Coefficients are held within 0.001 and 0.999.

    >>> round(sphere_of_coefficient(0.8164, 12.0))
    150
    """
    wanted = min(max(coefficient, 1e-3), 0.999)
    log_volume = brentq(lambda log_v: float(sphere_coefficient(math.exp(log_v), fwhm_mm)) - wanted, -20.0, 40.0)
    return math.exp(float(log_volume))


@dataclass(frozen=True)
class RecoveryCurve:
    """R(v) of one scanner: alpha in mL, beta, and their covariance (2, 2) in that order."""

    alpha_ml: float
    beta: float
    covariance: Array

    def coefficient(self, volume_ml: ArrayLike) -> Array:
        """Return R, any shape, of volumes in mL."""
        x = (np.asarray(volume_ml, float) / self.alpha_ml) ** self.beta
        return np.asarray(x / (1.0 + x))

    def log_slope(self, volume_ml: ArrayLike) -> Array:
        """Return dlnR/dlnv = beta (1 - R), any shape."""
        return np.asarray(self.beta * (1.0 - self.coefficient(volume_ml)))

    def log_gradient(self, volume_ml: float) -> Array:
        """Return the derivatives of ln R by (alpha, beta), (2,)."""
        missing = 1.0 - float(self.coefficient(volume_ml))
        return missing * np.array([-self.beta / self.alpha_ml, math.log(volume_ml / self.alpha_ml)])

    def relative_effects(self, volume_ml: float) -> Array:
        """Return what two independent standard draws do to ln R, (2,): the gradient times a root of the covariance.

        Its length is u(R)/R; two VOIs of the same curve share the draws, so their errors are correlated as they should.
        """
        values, vectors = np.linalg.eigh(self.covariance)
        return np.asarray(self.log_gradient(volume_ml) @ (vectors * np.sqrt(np.clip(values, 0.0, None))))


def fit_recovery_curve(volume_ml: ArrayLike, coefficient: ArrayLike, std: ArrayLike) -> RecoveryCurve:
    """Fit R(v) to spheres: volumes in mL, measured coefficients, their standard uncertainties, all (n,).

    Weighted least squares in (ln alpha, ln beta), so both stay positive; uncertainties are taken as known. FitError
    with the reason too_few_points below three spheres, or no_convergence.

    >>> v = np.array([0.5, 2.0, 8.0, 30.0])
    >>> curve = fit_recovery_curve(v, 1 - 1 / (1 + (v / 4.0) ** 0.9), np.full(4, 0.02))
    >>> round(curve.alpha_ml, 3), round(curve.beta, 3)
    (4.0, 0.9)
    """
    v, r, s = (np.asarray(a, float) for a in (volume_ml, coefficient, std))
    if v.size < MIN_SPHERES:
        raise FitError("too few spheres for a recovery curve", reason="too_few_points", got=v.size, expected="3")

    def model(volume: Array, log_alpha: float, log_beta: float) -> Array:
        return RecoveryCurve(math.exp(log_alpha), math.exp(log_beta), np.zeros((2, 2))).coefficient(volume)

    try:
        found, covariance = curve_fit(model, v, r, np.log(PARAMETERS_FROM), s, absolute_sigma=True)
    except RuntimeError as error:
        raise FitError("no recovery curve fits the spheres", reason="no_convergence", got=r.tolist()) from error
    natural = np.exp(found)
    return RecoveryCurve(float(natural[0]), float(natural[1]), covariance * np.outer(natural, natural))


def volume_relative_std(volume_ml: float, *, voxel_mm: float, fwhm_mm: float) -> float:
    """Return u(v)/v = 3 u(d)/d of an outlined volume, u(d)^2 = a^2/6 + FWHM^2 / (4 ln 2).

    d is the diameter of the sphere of the same volume, a the edge of a voxel (of the same volume when voxels are no
    cubes): each of the two ends of d is uniform over a voxel, a^2/12, and Gaussian with the standard deviation
    FWHM / (2 sqrt(2 ln 2)) of the image that was outlined (Gear 2018): CT for organs on CT, SPECT for thresholds on it.

    >>> round(volume_relative_std(150.0, voxel_mm=4.8, fwhm_mm=2.0), 4)
    0.1046
    """
    diameter_std_mm = math.sqrt(voxel_mm**2 / 6.0 + fwhm_mm**2 / (4.0 * math.log(2.0)))
    return 3.0 * diameter_std_mm / float(sphere_diameter_mm(volume_ml))
