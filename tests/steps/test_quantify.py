"""The step quantify: activities, quality table, images on one grid, and what it does when data are at fault."""

import json
from argparse import Namespace

import numpy as np
import pytest

from theradose.cohort import quantification
from theradose.errors import DataError, GeometryError, SettingsError
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import read_sidecar, read_volume
from theradose.imaging.register import Registration
from theradose.imaging.volume import Volume
from theradose.physics.decay import frame_average_factor
from theradose.physics.recovery import region_means
from theradose.tables import IMAGES, QC, TAC, read_table
from theradose.vocabulary import CHAIN_COLUMNS, voi_of_label


def tac_of(folder):
    return read_table(folder / "tac.tsv", TAC).set_index(["voi", "time_h"])


def test_activities_come_back(default_run, hand_made) -> None:
    tac = tac_of(default_run.quantify)
    assert len(tac) == len(hand_made.truth) * len(hand_made.times_h)
    for label in hand_made.truth:
        for time in hand_made.times_h:
            row = tac.loc[(voi_of_label(label), time)]
            assert row["activity_mbq"] == pytest.approx(hand_made.activity_mbq(label, time), rel=2e-3)
            assert row["volume_ml"] == pytest.approx(hand_made.volume_ml(label))
            assert row["correction"] == "geometric_transfer 13 mm"
    left = tac.loc["kidney_left"]
    assert (left["activity_uncorrected_mbq"] < 0.8 * left["activity_mbq"]).all()


def test_images_that_need_no_change_are_the_originals(default_run, hand_made) -> None:
    case, folder = default_run.case, default_run.quantify
    images = read_table(folder / "images.tsv", IMAGES)
    assert images["time_h"].tolist() == list(hand_made.times_h)
    assert all(case.data.as_posix() in file for file in images["file"])
    assert not list(folder.glob("*.nii.gz"))
    assert json.loads((folder / "provenance.json").read_text())["step"] == "quantify"


def test_other_decay_references_give_the_same_activities(tmp_path, hand_made) -> None:
    images = {
        t: hand_made.spect(t).with_values(hand_made.spect(t).values * np.float32(2 ** (t / 159.528)))
        for t in hand_made.times_h
    }
    case = hand_made.make(tmp_path, images=images, DecayReference="administration")
    folder = hand_made.quantified(case)
    tac = tac_of(folder)
    assert tac.loc[("liver", 168.0), "activity_mbq"] == pytest.approx(hand_made.activity_mbq(7, 168.0), rel=2e-3)
    listed = read_table(folder / "images.tsv", IMAGES)
    written = read_volume(folder / listed["file"].iloc[3].rsplit("/", 1)[1])
    assert written.values == pytest.approx(hand_made.spect(168.0).values, rel=1e-5, abs=1e-3)
    about = read_sidecar(folder / "sub-p1_cycle-1_time-168h_spect.nii.gz")
    assert (about["Virtual"], about["DecayReference"], about["Units"]) == (True, "scan_start", "Bq/mL")
    # The same numbers under the reading of the settings: 107 % too much after a week.
    misread = tac_of(hand_made.quantified(case, out="misread", decay_reference="scan_start"))
    ratio = misread.loc[("liver", 168.0), "activity_mbq"] / tac.loc[("liver", 168.0), "activity_mbq"]
    assert ratio == pytest.approx(2 ** (168 / 159.528), rel=1e-4)


def test_quality_table_has_totals_and_shares(default_run, hand_made) -> None:
    qc = read_table(default_run.quantify / "qc.tsv", QC)
    totals = qc[qc["name"] == "total_activity"]["value"].to_numpy()
    true = np.array([sum(hand_made.activity_mbq(k, t) for k in hand_made.truth) for t in hand_made.times_h])
    assert totals == pytest.approx(true, rel=0.01)
    shares = qc[qc["name"] == "share_of_decayed_administered_activity"]["value"].to_numpy()
    left = hand_made.administered_mbq * 2 ** (-np.array(hand_made.times_h) / 159.528)
    assert shares == pytest.approx(totals / left)


