"""Planted against recovered: errors by hand, organs as sums, and what does not belong together."""

import numpy as np
import pandas as pd
import pytest

from theradose.errors import DataError
from theradose.evaluation.labels import by_organ, recovery_check, recovery_summary
from theradose.tables import checked
from theradose.truth_schemas import RECOVERY_CHECK

# patient, VOI, mass, planted TIA and dose, recovered (corrected and uncorrected) TIA and dose
ROWS = [
    ("p1", "kidney_left", 100.0, 1000.0, 10.0, 1100.0, 700.0, 11.0, 7.0),
    ("p1", "kidney_right", 200.0, 4000.0, 20.0, 4000.0, 3000.0, 20.0, 15.0),
    ("p2", "kidney_left", 150.0, 1500.0, 10.0, 1350.0, 1200.0, 9.0, 8.0),
    ("p2", "lesion_01", 5.0, 200.0, 40.0, 200.0, 100.0, 40.0, 20.0),
]
NAMES = ["patient", "voi", "mass_g", "t_tia", "t_dose", "tia", "tia_u", "dose", "dose_u"]


def tables():
    rows = pd.DataFrame(ROWS, columns=NAMES).assign(cycle=1)
    key = rows[["patient", "cycle", "voi"]]
    tiac = key.assign(model="mono", tia_mbq_h=rows["tia"], tia_uncorrected_mbq_h=rows["tia_u"])
    tiac = pd.concat([tiac, tiac.iloc[:1].assign(voi="remainder")])
    doses = key.assign(
        level="voi", volume_ml=rows["mass_g"] / 1.04, mass_g=rows["mass_g"], dose_gy=rows["dose"],
        dose_uncorrected_gy=rows["dose_u"],
    )  # fmt: skip
    doses = pd.concat([doses, doses.iloc[:1].assign(level="organ", voi="kidneys")])
    truth = key.assign(mass_g=rows["mass_g"], tia_mbq_h=rows["t_tia"], dose_gy=rows["t_dose"])
    truth = pd.concat([truth, truth.iloc[:1].assign(patient="quarantined")])
    return tiac, doses, truth


def test_errors_by_hand() -> None:
    check = recovery_check(*tables())
    assert len(checked(check, RECOVERY_CHECK)) == 4
    left = check[(check["patient"] == "p1") & (check["voi"] == "kidney_left")].iloc[0]
    assert left["tia_error"] == pytest.approx(0.10)
    assert left["tia_error_uncorrected"] == pytest.approx(-0.30)
    assert left["dose_error"] == pytest.approx(0.10)
    assert left["dose_error_uncorrected"] == pytest.approx(-0.30)


def test_organs_are_sums_over_their_vois() -> None:
    organs = by_organ(recovery_check(*tables())).set_index(["patient", "organ"])
    kidneys = organs.loc[("p1", "kidneys")]
    assert kidneys["truth_tia_mbq_h"] == 5000.0
    assert kidneys["tia_error"] == pytest.approx(0.02)
    assert kidneys["truth_dose_gy"] == pytest.approx((10 * 100 + 20 * 200) / 300)
    assert kidneys["dose_error"] == pytest.approx((11 * 100 + 20 * 200) / (10 * 100 + 20 * 200) - 1)
    assert kidneys["dose_error_uncorrected"] == pytest.approx((7 * 100 + 15 * 200) / 5000 - 1)


def test_summary_counts_vois_and_organs_apart() -> None:
    summary = recovery_summary(recovery_check(*tables()))
    vois = summary["voi"]["kidneys"]["tia_mbq_h"]["corrected"]
    assert (vois["n"], summary["organ"]["kidneys"]["tia_mbq_h"]["corrected"]["n"]) == (3, 2)
    errors = np.array([0.10, 0.0, -0.10])
    assert vois["mean"] == pytest.approx(errors.mean(), abs=1e-12)
    assert vois["sd"] == pytest.approx(errors.std(ddof=1))
    assert vois["median"] == pytest.approx(0.0, abs=1e-12)
    assert vois["p95"] == pytest.approx(np.percentile(errors, 95))
    assert summary["organ"]["lesions"]["dose_gy"]["uncorrected"]["mean"] == pytest.approx(-0.5)
    assert summary["organ"]["lesions"]["dose_gy"]["uncorrected"]["sd"] == 0.0


def test_measured_voi_without_truth_is_an_error() -> None:
    tiac, doses, truth = tables()
    with pytest.raises(DataError, match=r"no planted truth.*lesion_01"):
        recovery_check(tiac, doses, truth[truth["voi"] != "lesion_01"])
