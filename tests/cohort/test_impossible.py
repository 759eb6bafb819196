"""What physics does not allow is flagged, with limits by hand; nothing else is."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theradose.cohort.impossible import longest_tiac_h, with_impossible
from theradose.physics.nuclides import nuclide

HALF_LIFE_H = nuclide("Lu-177").half_life_h
GIVEN_MBQ = {"p1": 7400.0, "p2": 7400.0}


def tac(rows):
    """Return patient, cycle, VOI, time (h) and activity in parts of what is left of the administered one."""
    table = pd.DataFrame(rows, columns=["patient", "cycle", "voi", "time_h", "part"])
    left = 7400.0 * 2.0 ** (-table["time_h"] / HALF_LIFE_H)
    return table.assign(activity_mbq=table["part"] * left)


def tiac(points, tiac_h=50.0, t_eff_h=50.0, flags=""):
    keys = points[["patient", "cycle", "voi"]].drop_duplicates(ignore_index=True)
    return keys.assign(tiac_h=tiac_h, t_eff_h=t_eff_h, flags=flags)


def flags_of(points, **columns):
    found = with_impossible(tiac(points, **columns), points, GIVEN_MBQ, HALF_LIFE_H)
    return dict(zip(found["patient"] + "/" + found["voi"], found["flags"], strict=True))


ONE = [("p1", 1, "liver", 4.0, 0.3), ("p1", 1, "liver", 24.0, 0.2)]


def test_the_longest_tia_of_lutetium_is_230_hours() -> None:
    assert longest_tiac_h(HALF_LIFE_H) == pytest.approx(230.15, abs=0.005)


@pytest.mark.parametrize(("tiac_h", "said"), [(230.1, ""), (230.2, "impossible_tia")])
def test_a_tia_of_activity_that_stays_for_ever_is_the_limit(tiac_h, said) -> None:
    assert flags_of(tac(ONE), tiac_h=tiac_h) == {"p1/liver": said}


@pytest.mark.parametrize(("ratio", "said"), [(1.0, ""), (1.001, "impossible_half_life")])
def test_the_physical_half_life_is_the_limit(ratio, said) -> None:
    assert flags_of(tac(ONE), t_eff_h=ratio * HALF_LIFE_H) == {"p1/liver": said}


@pytest.mark.parametrize(("part", "said"), [(1.04, ""), (1.06, "poor_fit;impossible_activity")])
def test_a_voi_holds_no_more_than_was_given(part, said) -> None:
    points = tac([*ONE, ("p1", 1, "spleen", 24.0, part - 0.2)])
    alone = tac([("p1", 1, "liver", 72.0, part)])
    assert flags_of(alone, flags="poor_fit") == {"p1/liver": said or "poor_fit"}
    together = "impossible_sum" if said else ""
    assert flags_of(points) == {"p1/liver": together, "p1/spleen": together}


def test_one_voi_that_is_wrong_alone_does_not_blame_the_others_nor_other_patients_and_cycles() -> None:
    points = tac([*ONE, ("p1", 1, "lesion_01", 4.0, 3.0), ("p1", 2, "liver", 4.0, 0.3), ("p2", 1, "liver", 4.0, 0.3)])
    found = with_impossible(tiac(points), points, GIVEN_MBQ, HALF_LIFE_H)
    wrong = found[found["flags"] != ""]
    assert wrong[["patient", "cycle", "voi", "flags"]].to_numpy().tolist() == [
        ["p1", 1, "lesion_01", "impossible_activity"]
    ]


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6), st.floats(0.0, 230.0))
def test_parts_of_a_whole_are_never_flagged_and_numbers_never_change(shares, tiac_h) -> None:
    total = max(sum(shares), 1.0)
    points = tac([("p1", 1, f"lesion_{n:02d}", 24.0, share / total) for n, share in enumerate(shares)])
    before = tiac(points, tiac_h=tiac_h)
    after = with_impossible(before, points, GIVEN_MBQ, HALF_LIFE_H)
    assert set(after["flags"]) == {""}
    assert np.array_equal(before["tiac_h"], after["tiac_h"])
