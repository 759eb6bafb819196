"""Recovery as a curve of volume: closed forms against integrals and voxels, the fit and its covariance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import erf

from theradose.errors import FitError
from theradose.physics.recovery import FWHM_PER_SD, blur, sd_voxels
from theradose.physics.recovery_curve import (
    RecoveryCurve,
    edge_share,
    fit_recovery_curve,
    sphere_coefficient,
    sphere_diameter_mm,
    sphere_log_slope,
    sphere_of_coefficient,
)

VOLUMES = st.floats(0.5, 2000.0)


def shown(r_mm, radius_mm, sd_mm):
    """Return a blurred unit sphere at a distance from its centre."""
    near, far = (radius_mm - r_mm) / (np.sqrt(2) * sd_mm), (radius_mm + r_mm) / (np.sqrt(2) * sd_mm)
    edge = sd_mm / (r_mm * np.sqrt(2 * np.pi)) * (np.exp(-(near**2)) - np.exp(-(far**2)))
    return 0.5 * (erf(near) + erf(far)) - edge


@pytest.mark.parametrize(("volume_ml", "fwhm_mm"), [(0.5, 12.0), (26.5, 10.0), (150.0, 15.0), (1800.0, 12.0)])
def test_sphere_s_coefficient_and_edge_are_those_of_the_integral(volume_ml: float, fwhm_mm: float) -> None:
    radius, sd = float(sphere_diameter_mm(volume_ml)) / 2, fwhm_mm / FWHM_PER_SD
    mean = quad(lambda r: 3 * r**2 / radius**3 * shown(r, radius, sd), 1e-9, radius)[0]
    assert float(sphere_coefficient(volume_ml, fwhm_mm)) == pytest.approx(mean, rel=1e-7)
    assert float(edge_share(volume_ml, fwhm_mm)) == pytest.approx(2 * shown(radius, radius, sd), rel=1e-12)


def test_a_sphere_of_voxels_is_recovered_alike() -> None:
    spacing, fwhm_mm = 2.0, 12.0
    axis = (np.arange(48) - 23.5) * spacing
    r = np.sqrt(sum(a**2 for a in np.meshgrid(axis, axis, axis, indexing="ij")))
    inside = r < 25.0
    image = blur(inside.astype(float), (spacing,) * 3, fwhm_mm)
    assert sd_voxels((spacing,) * 3, fwhm_mm)[0] > 2
    volume_ml = float(inside.sum()) * spacing**3 / 1000
    assert image[inside].mean() == pytest.approx(float(sphere_coefficient(volume_ml, fwhm_mm)), rel=0.01)


@given(VOLUMES, st.floats(6.0, 25.0), st.floats(0.5, 3.0))
def test_recovery_depends_on_size_over_resolution_alone(volume_ml: float, fwhm_mm: float, factor: float) -> None:
    same = sphere_coefficient(volume_ml * factor**3, fwhm_mm * factor)
    assert float(same) == pytest.approx(float(sphere_coefficient(volume_ml, fwhm_mm)), rel=1e-9)
    step = 1e-3
    by_fwhm = (
        np.log(sphere_coefficient(volume_ml, fwhm_mm * (1 + step)) / sphere_coefficient(volume_ml, fwhm_mm)) / step
    )
    assert float(by_fwhm) == pytest.approx(-3 * float(sphere_log_slope(volume_ml, fwhm_mm)), rel=0.02)


@given(VOLUMES, st.floats(6.0, 25.0))
def test_limits_and_inverse(volume_ml: float, fwhm_mm: float) -> None:
    coefficient = float(sphere_coefficient(volume_ml, fwhm_mm))
    assert 0 < coefficient < 1
    assert 0 < float(sphere_log_slope(volume_ml, fwhm_mm)) < 1
    if 1e-3 < coefficient < 0.999:
        assert sphere_of_coefficient(coefficient, fwhm_mm) == pytest.approx(volume_ml, rel=1e-6)


def test_curve_is_half_at_alpha_and_its_slopes_are_derivatives() -> None:
    curve = RecoveryCurve(5.0, 0.9, np.diag([0.25, 0.0016]))
    assert float(curve.coefficient(5.0)) == 0.5
    step = 1e-6
    for v in (0.5, 5.0, 80.0):
        slope = np.log(curve.coefficient(v * (1 + step)) / curve.coefficient(v)) / step
        assert float(curve.log_slope(v)) == pytest.approx(float(slope), rel=1e-4)
        by_alpha = np.log(RecoveryCurve(5.0 + step, 0.9, curve.covariance).coefficient(v) / curve.coefficient(v)) / step
        by_beta = np.log(RecoveryCurve(5.0, 0.9 + step, curve.covariance).coefficient(v) / curve.coefficient(v)) / step
        assert curve.log_gradient(v) == pytest.approx([float(by_alpha), float(by_beta)], rel=1e-4, abs=1e-9)


def test_effects_keep_the_correlation_of_two_vois() -> None:
    covariance = np.array([[0.25, -0.012], [-0.012, 0.0016]])
    curve = RecoveryCurve(5.0, 0.9, covariance)
    for a, b in ((3.0, 3.0), (3.0, 90.0)):
        expected = curve.log_gradient(a) @ covariance @ curve.log_gradient(b)
        assert curve.relative_effects(a) @ curve.relative_effects(b) == pytest.approx(expected)


def test_fit_covariance_is_the_spread_of_repeated_phantoms() -> None:
    rng = np.random.default_rng(8)
    true, v = RecoveryCurve(4.0, 0.8, np.zeros((2, 2))), np.array([0.5, 1.2, 2.6, 5.6, 11.5, 26.5])
    std = np.full(v.size, 0.02)
    fits = [fit_recovery_curve(v, true.coefficient(v) + std * rng.standard_normal(v.size), std) for _ in range(400)]
    drawn = np.array([(fit.alpha_ml, fit.beta) for fit in fits])
    assert drawn.mean(axis=0) == pytest.approx([4.0, 0.8], rel=0.01)
    claimed = fit_recovery_curve(v, true.coefficient(v), std).covariance
    scale = np.sqrt(np.outer(np.diag(claimed), np.diag(claimed)))
    # 400 draws know a variance to 7 % and a correlation to 0.05.
    assert np.cov(drawn.T) / scale == pytest.approx(claimed / scale, abs=0.2)


def test_two_spheres_make_no_curve() -> None:
    with pytest.raises(FitError, match="too few spheres"):
        fit_recovery_curve([1.0, 10.0], [0.3, 0.7], [0.02, 0.02])
