"""Complication curves: points that define them, published numbers, and that they rise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theradose.errors import DataError
from theradose.physics.complications import external_beam_ntcp, lkb_ntcp, logistic_ntcp, probit_ntcp, renal_ntcp
from theradose.physics.limits import EXTERNAL_BEAM_WARNING, constant

DOSES = st.floats(0, 120)


def test_half_at_td50_and_the_slopes_there() -> None:
    step, td50 = 1e-4, 44.0
    for curve, slope in (
        (lambda d: probit_ntcp(d, td50, 0.30), 1.0 / (0.30 * np.sqrt(2.0 * np.pi))),
        (lambda d: logistic_ntcp(d, td50, 1.2), 1.2),
    ):
        assert curve(td50) == pytest.approx(0.5)
        rise = (curve(td50 * (1 + step)) - curve(td50 * (1 - step))) / (2 * step)
        assert rise == pytest.approx(slope, rel=1e-5)


def test_tolerances_of_emami_from_the_parameters_of_burman() -> None:
    # Whole kidney: TD5/5 23 Gy, TD50/5 28 Gy; whole liver 30 and 40 Gy (Emami 1991). Burman's fit is by eye, about 5 %.
    for organ, td5_gy in (("kidneys", 23.0), ("liver", 30.0)):
        td50, m, n = (constant(organ, f"ntcp_{x}", "external_beam").value for x in ("td50_gy", "m", "n"))
        assert lkb_ntcp(np.full(8, td5_gy), td50, m, n) == pytest.approx(0.05, abs=0.015)
        assert lkb_ntcp(np.full(8, td50), td50, m, n) == pytest.approx(0.5)


@given(st.lists(st.floats(1.0, 80.0), min_size=2, max_size=30))
def test_volume_effect(doses: list[float]) -> None:
    mean = float(probit_ntcp(np.mean(doses), 28.0, 0.10))
    assert lkb_ntcp(doses, 28.0, 0.10, 1.0) == pytest.approx(mean)
    # A more serial organ (smaller n) suffers more from the same voxels.
    assert lkb_ntcp(doses, 28.0, 0.10, 0.2) >= lkb_ntcp(doses, 28.0, 0.10, 0.7) - 1e-12 >= mean - 2e-12


@given(DOSES, DOSES)
def test_curves_rise(x: float, y: float) -> None:
    low, high = sorted((x, y))
    for curve in (lambda d: probit_ntcp(d, 44.0, 0.3), lambda d: logistic_ntcp(d, 44.0, 1.33), renal_ntcp):
        assert 0.0 <= curve(low) <= curve(high) <= 1.0


def test_virtual_kidneys_lose_function_as_often_as_planned() -> None:
    # The design: BED median 14.5 and 90th percentile 26.0 Gy, TD50 44, m 0.30, risk factors: 8.1 % of patients.
    rng = np.random.default_rng(11)
    n = 200_000
    bed = 14.5 * np.exp(rng.normal(0.0, np.log(26.0 / 14.5) / 1.2816, n))
    share = {
        "age_over_75": rng.normal(71, 8, n) > 75,
        "hypertension": rng.random(n) < 0.35,
        "diabetes": rng.random(n) < 0.2,
    }
    risk = sum(constant("kidneys", f"risk_{name}", "virtual").value * has for name, has in share.items())
    assert renal_ntcp(bed, risk).mean() == pytest.approx(0.081, abs=0.003)


def test_external_beam_numbers_never_come_without_their_warning() -> None:
    value, note = external_beam_ntcp("kidneys", 28.0 * (1 + 2 / 2.6), 2.6)
    assert value == pytest.approx(0.5)
    assert EXTERNAL_BEAM_WARNING in note
    assert "Burman" in note
    for unknown in (("marrow", 10.0, 10.0), ("kidneys", np.nan, 2.6), ("kidneys", 10.0, np.inf)):
        value, note = external_beam_ntcp(*unknown)
        assert np.isnan(value)
        assert note == ""


@pytest.mark.parametrize(
    "call",
    [
        lambda: probit_ntcp(1.0, 0.0, 0.1),
        lambda: lkb_ntcp([1.0], 28.0, 0.1, 0.0),
        lambda: logistic_ntcp(-1.0, 44.0, 1.0),
        lambda: logistic_ntcp(1.0, 44.0, 0.0),
        lambda: renal_ntcp(10.0, 1.0),
    ],
)
def test_impossible_numbers_are_refused(call) -> None:
    with pytest.raises(DataError):
        call()
