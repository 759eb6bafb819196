"""Doses and BED beside limits: by hand for one kidney, over cycles, and what has no constant."""

from types import SimpleNamespace

import pandas as pd
import pytest

from theradose.evaluation.report_limits import limits_frame, limits_section, limits_table


def study(cycles=1, dose_gy=5.75, t_eff_h=(50.0, 50.0)):
    """Return a study with a patient's kidneys, marrow, spleen (no limit) and a lesion."""
    rows = [
        {"patient": "p1", "cycle": cycle, "voi": voi, "level": "organ", "dose_gy": gy}
        for cycle in range(1, cycles + 1)
        for voi, gy in (("kidneys", dose_gy), ("marrow", 0.6), ("spleen", 4.0), ("lesions", 30.0))
    ]
    fits = [
        {"patient": "p1", "cycle": cycle, "voi": voi, "t_eff_h": t, "tia_mbq_h": tia}
        for cycle in range(1, cycles + 1)
        for voi, t, tia in (("kidney_left", t_eff_h[0], 100.0), ("kidney_right", t_eff_h[1], 300.0),
                            ("red_marrow", 25.0, 50.0), ("spleen", 60.0, 80.0), ("lesion_01", 77.0, 200.0))
    ]  # fmt: skip
    tables = {"organ_dose": pd.DataFrame(rows), "tiac": pd.DataFrame(fits)}
    return SimpleNamespace(table=tables.__getitem__)


def test_four_cycles_of_the_printed_kidney() -> None:
    """4 x 5.75 Gy at T_eff 50 h: BED 25.70 Gy; cycles add up, they are not pooled."""
    frame = limits_frame(study(cycles=4)).set_index("voi")
    assert frame.loc["kidneys", "dose_gy"] == pytest.approx(23.0)
    assert frame.loc["kidneys", "bed_gy"] == pytest.approx(25.70, abs=0.01)
    assert frame.loc["marrow", "dose_gy"] == pytest.approx(2.4)


def test_half_life_is_weighted_by_tia_and_missing_constants_stay_missing() -> None:
    frame = limits_frame(study(t_eff_h=(30.0, 50.0))).set_index("voi")
    g = 2.8 / (2.8 + 45.0)
    assert frame.loc["kidneys", "bed_gy"] == pytest.approx(5.75 * (1 + g * 5.75 / 2.6))
    assert pd.isna(frame.loc["marrow", "bed_gy"])
    assert set(frame.index) == {"kidneys", "marrow"}


def test_patients_above_are_counted_for_each_limit() -> None:
    sheet = limits_table(limits_frame(study(cycles=4, dose_gy=7.0)))
    seen = [(row[0].text, row[4].text, row[5].text) for row in sheet.rows]
    assert seen == [("kidneys", "BED 40", "0"), ("kidneys", "dose 23", "1"), ("marrow", "dose 2", "1")]
    assert all(row[6].text and row[6].note for row in sheet.rows)


def test_section_warns_and_is_left_out_without_limits() -> None:
    section = limits_section(study())
    assert section is not None
    assert "do not transfer" in section["lead"]
    nothing = study()
    nothing.table("organ_dose")["voi"] = "spleen"
    assert limits_section(nothing) is None
