"""Density by CT: mass is kept on a coarser grid, what the CT leaves out keeps its label's, a patient's masses."""

import numpy as np
import pytest

from theradose.cohort.density import density_by_ct
from theradose.cohort.virtual.patient import virtual_patient
from theradose.cohort.virtual.scanner import ct_image
from theradose.errors import DataError, UnitError
from theradose.imaging.grid import Grid
from theradose.imaging.volume import Volume
from theradose.physics.density import density_from_hu
from theradose.physics.engines import density_g_per_ml
from theradose.vocabulary import organ_of, voi_of_label

FINE, COARSE = Grid((8, 8, 8), (2.0, 2.0, 2.0), (-1.0, -1.0, -1.0)), Grid((4, 4, 4), (4.0, 4.0, 4.0))
LABELS = np.full(COARSE.shape_zyx, 7)


def ct(values, grid=FINE):
    return Volume(np.asarray(values, np.float32), grid, "HU")


def test_mass_is_kept_where_tissue_and_air_share_a_voxel() -> None:
    """Half air, half tissue of 20 HU: the mean of densities, not the density of the mean number of -490 HU."""
    hu = np.where(np.arange(8) % 2, -1000.0, 20.0) * np.ones(FINE.shape_zyx)
    found = density_by_ct(ct(hu), COARSE, LABELS, np.ones(COARSE.shape_zyx))
    assert found == pytest.approx((density_from_hu(20.0) + 1.21e-3) / 2, rel=1e-5)
    assert found.sum() * COARSE.voxel_ml == pytest.approx(density_from_hu(hu).sum() * FINE.voxel_ml, rel=1e-5)


def test_what_the_ct_does_not_cover_keeps_the_density_of_its_label() -> None:
    short = Grid((6, 8, 8), FINE.spacing_mm, FINE.origin_mm)
    by_label = np.full(COARSE.shape_zyx, 0.77)
    found = density_by_ct(ct(np.zeros(short.shape_zyx), short), COARSE, LABELS, by_label)
    assert found[:3] == pytest.approx(1.018, rel=1e-5)
    assert (found[3] == 0.77).all()


def test_a_voi_beyond_the_ct_and_an_image_that_is_no_ct_are_refused() -> None:
    shorter = Grid((2, 8, 8), FINE.spacing_mm, FINE.origin_mm)
    with pytest.raises(DataError, match=r"THR-278.*VOI liver.*got 25% of it.*at least 50%"):
        density_by_ct(ct(np.zeros(shorter.shape_zyx), shorter), COARSE, LABELS, np.ones(COARSE.shape_zyx))
    with pytest.raises(UnitError, match="CT"):
        density_by_ct(Volume(np.zeros(FINE.shape_zyx), FINE, "g/mL"), COARSE, LABELS, np.ones(COARSE.shape_zyx))


def test_masses_of_a_virtual_patient_by_ct_and_by_label() -> None:
    """Organs of soft tissue agree within 3 %; lesions in bone, marrow and lung are what their CT numbers say."""
    how = {"centres": ("north",), "spacing_mm": 8.0, "difficulty": "xue_like", "texture_coupling": 0.6}
    anatomy = virtual_patient(7, 0, **how).anatomy
    image = Volume(ct_image(anatomy.labels, anatomy.hu, 8.0, np.random.default_rng(1)), anatomy.grid, "HU")
    table = {int(n): density_g_per_ml(organ_of(voi_of_label(int(n))), 1.04) for n in np.unique(anatomy.labels) if n}
    by_label = np.vectorize(lambda n: table.get(int(n), 1.04))(anatomy.labels)
    found = density_by_ct(image, anatomy.grid, anatomy.labels, by_label)
    ratio = {voi_of_label(n): found[anatomy.labels == n].sum() / by_label[anatomy.labels == n].sum() for n in table}
    soft = ("kidney_left", "kidney_right", "liver", "spleen", "parotid_gland_left", "submandibular_gland_left")
    assert [ratio[voi] for voi in soft] == pytest.approx([1.0] * len(soft), abs=0.03)
    for voi in (*soft, "red_marrow", "lung_left", "lesion_01"):
        label = next(n for n in table if voi_of_label(n) == voi)
        assert ratio[voi] * table[label] == pytest.approx(float(density_from_hu(anatomy.hu[label])), rel=0.01)
    assert 1.04 < ratio["red_marrow"] < 1.12
