"""Doses and BED beside limits, NTCP and TCP: by hand for one patient, over cycles, and what has no constant."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from theradose.evaluation.report import environment
from theradose.evaluation.report_limits import limits_frame, limits_section, limits_table, risk_frame, risk_section
from theradose.physics.complications import lkb_ntcp
from theradose.physics.dvh import cumulative_dvh
from theradose.physics.tumour_control import poisson_tcp
from theradose.vocabulary import RESEARCH_USE_ONLY

CAUTION = "External-beam NTCP parameters do not transfer to radionuclide therapy (MIRD Pamphlet 20)"


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


def response_study(voxels_gy, cycles=1, doses_gy=None, *, virtual=True, t_eff_h=50.0):
    """Return a study with the histograms of some VOIs, 2 mL a voxel; a dose beside its map stands for recovery."""
    curves, doses, fits = [], [], []
    for cycle in range(1, cycles + 1):
        for voi, values in voxels_gy.items():
            key = {"patient": "p1", "cycle": cycle, "voi": voi}
            levels, volume = cumulative_dvh(values, 1000)
            curves += [{**key, "dose_gy": d, "volume_fraction": v} for d, v in zip(levels, volume, strict=True)]
            gy, level = (doses_gy or {}).get(voi, np.mean(values)), "organ" if voi == "lesions" else "voi"
            doses.append({**key, "level": level, "dose_gy": gy, "volume_ml": 2.0 * len(values)})
            fits.append({**key, "voi": voi.replace("lesions", "lesion_01"), "t_eff_h": t_eff_h, "tia_mbq_h": 10.0})
    tables = {"dvh": pd.DataFrame(curves), "organ_dose": pd.DataFrame(doses), "tiac": pd.DataFrame(fits)}
    return SimpleNamespace(table=tables.__getitem__, virtual=virtual)


def chance(study, voi):
    """Return the one probability of a VOI."""
    return risk_frame(study).set_index("voi")["probability"][voi]


def kidney_eqd2_gy(dose_gy, cycles=1):
    """Return the EQD2 by hand: G = 2.8 / 52.8 at 50 h, alpha/beta 2.6 Gy."""
    dose = np.asarray(dose_gy, float)
    return cycles * dose * (1 + 2.8 / 52.8 * dose / 2.6) / (1 + 2 / 2.6)


def test_uniform_kidneys_by_hand_over_cycles() -> None:
    """4 x 12 Gy: EQD2 33.8 Gy, above TD50 28 Gy; pooled into one cycle it would be far more."""
    kidneys = response_study({"kidney_left": [12.0] * 4, "kidney_right": [12.0] * 4}, cycles=4)
    by_hand = norm.cdf((kidney_eqd2_gy(12.0, cycles=4) / 28.0 - 1) / 0.10)
    assert 0.9 < by_hand < 0.99
    assert chance(kidneys, "kidneys") == pytest.approx(by_hand, rel=1e-6)


def test_kidneys_of_unlike_dose_and_size_are_one_organ() -> None:
    left, right = np.linspace(5.0, 25.0, 400), np.linspace(10.0, 55.0, 1200)
    found = chance(response_study({"kidney_left": left, "kidney_right": right}), "kidneys")
    voxels = kidney_eqd2_gy(np.concatenate([left, right]))
    assert 0.4 < lkb_ntcp(voxels, 28.0, 0.10, 0.70) < 0.99
    assert found == pytest.approx(lkb_ntcp(voxels, 28.0, 0.10, 0.70), abs=0.005)
    assert abs(found - lkb_ntcp(voxels.mean(), 28.0, 0.10, 0.70)) > 0.05  # the histogram counts, not only the mean


def test_histogram_is_scaled_to_the_dose_of_the_table() -> None:
    voxels = np.linspace(10.0, 50.0, 800)
    corrected = response_study({"liver": voxels}, doses_gy={"liver": 45.0})
    assert chance(corrected, "liver") == pytest.approx(
        chance(response_study({"liver": 1.5 * voxels}), "liver"), rel=1e-6
    )
    assert chance(corrected, "liver") > 2 * chance(response_study({"liver": voxels}), "liver")


def test_organ_without_repair_half_time_goes_by_dose() -> None:
    """Dijkema 2010: the mean dose, TD50 39.9 Gy, m 0.40; Phi(-2.5) without any dose."""
    for gy in (0.0, 39.9, 20.0):
        glands = response_study({"parotid_gland_left": [gy] * 5, "parotid_gland_right": [gy] * 5})
        assert chance(glands, "parotids") == pytest.approx(norm.cdf((gy / 39.9 - 1) / 0.40))


def test_lesions_voxel_by_voxel_and_a_cold_part_decides() -> None:
    warm = np.linspace(70.0, 110.0, 1000)
    cold = np.where(np.arange(1000) < 50, 20.0, warm)
    bed = {name: x * (1 + 1.5 / 51.5 * x / 10.0) for name, x in (("warm", warm), ("cold", cold))}
    by_hand = poisson_tcp(bed["warm"], 2e7, 0.35, 0.08)
    assert 0.5 < by_hand < 0.99
    assert chance(response_study({"lesions": warm}), "lesions") == pytest.approx(by_hand, abs=0.005)
    assert chance(response_study({"lesions": cold}), "lesions") == pytest.approx(
        poisson_tcp(bed["cold"], 2e7, 0.35, 0.08), abs=0.005
    )
    assert chance(response_study({"lesions": cold}), "lesions") < 0.05


def test_cold_part_stays_cold_over_cycles_and_cells_are_those_of_the_first() -> None:
    voxels = np.linspace(20.0, 60.0, 1000)
    total = 2 * voxels * (1 + 1.5 / 51.5 * voxels / 10.0)
    found = chance(response_study({"lesions": voxels}, cycles=2), "lesions")
    assert 0.05 < found < 0.95
    assert found == pytest.approx(poisson_tcp(total, 2e7, 0.35, 0.08), abs=0.005)


def test_unknown_bed_and_missing_parameters_give_no_number() -> None:
    lost = response_study({"kidney_left": [12.0], "spleen": [5.0], "parotid_gland_left": [5.0]}, t_eff_h=0.0)
    assert list(risk_frame(lost)["voi"]) == ["parotids"]
    assert risk_section(response_study({"spleen": [5.0]})) is None
    empty = response_study({"kidney_left": [12.0]})
    nothing = SimpleNamespace(table=lambda name: empty.table(name).iloc[:0].astype(object), virtual=False)
    assert risk_section(nothing) is None


def test_every_number_has_its_caution_source_and_label_beside_it() -> None:
    section = risk_section(response_study({"kidney_left": [12.0], "parotid_gland_left": [5.0], "lesions": [9.0]}))
    assert section is not None
    for words in ("Virtual patients", "Report only, not for decisions", RESEARCH_USE_ONLY, "assumptions"):
        assert words in section["lead"]
    kidneys, parotids, lesions = section["table"].rows
    assert kidneys[4].text == CAUTION
    assert lesions[4].text == CAUTION.replace("NTCP", "TCP")
    assert all(row[4].note == "report only, not for decisions" for row in section["table"].rows)
    assert [row[2].text for row in section["table"].rows] == ["NTCP on EQD2", "NTCP on absorbed dose", "TCP on BED"]
    assert kidneys[5].text == "TD50 28 Gy, m 0.1, n 0.7, alpha/beta 2.6 Gy, repair 2.8 h"
    assert parotids[5].text == "TD50 39.9 Gy, m 0.4, n 1"
    assert lesions[5].text.startswith("alpha 0.35/Gy, spread 0.08/Gy, 1e+07 cells/mL")
    assert all(
        source in row[5].note for row, source in zip(section["table"].rows, ("Burman", "Dijkema", "Webb"), strict=True)
    )
    assert "Virtual" not in risk_section(response_study({"lesions": [9.0]}, virtual=False))["lead"]


def test_html_keeps_caution_and_number_in_one_row() -> None:
    section = risk_section(response_study({"kidney_left": [32.0], "lesions": [9.0]}))
    assert section is not None
    macro = '{% from "parts.html.j2" import sheet_of with context %}{{ sheet_of(sheet) }}'
    html = environment().from_string(macro).render(sheet=section["table"])
    kidneys, lesions = [row for row in html.split("<tr>") if "<td" in row]
    number = 100 * norm.cdf((kidney_eqd2_gy(32.0) / 28.0 - 1) / 0.10)
    assert f">{number:.1f}<" in kidneys
    assert CAUTION in kidneys
    assert ">TCP on BED<" in lesions
    assert CAUTION.replace("NTCP", "TCP") in lesions
    assert html.count("report only, not for decisions") == 2
