"""Weighted least squares for one model of the time-activity curve; lambda_eff >= lambda_phys by parametrisation.

The optimiser sees q = (log A_1.., theta_1..) with lambda_bio = exp(theta), so amplitudes are positive and nothing can
decay slower than physics allows. Covariance is given in natural parameters (A_1.., lambda_eff_1..): with J the Jacobian
there and known standard uncertainties sigma, C = (J^T diag(1/sigma^2) J)^-1, without rescaling by chi^2.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.optimize import least_squares

from theradose.errors import FitError
from theradose.physics.kinetic_models import Array, KineticModel, shape, shape_slope

# Search range of lambda_bio in units of lambda_phys and per hour: from a biological half-life of a thousand physical
# ones to washout within half an hour, faster than any organ clears.
LOWEST_BIO_OF_PHYS = 1e-3
HIGHEST_BIO_PER_H = 1.5
GRID_POINTS = 25
N_STARTS = 3
THETA_LIMIT = 30.0


@dataclass(frozen=True)
class CurveFit:
    """The best curve of one model: natural parameters, their covariance (A.., lambda..), and chi^2."""

    amplitude_mbq: Array
    lambda_per_h: Array
    covariance: Array
    chi2: float
    n_points: int
    at_physical_limit: bool

    @property
    def coefficients_of_variation(self) -> Array:
        """The relative standard uncertainty of each natural parameter."""
        natural = np.concatenate([self.amplitude_mbq, self.lambda_per_h])
        return np.asarray(np.sqrt(np.diag(self.covariance)) / natural)

    @property
    def largest_correlation(self) -> float:
        """The largest absolute correlation between two parameters."""
        sd = np.sqrt(np.diag(self.covariance))
        correlation = np.abs(self.covariance / np.outer(sd, sd)) - np.eye(sd.size)
        return float(correlation.max())


def _starts(
    time: Array, activity: Array, sigma: Array, lambda_phys: float, model: KineticModel, uptake: float
) -> list[Array]:
    """Return the best starting points q of a grid over lambda_bio, amplitudes solved linearly at each node."""
    top = min(HIGHEST_BIO_PER_H, 0.5 * (uptake - lambda_phys))
    grid = np.geomspace(LOWEST_BIO_OF_PHYS * lambda_phys, top, GRID_POINTS)
    found: list[tuple[float, Array]] = []
    for rates in combinations(grid, model.phases):
        bio = np.array(rates)
        design = shape(time[:, None], lambda_phys + bio, uptake) / sigma[:, None]
        amplitude = np.linalg.lstsq(design, activity / sigma, rcond=None)[0]
        if (amplitude > 0).all():
            chi2 = float(np.sum((design @ amplitude - activity / sigma) ** 2))
            found.append((chi2, np.log(np.concatenate([amplitude, bio]))))
    return [q for _, q in sorted(found, key=lambda item: item[0])[:N_STARTS]]


def _unpack(q: Array, lambda_phys: float) -> tuple[Array, Array]:
    """Turn q into amplitudes and biological constants (1/h); runaway steps of the optimiser stay finite."""
    amplitude, bio = np.split(np.exp(np.clip(q, -THETA_LIMIT, THETA_LIMIT)), 2)
    return amplitude, bio


def covariance_of(time: Array, sigma: Array, amplitude: Array, rate: Array, uptake: float) -> Array:
    """Return the covariance of (A.., lambda_eff..) for known standard uncertainties; infinite when undetermined."""
    by_amplitude = shape(time[:, None], rate, uptake)
    by_rate = shape_slope(time[:, None], rate) * amplitude
    jacobian = np.hstack([by_amplitude, by_rate]) / sigma[:, None]
    scale = np.concatenate([amplitude, rate])  # scaled to relative parameters, the matrix is well conditioned
    information = (jacobian * scale).T @ (jacobian * scale)
    if np.linalg.matrix_rank(information, hermitian=True) < scale.size:
        return np.full((scale.size, scale.size), np.inf)
    return np.asarray(np.linalg.inv(information) * np.outer(scale, scale))


def fit_curve(
    time_h: Array,
    activity_mbq: Array,
    sigma_mbq: Array,
    *,
    model: KineticModel,
    lambda_phys_per_h: float,
    lambda_uptake_per_h: float,
) -> CurveFit:
    """Fit one model to a curve of n points (h, MBq, standard uncertainty in MBq); FitError when it cannot be.

    The phases come back with the slowest last.
    """
    if time_h.size < model.n_parameters:
        raise FitError(
            "too few points for the model",
            reason="too_few_points",
            got=f"{time_h.size} points",
            expected=f"at least {model.n_parameters}",
        )
    # The fit runs on activities near one, whatever the patient's are, so that all tolerances mean the same.
    size = float(activity_mbq.max())
    y, sigma = activity_mbq / size, sigma_mbq / size

    def residuals(q: Array) -> Array:
        amplitude, bio = _unpack(q, lambda_phys_per_h)
        curve = shape(time_h[:, None], lambda_phys_per_h + bio, lambda_uptake_per_h) @ amplitude
        return np.asarray((curve - y) / sigma)

    def jacobian(q: Array) -> Array:
        amplitude, bio = _unpack(q, lambda_phys_per_h)
        rate = lambda_phys_per_h + bio
        by_log_a = shape(time_h[:, None], rate, lambda_uptake_per_h) * amplitude
        by_theta = shape_slope(time_h[:, None], rate) * amplitude * bio
        return np.asarray(np.hstack([by_log_a, by_theta]) / sigma[:, None])

    starts = _starts(time_h, y, sigma, lambda_phys_per_h, model, lambda_uptake_per_h)
    tight = {"ftol": 1e-14, "xtol": 1e-14, "gtol": 1e-14, "max_nfev": 400}
    results = [least_squares(residuals, q, jacobian, method="lm", **tight) for q in starts]
    if not results:
        raise FitError("no positive curve of this model comes near the points", reason="not_positive")
    best = min(results, key=lambda result: float(result.cost))
    amplitude, bio = _unpack(best.x, lambda_phys_per_h)
    order = np.argsort(-bio)
    amplitude, bio = amplitude[order] * size, bio[order]
    rate = lambda_phys_per_h + bio
    return CurveFit(
        amplitude_mbq=amplitude,
        lambda_per_h=rate,
        covariance=covariance_of(time_h, sigma_mbq, amplitude, rate, lambda_uptake_per_h),
        chi2=2.0 * float(best.cost),
        n_points=int(time_h.size),
        at_physical_limit=bool(bio.min() <= LOWEST_BIO_OF_PHYS * lambda_phys_per_h),
    )
