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
STARTS_BEYOND_PHASES = 1  # starts tried: one more than there are phases
THETA_LIMIT = 30.0
RIDGE = 1e-12
TIGHT = 1e-14
MAX_STEPS = 400


@dataclass(frozen=True)
class Points:
    """The measured points of a curve, (n,) each: h after administration, MBq, standard uncertainty in MBq."""

    time_h: Array
    activity_mbq: Array
    sigma_mbq: Array

    @property
    def n(self) -> int:
        """The number of points."""
        return int(self.time_h.size)


@dataclass(frozen=True)
class Rates:
    """What is known beforehand in 1/h: physical decay, and the uptake (infinite when there is no uptake phase)."""

    phys: float
    uptake: float


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
        """The largest absolute correlation between parameters of different phases; zero for a single phase.

        Within a phase the amplitude at time zero always follows the constant (0.8 to 0.9 when the first scan is hours
        after the administration), which says nothing about whether the phases can be told apart.
        """
        sd, phases = np.sqrt(np.diag(self.covariance)), self.lambda_per_h.size
        same_phase = np.tile(np.eye(phases, dtype=bool), (2, 2))
        return float(np.where(same_phase, 0.0, np.abs(self.covariance / np.outer(sd, sd))).max())


def _starts(points: Points, model: KineticModel, rates: Rates) -> list[Array]:
    """Return the best starting points q of a grid over lambda_bio, amplitudes solved linearly at each node."""
    time, sigma, scaled = points.time_h, points.sigma_mbq, points.activity_mbq / points.sigma_mbq
    top = min(HIGHEST_BIO_PER_H, 0.5 * (rates.uptake - rates.phys))
    grid = np.geomspace(LOWEST_BIO_OF_PHYS * rates.phys, top, GRID_POINTS)
    bio = np.array(list(combinations(grid, model.phases)))
    design = shape(time[:, None], rates.phys + bio[:, None, :], rates.uptake) / sigma[:, None]
    transposed = np.swapaxes(design, 1, 2)
    normal = transposed @ design
    # A trace on the diagonal: phases that cannot be told apart at a node share their amplitude.
    ridge = RIDGE * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(model.phases)
    amplitude = np.linalg.solve(normal + ridge, (transposed @ scaled)[..., None])[..., 0]
    misfit = (design @ amplitude[..., None])[..., 0] - scaled
    chi2 = np.where((amplitude > 0).all(axis=1), np.sum(misfit**2, axis=1), np.inf)
    best = np.argsort(chi2, kind="stable")[: model.phases + STARTS_BEYOND_PHASES]
    return [np.log(np.concatenate([amplitude[i], bio[i]])) for i in best if np.isfinite(chi2[i])]


def _unpack(q: Array) -> tuple[Array, Array]:
    """Turn q into amplitudes and biological constants (1/h); runaway steps of the optimiser stay finite."""
    values, phases = np.exp(np.clip(q, -THETA_LIMIT, THETA_LIMIT)), q.size // 2
    return values[:phases], values[phases:]


def _minimise(points: Points, model: KineticModel, rates: Rates) -> tuple[Array, Array, float]:
    """Return amplitudes, biological constants (1/h) and chi^2 of the best of several starts; FitError without any."""
    time, sigma = points.time_h, points.sigma_mbq

    def residuals(q: Array) -> Array:
        amplitude, bio = _unpack(q)
        curve = shape(time[:, None], rates.phys + bio, rates.uptake) @ amplitude
        return np.asarray((curve - points.activity_mbq) / sigma)

    def jacobian(q: Array) -> Array:
        amplitude, bio = _unpack(q)
        by_log_a = shape(time[:, None], rates.phys + bio, rates.uptake) * amplitude
        by_theta = shape_slope(time[:, None], rates.phys + bio) * amplitude * bio
        return np.asarray(np.hstack([by_log_a, by_theta]) / sigma[:, None])

    results = [
        least_squares(residuals, q, jacobian, method="lm", ftol=TIGHT, xtol=TIGHT, gtol=TIGHT, max_nfev=MAX_STEPS)
        for q in _starts(points, model, rates)
    ]
    if not results:
        raise FitError("no positive curve of this model comes near the points", reason="not_positive")
    best = min(results, key=lambda result: float(result.cost))
    return *_unpack(best.x), 2.0 * float(best.cost)


def covariance_of(points: Points, amplitude: Array, rate: Array, uptake: float) -> Array:
    """Return the covariance of (A.., lambda_eff..) for known standard uncertainties; infinite when undetermined."""
    by_amplitude = shape(points.time_h[:, None], rate, uptake)
    by_rate = shape_slope(points.time_h[:, None], rate) * amplitude
    # Scaled to relative parameters, the matrix is well conditioned.
    scale = np.concatenate([amplitude, rate])
    jacobian = np.hstack([by_amplitude, by_rate]) / points.sigma_mbq[:, None] * scale
    information = jacobian.T @ jacobian
    if np.linalg.matrix_rank(information, hermitian=True) < scale.size:
        return np.full((scale.size, scale.size), np.inf)
    return np.asarray(np.linalg.inv(information) * np.outer(scale, scale))


def fit_curve(points: Points, model: KineticModel, rates: Rates) -> CurveFit:
    """Fit one model to a curve; FitError when the points are too few or nowhere near a positive curve.

    The phases come back with the slowest last.
    """
    if points.n < model.n_parameters:
        raise FitError(
            "too few points for the model",
            reason="too_few_points",
            got=f"{points.n} points",
            expected=f"at least {model.n_parameters}",
        )
    # The fit runs on activities near one, whatever the patient's are, so that all tolerances mean the same.
    size = float(points.activity_mbq.max())
    unit = Points(points.time_h, points.activity_mbq / size, points.sigma_mbq / size)
    amplitude, bio, chi2 = _minimise(unit, model, rates)
    order = np.argsort(-bio)
    amplitude, bio = amplitude[order] * size, bio[order]
    return CurveFit(
        amplitude_mbq=amplitude,
        lambda_per_h=rates.phys + bio,
        covariance=covariance_of(points, amplitude, rates.phys + bio, rates.uptake),
        chi2=chi2,
        n_points=points.n,
        at_physical_limit=bool(bio.min() <= LOWEST_BIO_OF_PHYS * rates.phys),
    )
