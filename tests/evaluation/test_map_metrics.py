import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theradose.errors import DataError
from theradose.evaluation.map_metrics import MAP_METRICS, ssim_maps

ZERO_MAP = {"hot_voxel_mae_percent": 100.0, "sum_bias_percent": -100.0}
PERFECT = {"ssim": 1.0, "ssim_masked": 1.0}


def blob(seed=0, n=3, side=24):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    body = np.broadcast_to((y - 12) ** 2 + (x - 12) ** 2 < 81, (n, side, side))
    hot = np.exp(-((y - 10) ** 2 + (x - 14) ** 2) / 18.0)
    return (body * (0.05 + hot) * rng.uniform(0.5, 1.5, (n, 1, 1))).astype(np.float32), np.array(body)


def value(name, prediction, reference, mask):
    return MAP_METRICS[name].compute(prediction, reference, mask)


@pytest.mark.parametrize("name", sorted(set(MAP_METRICS) - {"zero_map_ssim"}))
def test_a_perfect_map(name):
    dose, body = blob()
    assert value(name, dose, dose, body) == pytest.approx(PERFECT.get(name, 0.0), abs=1e-12)


def test_an_all_zero_map():
    dose, body = blob()
    zero = np.zeros_like(dose)
    for name, expected in ZERO_MAP.items():
        assert value(name, zero, dose, body) == pytest.approx(expected)
    assert value("rmse", zero, dose, body) == pytest.approx(np.sqrt((dose[body].astype(float) ** 2).mean()))
    assert value("masked_mae", zero, dose, body) == pytest.approx(dose[body].mean(), rel=1e-6)
    whole = value("ssim", zero, dose, body)
    assert whole == value("zero_map_ssim", dose, dose, body)
    assert value("ssim_masked", zero, dose, body) < whole - 0.1


def test_by_hand():
    reference = np.zeros((1, 8, 8))
    reference[0, :4, :5] = 1.0  # 20 voxels of the mask, of which one is hot
    reference[0, 0, 0] = 10.0
    mask = reference > 0
    prediction = reference.copy()
    prediction[0, 0, 0] = 8.0
    assert value("hot_voxel_mae_percent", prediction, reference, mask) == pytest.approx(20.0)
    assert value("sum_bias_percent", prediction, reference, mask) == pytest.approx(-100 * 2 / 29)
    assert value("rmse", prediction, reference, mask) == pytest.approx(np.sqrt(4 / 20))
    assert value("masked_mae", prediction, reference, mask) == pytest.approx(0.1)


def test_ssim_against_its_formula_at_one_voxel():
    # Wang et al. 2004, equation 13, written out with the truncated Gaussian window.
    dose, _ = blob(n=1)
    other = dose * 0.8 + 0.02
    radius = int(3.5 * 1.5 + 0.5)
    offsets = np.arange(-radius, radius + 1)
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    weights = np.outer(line, line) / line.sum() ** 2
    row, column = 12, 12
    window = (slice(row - radius, row + radius + 1), slice(column - radius, column + radius + 1))
    a, b = other[0][window].astype(float), dose[0][window].astype(float)
    mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
    var_a, var_b = (weights * a * a).sum() - mean_a**2, (weights * b * b).sum() - mean_b**2
    covariance = (weights * a * b).sum() - mean_a * mean_b
    c1, c2 = (0.01 * dose.max()) ** 2, (0.03 * dose.max()) ** 2
    expected = (
        (2 * mean_a * mean_b + c1) * (2 * covariance + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    )
    assert ssim_maps(other, dose)[0, row, column] == pytest.approx(expected, rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(0.1, 10.0), seed=st.integers(0, 5))
def test_relative_metrics_do_not_depend_on_the_unit_of_dose(factor, seed):
    dose, body = blob(seed)
    prediction = dose * 0.9 + 0.01 * body
    for metric in MAP_METRICS.values():
        scale = factor if metric.unit == "Gy/GBq" else 1.0
        once = metric.compute(prediction.astype(float), dose.astype(float), body)
        assert metric.compute(prediction.astype(float) * factor, dose.astype(float) * factor, body) == pytest.approx(
            scale * once, rel=1e-6, abs=1e-9
        )


@pytest.mark.parametrize("name", sorted(MAP_METRICS))
def test_a_reference_without_dose_is_refused(name):
    dose, body = blob()
    with pytest.raises(DataError, match="no dose"):
        value(name, dose, np.zeros_like(dose), body)
