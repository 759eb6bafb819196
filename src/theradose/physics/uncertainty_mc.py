"""The chain from outline to dose of one VOI, as a whole: its analytic budget, and the same by drawing every input.

The drawn chain is not linear: the outline takes more or fewer counts from a blurred sphere, recovery is looked up at
the wrong volume in a wrong curve, the activities are fitted again, and S follows the wrong mass (JCGM 101:2008).
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf

from theradose.physics.kinetics import POPULATION, TiaFit, fit_or_population, population_fit
from theradose.physics.recovery import FWHM_PER_SD
from theradose.physics.recovery_curve import RecoveryCurve, edge_share, sphere_diameter_mm
from theradose.physics.uncertainty import Budget, VoiSources, fit_relative_effects, voi_budget

Array = NDArray[np.float64]

RADII = 400
KNOWN = ("half_life_h", "t_eff_h", "t_eff_cv", "uptake_half_time_h")
LONGEST_OF_PHYSICAL = 0.999  # a drawn half-life stays below the physical one, however wide its distribution


@dataclass(frozen=True)
class Chain:
    """All that a dose is made of: scans (h, MBq, known noise in MBq; (n,) each), outline, recovery, calibration, S.

    `fwhm_mm` is the resolution of the SPECT; the curve's covariance and the relative standard uncertainties say how
    well the rest is known. A population half-life (h) stands by for fits that are refused.
    """

    time_h: Array
    activity_mbq: Array
    noise_mbq: Array
    volume_ml: float
    volume_relative_std: float
    curve: RecoveryCurve
    fwhm_mm: float
    calibration_relative_std: float
    s_gy_per_mbq_h: float
    half_life_h: float
    t_eff_h: float
    t_eff_cv: float
    s_relative_std: float = 0.0
    mass_exponent: float = 1.0
    models: tuple[str, ...] = ("mono",)
    uptake_half_time_h: float | None = None

    def fit(self) -> TiaFit:
        """Return the fitted curve; with the one model `population`, or when a fit is refused, that half-life."""
        points = (self.time_h, self.activity_mbq, self.noise_mbq)
        known: dict[str, Any] = {name: getattr(self, name) for name in KNOWN}
        if self.models == (POPULATION,):
            return population_fit(*points, **known)
        return fit_or_population(*points, models=self.models, **known)

    def budget(self, fit: TiaFit) -> Budget:
        """Return the analytic budget for a fit of this chain."""
        noise, half_life = fit_relative_effects(fit)
        size = np.maximum(np.abs(fit.activity_mbq(self.time_h)), np.finfo(float).tiny)
        found = VoiSources(
            volume=self.volume_relative_std,
            recovery_slope=float(self.curve.log_slope(self.volume_ml)),
            recovery=tuple(self.curve.relative_effects(self.volume_ml)),
            counts_slope=float(edge_share(self.volume_ml, self.fwhm_mm) / self.curve.coefficient(self.volume_ml)) / 2.0,
            calibration=self.calibration_relative_std,
            counts=float(np.sqrt(np.mean((self.noise_mbq / size) ** 2))),
            fit=noise,
            half_life=half_life,
            s=self.s_relative_std,
            mass_exponent=self.mass_exponent,
        )
        return voi_budget(found, volume_ml=self.volume_ml, dose_gy=fit.tia_mbq_h * self.s_gy_per_mbq_h)


def counts_within(outline_ml: float, volume_ml: float, fwhm_mm: float) -> float:
    """Return counts inside a concentric spherical outline (mL) over those at the true edge of a blurred sphere (mL).

    >>> counts_within(150.0, 150.0, 12.0)
    1.0
    >>> round(counts_within(151.5, 150.0, 12.0), 4)   # 1 % more volume, 0.54 % more counts
    1.0053
    """
    sd, radius = fwhm_mm / FWHM_PER_SD, float(sphere_diameter_mm(volume_ml)) / 2.0
    outer = float(sphere_diameter_mm(outline_ml)) / 2.0

    def inside(limit: float) -> float:
        r = np.linspace(0.0, limit, RADII + 1)[1:]
        near, far = (radius - r) / (math.sqrt(2.0) * sd), (radius + r) / (math.sqrt(2.0) * sd)
        edge = sd / (r * math.sqrt(2.0 * math.pi)) * (np.exp(-(near**2)) - np.exp(-(far**2)))
        shown = r**2 * (0.5 * (erf(near) + erf(far)) - edge)
        return float(np.trapezoid(np.concatenate([[0.0], shown]), dx=limit / RADII))

    return inside(outer) / inside(radius)


def draw(chain: Chain, rng: np.random.Generator) -> Chain:
    """Return what would be measured were this chain the truth: every uncertain input drawn once, all normal.

    Diameter, calibration and S are relative draws, (alpha, beta) a pair on the scale of their logarithms, noise one
    draw for each scan; the half-life only matters where it was assumed.
    """
    diameter, q, s, t = 1.0 + rng.standard_normal(4) * [
        chain.volume_relative_std / 3.0, chain.calibration_relative_std, chain.s_relative_std, chain.t_eff_cv,
    ]  # fmt: skip
    old = chain.curve
    scale = np.array([old.alpha_ml, old.beta])
    wrong = np.exp(rng.multivariate_normal(np.zeros(2), old.covariance / np.outer(scale, scale)))
    curve = RecoveryCurve(old.alpha_ml * float(wrong[0]), old.beta * float(wrong[1]), old.covariance)
    volume_ml = chain.volume_ml * max(diameter, 0.05) ** 3
    common = q * counts_within(volume_ml, chain.volume_ml, chain.fwhm_mm)
    common *= float(old.coefficient(chain.volume_ml) / curve.coefficient(volume_ml))
    noise = rng.standard_normal(chain.time_h.size) * chain.noise_mbq
    return replace(
        chain,
        activity_mbq=(chain.activity_mbq + noise) * common,
        noise_mbq=chain.noise_mbq * common,
        volume_ml=volume_ml,
        volume_relative_std=chain.volume_relative_std * (chain.volume_ml / volume_ml) ** (1.0 / 3.0),
        curve=curve,
        s_gy_per_mbq_h=chain.s_gy_per_mbq_h * s * (volume_ml / chain.volume_ml) ** -chain.mass_exponent,
        t_eff_h=min(chain.t_eff_h * max(t, 0.05), LONGEST_OF_PHYSICAL * chain.half_life_h),
    )


@dataclass(frozen=True)
class MonteCarlo:
    """Doses in Gy and TIAs in MBq.h of the drawn chains, (n,) each, and the share of draws whose fit was refused."""

    dose_gy: Array
    tia_mbq_h: Array
    refused: float

    @property
    def relative_std(self) -> dict[str, float]:
        """The relative standard deviation of TIA and dose."""
        return {
            "tia": float(self.tia_mbq_h.std(ddof=1) / self.tia_mbq_h.mean()),
            "dose": float(self.dose_gy.std(ddof=1) / self.dose_gy.mean()),
        }


def monte_carlo(chain: Chain, n: int, rng: np.random.Generator) -> MonteCarlo:
    """Return the doses of n drawn chains, each fitted again with the model that the chain itself got.

    Draws whose fit is refused would take another model in practice; they are left out here and counted.
    """
    model = chain.fit().model
    kept = replace(chain, models=(model,))
    found = []
    for _ in range(n):
        drawn = draw(kept, rng)
        fit = drawn.fit()
        if fit.model == model:
            found.append((fit.tia_mbq_h * drawn.s_gy_per_mbq_h, fit.tia_mbq_h))
    dose, tia = np.array(found).reshape(-1, 2).T
    return MonteCarlo(dose, tia, 1.0 - dose.size / n)
