"""A whole patient: activity balance, scans and planted dose."""

from collections.abc import Callable

import numpy as np
import pytest

from theradose.cohort.virtual.activity import per_label, shares, spread
from theradose.cohort.virtual.ligands import PSMA
from theradose.cohort.virtual.patient import VirtualPatient
from theradose.cohort.virtual.scanner import blurred, centre
from theradose.cohort.virtual.scans import ct_scan, pet_scan, spect_calibration, spect_scan
from theradose.cohort.virtual.truth import dose_map, truth_of_latents, truth_of_vois
from theradose.physics.kernels import sphere_s_gy_per_mbq_h
from theradose.physics.nuclides import nuclide
from theradose.vocabulary import VOIS, is_target, organ_of, voi_of_label

TIMES_H = (4.0, 24.0, 72.0, 168.0)
DECAY = nuclide("Lu-177").lambda_per_h


def test_organs_get_all_of_their_activity_and_the_remainder_only_what_is_in_view(
    patients: list[VirtualPatient],
) -> None:
    for patient in patients:
        totals: dict[str, float] = {}
        for organ, part in shares(patient.anatomy, patient.body, patient.lesions).values():
            totals[organ] = totals.get(organ, 0.0) + part
        assert 0.35 < totals.pop("remainder") < 0.75
        assert totals == pytest.approx(dict.fromkeys(totals, 1.0))
        assert set(totals) == {"bladder", *PSMA.organs}


@pytest.mark.parametrize("time_h", TIMES_H)
def test_activity_in_view_never_exceeds_what_was_injected(patients: list[VirtualPatient], time_h: float) -> None:
    for patient in patients:
        total = patient.activity_map_mbq_per_ml(time_h, DECAY, cycle=1).sum() * patient.anatomy.grid.voxel_ml
        amounts = patient.label_activities_mbq(time_h, DECAY, cycle=1)
        assert total == pytest.approx(sum(amounts.values()))
        assert 0 < total < patient.administered_mbq * np.exp(-DECAY * time_h)


def test_map_adds_up_to_the_amounts(patient: VirtualPatient) -> None:
    made = spread(patient.anatomy, patient.pattern, {5: 3.0, 7: 11.0})
    assert made[patient.anatomy.labels == 5].sum() * 0.512 == pytest.approx(3.0)
    assert made.sum() * 0.512 == pytest.approx(14.0)


def test_amounts_are_shared_out_by_label(patient: VirtualPatient) -> None:
    fractions = patient.course.fractions_at(24.0, DECAY, cycle=1)
    labels = per_label(fractions, shares(patient.anatomy, patient.body, patient.lesions))
    assert labels[5] + labels[6] == pytest.approx(float(fractions["kidneys"]))
    volumes = patient.anatomy.volumes_ml()
    assert labels[5] / labels[6] == pytest.approx(volumes[5] / volumes[6])


def test_kidney_dose_by_hand(patient: VirtualPatient) -> None:
    table = truth_of_vois(patient, "Lu-177").set_index("voi")
    left, right = table.loc["kidney_left"], table.loc["kidney_right"]
    uptake = left["uptake_fraction"] + right["uptake_fraction"]
    assert uptake == pytest.approx(float(patient.kinetics.uptake["kidneys"]))
    decay = np.log(2) / (6.647 * 24)
    slow, fast = np.log(2) / left["t_bio_h"] + decay, np.log(2) / 0.5 + decay
    tia_mbq_h = patient.administered_mbq * uptake * (1 / slow - 1 / fast)
    assert left["tia_mbq_h"] + right["tia_mbq_h"] == pytest.approx(tia_mbq_h)
    # 85.32 g.Gy per GBq.h is the published local-dose factor of Lu-177; a kidney's own photons add 2 % to it, what the
    # other organs and the body send there about as much again.
    mass_g = left["mass_g"] + right["mass_g"]
    local_gy = 85.32e-3 * tia_mbq_h / mass_g
    own_gy = float(sphere_s_gy_per_mbq_h("Lu-177", left["mass_g"], 1.04)) * left["tia_mbq_h"]
    assert own_gy == pytest.approx(1.015 * local_gy, rel=0.01)
    assert own_gy < left["dose_gy"] < 1.08 * own_gy
    assert left["dose_gy_per_gbq"] == pytest.approx(left["dose_gy"] / patient.administered_mbq * 1000)


def test_truth_holds_every_target_and_no_region(patient: VirtualPatient) -> None:
    table = truth_of_vois(patient, "Lu-177")
    expected = {name for name in VOIS if is_target(name)} | {lesion.voi for lesion in patient.lesions}
    assert set(table["voi"]) == expected


def test_marrow_carries_its_absorbed_fraction(patient: VirtualPatient) -> None:
    row = truth_of_vois(patient, "Lu-177").set_index("voi").loc["red_marrow"]
    own_gy = 0.57 * 85.32e-3 * row["tia_mbq_h"] / row["mass_g"]
    assert row["dose_gy"] > own_gy
    assert row["dose_gy"] - own_gy < 0.4 * row["dose_gy"]  # photons of the body weigh most where there is least


