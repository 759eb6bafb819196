"""The step compute_dose: VOI, organ and voxel doses that agree with one another and with the truth."""

import math
from argparse import Namespace

import numpy as np
import pytest
from scipy import ndimage

from theradose.errors import DataError, SettingsError
from theradose.imaging.nifti import read_sidecar, read_volume
from theradose.imaging.volume import Volume
from theradose.physics.kernels import sphere_s_gy_per_mbq_h
from theradose.tables import BUDGET, DVH, IMAGES, ORGAN_DOSE, TAC, TIAC, read_table, write_table

FACTOR = 0.0853196  # g.Gy/(MBq.h), Lu-177 electrons


def doses_of(run):
    return read_table(run.dose / "organ_dose.tsv", ORGAN_DOSE)


def test_doses_are_those_of_the_truth(default_run, hand_made) -> None:
    doses = doses_of(default_run)
    vois = doses[doses["level"] == "voi"].set_index("voi")
    assert sorted(vois.index) == ["kidney_left", "kidney_right", "lesion_01", "liver"]
    for label, voi in {5: "kidney_left", 6: "kidney_right", 7: "liver", 101: "lesion_01"}.items():
        a, t_eff_h = hand_made.truth[label]
        mass_g = 1.04 * hand_made.volume_ml(label)
        assert vois.loc[voi, "mass_g"] == pytest.approx(mass_g)
        assert vois.loc[voi, "dose_gy"] == pytest.approx(FACTOR * a * t_eff_h / math.log(2) / mass_g, rel=5e-3)
        assert vois.loc[voi, "dose_gy_per_gbq"] == pytest.approx(vois.loc[voi, "dose_gy"] / 7.4)


def test_organs_sum_energy_and_mass(default_run) -> None:
    doses = doses_of(default_run)
    vois = doses[doses["level"] == "voi"].set_index("voi")
    organs = doses[doses["level"] == "organ"].set_index("voi")
    assert sorted(organs.index) == ["kidneys", "lesions", "liver"]
    both = vois.loc[["kidney_left", "kidney_right"]]
    for column in ("mass_g", "volume_ml", "tia_mbq_h", "tia_uncorrected_mbq_h"):
        assert organs.loc["kidneys", column] == pytest.approx(both[column].sum())
    for column in ("dose_gy", "dose_uncorrected_gy"):
        mean = (both[column] * both["mass_g"]).sum() / both["mass_g"].sum()
        assert organs.loc["kidneys", column] == pytest.approx(mean)
    assert organs.loc["liver", "dose_gy"] == pytest.approx(vois.loc["liver", "dose_gy"])


def test_map_has_the_uncorrected_mean_of_every_voi(default_run, hand_made) -> None:
    folder, doses = default_run.dose, doses_of(default_run)
    fits = read_table(default_run.tiac, TIAC)
    row = read_table(folder / "images.tsv", IMAGES).iloc[0]
    assert (row["role"], row["cycle"]) == ("dose", 1)
    volume = read_volume(folder / row["file"].rsplit("/", 1)[1])
    assert volume.unit == "Gy"
    assert read_sidecar(folder / row["file"].rsplit("/", 1)[1])["Virtual"] is True
    labels = hand_made.labels()
    for label, voi in {5: "kidney_left", 7: "liver", 101: "lesion_01"}.items():
        own = doses[(doses["voi"] == voi) & (doses["level"] == "voi")].iloc[0]
        assert own["dose_voxel_gy"] == pytest.approx(float(volume.values[labels == label].mean()), rel=1e-5)
        assert own["dose_voxel_gy"] == pytest.approx(own["dose_uncorrected_gy"], rel=1e-4)
    energy = float((volume.values * 1.04 * hand_made.grid.voxel_ml).sum())
    assert energy == pytest.approx(FACTOR * fits["tia_uncorrected_mbq_h"].sum(), rel=1e-4)
    assert (volume.values[labels == 0] == 0).all()


def test_histograms_fall_and_have_the_mean_of_the_map(default_run) -> None:
    doses = doses_of(default_run)
    dvh = read_table(default_run.dose / "dvh.tsv", DVH)
    assert sorted(dvh["voi"].unique()) == ["kidney_left", "kidney_right", "lesions", "liver"]
    for voi, rows in dvh.groupby("voi"):
        assert (np.diff(rows["volume_fraction"]) <= 0).all()
        area = np.trapezoid(rows["volume_fraction"], rows["dose_gy"])
        mean = doses[(doses["voi"] == voi)]["dose_voxel_gy"].iloc[0]
        assert area == pytest.approx(mean, rel=0.02)


