import json
import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from theradose.cohort.pool import in_order
from theradose.errors import DataError
from theradose.features.perturb import VERSIONS
from theradose.features.presets import preset_from, read_preset
from theradose.features.radiomics import extract
from theradose.features.stability import stability_table
from theradose.features.versions import (
    VERSIONED,
    FileCase,
    folder_cases,
    joined,
    versions_in_files,
    versions_of,
)
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import write_volume
from theradose.imaging.volume import Volume
from theradose.tables import DRAWS, checked

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("THERADOSE_IBSI_DATA", "no data")) / "sts_pet_ct"
GRID = Grid((10, 12, 14), (4.0, 4.0, 4.0))
CONTENT = {"featureClass": {"firstorder": ["Mean"], "shape": ["MeshVolume"]}, "setting": {"binWidth": 0.5}}
PRESET = preset_from(CONTENT, "pet", "tiny")


def example(seed=0):
    values = np.random.default_rng(seed).gamma(9.0, 0.5, GRID.shape_zyx).astype(np.float32)
    mask = np.zeros(GRID.shape_zyx, bool)
    mask[2:7, 3:8, 4:9] = True
    return Volume(values, GRID, "g/mL"), {"lesion": mask}


def write_folder(root, patients=3, label=1):
    """A folder a patient, and one without a mask."""
    for number in range(patients):
        image, masks = example(number)
        write_volume(image, root / f"P_{number}" / "PET_image.nii.gz")
        labels = masks["lesion"].astype(np.int16) * label
        write_volume(Volume(labels, GRID, "label"), root / f"P_{number}" / "PET_mask.nii.gz")
    (root / "P_9").mkdir()
    return root


def test_every_version_has_all_rows_and_base_is_a_plain_extraction():
    image, masks = example()
    found = versions_of("p1", image, masks, PRESET, seed=1, min_voxels=3)
    checked(found.features, VERSIONED)
    checked(found.draws, DRAWS)
    assert list(found.features["version"].unique()) == list(VERSIONS)
    assert [json.loads(draw)["name"] for draw in found.draws["draw"]] == list(VERSIONS)
    base = found.features[found.features["version"] == "base"]
    assert list(base["value"]) == list(extract(image, masks, PRESET)["value"])
    volume = found.features[found.features["feature"] == "MeshVolume"].set_index("version")["value"]
    assert volume["shrink"] < volume["base"] == volume["noise"] < volume["grow"]


def test_what_is_drawn_depends_on_seed_and_patient_alone():
    image, masks = example()
    draws = {
        (patient, seed): versions_of(patient, image, masks, PRESET, seed=seed, min_voxels=3).draws["draw"].tolist()
        for patient in ("p1", "p2")
        for seed in (1, 2)
    }
    assert len({str(draw) for draw in draws.values()}) == 4
    assert draws["p1", 1] == versions_of("p1", *example(5), PRESET, seed=1, min_voxels=3).draws["draw"].tolist()


def test_a_version_that_leaves_no_voxel_says_so_and_the_others_stay():
    image, masks = example()
    masks["lesion"][:] = False
    masks["lesion"][4, 5:7, 6:8] = True
    found = versions_of("p1", image, masks, PRESET, seed=1, min_voxels=3).features
    status = found[found["feature"] == "Mean"].set_index("version")["status"]
    assert status["shrink"] == "no voxel"
    assert status["base"] == status["grow"] == "ok"


def test_a_folder_gives_patients_in_order_and_names_those_left_out(tmp_path):
    cases, left_out = folder_cases(write_folder(tmp_path), "PET_image.nii.gz", "PET_mask.nii.gz", "g/mL", "lesion")
    assert [case.patient for case in cases] == ["P_0", "P_1", "P_2"]
    assert left_out == ["P_9"]


@pytest.mark.parametrize(("label", "voi"), [(1, "tumour"), (7, "liver")])
def test_a_mask_of_ones_is_named_as_asked_and_labels_by_the_vocabulary(tmp_path, label, voi):
    write_folder(tmp_path, label=label)
    cases, _ = folder_cases(tmp_path, "PET_image.nii.gz", "PET_mask.nii.gz", "g/mL", "tumour")
    found = versions_in_files(cases[0], PRESET, seed=1, min_voxels=3)
    assert set(found.features["voi"]) == {voi}


def test_too_few_patients_and_odd_names_are_refused(tmp_path):
    write_folder(tmp_path, patients=1)
    with pytest.raises(DataError, match="1 of 2 folders"):
        folder_cases(tmp_path, "PET_image.nii.gz", "PET_mask.nii.gz", "g/mL", "lesion")
    write_folder(tmp_path / "other")
    (tmp_path / "other" / "P_0").rename(tmp_path / "other" / "P 0")
    with pytest.raises(DataError, match="P 0"):
        folder_cases(tmp_path / "other", "PET_image.nii.gz", "PET_mask.nii.gz", "g/mL", "lesion")


def test_a_fault_names_its_patient(tmp_path):
    write_folder(tmp_path)
    (tmp_path / "P_1" / "PET_image.nii.gz").write_bytes(b"no image")
    case = FileCase("P_1", tmp_path / "P_1" / "PET_image.nii.gz", tmp_path / "P_1" / "PET_mask.nii.gz", "g/mL", "x")
    with pytest.raises(DataError, match="patient P_1"):
        versions_in_files(case, PRESET, seed=1, min_voxels=3)


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_dir(), reason="THERADOSE_IBSI_DATA names no folder")
def test_six_real_tumours_are_far_more_alike_in_seven_versions_than_to_each_other():
    cases, _ = folder_cases(REAL, "PET_image.nii.gz", "PET_mask.nii.gz", "g/mL", "lesion")
    preset = read_preset(ROOT / "config" / "radiomics" / "stability_4mm.yaml", "pet")
    work = partial(versions_in_files, preset=preset, seed=1, min_voxels=3)
    table = stability_table(joined(list(in_order(work, cases[:6], 2)))[0], "pet")
    counts = {group: int((own["icc"] >= 0.9).sum()) for group, own in table.groupby("versions")}
    assert len(table) == 3 * 269
    assert counts["all"] > 190
    assert counts["image"] > 240  # noise and place matter less than the outline
    assert counts["mask"] < counts["image"]