def test_dose_map_has_the_planted_means(patient: VirtualPatient) -> None:
    dose = dose_map(patient, "Lu-177")
    assert dose.unit == "Gy"
    for row in truth_of_vois(patient, "Lu-177").itertuples():
        if row.voi == "red_marrow":
            continue
        label = next(n for n in patient.anatomy.volumes_ml() if voi_of_label(n) == row.voi)
        mean_gy = dose.values[patient.anatomy.labels == label].mean()
        # The map has the organ's voxels and its texture, the table the sphere of its mass.
        assert mean_gy == pytest.approx(row.dose_gy, rel=0.015), row.voi
    assert (dose.values[patient.anatomy.labels == 0] == 0).all()


def test_spect_is_blur_counts_and_calibration_of_the_truth(patient: VirtualPatient) -> None:
    image = spect_scan(patient, 24.0, "Lu-177")
    true = 1e6 * patient.activity_map_mbq_per_ml(24.0, DECAY, cycle=1)
    seen = blurred(true, centre(patient.centre).spect.fwhm_mm, 8.0)
    calibration = spect_calibration(patient, 24.0)
    assert image.values.dtype == np.float32
    assert image.total_mbq() == pytest.approx(calibration * seen.sum() * 0.512e-6, rel=0.005)
    kidneys = np.isin(patient.anatomy.labels, (5, 6))
    assert image.values[kidneys].mean() == pytest.approx(calibration * seen[kidneys].mean(), rel=0.02)
    assert 0.65 < seen[kidneys].sum() / true[kidneys].sum() < 0.90  # partial volume


def test_calibration_errors_are_three_percent_and_one_a_scan(patient_of: Callable[..., VirtualPatient]) -> None:
    patient = patient_of(5, 0)
    errors = np.log([spect_calibration(patient, 1.0 + i) for i in range(400)])
    assert errors.std() == pytest.approx(0.03, rel=0.12)
    assert spect_calibration(patient, 24.0) == spect_calibration(patient, 24.0)


def test_pet_is_decay_corrected_and_biased_by_its_centre(patients: list[VirtualPatient]) -> None:
    north, south = patients[0], patients[1]
    assert (north.centre, south.centre) == ("north", "south")
    for patient, bias in ((north, 1.0), (south, np.exp(0.10))):
        true = 1e6 * patient.activity_map_mbq_per_ml(50 / 60, 0.0, cycle=0)
        assert pet_scan(patient, "xue_like", "Ga-68", 50 / 60).values.sum() / true.sum() == pytest.approx(
            bias, rel=0.02
        )
    hard = (
        pet_scan(south, "hard", "Ga-68", 50 / 60).values.sum()
        / pet_scan(south, "xue_like", "Ga-68", 50 / 60).values.sum()
    )
    assert hard == pytest.approx(np.exp(0.10), rel=1e-3)


def test_pet_shows_kidneys_glands_and_bladder_over_the_background(patients: list[VirtualPatient]) -> None:
    for patient in patients:
        suv = pet_scan(patient, "xue_like", "Ga-68", 50 / 60).values / (
            patient.administered_pet_mbq * 1e3 / patient.body.weight_kg
        )
        means = {name: suv[patient.anatomy.labels == voi.label].mean() for name, voi in VOIS.items()}
        assert 0.5 < means["remainder"] < 1.5
        for name in ("kidney_left", "kidney_right", "parotid_gland_left", "urinary_bladder"):
            assert means[name] > 2 * means["remainder"]
        assert means["lung_left"] < 0.5 * means["remainder"]


def test_ct_numbers(patient: VirtualPatient) -> None:
    values, labels = ct_scan(patient).values, patient.anatomy.labels
    assert values[labels == 0].mean() == pytest.approx(-1000, abs=1)
    assert values[labels == VOIS["lung_left"].label].mean() == pytest.approx(-750, abs=2)
    assert values[labels == VOIS["red_marrow"].label].mean() == pytest.approx(180, abs=2)


def test_patient_does_not_depend_on_who_was_made_before(patient_of: Callable[..., VirtualPatient]) -> None:
    again = patient_of(5, 3)
    assert np.array_equal(again.pattern, patient_of(5, 3).pattern)
    assert again.name == "v004"
    assert again.centre == "south"


def test_latents_are_written_beside_what_they_became(patient: VirtualPatient) -> None:
    table = truth_of_latents(patient, TIMES_H, "xue_like").set_index(["voi", "name"])["value"]
    assert table["kidneys", "t_bio_h"] == patient.kinetics.t_bio_h["kidneys"]
    assert table["kidneys", "z_texture"] == patient.latents.z("texture", "kidneys")
    assert table["", "egfr_true_ml_min"] == patient.body.egfr_ml_min
    assert table["", "spect_calibration_24_h"] == spect_calibration(patient, 24.0)
    assert not table.index.duplicated().any()
    assert np.isfinite(table).all()


def test_lesions_differ_by_their_receptors(patients: list[VirtualPatient]) -> None:
    for patient in patients:
        table = truth_of_vois(patient, "Lu-177").set_index("voi")
        per_g = table["tia_mbq_h"] / table["mass_g"]
        shares = [per_g[lesion.voi] / lesion.receptors for lesion in patient.lesions]
        assert shares == pytest.approx([shares[0]] * len(shares))
        assert {organ_of(lesion.voi) for lesion in patient.lesions} == {"lesions"}