def test_masks_of_their_own_are_used_on_the_image_as_taken(tmp_path, hand_made) -> None:
    # The body moves by three voxels between the scans and so does its mask; no registration is asked, grids agree.
    images = {4.0: hand_made.spect(4.0), 24.0: hand_made.spect(24.0, shift=1)}
    moved = np.roll(hand_made.labels(), 1, axis=2)
    masks = {4.0: Volume(hand_made.labels(), hand_made.grid, "label"), 24.0: Volume(moved, hand_made.grid, "label")}
    tac = tac_of(hand_made.quantified(hand_made.make(tmp_path, images=images, masks=masks)))
    for time in (4.0, 24.0):
        assert tac.loc[("kidney_left", time), "activity_mbq"] == pytest.approx(
            hand_made.activity_mbq(5, time), rel=2e-3
        )


def test_registration_is_asked_for_and_noted(tmp_path, hand_made, monkeypatch) -> None:
    asked = []

    def fake(fixed, moving, *, max_shift_mm, min_overlap):
        asked.append((max_shift_mm, min_overlap))
        back = moving.with_values(np.roll(moving.values, -2, axis=2))
        return Registration(back, (3.0, 4.0, 0.0), (0.0, 0.0, 0.0), 0.97, 0.9, np.eye(4))

    monkeypatch.setattr(quantification, "register_to", fake)
    case = hand_made.make(tmp_path, images={4.0: hand_made.spect(4.0), 24.0: hand_made.spect(24.0, shift=2)})
    folder = hand_made.quantified(case, register_time_points=True, max_shift_mm=33.0)
    assert asked == [(33.0, 0.5)]
    row = tac_of(folder).loc[("kidney_left", 24.0)]
    assert row["activity_mbq"] == pytest.approx(hand_made.activity_mbq(5, 24.0), rel=2e-3)
    qc = read_table(folder / "qc.tsv", QC).set_index("name")["value"]
    assert qc["registration_shift"] == pytest.approx(5.0)
    assert qc["registration_overlap"] == pytest.approx(0.97)
    files = read_table(folder / "images.tsv", IMAGES)["file"].tolist()
    assert files[1].endswith("quantify/sub-p1_cycle-1_time-024h_spect.nii.gz")


def test_real_registration_finds_a_moved_patient(tmp_path, hand_made) -> None:
    case = hand_made.make(tmp_path, images={4.0: hand_made.spect(4.0), 24.0: hand_made.spect(24.0, shift=2)})
    folder = hand_made.quantified(case, register_time_points=True)
    qc = read_table(folder / "qc.tsv", QC).set_index("name")["value"]
    assert qc["registration_shift"] == pytest.approx(12.0, abs=1.5)
    row = tac_of(folder).loc[("kidney_left", 24.0)]
    assert row["activity_mbq"] == pytest.approx(hand_made.activity_mbq(5, 24.0), rel=0.05)


def test_mask_on_another_grid_is_one_clear_error(tmp_path, hand_made) -> None:
    grid = Grid(hand_made.grid.shape_zyx, (6.0, 6.0, 5.0))
    case = hand_made.make(tmp_path, masks={None: Volume(hand_made.labels(), grid, "label")})
    with pytest.raises(GeometryError, match=r"patient p1.*another grid|another grid.*patient p1"):
        hand_made.quantified(case)


def test_spect_without_mask_and_spect_without_resolution(tmp_path, hand_made) -> None:
    late = {72.0: Volume(hand_made.labels(), hand_made.grid, "label")}
    with pytest.raises(DataError, match=r"THR-205.*patient p1.*4 h"):
        hand_made.quantified(hand_made.make(tmp_path / "a", masks=late))
    with pytest.raises(DataError, match=r"THR-245.*patient p1"):
        hand_made.quantified(hand_made.make(tmp_path / "b", EffectiveResolutionFWHM=None))


