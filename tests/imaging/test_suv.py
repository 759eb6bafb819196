"""SUV by hand under every decay reference; lost units are noticed."""

import math

import numpy as np
import pytest

from theradose.errors import DataError, UnitError
from theradose.imaging.grid import Grid
from theradose.imaging.plausible import decay_contradiction, require_injected, require_total
from theradose.imaging.suv import expected_activity_mbq, to_suv
from theradose.imaging.volume import Volume

HALF_LIFE_H = 67.71 / 60  # Ga-68, ICRP-107
GRID = Grid((2, 2, 2), (4.0, 4.0, 4.0))
PET = Volume(np.full((2, 2, 2), 5000.0, np.float32), GRID, "Bq/mL")


def sidecar(**changes):
    made = {
        "TracerRadionuclide": "Ga-68", "InjectedRadioactivity": 150.0, "InjectedRadioactivityUnits": "MBq",
        "FrameTimesStart": [3600.0], "FrameDuration": [1200.0], "ImageDecayCorrected": True,
        "DecayReference": "administration",
    }  # fmt: skip
    return {**made, **changes}


def test_administration_by_hand() -> None:
    # 5000 Bq/mL x 75 000 g / 150e6 Bq = 2.5 g/mL.
    suv = to_suv(PET, sidecar(), 75.0)
    assert suv.unit == "g/mL"
    assert np.allclose(suv.values, 2.5)


def test_scan_start_uses_what_is_left_at_the_start() -> None:
    expected = 2.5 / 2 ** (-1.0 / HALF_LIFE_H)
    assert to_suv(PET, sidecar(DecayReference="scan_start"), 75.0).values[0, 0, 0] == pytest.approx(expected, rel=1e-4)


def test_no_correction_uses_the_mean_over_the_frame() -> None:
    rate = math.log(2) / HALF_LIFE_H
    times = 1.0 + (np.arange(20000) + 0.5) / 20000 / 3  # h, 20 minutes from 1 h on
    expected = 2.5 / np.exp(-rate * times).mean()
    uncorrected = sidecar(DecayReference="none", ImageDecayCorrected=False)
    assert to_suv(PET, uncorrected, 75.0).values[0, 0, 0] == pytest.approx(expected, rel=1e-4)
    del uncorrected["FrameDuration"]
    with pytest.raises(DataError, match="FrameDuration"):
        to_suv(PET, uncorrected, 75.0)


def test_an_image_in_suv_stays() -> None:
    suv = PET.with_values(PET.values, "g/mL")
    assert to_suv(suv, {}, math.nan) is suv


@pytest.mark.parametrize("unit", ["Bq", "kBq", "MBq", "GBq"])
def test_units_of_activity(unit: str) -> None:
    factor = {"Bq": 1e6, "kBq": 1e3, "MBq": 1.0, "GBq": 1e-3}[unit]
    given = sidecar(InjectedRadioactivity=150.0 * factor, InjectedRadioactivityUnits=unit)
    assert np.allclose(to_suv(PET, given, 75.0).values, 2.5)


@pytest.mark.parametrize("weight", [0.0, 3.0, 75000.0, math.nan])
def test_a_weight_that_cannot_be_right_is_refused(weight: float) -> None:
    with pytest.raises(UnitError, match="20 to 250 kg"):
        to_suv(PET, sidecar(), weight)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"InjectedRadioactivity": 150e6}, "looks like Bq"),
        ({"InjectedRadioactivity": 0.15}, "looks like GBq"),
        ({"InjectedRadioactivityUnits": "mCi"}, "unit of activity is unknown"),
        ({"InjectedRadioactivity": None}, "InjectedRadioactivity"),
        ({"FrameTimesStart": []}, "FrameTimesStart"),
        ({"DecayReference": None}, "DecayReference"),
        ({"ImageDecayCorrected": False}, "decay correction of the image is unclear"),
        ({"DecayReference": "none"}, "decay correction of the image is unclear"),
    ],
)
def test_sidecars_that_cannot_be_right_are_refused(changes, words) -> None:
    with pytest.raises(DataError, match=words):
        to_suv(PET, sidecar(**changes), 75.0)


def test_counts_are_no_pet() -> None:
    with pytest.raises(UnitError, match="counts"):
        to_suv(PET.with_values(PET.values, "counts"), sidecar(), 75.0)


def test_expected_activity_under_the_two_readings() -> None:
    lu = sidecar(TracerRadionuclide="Lu-177", FrameTimesStart=[159.528 * 3600.0])
    assert expected_activity_mbq(lu, 7400.0) == pytest.approx(7400.0)
    assert expected_activity_mbq({**lu, "DecayReference": "scan_start"}, 7400.0) == pytest.approx(3700.0)


def test_totals_that_cannot_be_right_name_the_likely_factor() -> None:
    assert require_total(3000.0, 7000.0) == pytest.approx(3 / 7)
    with pytest.raises(UnitError, match="factor 1000"):
        require_total(3.0, 7000.0)
    with pytest.raises(UnitError, match="factor 1e6"):
        require_total(3e9, 7000.0)
    with pytest.raises(UnitError, match="check calibration"):
        require_total(8000.0, 7000.0)


def test_injected_ranges_depend_on_the_radionuclide() -> None:
    assert require_injected(7400.0, "Lu-177") == 7400.0
    with pytest.raises(UnitError):
        require_injected(7400.0, "Ga-68")
    assert require_injected(7400.0, "I-131") == 7400.0


def test_the_decay_factor_of_the_real_header_contradicts_its_tag() -> None:
    assert decay_contradiction("ADMIN", 2 ** (27.73 / 159.528), 159.528, 27.73) is None
    assert decay_contradiction("START", 1.0, 159.528, 27.73) is None
    assert "1.1280" in str(decay_contradiction("ADMIN", 1.0, 159.528, 27.73))


def test_a_decay_factor_may_hold_the_average_of_the_frame() -> None:
    # Ga-68, 50 min after the administration, 180 s: exp(lambda t) = 1.668; over (1 - exp(-x)) / x it is 1.694.
    start_h = HALF_LIFE_H * math.log2(1.668)
    assert decay_contradiction("ADMIN", 1.694, HALF_LIFE_H, start_h, 0.05) is None
    assert decay_contradiction("ADMIN", 1.668, HALF_LIFE_H, start_h, 0.05) is None
    assert "1.6680" in str(decay_contradiction("ADMIN", 1.694, HALF_LIFE_H, start_h))
    assert "1.6680" in str(decay_contradiction("ADMIN", 1.681, HALF_LIFE_H, start_h, 0.05))