def test_implausible_doses_are_flagged(tmp_path, default_run, hand_made) -> None:
    kidneys = {}
    for density in (2.0, 0.5):
        case = Namespace(root=tmp_path / f"{density}", data=default_run.case.data)
        folder = hand_made.dosed(case, default_run.quantify, default_run.tiac, density_g_per_ml=density)
        doses = read_table(folder / "organ_dose.tsv", ORGAN_DOSE)
        kidneys[density] = doses[doses["voi"] == "kidneys"].iloc[0]
    assert kidneys[2.0]["dose_gy_per_gbq"] < 1.5
    assert "implausible_dose" not in kidneys[2.0]["flags"]
    assert kidneys[0.5]["dose_gy_per_gbq"] > 1.5
    assert "implausible_dose" in kidneys[0.5]["flags"]


def test_unknown_engine_and_lost_curves_are_errors(tmp_path, default_run, hand_made) -> None:
    case = Namespace(root=tmp_path, data=default_run.case.data)
    with pytest.raises(SettingsError, match="dose engine is unknown"):
        hand_made.dosed(case, default_run.quantify, default_run.tiac, engine="magic")
    fits = read_table(default_run.tiac, TIAC)
    write_table(fits[fits["voi"] != "liver"], tmp_path / "tiac.tsv", TIAC)
    with pytest.raises(DataError, match=r"THR-246.*liver"):
        hand_made.dosed(case, default_run.quantify, tmp_path / "tiac.tsv")


def test_changed_image_is_noticed(tmp_path, default_run, hand_made) -> None:
    case = Namespace(root=tmp_path, data=default_run.case.data)
    images = read_table(default_run.quantify / "images.tsv", IMAGES)
    images["sha256"] = "0" * 64
    changed = tmp_path / "quantify"
    write_table(images, changed / "images.tsv", IMAGES)
    write_table(read_table(default_run.quantify / "tac.tsv", TAC), changed / "tac.tsv", TAC)
    with pytest.raises(DataError, match="THR-202"):
        hand_made.dosed(case, changed, default_run.tiac)


def test_kernel_engine_adds_photons_and_cross_dose(tmp_path, default_run, hand_made) -> None:
    """Self-dose by the sphere of the same mass, and what reaches a VOI from outside beside it."""
    case = Namespace(root=tmp_path, data=default_run.case.data)
    folder = hand_made.dosed(case, default_run.quantify, default_run.tiac, engine="kernel")
    doses, local = read_table(folder / "organ_dose.tsv", ORGAN_DOSE), doses_of(default_run)
    both = doses.merge(local, on=["voi", "level"], suffixes=("", "_local"))
    assert (both["dose_cross_gy"] > 0).all()
    assert (both["dose_cross_gy_local"] == 0).all()
    for row in both[both["level"] == "voi"].to_dict("records"):
        s = sphere_s_gy_per_mbq_h("Lu-177", row["mass_g"], 1.04)
        assert row["dose_gy"] == pytest.approx(s * row["tia_mbq_h"] + row["dose_cross_gy"], rel=1e-4)
        assert 0.95 < row["dose_gy"] / row["dose_gy_local"] < 1.12


def test_the_map_of_tia_is_written_beside_the_dose(default_run) -> None:
    rows = read_table(default_run.dose / "images.tsv", IMAGES).set_index("role")
    spread = read_volume(default_run.dose / rows.loc["tia", "file"].rsplit("/", 1)[1])
    fits = read_table(default_run.tiac, TIAC)
    assert spread.unit == "MBq.h"
    assert float(spread.values.sum()) == pytest.approx(fits["tia_uncorrected_mbq_h"].sum(), rel=1e-4)


def test_budget_of_every_dose_is_written_and_is_its_uncertainty(default_run) -> None:
    budget = read_table(default_run.dose / "budget.tsv", BUDGET)
    doses = doses_of(default_run).set_index(["voi", "level"])
    whole = budget[budget["step"] == "dose"].set_index(["voi", "level"])["relative_std"]
    assert set(whole.index) == set(doses.index)
    for place, relative_std in whole.items():
        assert doses.loc[place, "dose_std_gy"] == pytest.approx(relative_std * doses.loc[place, "dose_gy"], rel=1e-4)


def test_a_lesion_in_lung_is_flagged(tmp_path, hand_made) -> None:
    """The kernel of soft tissue is not valid there; the engine that has no kernel has no such flag."""
    labels = hand_made.labels()
    around = ndimage.binary_dilation(labels == 101, iterations=2) & (labels != 101)
    case = hand_made.make(tmp_path, masks={None: Volume(np.where(around, 2, labels), hand_made.grid, "label")})
    folder = hand_made.quantified(case)
    tiac = hand_made.fitted(case, folder / "tac.tsv", models=["mono"])
    for engine, flagged in (("kernel", True), ("local", False)):
        place = Namespace(root=tmp_path / engine, data=case.data)
        doses = read_table(hand_made.dosed(place, folder, tiac, engine=engine) / "organ_dose.tsv", ORGAN_DOSE)
        flags = doses.set_index(["voi", "level"])["flags"]
        assert ("kernel_in_lung" in flags["lesion_01", "voi"]) is flagged
        assert "kernel_in_lung" not in flags["liver", "voi"]