def test_time_points_on_other_grids_need_registration(tmp_path, hand_made) -> None:
    other = Volume(
        hand_made.spect(24.0).values, Grid(hand_made.grid.shape_zyx, (6.0, 6.0, 6.0), (3.0, 0.0, 0.0)), "Bq/mL"
    )
    case = hand_made.make(tmp_path, images={4.0: hand_made.spect(4.0), 24.0: other})
    with pytest.raises(GeometryError, match="later time point"):
        hand_made.quantified(case)


def test_chunks_share_the_patients(tmp_path, hand_made) -> None:
    images = {4.0: hand_made.spect(4.0)}
    case = hand_made.make(tmp_path, patients=("p1", "p2", "p3"), images=images)
    found = [
        set(read_table(hand_made.quantified(case, k, 2, f"chunk-{k}") / "tac.tsv", TAC)["patient"]) for k in (0, 1)
    ]
    assert found == [{"p1", "p3"}, {"p2"}]
    assert read_table(hand_made.quantified(case, 7, 8, "empty") / "tac.tsv", TAC).empty


def test_calibration_is_told_for_the_budget_and_kept_out_of_each_scan(tmp_path, hand_made) -> None:
    case = hand_made.make(tmp_path)
    sure, unsure = (tac_of(hand_made.quantified(case, out=f"c{c}", calibration_uncertainty=c)) for c in (0.0, 0.1))
    assert sure["activity_std_mbq"].tolist() == unsure["activity_std_mbq"].tolist()
    assert set(unsure["calibration_relative_std"]) == {0.1}
    assert unsure[list(CHAIN_COLUMNS)].notna().all(axis=None)
    steady = tac_of(hand_made.quantified(case, out="steady", scan_variation=0.0))
    assert (steady["activity_std_mbq"] < sure["activity_std_mbq"]).all()


def test_an_image_that_was_corrected_before_is_refused(tmp_path, hand_made) -> None:
    case = hand_made.make(tmp_path, RecoveryCorrection="region_based")
    with pytest.raises(DataError, match=r"THR-247.*patient p1"):
        hand_made.quantified(case)


EPS_CPS_PER_MBQ, FRAME_S, DEAD_TIME_US = 10.0, 1800.0, 10.0
AS_COUNTED = {"ImageDecayCorrected": False, "DecayReference": "none"}


def counts_of(hand_made, time, lost=1.0):
    """Return what a camera counts in the voxels of the image at a time; `lost` is observed over true rate."""
    mean = frame_average_factor(159.528, FRAME_S / 3600)
    per_unit = 1e-6 * hand_made.grid.voxel_ml * EPS_CPS_PER_MBQ * FRAME_S * mean * lost
    return Volume((hand_made.spect(time).values * per_unit).astype(np.float32), hand_made.grid, "counts")


def test_counts_become_the_activity_at_the_start_of_the_scan(tmp_path, hand_made) -> None:
    case = hand_made.make(tmp_path, images={24.0: counts_of(hand_made, 24.0)}, **AS_COUNTED)
    folder = hand_made.quantified(case, sensitivity_cps_per_mbq=EPS_CPS_PER_MBQ)
    for label in hand_made.truth:
        found = tac_of(folder).loc[(voi_of_label(label), 24.0), "activity_mbq"]
        assert found == pytest.approx(hand_made.activity_mbq(label, 24.0), rel=2e-3)
    file = folder / "sub-p1_cycle-1_time-024h_spect.nii.gz"
    assert read_volume(file).values == pytest.approx(hand_made.spect(24.0).values, rel=1e-5, abs=1e-2)
    assert (read_sidecar(file)["Units"], read_sidecar(file)["DecayReference"]) == ("Bq/mL", "scan_start")
    qc = read_table(folder / "qc.tsv", QC).set_index("name")
    assert qc.loc["dead_time_factor", "value"] == 1.0
    assert qc.loc["count_rate", "note"].startswith("counts of the image alone")


