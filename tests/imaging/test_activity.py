"""Activity in VOIs: decay references, resolution, correction with and without a mask of the whole body, faults."""

from dataclasses import replace

import numpy as np
import pytest

from theradose.errors import DataError, GeometryError, UnitError
from theradose.imaging.activity import Accuracy, at_scan_start, regions_of, resolution_mm, voi_activities, whole_labels
from theradose.imaging.grid import Grid
from theradose.imaging.volume import Volume
from theradose.physics.recovery import blur
from theradose.physics.recovery_curve import volume_relative_std

GRID = Grid((24, 24, 24), (6.0, 6.0, 6.0))
SIDECAR = {
    "TracerRadionuclide": "Lu-177", "FrameTimesStart": [86400.0], "FrameDuration": [1800.0],
    "ImageDecayCorrected": True, "DecayReference": "scan_start", "EffectiveResolutionFWHM": 14.0,
}  # fmt: skip
KIDNEY, LIVER, REST = 5, 7, 1
KNOWN = Accuracy(calibration=0.05, scan=0.03, fwhm=0.05, outline_fwhm_mm=2.0)
TRUE = {KIDNEY: 400e3, LIVER: 50e3, REST: 5e3}


def mask(*, whole_body=True):
    """Return a body with kidney and liver side by side."""
    labels = np.zeros(GRID.shape_zyx, np.int16)
    if whole_body:
        labels[3:21, 3:21, 3:21] = REST
    labels[6:15, 6:10, 6:14] = KIDNEY
    labels[6:15, 10:17, 6:14] = LIVER
    return Volume(labels, GRID, "label")


def image(fwhm_mm=14.0):
    """Return what a camera of that resolution shows of the body, Bq/mL."""
    true = np.zeros(GRID.shape_zyx)
    for label, value in TRUE.items():
        true[mask().values == label] = value
    return Volume(blur(true, GRID.spacing_zyx_mm, fwhm_mm).astype(np.float32), GRID, "Bq/mL")


def start(**changes):
    return at_scan_start(image(), {**SIDECAR, **changes}, radionuclide="Lu-177", start_h=24.0)


def test_image_at_scan_start_is_left_alone() -> None:
    stored = image()
    assert at_scan_start(stored, SIDECAR, radionuclide="Lu-177", start_h=24.0) is stored


def test_decay_references_are_undone() -> None:
    plain = image().values
    injected = start(DecayReference="administration").values
    assert injected == pytest.approx(plain * 2 ** (-24 / 159.528), rel=1e-6)
    mean = start(DecayReference="none", ImageDecayCorrected=False).values
    assert mean == pytest.approx(plain * 1.001087, rel=1e-5)


def test_settings_can_overrule_a_contradictory_sidecar() -> None:
    contradiction = {**SIDECAR, "DecayReference": "administration", "ImageDecayCorrected": False}
    with pytest.raises(DataError, match="THR-207"):
        at_scan_start(image(), contradiction, radionuclide="Lu-177", start_h=24.0)
    found = at_scan_start(image(), contradiction, radionuclide="Lu-177", start_h=24.0, reference="scan_start")
    assert np.array_equal(found.values, image().values)


def test_wrong_radionuclide_time_and_unit_are_refused() -> None:
    with pytest.raises(DataError, match=r"THR-243.*Ga-68"):
        start(TracerRadionuclide="Ga-68")
    with pytest.raises(DataError, match=r"THR-244.*23 h"):
        start(FrameTimesStart=[23 * 3600.0])
    with pytest.raises(UnitError):
        at_scan_start(image().with_values(image().values, "counts"), SIDECAR, radionuclide="Lu-177", start_h=24.0)


def test_resolution_is_declared_or_stated_or_an_error() -> None:
    assert resolution_mm(SIDECAR, 10.0, "geometric_transfer") == 10.0
    assert resolution_mm(SIDECAR, None, "geometric_transfer") == 14.0
    assert resolution_mm({}, None, "none") is None
    with pytest.raises(DataError, match=r"THR-245.*fwhm_mm"):
        resolution_mm({}, None, "coefficient")


def test_corrected_activities_are_the_true_ones() -> None:
    found = {
        a.voi: a for a in voi_activities(image(), regions_of(mask(), method="geometric_transfer", fwhm_mm=14.0), KNOWN)
    }
    assert set(found) == {"kidney_left", "liver", "remainder"}
    kidney = found["kidney_left"]
    assert kidney.volume_ml == pytest.approx(9 * 4 * 8 * 0.216)
    assert kidney.activity_mbq == pytest.approx(0.4 * kidney.volume_ml, rel=1e-4)
    assert kidney.activity_uncorrected_mbq < 0.75 * kidney.activity_mbq
    assert kidney.recovery_coefficient * kidney.activity_mbq + kidney.spill_in_mbq == pytest.approx(
        kidney.activity_uncorrected_mbq
    )
    assert kidney.activity_std_mbq == pytest.approx(0.03 * kidney.activity_mbq, rel=1e-3)
    total = sum(a.activity_mbq for a in found.values())
    assert total == pytest.approx(sum(v * (mask().values == k).sum() for k, v in TRUE.items()) * 0.216e-6, rel=1e-4)


