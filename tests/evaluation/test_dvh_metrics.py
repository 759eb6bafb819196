import numpy as np
import pytest

from theradose.errors import DataError
from theradose.evaluation.dvh_metrics import DVH_METRICS, dose_at, hot, volume_over


def values(n=1000):
    """Return doses 1..n in two slices and a mask that leaves nothing out."""
    dose = np.random.default_rng(1).permutation(np.arange(1.0, n + 1)).reshape(2, 20, n // 40)
    return dose, np.ones_like(dose, bool)


def test_points_of_a_dvh_by_hand():
    doses = np.arange(101.0)
    assert [dose_at(doses, x) for x in (2.0, 50.0, 98.0)] == pytest.approx([98.0, 50.0, 2.0])
    assert volume_over(doses, 51.0) == pytest.approx(100 * 50 / 101)


@pytest.mark.parametrize("name", sorted(DVH_METRICS))
def test_where_the_dose_lies_does_not_matter_in_the_body(name):
    dose, mask = values()
    turned = dose[:, ::-1]
    assert DVH_METRICS[name](dose, dose, mask) == 0.0
    if name.startswith("body"):
        assert DVH_METRICS[name](turned, dose, mask) == pytest.approx(0.0, abs=1e-9)


def test_a_map_ten_percent_too_high():
    dose, mask = values()
    found = {name: metric(1.1 * dose, dose, mask) for name, metric in DVH_METRICS.items()}
    assert found["body_mean_percent"] == pytest.approx(10.0)
    assert found["hot_mean_percent"] == pytest.approx(10.0)
    assert found["body_d50_percent"] == pytest.approx(10.0)
    assert found["body_d2_percent"] == pytest.approx(10.0 * np.quantile(dose, 0.98) / dose.mean())
    assert found["body_d98_percent"] == pytest.approx(10.0 * np.quantile(dose, 0.02) / dose.mean())
    half = 0.5 * np.quantile(dose, 0.98)
    assert found["body_half_volume_percent"] == pytest.approx(
        100 * ((1.1 * dose >= half).mean() - (dose >= half).mean())
    )
    assert found["hot_half_volume_percent"] == 0.0  # all of the hottest is above half of its D2 in both


def test_the_hot_part_is_the_references_and_inside_the_mask():
    dose, mask = values()
    mask[0] = False
    region = hot(dose, mask)
    assert region.sum() == 25
    assert not region[0].any()
    assert dose[region].min() > np.delete(dose[1].ravel(), np.flatnonzero(region[1].ravel())).max()
    changed = dose.copy()
    changed[~region] = 0.0
    assert DVH_METRICS["hot_d50_percent"](changed, dose, mask) == 0.0
    assert DVH_METRICS["body_d50_percent"](changed, dose, mask) > 50.0


@pytest.mark.parametrize("name", sorted(DVH_METRICS))
def test_no_dose_no_score(name):
    dose, mask = values()
    with pytest.raises(DataError, match="no dose"):
        DVH_METRICS[name](dose, np.zeros_like(dose), mask)
