"""The step compute_dose: VOI, organ and voxel doses that agree with one another and with the truth."""

import math
from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from theradose.errors import DataError, SettingsError
from theradose.imaging.grid import Grid
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


def ct_of(hand_made, hu, spacing_mm=3.0):
    """Return a CT with a number for each label (0: air) on half the voxel edge, so that masses can be told by hand."""
    fine = hand_made.labels().repeat(2, 0).repeat(2, 1).repeat(2, 2)
    grid = Grid(fine.shape, (spacing_mm,) * 3, (-1.5, -1.5, -1.5))
    return Volume(np.vectorize(lambda label: hu.get(int(label), -1000.0))(fine).astype(np.float32), grid, "HU")


HU = {1: 20.0, 5: 35.0, 6: 35.0, 7: 60.0, 101: 600.0}


def test_density_by_ct_gives_each_voi_the_mass_of_its_voxels(tmp_path, hand_made) -> None:
    case = hand_made.make(tmp_path, ct=ct_of(hand_made, HU))
    folder = hand_made.quantified(case)
    tiac = hand_made.fitted(case, folder / "tac.tsv", models=["mono"])
    tables = {}
    for density in ("labels", "ct"):
        place = Namespace(root=tmp_path / density, data=case.data)
        made = hand_made.dosed(place, folder, tiac, engine="kernel", density=density)
        doses = read_table(made / "organ_dose.tsv", ORGAN_DOSE)
        tables[density] = doses[doses["level"] == "voi"].set_index("voi")
    by_ct, by_label = tables["ct"], tables["labels"]
    # The curve of Schneider: 1.0439 at 35 HU, 1.0731 at 60 HU, 1.3722 at 600 HU.
    for voi, label, density in (("kidney_left", 5, 1.0439), ("liver", 7, 1.0731), ("lesion_01", 101, 1.3722)):
        assert by_ct.loc[voi, "mass_g"] == pytest.approx(density * hand_made.volume_ml(label), rel=1e-3)
        assert by_ct.loc[voi, "dose_gy"] == pytest.approx(by_label.loc[voi, "dose_gy"] * 1.04 / density, rel=0.01)
        ratio = by_ct.loc[voi, "dose_voxel_gy"] / by_label.loc[voi, "dose_voxel_gy"]
        assert ratio == pytest.approx(1.04 / density, rel=0.02)


def test_density_by_ct_needs_a_ct_that_covers_the_vois(tmp_path, default_run, hand_made) -> None:
    case = Namespace(root=tmp_path, data=default_run.case.data)
    with pytest.raises(DataError, match=r"THR-205.*no ct.*patient p1.*dose\.density"):
        hand_made.dosed(case, default_run.quantify, default_run.tiac, density="ct")
    whole = ct_of(hand_made, HU)
    lower = Volume(whole.values[:24], replace(whole.grid, shape_zyx=(24, *whole.grid.shape_zyx[1:])), "HU")
    short = hand_made.make(tmp_path / "short", ct=lower)
    with pytest.raises(DataError, match=r"THR-278.*CT does not cover.*patient p1"):
        hand_made.dosed(short, default_run.quantify, default_run.tiac, density="ct")


def test_map_of_corrected_images_has_the_corrected_mean_of_every_voi(tmp_path, default_run, hand_made) -> None:
    case = Namespace(root=tmp_path, data=default_run.case.data, patients=default_run.case.patients)
    folder = hand_made.quantified(case, voxel_recovery="region_based")
    made = hand_made.dosed(case, folder, default_run.tiac)
    doses, before = read_table(made / "organ_dose.tsv", ORGAN_DOSE), doses_of(default_run)
    same = ["mass_g", "tia_mbq_h", "dose_gy", "dose_uncorrected_gy", "flags"]
    assert doses[same].equals(before[same])
    assert doses["dose_voxel_gy"].to_numpy() == pytest.approx(doses["dose_gy"].to_numpy(), rel=1e-4)
    assert (before["dose_voxel_gy"] < 0.9 * before["dose_gy"]).any()
    # The histogram moves with the map: the dose that 90 % of a kidney gets was too low at its edge.
    reached = []
    for table in (read_table(default_run.dose / "dvh.tsv", DVH), read_table(made / "dvh.tsv", DVH)):
        kidney = table[table["voi"] == "kidney_left"].sort_values("dose_gy")
        reached.append(kidney.loc[kidney["volume_fraction"] >= 0.9, "dose_gy"].max())
    true = before.set_index(["voi", "level"]).loc[("kidney_left", "voi"), "dose_gy"]
    assert reached[0] < 0.75 * true < 0.9 * true < reached[1]
    rows = read_table(made / "images.tsv", IMAGES).set_index("role")
    about = read_sidecar(made / rows.loc["dose", "file"].rsplit("/", 1)[1])
    assert about["RecoveryCorrection"] == "region_based 13 mm"


def test_fits_of_voxels_tell_parts_of_a_voi_apart(tmp_path, hand_made) -> None:
    """Two halves of a liver wash out differently: shares give them one curve, fits their own; the VOI keeps its TIA."""
    labels = hand_made.labels()
    slow = (labels == 7) & (np.indices(labels.shape)[2] >= 13)
    half_life_h = np.where(slow, 60.0, 20.0)
    images = {
        t: Volume((1e5 * (labels > 0) * 2.0 ** (-t / half_life_h)).astype(np.float32), hand_made.grid, "Bq/mL")
        for t in hand_made.times_h
    }
    case = hand_made.make(tmp_path, images=images)
    folder = hand_made.quantified(case, recovery="none")
    tiac = hand_made.fitted(case, folder / "tac.tsv", models=["bi", "mono"])
    parts = {}
    for method in ("shares", "voxel_fit"):
        place = Namespace(root=tmp_path / method, data=case.data)
        made = hand_made.dosed(place, folder, tiac, tia_map=method)
        row = read_table(made / "images.tsv", IMAGES).set_index("role").loc["tia"]
        file = made / row["file"].rsplit("/", 1)[1]
        tia = read_volume(file).values.astype(float)
        fits = read_table(tiac, TIAC).set_index("voi")["tia_uncorrected_mbq_h"]
        assert tia[labels == 7].sum() == pytest.approx(fits["liver"], rel=1e-5)
        parts[method] = tia[slow].mean() / tia[(labels == 7) & ~slow].mean()
        assert read_sidecar(file).get("VoxelsFitted") == (None if method == "shares" else 1.0)
    assert parts["voxel_fit"] == pytest.approx(60.0 / 20.0, rel=1e-3)
    assert abs(parts["shares"] / 3.0 - 1) > 0.05


def test_one_image_leaves_the_voxels_their_shares(tmp_path, hand_made) -> None:
    case = hand_made.make(tmp_path, images={24.0: hand_made.spect(24.0)})
    folder = hand_made.quantified(case)
    tiac = hand_made.fitted(case, folder / "tac.tsv", single_time_point="haenscheid")
    assert "haenscheid" in set(read_table(tiac, TIAC)["model"])
    values = []
    for method in ("shares", "voxel_fit"):
        made = hand_made.dosed(Namespace(root=tmp_path / method, data=case.data), folder, tiac, tia_map=method)
        values.append(read_volume(made / "sub-p1_cycle-1_tia.nii.gz").values)
    assert read_sidecar(made / "sub-p1_cycle-1_tia.nii.gz")["VoxelsFitted"] == 0.0
    assert np.array_equal(*values)
