"""The label map: drawn volumes to the voxel, sides right, everything inside the body."""

import numpy as np
import pytest

from theradose.cohort.virtual.activity import organ_masses_g
from theradose.cohort.virtual.anatomy import AIR, BODY, anatomy_of, axes_mm, claim, grid_of, superquadric
from theradose.cohort.virtual.body import Body, body_of
from theradose.cohort.virtual.latents import Latents, draw_latents
from theradose.cohort.virtual.lesions import PSMA_SITES, Lesion, lesion_count, lesions_of, site_of
from theradose.cohort.virtual.ligands import PSMA
from theradose.cohort.virtual.organs import ORGAN_TABLE, SOFT_TISSUE_G_PER_ML, Shape
from theradose.cohort.virtual.patient import VirtualPatient
from theradose.errors import SettingsError
from theradose.vocabulary import LESION_LABEL_FROM, VOIS, voi_of_label


def centroid_mm(patient: VirtualPatient, label: int) -> np.ndarray:
    places = np.argwhere(patient.anatomy.labels == label).mean(axis=0)
    return np.array([axis[0] + 8.0 * place for axis, place in zip(axes_mm(patient.anatomy.grid), places, strict=True)])


def test_grid_is_centred_and_as_large_as_the_design_says() -> None:
    grid = grid_of(8.0)
    assert grid.shape_zyx == (96, 48, 64)
    assert np.allclose(grid.corners_lps_mm().mean(axis=0), 0.0)
    assert grid_of(4.0).shape_zyx == (192, 96, 128)


def test_superquadric_by_hand() -> None:
    axes = (np.array([0.0, 10.0]), np.array([0.0]), np.array([0.0, -5.0]))
    found = superquadric(Shape((0, 0, 0), (10, 10, 10), 2.0), axes)
    assert found.tolist() == [[[0.0, 0.25]], [[1.0, 1.25]]]


def test_claim_takes_the_nearest_free_voxels() -> None:
    axes = axes_mm(grid_of(8.0))
    labels = np.full((96, 48, 64), BODY, dtype=np.int16)
    chosen = claim(labels, Shape((0, 0, 0), (40, 20, 30)), axes, 500)
    measure = superquadric(Shape((0, 0, 0), (40, 20, 30)), axes).ravel()
    rest = np.setdiff1d(np.arange(labels.size), chosen)
    assert len(set(chosen.tolist())) == 500
    assert measure[chosen].max() <= measure[rest].min()
    labels.ravel()[chosen[:100]] = 9
    again = claim(labels, Shape((0, 0, 0), (40, 20, 30)), axes, 500)
    assert not set(again.tolist()) & set(chosen[:100].tolist())


def test_claim_reaches_past_what_is_taken_and_refuses_when_all_is() -> None:
    axes = axes_mm(grid_of(8.0))
    labels = np.zeros((96, 48, 64), dtype=np.int16)
    labels[90, 40, 60] = BODY  # the only free voxel, far from the shape
    found = claim(labels, Shape((-300, -100, -200), (5, 5, 5)), axes, 1)
    assert np.unravel_index(found[0], labels.shape) == (90, 40, 60)
    with pytest.raises(SettingsError, match="does not fit"):
        claim(labels, Shape((0, 0, 0), (5, 5, 5)), axes, 2)


def test_every_voi_is_there_and_every_label_means_something(patients: list[VirtualPatient]) -> None:
    for patient in patients:
        found = {voi_of_label(label) for label in patient.anatomy.volumes_ml()}
        assert found == set(VOIS) | {lesion.voi for lesion in patient.lesions}


def test_organs_have_their_drawn_mass_to_the_voxel(patients: list[VirtualPatient]) -> None:
    for patient in patients:
        masses = organ_masses_g(patient.anatomy)
        for organ, row in ORGAN_TABLE.items():
            # Each VOI of an organ is rounded to a voxel; the smallest get one voxel at least.
            slack = len(row.shapes) * 0.512 * SOFT_TISSUE_G_PER_ML / 2
            assert masses[organ] == pytest.approx(float(patient.body.mass_g[organ]), abs=max(slack, 0.6))


