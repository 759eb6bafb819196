"""The step fit_kinetics: curves in, time-integrated activities out, with the refused ones replaced and explained."""

import json
import math

import pandas as pd
import pytest

from theradose.errors import SettingsError
from theradose.physics.kinetic_models import curve_mbq
from theradose.sections import KineticsSettings
from theradose.steps.fit_kinetics import options
from theradose.tables import TAC, TIAC, read_table, write_table
from theradose.vocabulary import CHAIN_COLUMNS


def tia(hand_made, label):
    a, t_eff_h = hand_made.truth[label]
    return a * t_eff_h / math.log(2)


def write_tac(path, curves, **columns):
    """Write a time-activity table by hand: VOI -> list of (time, activity)."""
    rows = [
        {
            "patient": "p1", "cycle": 1, "voi": voi, "time_h": t, "activity_mbq": a, "activity_std_mbq": 0.05 * a,
            "activity_uncorrected_mbq": 0.7 * a, "recovery_coefficient": 0.7, "spill_in_mbq": 0.0, "volume_ml": 10.0,
            "correction": "geometric_transfer 13 mm", "flags": "", **dict.fromkeys(CHAIN_COLUMNS), **columns,
        }
        for voi, points in curves.items() for t, a in points
    ]  # fmt: skip
    write_table(pd.DataFrame(rows), path, TAC)
    return path


def test_curves_integrate_to_the_truth(default_run, hand_made) -> None:
    fits = read_table(default_run.tiac, TIAC).set_index("voi")
    for label, voi in {5: "kidney_left", 6: "kidney_right", 7: "liver", 101: "lesion_01", 1: "remainder"}.items():
        assert fits.loc[voi, "tia_mbq_h"] == pytest.approx(tia(hand_made, label), rel=5e-3)
        assert fits.loc[voi, "t_eff_h"] == pytest.approx(hand_made.truth[label][1], rel=5e-3)
    left = fits.loc["kidney_left"]
    # A coefficient in hours: TIA over administered activity, below the mean life of Lu-177.
    assert left["tiac_h"] == pytest.approx(left["tia_mbq_h"] / 7400.0)
    assert left["tiac_h"] < 230.15
    assert left["tia_uncorrected_mbq_h"] < 0.8 * left["tia_mbq_h"]
    assert 0 < left["tia_std_mbq_h"] < 0.2 * left["tia_mbq_h"]


def test_parameters_and_covariance_give_the_curve_back(default_run, hand_made) -> None:
    fits = read_table(default_run.tiac, TIAC).set_index("voi")
    parameters = json.loads(fits.loc["liver", "parameters"])
    assert curve_mbq(parameters, 24.0) == pytest.approx(hand_made.activity_mbq(7, 24.0), rel=0.02)
    covariance = json.loads(fits.loc["liver", "covariance"])
    assert len(covariance) == len(covariance[0]) == 2


def test_rising_lesion_is_refused_by_name_and_gets_the_population_half_life(tmp_path, hand_made) -> None:
    case = hand_made.make(tmp_path)
    tac = write_tac(
        tmp_path / "tac.tsv", {"lesion_01": [(24.0, 10.0), (96.0, 9.0)], "liver": [(24.0, 10.0), (96.0, 2.0)]}
    )
    fits = read_table(hand_made.fitted(case, tac), TIAC).set_index("voi")
    lesion = fits.loc["lesion_01"]
    assert (lesion["model"], lesion["t_eff_h"]) == ("population", pytest.approx(52.0))
    assert lesion["reason"].startswith("rising_activity: THR-300")
    assert "population_half_life" in lesion["flags"]
    assert lesion["tia_uncorrected_mbq_h"] == pytest.approx(0.7 * lesion["tia_mbq_h"], rel=1e-6)
    assert fits.loc["liver", "reason"] == ""
    assert fits.loc["liver", "model"] == "mono"


def test_one_scan_is_flagged_as_such(tmp_path, hand_made) -> None:
    case = hand_made.make(tmp_path)
    fits = read_table(hand_made.fitted(case, write_tac(tmp_path / "tac.tsv", {"liver": [(24.0, 10.0)]})), TIAC)
    assert fits.loc[0, "flags"].split(";")[-2:] == ["population_half_life", "single_time_point"]
    assert fits.loc[0, "reason"].startswith("too_few_points")


def test_missing_population_half_life_is_an_error() -> None:
    settings = KineticsSettings().model_copy(update={"population_t_eff_h": {"kidneys": 30.0}})
    assert options(settings, "kidneys", 159.5)["t_eff_h"] == 30.0
    with pytest.raises(SettingsError, match=r"population_t_eff_h.liver"):
        options(settings, "liver", 159.5)


def test_an_organ_the_study_leaves_out_keeps_its_declared_half_life(tmp_path, hand_made) -> None:
    case = hand_made.make(tmp_path)
    tac = write_tac(tmp_path / "tac.tsv", {"liver": [(24.0, 10.0)]})
    table = read_table(hand_made.fitted(case, tac, population_t_eff_h={"kidneys": 30.0}), TIAC)
    assert table["t_eff_h"].tolist() == [KineticsSettings().population_t_eff_h["liver"]]