def test_dead_time_is_undone_by_the_rate_of_the_sidecar_or_of_the_image(tmp_path, hand_made) -> None:
    mbq = hand_made.spect(24.0).total_mbq() * frame_average_factor(159.528, FRAME_S / 3600)
    by_image, by_window = np.exp(-EPS_CPS_PER_MBQ * mbq * DEAD_TIME_US * 1e-6), np.exp(-30_000.0 * DEAD_TIME_US * 1e-6)
    asked = {"sensitivity_cps_per_mbq": EPS_CPS_PER_MBQ, "dead_time_us": DEAD_TIME_US}
    rates = {"image": {}, "sidecar": {"CountRate": 30_000.0 * by_window}}
    for (name, stated), lost in zip(rates.items(), (by_image, by_window), strict=True):
        images = {24.0: counts_of(hand_made, 24.0, lost)}
        case = hand_made.make(tmp_path / name, images=images, **AS_COUNTED, **stated)
        folder = hand_made.quantified(case, **asked)
        assert tac_of(folder).loc[("liver", 24.0), "activity_mbq"] == pytest.approx(
            hand_made.activity_mbq(7, 24.0), rel=2e-3
        )
        qc = read_table(folder / "qc.tsv", QC).set_index("name")
        assert qc.loc["dead_time_factor", "value"] == pytest.approx(1 / lost, rel=1e-5)
        assert name in qc.loc["count_rate", "note"]


def test_counts_without_sensitivity_or_with_decay_correction_are_refused(tmp_path, hand_made) -> None:
    images = {24.0: counts_of(hand_made, 24.0)}
    plain = hand_made.make(tmp_path / "a", images=images, **AS_COUNTED)
    with pytest.raises(DataError, match=r"THR-237.*patient p1.*quantify\.sensitivity_cps_per_mbq"):
        hand_made.quantified(plain)
    with pytest.raises(DataError, match=r"THR-207.*administration"):
        hand_made.quantified(plain, sensitivity_cps_per_mbq=10.0, decay_reference="administration")
    corrected = hand_made.make(tmp_path / "b", images=images)
    with pytest.raises(DataError, match=r"THR-207.*scan_start"):
        hand_made.quantified(corrected, sensitivity_cps_per_mbq=10.0)


def test_voxel_recovery_writes_a_second_image_that_holds_the_corrected_means(tmp_path, default_run, hand_made) -> None:
    case = Namespace(root=tmp_path, data=default_run.case.data, patients=default_run.case.patients)
    folder = hand_made.quantified(case, voxel_recovery="region_based")
    assert (folder / "tac.tsv").read_bytes() == (default_run.quantify / "tac.tsv").read_bytes()
    images = read_table(folder / "images.tsv", IMAGES)
    assert images["role"].value_counts().to_dict() == {"spect": 4, "spect_recovered": 4}
    assert images.loc[images["role"] == "spect", "file"].str.startswith(case.data.as_posix()).all()
    ids, tac = np.array(sorted(hand_made.truth)), tac_of(folder)
    for row in images[images["role"] == "spect_recovered"].to_dict("records"):
        file = folder / row["file"].rsplit("/", 1)[1]
        means = region_means(read_volume(file).values, hand_made.labels(), ids)
        for label, mean in zip(ids, means, strict=True):
            mbq = tac.loc[(voi_of_label(int(label)), row["time_h"]), "activity_mbq"]
            assert mean * hand_made.volume_ml(label) * 1e-6 == pytest.approx(mbq, rel=1e-5)
        assert read_sidecar(file)["RecoveryCorrection"] == "region_based 13 mm"


def test_an_image_is_never_corrected_twice(tmp_path, hand_made) -> None:
    case = hand_made.make(tmp_path, RecoveryCorrection="region_based 13 mm")
    with pytest.raises(DataError, match=r"THR-247.*patient p1"):
        hand_made.quantified(case, voxel_recovery="region_based")
    with pytest.raises(SettingsError, match="needs recovery: geometric_transfer"):
        hand_made.quantified(case, voxel_recovery="region_based", recovery="none")