def test_mask_of_organs_alone_gets_its_background() -> None:
    regions = regions_of(mask(whole_body=False), method="geometric_transfer", fwhm_mm=14.0)
    found = {a.voi: a for a in voi_activities(image(), regions, KNOWN)}
    assert set(found) == {"kidney_left", "liver"}
    assert found["kidney_left"].activity_mbq == pytest.approx(0.4 * found["kidney_left"].volume_ml, rel=0.01)
    assert found["liver"].activity_mbq == pytest.approx(0.05 * found["liver"].volume_ml, rel=0.02)


def test_coefficient_leaves_spill_in_and_none_leaves_all() -> None:
    by_method = {}
    for method in ("none", "coefficient"):
        found = voi_activities(image(), regions_of(mask(), method=method, fwhm_mm=14.0), replace(KNOWN, scan=0.0))
        by_method[method] = {a.voi: a for a in found}
    none, coefficient = (by_method[m]["liver"] for m in ("none", "coefficient"))
    assert none.activity_mbq == none.activity_uncorrected_mbq
    assert coefficient.activity_mbq == pytest.approx(none.activity_mbq / coefficient.recovery_coefficient)
    assert none.recovery_coefficient == 1.0


def test_negative_small_and_unstable_vois_are_flagged() -> None:
    labels = mask().values.copy()
    labels[18, 18, 18] = 101
    true = np.where(labels == KIDNEY, 400e3, 0.0)
    true[labels == LIVER] = -20e3
    seen = blur(true, GRID.spacing_zyx_mm, 14.0)
    seen[18, 18, 18] = 1e3
    regions = regions_of(Volume(labels, GRID, "label"), method="geometric_transfer", fwhm_mm=14.0)
    found = {a.voi: a for a in voi_activities(Volume(seen, GRID, "Bq/mL"), regions, KNOWN)}
    assert found["liver"].activity_mbq == 0.0
    assert "negative_activity" in found["liver"].flags
    assert {"small_voi", "rc_unstable"} <= set(found["lesion_01"].flags)
    assert found["lesion_01"].activity_std_mbq > 0
    assert found["kidney_left"].flags == ()


def test_faulty_masks_are_refused() -> None:
    with pytest.raises(DataError, match="THR-272"):
        regions_of(Volume(np.zeros(GRID.shape_zyx), GRID, "label"), method="none", fwhm_mm=None)
    with pytest.raises(DataError, match=r"THR-221.*55"):
        regions_of(Volume(np.full(GRID.shape_zyx, 55), GRID, "label"), method="none", fwhm_mm=None)
    with pytest.raises(DataError, match="THR-221"):
        whole_labels(Volume(np.full(GRID.shape_zyx, 0.5), GRID, "label"))
    other = Volume(image().values, Grid(GRID.shape_zyx, (6.0, 6.0, 5.0)), "Bq/mL")
    with pytest.raises(GeometryError, match="another grid"):
        voi_activities(other, regions_of(mask(), method="none", fwhm_mm=None), KNOWN)


def test_calibration_stands_beside_and_not_in_a_scan_s_own_uncertainty() -> None:
    regions = regions_of(mask(), method="geometric_transfer", fwhm_mm=14.0)
    found = {}
    for calibration in (0.0, 0.2):
        measured = voi_activities(image(), regions, replace(KNOWN, calibration=calibration))
        found[calibration] = next(a for a in measured if a.voi == "kidney_left")
    assert found[0.0].activity_std_mbq == found[0.2].activity_std_mbq
    assert (found[0.0].calibration_relative_std, found[0.2].calibration_relative_std) == (0.0, 0.2)


def test_what_the_budget_needs_of_a_voi() -> None:
    regions = regions_of(mask(), method="geometric_transfer", fwhm_mm=14.0)
    kidney = next(a for a in voi_activities(image(), regions, KNOWN) if a.voi == "kidney_left")
    assert kidney.volume_relative_std == volume_relative_std(kidney.volume_ml, voxel_mm=6.0, fwhm_mm=2.0)
    # The FWHM moves a corrected activity as recovery says: measured with a matrix of a slightly wrong resolution.
    wrong = regions_of(mask(), method="coefficient", fwhm_mm=14.0 * 1.01)
    right = regions_of(mask(), method="coefficient", fwhm_mm=14.0)
    off = [next(a for a in voi_activities(image(), r, KNOWN) if a.voi == "kidney_left") for r in (wrong, right)]
    change = off[0].activity_mbq / off[1].activity_mbq - 1.0
    assert kidney.recovery_relative_std == pytest.approx(5 * change, rel=0.15)
    assert 0.5 < kidney.counts_slope < 1.0
    plain = voi_activities(image(), regions_of(mask(), method="none", fwhm_mm=None), KNOWN)[0]
    assert (plain.recovery_slope, plain.recovery_relative_std, plain.counts_slope) == (0.0, 0.0, 0.5)


def test_recovery_that_was_done_before_is_refused() -> None:
    done = {**SIDECAR, "RecoveryCorrection": "region_based"}
    with pytest.raises(DataError, match=r"THR-247.*region_based"):
        resolution_mm(done, None, "geometric_transfer")
    assert resolution_mm(done, None, "none") == 14.0
