import numpy as np
import pytest

from theradose.errors import DataError, UnitError
from theradose.features.vois import OK, measure, organ_masks, radius_mm, voi_fault
from theradose.imaging.grid import Grid
from theradose.imaging.volume import Volume

GRID = Grid((4, 5, 6), (10.0, 10.0, 10.0))


def mask_of(labels: dict[int, int]) -> Volume:
    """A label image with `n` voxels of each label, from the first voxel on."""
    flat = np.zeros(120, np.int16)
    start = 0
    for label, n in labels.items():
        flat[start : start + n] = label
        start += n
    return Volume(flat.reshape(4, 5, 6), GRID, "label")


def test_sides_and_lesions_are_merged_and_regions_left_out():
    masks = organ_masks(mask_of({5: 3, 6: 4, 7: 5, 101: 2, 103: 1, 1: 9, 2: 3}), ("lesions", "kidneys", "spleen"))
    assert {organ: int(mask.sum()) for organ, mask in masks.items()} == {"lesions": 3, "kidneys": 7}
    assert all(mask.dtype == bool for mask in masks.values())


def test_a_label_without_a_name_is_refused():
    with pytest.raises(DataError, match="77"):
        organ_masks(mask_of({77: 3}), ("liver",))


def test_a_mask_must_be_a_label_image():
    with pytest.raises(UnitError, match="label"):
        organ_masks(Volume(np.zeros((4, 5, 6)), GRID, "HU"), ("liver",))


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ([], "no voxel"),
        ([1.0, 2.0], "fewer than 3 voxels"),
        ([1.0, np.nan, 2.0], "values that are not finite"),
        ([1.0, np.inf, 2.0], "values that are not finite"),
        ([2.0, 2.0, 2.0], "all values equal"),
        ([1.0, 2.0, 3.0], None),
    ],
)
def test_faults_of_a_voi(values, fault):
    assert voi_fault(np.array(values), 3) == fault


def test_the_radius_is_that_of_the_largest_part():
    mask = np.zeros((9, 9, 9), bool)
    mask[1:4, 1:4, 1:4] = True
    one = radius_mm(mask, 1.0)
    mask[6:8, 6:8, 6:8] = True
    assert radius_mm(mask, 1.0) == one
    # 27 mL: (3 * 27000 mm3 / 4 pi)^(1/3) = 18.61 mm
    assert one == pytest.approx(18.61, abs=0.005)
    assert radius_mm(np.zeros((3, 3, 3), bool), 1.0) == 0.0


def test_measure_gives_mean_and_volume():
    values = np.arange(120, dtype=np.float32).reshape(4, 5, 6)
    masks = {"liver": values < 11, "spleen": values < 0}
    table = measure(Volume(values, GRID, "g/mL"), masks).set_index(["voi", "feature"])
    assert table.loc[("liver", "mean"), "value"] == 5.0
    assert table.loc[("liver", "volume_ml"), "value"] == pytest.approx(11.0)
    assert table.loc[("spleen", "volume_ml"), "value"] == 0.0
    assert table.loc[("spleen", "mean"), "status"] == "no voxel"
    assert table.loc[("liver", "mean"), "status"] == OK