def test_left_is_left(patients: list[VirtualPatient]) -> None:
    for patient in patients:
        for name, voi in VOIS.items():
            if voi.sided and name.endswith("_left"):
                right = VOIS[name.replace("_left", "_right")].label
                assert centroid_mm(patient, voi.label)[2] > centroid_mm(patient, right)[2]
        liver, spleen = centroid_mm(patient, VOIS["liver"].label), centroid_mm(patient, VOIS["spleen"].label)
        assert liver[2] < 0 < spleen[2]


def test_head_is_up_and_spine_is_behind(patient: VirtualPatient) -> None:
    places = {name: centroid_mm(patient, voi.label) for name, voi in VOIS.items()}
    order = ["lacrimal_gland_left", "parotid_gland_left", "lung_left", "liver", "urinary_bladder"]
    heights = [places[name][0] for name in order]
    assert heights == sorted(heights, reverse=True)
    assert places["red_marrow"][1] > places["liver"][1]


def test_the_same_anatomy_at_4_mm(patient: VirtualPatient) -> None:
    fine = anatomy_of(patient.latents, patient.body, patient.lesions, 4.0)
    coarse = patient.anatomy.volumes_ml()
    for label, volume in fine.volumes_ml().items():
        assert volume == pytest.approx(coarse[label], rel=0.02, abs=0.6)


def test_largest_and_lightest_patients_fit() -> None:
    for weight, tumour in ((-2.6, 3.0), (4.3, 3.0), (-2.6, -3.0)):
        draws = dict(draw_latents(3, 1).draws)
        draws |= {("", "weight"): weight, ("", "tumour_volume"): tumour, ("", "lesion_count"): 2.0}
        latents = Latents(draws)
        body: Body = body_of(latents, PSMA)
        lesions = lesions_of(latents, float(body.tumour_volume_ml), "psma")
        anatomy = anatomy_of(latents, body, lesions, 8.0)
        counted = sum(v for label, v in anatomy.volumes_ml().items() if label >= LESION_LABEL_FROM)
        assert counted == pytest.approx(float(body.tumour_volume_ml), rel=0.02, abs=0.3 * len(lesions))
        assert (anatomy.labels[:, 0] == AIR).all()  # nothing sticks out in front


def lesions(total_ml: float, index: int = 0) -> list[Lesion]:
    return lesions_of(draw_latents(9, index), total_ml, "psma")


@pytest.mark.parametrize("index", range(20))
def test_lesions_add_up_and_are_sorted(index: int) -> None:
    found = lesions(150.0, index)
    assert 1 <= len(found) <= 12
    assert sum(lesion.volume_ml for lesion in found) == pytest.approx(150.0)
    volumes = [lesion.volume_ml for lesion in found]
    assert volumes == sorted(volumes, reverse=True)
    assert [lesion.voi for lesion in found] == [voi_of_label(LESION_LABEL_FROM + i) for i in range(len(found))]


def test_lesion_ellipsoids_have_their_volume() -> None:
    for lesion in lesions(150.0):
        assert 4 / 3 * np.pi * np.prod(lesion.shape.half_axes_mm) / 1000 == pytest.approx(lesion.volume_ml)


def test_more_tumour_more_lesions() -> None:
    counts = {total: np.mean([lesion_count(draw_latents(9, i), total) for i in range(100)]) for total in (10.0, 300.0)}
    assert counts[10.0] < 4 < 7 < counts[300.0]


def test_sites_are_drawn_by_their_share() -> None:
    names = [site_of((i + 0.5) / 1000, PSMA_SITES) for i in range(1000)]
    shares = {name: names.count(name) / 1000 for name in PSMA_SITES}
    assert shares == pytest.approx({name: site.share for name, site in PSMA_SITES.items()}, abs=0.002)
    assert sum(site.share for site in PSMA_SITES.values()) == pytest.approx(1.0)
