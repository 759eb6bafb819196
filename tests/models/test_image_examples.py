import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theradose.errors import DataError, GeometryError
from theradose.imaging.grid import Grid
from theradose.imaging.volume import Volume
from theradose.models.image_examples import (
    body_box,
    cut,
    join,
    load_examples,
    pairs_of,
    save_examples,
    size_for,
    slices_of,
    subset,
    window_for,
)

ROW = {
    "patient": "v001", "copy": 0, "partition": "train", "fold": 1,
    "bq_per_ml_per_mbq": 125.0, "administered_mbq": 7400.0,
}  # fmt: skip


def patient_images(shape=(12, 20, 30)):
    grid = Grid(shape, (8.0, 8.0, 8.0), (1.0, 2.0, 3.0))
    organs = np.zeros(shape, np.int16)
    organs[:, 4:15, 6:21] = 1
    organs[3:9, 6:9, 8:11] = 5
    rng = np.random.default_rng(1)
    pet, ct, dose = (rng.uniform(size=shape).astype(np.float32) for _ in range(3))
    return {
        "pet": Volume(pet, grid, "SUV/10"),
        "ct": Volume(ct, grid, "window fraction"),
        "dose": Volume(dose, grid, "Gy/GBq"),
        "organs": Volume(organs, grid, "label"),
    }


def test_pairs_hold_the_voxels_of_the_images():
    images = patient_images()
    pairs = pairs_of(images, row=ROW, n_slices=3, corner=(2, 4), size=(16, 24))
    assert pairs.table["slice"].tolist() == [4, 6, 8]  # of 3..8, the middle of each third
    for number, z in enumerate(pairs.table["slice"]):
        assert np.array_equal(pairs.inputs[number, 0], images["pet"].values[z, 2:18, 4:28])
        assert np.array_equal(pairs.inputs[number, 1], images["ct"].values[z, 2:18, 4:28])
        assert np.array_equal(pairs.dose[number], images["dose"].values[z, 2:18, 4:28])
        assert np.array_equal(pairs.mask[number], images["organs"].values[z, 2:18, 4:28] > 0)
    assert pairs.concentration()[0, 3, 3] == pytest.approx(125.0 * pairs.inputs[0, 0, 3, 3])


def test_images_on_different_grids_are_refused():
    images = patient_images()
    images["dose"] = patient_images((12, 20, 31))["dose"]
    with pytest.raises(GeometryError, match="dose lies on another grid"):
        pairs_of(images, row=ROW, n_slices=3, corner=(2, 4), size=(16, 24))


def test_slices_hold_targets_only_and_are_spread_evenly():
    organs = np.zeros((30, 2, 2))
    organs[:, 0, 0] = 1  # remainder: no target
    organs[5:25, 1, 1] = 7
    assert slices_of(organs, 40).tolist() == list(range(5, 25))
    assert slices_of(organs, 4).tolist() == [7, 12, 17, 22]
    organs[28, 1, 0] = 103  # a lesion is one
    assert slices_of(organs, 40)[-1] == 28
    assert slices_of(np.ones((3, 2, 2)), 4).size == 0


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 40), st.integers(0, 40), st.integers(1, 40)), min_size=1))
def test_the_window_holds_every_body(corners):
    boxes = [(top, top + high, left, left + wide) for top, high, left, wide in corners]
    height, width = size_for(boxes)
    assert height % 8 == 0
    assert width % 8 == 0
    for box in boxes:
        row, column = window_for(box, (height, width))
        assert row <= box[0]
        assert box[1] < row + height
        assert column <= box[2]
        assert box[3] < column + width


def test_a_window_beyond_the_image_is_filled_with_zeros():
    values = np.arange(24.0).reshape(1, 4, 6) + 1
    found = cut(values, np.array([0]), (-2, 3), (8, 8))[0]
    assert np.array_equal(found[2:6, :3], values[0, :, 3:])
    assert found.sum() == values[0, :, 3:].sum()


def test_an_empty_body_is_an_error():
    with pytest.raises(DataError, match="no voxel belongs to the body"):
        body_box(np.zeros((2, 3, 3), bool))


def test_a_copy_never_leaves_its_patient(image_cohort):
    examples, _ = image_cohort(n_patients=4, copies=2)
    part = subset(examples, ["v001"])
    assert set(part.patients) == {"v001"}
    assert set(part.table["copy"]) == {0, 1, 2}
    assert list(part.grids) == ["v001"]
    assert len(part.pick(part.originals)) == 4
    rest = subset(examples, ["v000", "v002", "v003"])
    assert len(part) + len(rest) == len(examples)


def test_saved_pairs_come_back_and_their_bytes_depend_on_nothing_else(image_cohort, tmp_path):
    examples, _ = image_cohort(n_patients=5)
    whole = join([subset(examples, [patient]) for patient in examples.grids])
    files = save_examples(examples, tmp_path / "a")
    again = save_examples(whole, tmp_path / "b")
    assert [x.read_bytes() for x in files] == [x.read_bytes() for x in again]
    loaded = load_examples(tmp_path / "a")
    for name in ("inputs", "dose", "mask", "organs"):
        assert np.array_equal(getattr(loaded, name), getattr(examples, name))
    assert loaded.mask.dtype == bool
    assert loaded.table.equals(examples.table)
    assert loaded.grids == examples.grids


def test_files_that_do_not_belong_together_are_refused(image_cohort, tmp_path):
    save_examples(image_cohort(n_patients=5)[0], tmp_path / "a")
    save_examples(image_cohort(n_patients=4)[0], tmp_path / "b")
    (tmp_path / "b" / "pairs.tsv").replace(tmp_path / "a" / "pairs.tsv")
    with pytest.raises(DataError, match="do not belong together"):
        load_examples(tmp_path / "a")
    (tmp_path / "a" / "pairs.safetensors").unlink()
    with pytest.raises(DataError, match="missing"):
        load_examples(tmp_path / "a")


def test_every_slice_from_the_first_to_the_last_with_a_dose():
    organs = patient_images()["organs"].values.copy()
    organs[5, 6:9, 8:11] = 1  # a gap in the kidney
    assert slices_of(organs, 0).tolist() == [3, 4, 5, 6, 7, 8]
    assert slices_of(np.zeros_like(organs), 0).tolist() == []
