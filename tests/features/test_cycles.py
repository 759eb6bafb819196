import numpy as np
import pandas as pd
import pytest

from theradose.features.cycles import LAST_DOSE, earlier_cycles

FACTORS = {1: 1.0, 2: 0.5, 3: 0.1}


@pytest.fixture
def doses():
    """Kidneys of two patients in three cycles, the second without the second cycle."""
    rows = [
        {"patient": who, "cycle": cycle, "voi": "kidneys", "dose_gy_per_gbq": 2.0 * factor, "volume_ml": 150.0}
        for who in ("a", "b")
        for cycle, factor in FACTORS.items()
        if (who, cycle) != ("b", 2)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def tiac():
    """Both kidneys of a patient: the left holds three times the right, half as long."""
    sides = (("kidney_left", 3.0, 30.0), ("kidney_right", 1.0, 60.0))
    rows = [
        {"patient": "a", "cycle": cycle, "voi": voi, "tiac_h": part * f, "tia_mbq_h": 7e3 * part * f, "t_eff_h": half}
        for cycle, f in FACTORS.items()
        for voi, part, half in sides
    ]
    return pd.DataFrame(rows)


def test_before_the_second_cycle_the_first_is_known_whole(doses, tiac):
    table = earlier_cycles(doses, tiac, 2).set_index("patient")
    assert table.loc["a", [LAST_DOSE, "previous.volume_ml", "previous.tiac_h"]].tolist() == [2.0, 150.0, 4.0]
    assert table.loc["a", "previous.t_eff_h"] == pytest.approx((3 * 30 + 60) / 4)
    assert not [name for name in table if name.startswith("trend")]
    assert np.isnan(table.loc["b", "previous.tiac_h"])


def test_from_the_third_on_the_change_is_known_of_who_has_both(doses, tiac):
    table = earlier_cycles(doses, tiac, 3).set_index("patient")
    assert list(table.index) == ["a"]
    assert table.loc["a", "trend.dose_gy_per_gbq"] == pytest.approx(np.log(0.5))
    assert table.loc["a", "trend.t_eff_h"] == pytest.approx(0.0)
    assert np.isnan(earlier_cycles(doses, tiac, 4).set_index("patient").loc["b", "trend.dose_gy_per_gbq"])


@pytest.mark.parametrize("cycle", [2, 3])
def test_the_cycle_itself_and_later_ones_are_not_looked_at(doses, tiac, cycle):
    known = earlier_cycles(doses, tiac, cycle)
    cut = earlier_cycles(doses[doses["cycle"] < cycle], tiac[tiac["cycle"] < cycle], cycle)
    pd.testing.assert_frame_equal(known, cut)
    changed = tiac.assign(tiac_h=tiac["tiac_h"].where(tiac["cycle"] < cycle, 99.0))
    pd.testing.assert_frame_equal(known, earlier_cycles(doses, changed, cycle))
