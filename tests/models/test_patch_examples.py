import numpy as np
import pandas as pd
import pytest

from theradose.errors import DataError, UnitError
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import write_volume
from theradose.imaging.volume import Volume
from theradose.models.patch_examples import (
    Patches,
    cube_about,
    half_life_of,
    image_files,
    load_patients,
    organ_patch,
    subset,
    suv_of,
)
from theradose.provenance import sha256_file
from theradose.tables import (
    COVARIATE_MANIFEST,
    COVARIATES,
    IMAGES,
    ORGAN_DOSE,
    OUTCOMES,
    SPLITS,
    write_table,
)
from theradose.vocabulary import VOIS

GRID = Grid((12, 10, 14), (8.0, 8.0, 8.0))
LEFT, RIGHT = VOIS["kidney_left"].label, VOIS["kidney_right"].label


def volumes(seed=0):
    rng = np.random.default_rng(seed)
    labels = np.zeros(GRID.shape_zyx, np.int16)
    labels[2:5, 3:6, 2:5], labels[7:9, 3:5, 9:11] = LEFT, RIGHT
    return {
        "pet": Volume(rng.random(GRID.shape_zyx).astype(np.float32), GRID, "SUV/10"),
        "ct": Volume(rng.random(GRID.shape_zyx).astype(np.float32), GRID, "window fraction"),
        "organs": Volume(labels, GRID, "label"),
    }


def test_cube_is_padded_outside_the_image():
    values = np.arange(1, 28).reshape(3, 3, 3)
    found = cube_about(values, (0, 1, 2), 4)
    assert found[2:, 1:4, :3].sum() == values[:2, :, :3].sum()
    assert found.sum() == values[:2].sum()
    assert found[2, 2, 2] == values[0, 1, 2]
    assert not cube_about(values, (20, 1, 1), 4).any()


def test_patch_lies_about_the_larger_kidney():
    images = volumes()
    patch = organ_patch(images, "kidneys", 6).astype(float)
    uptake, ct, mask = patch
    assert mask.sum() == 27  # the left one whole, the right one outside
    assert uptake[3, 3, 3] == pytest.approx(np.log1p(10 * images["pet"].values[3, 4, 3]), rel=1e-3)
    assert ct[3, 3, 3] == pytest.approx(images["ct"].values[3, 4, 3], rel=1e-3)
    assert not organ_patch(images, "liver", 6).any()


def test_pet_in_another_unit_is_refused():
    pet = volumes()["pet"]
    assert suv_of(pet)[0, 0, 0] == pytest.approx(10 * pet.values[0, 0, 0])
    with pytest.raises(UnitError, match="wrong unit"):
        suv_of(Volume(pet.values, GRID, "Bq/mL"))


@pytest.fixture
def study(organ_tables, tmp_path):
    """Return the keywords of load_patients for six patients; v005 has no images, v000 no outcome."""
    covariates, manifest, labels, splits = organ_tables(n_patients=6, n_test=2, n_noise=2, organs=("kidneys",))
    covariates = covariates.assign(**{"clinical.age_y": 70.0})
    extra = manifest.iloc[[0]].assign(column="clinical.age_y", block="clinical")
    manifest = pd.concat([manifest, extra], ignore_index=True)
    rows = []
    for number, patient in enumerate(splits["patient"][:5]):
        for role, volume in volumes(number).items():
            file = write_volume(volume, tmp_path / f"sub-{patient}_{role}.nii.gz")
            row = {"patient": patient, "cycle": 1, "role": role, "time_h": None, "file": file.as_posix()}
            rows.append({**row, "sha256": sha256_file(file)})
    events = {name: [0, 1, 0, 1, 1] for name in ("kidney_toxicity", "xerostomia", "marrow_toxicity", "response")}
    outcomes = pd.DataFrame({"patient": splits["patient"][1:], **events, "latency_months": 12.0, "latency_observed": 1})
    outcomes["egfr_12m_ml_min"] = np.nan
    blocks = manifest["block"].where(manifest["block"].isin(["physics", "radiomic", "clinical"]), "radiomic")
    manifest = manifest.assign(block=blocks)
    tables = {
        "covariates": (covariates, COVARIATES), "covariate_manifest": (manifest, COVARIATE_MANIFEST),
        "labels": (labels, ORGAN_DOSE), "splits": (splits, SPLITS), "outcomes": (outcomes, OUTCOMES),
        "images": (pd.DataFrame(rows), IMAGES),
    }  # fmt: skip
    paths = {name: write_table(table, tmp_path / f"{name}.tsv", schema) for name, (table, schema) in tables.items()}
    return {
        **paths, "images": [paths["images"]], "participants": None, "organs": ("kidneys",),
        "events": ("xerostomia",), "patterns": (),
    }  # fmt: skip


def test_patients_with_images_and_an_organ_are_loaded_and_no_image_is_read(study):
    examples = load_patients(**study)
    assert examples.patients == ["v000", "v001", "v002", "v003", "v004"]
    assert examples.left_out == {"v005": "no normalised images"}
    np.testing.assert_array_equal(examples.events[:, 0], [np.nan, 0, 1, 0, 1])
    assert list(examples.person.covariates) == ["clinical.age_y", "kidneys.log_uptake_per_weight"]
    assert examples.half_life_h == pytest.approx(159.528)
    assert np.isfinite(examples.log_dose).all()
    assert examples.patches.kept == {}
    own = subset(examples, ["v003", "v001"])
    assert (list(own.patients), own.events[:, 0].tolist()) == (["v001", "v003"], [0.0, 0.0])
    np.testing.assert_array_equal(own.log_dose[:, 0], examples.log_dose[[1, 3], 0])


def test_patches_are_read_once_and_checked(study, tmp_path):
    examples = load_patients(**study)
    first = examples.patches["v001"]
    assert first.shape == (1, 3, 24, 24, 24)
    assert examples.patches["v001"] is first
    assert set(examples.patches.kept) == {"v001"}
    write_volume(volumes(99)["ct"], tmp_path / "sub-v002_ct.nii.gz")
    with pytest.raises(DataError, match="changed since intake"):
        examples.patches["v002"]


def test_images_on_two_grids_are_refused(tmp_path):
    images = volumes()
    other = Grid(GRID.shape_zyx, (4.0, 4.0, 4.0))
    images["ct"] = Volume(images["ct"].values, other, "window fraction")
    files = {role: write_volume(x, tmp_path / f"{role}.nii.gz") for role, x in images.items()}
    patches = Patches({"v000": {role: (path, sha256_file(path)) for role, path in files.items()}}, ["kidneys"], 6)
    with pytest.raises(DataError, match="another grid"):
        patches["v000"]


def test_a_patient_whose_images_are_incomplete_has_none(study):
    table = pd.read_csv(study["images"][0], sep="\t")
    table = table[(table["patient"] != "v001") | (table["role"] != "ct")]
    write_table(table, study["images"][0], IMAGES)
    assert set(image_files(study["images"])) == {"v000", "v002", "v003", "v004"}


def test_doses_of_two_radionuclides_are_refused():
    with pytest.raises(DataError, match="one radionuclide"):
        half_life_of(pd.DataFrame({"radionuclide": ["Lu-177", "Y-90"]}))
