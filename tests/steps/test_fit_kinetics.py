"""The step fit_kinetics: curves in, time-integrated activities out, with the refused ones replaced and explained."""

import json
import math

import pandas as pd
import pytest

from theradose.errors import SettingsError
from theradose.imaging.nifti import read_sidecar
from theradose.models.examples import first_doses
from theradose.physics.kinetic_models import curve_mbq
from theradose.sections import KineticsSettings
from theradose.steps.fit_kinetics import options
from theradose.tables import ORGAN_DOSE, TAC, TIAC, read_table, write_table
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


def test_one_scan_by_a_published_method(tmp_path, hand_made) -> None:
    """A(t) t 2/ln 2, and A(t) exp(kt)/k with the population's mean constant, kt = 1 in the mean at t = T/ln 2."""
    case = hand_made.make(tmp_path)
    tac = write_tac(tmp_path / "tac.tsv", {"liver": [(31.0, 10.0)]})
    found = {
        name: read_table(hand_made.fitted(case, tac, single_time_point=name), TIAC).iloc[0]
        for name in ("haenscheid", "madsen")
    }
    k = math.log(2) / 31.0 * math.exp(0.25**2 / 2)
    expected = {"haenscheid": 10.0 * 31.0 * 2 / math.log(2), "madsen": 10.0 * math.exp(31.0 * k) / k}
    for name, row in found.items():
        assert row["model"] == name
        assert row["tia_mbq_h"] == pytest.approx(expected[name], rel=1e-6)
        assert row["tia_uncorrected_mbq_h"] == pytest.approx(0.7 * expected[name], rel=1e-6)
        assert row["flags"] == "single_time_point" + (";tail_over_40_percent" if row["tail_fraction"] > 0.4 else "")
        assert row["reason"] == ""
        assert row["tia_std_mbq_h"] > 0.05 * row["tia_mbq_h"]


def test_a_method_that_does_not_hold_gives_way_to_the_population(tmp_path, hand_made) -> None:
    case = hand_made.make(tmp_path)
    tac = write_tac(tmp_path / "tac.tsv", {"liver": [(4.0, 10.0)], "spleen": [(31.0, 0.0)]})
    early = read_table(hand_made.fitted(case, tac, single_time_point="haenscheid"), TIAC).set_index("voi")
    plain = read_table(hand_made.fitted(case, tac), TIAC).set_index("voi")
    assert early["model"].tolist() == ["population", "population"]
    assert early.loc["liver", "reason"].startswith("outside_validity_window: ")
    assert early.loc["spleen", "reason"].startswith("not_positive: ")
    for column in ("tia_mbq_h", "tia_std_mbq_h", "tia_uncorrected_mbq_h", "flags"):
        assert early[column].tolist() == plain[column].tolist()


def test_more_scans_are_fitted_whatever_stands_for_one(tmp_path, hand_made) -> None:
    case = hand_made.make(tmp_path)
    tac = write_tac(tmp_path / "tac.tsv", {"liver": [(24.0, 10.0), (96.0, 2.0)]})
    whole = [hand_made.fitted(case, tac, single_time_point=name).read_text() for name in ("population", "madsen")]
    assert whole[0] == whole[1]


def test_what_physics_does_not_allow_is_flagged_in_fit_and_dose_and_its_numbers_stay(
    tmp_path, default_run, hand_made
) -> None:
    """A liver with twice what was given: the other VOIs are as before, and the map says what it was made of."""
    case = hand_made.make(tmp_path)
    folder = hand_made.quantified(case)
    tac = read_table(folder / "tac.tsv", TAC)
    rows = tac["voi"] == "liver"
    factor = 2.0 * 7400.0 / tac.loc[rows, "activity_mbq"].max()
    columns = ["activity_mbq", "activity_std_mbq", "activity_uncorrected_mbq"]
    tac.loc[rows, columns] *= factor
    write_table(tac, folder / "tac.tsv", TAC)
    fits = read_table(hand_made.fitted(case, folder / "tac.tsv", models=["mono"]), TIAC).set_index("voi")
    before = read_table(default_run.tiac, TIAC).set_index("voi")
    assert "impossible_activity" in fits.loc["liver", "flags"].split(";")
    assert fits.loc["liver", "tia_mbq_h"] == pytest.approx(factor * before.loc["liver", "tia_mbq_h"], rel=1e-6)
    others = [voi for voi in fits.index if voi != "liver"]
    assert fits.loc[others, "flags"].tolist() == before.loc[others, "flags"].tolist()
    dose = hand_made.dosed(case, folder, case.root / "kinetics" / "tiac.tsv")
    labels = read_table(dose / "organ_dose.tsv", ORGAN_DOSE).query("level == 'organ'").set_index("voi")
    assert "impossible_activity" in labels.loc["liver", "flags"]
    assert labels.loc["liver", "dose_gy"] > 0
    learned = set(first_doses(labels.reset_index())["voi"])
    assert learned == set(labels.index) - {"liver"}
    (map_file,) = dose.glob("*_dose.nii.gz")
    assert read_sidecar(map_file)["ImpossibleCurves"] == ["impossible_activity"]
    (ordinary,) = default_run.dose.glob("*_dose.nii.gz")
    assert "ImpossibleCurves" not in read_sidecar(ordinary)
