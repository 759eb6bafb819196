"""NIfTI files: round trips, and nothing damaged gets through."""

import gzip

import nibabel as nib
import numpy as np
import pytest

from theradose.errors import DataError, GeometryError
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import read_sidecar, read_volume, sidecar, write_volume
from theradose.imaging.volume import Volume

OBLIQUE = np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]])


def image(dtype: type = np.float32) -> Volume:
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    direction = tuple(tuple(float(v) for v in row) for row in OBLIQUE)
    return Volume(values, Grid((2, 3, 4), (1.5, 2.5, 3.5), (-7.0, 11.0, 13.0), direction), "Bq/mL")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16, np.int16])
def test_round_trip_keeps_values_grid_unit_and_sidecar(tmp_path, dtype) -> None:
    path = write_volume(image(dtype), tmp_path / "x.nii.gz", {"FrameTimesStart": [3600]})
    again = read_volume(path)
    assert np.array_equal(again.values, image(dtype).values)
    assert again.values.dtype == dtype
    assert image().grid.same_as(again.grid)
    assert again.unit == "Bq/mL"
    assert read_sidecar(path)["FrameTimesStart"] == [3600]


def test_the_file_is_ras_for_others(tmp_path) -> None:
    path = write_volume(
        Volume(np.zeros((2, 2, 2)), Grid((2, 2, 2), (1, 1, 1), (5.0, 6.0, 7.0)), "HU"), tmp_path / "x.nii.gz"
    )
    assert nib.load(path).affine[:3, 3].tolist() == [-5.0, -6.0, 7.0]


def test_same_image_same_bytes(tmp_path) -> None:
    one, two = (write_volume(image(), tmp_path / name).read_bytes() for name in ("a.nii.gz", "b.nii.gz"))
    assert one == two


def test_every_truncation_is_noticed(tmp_path) -> None:
    path = write_volume(image(), tmp_path / "x.nii.gz")
    content = path.read_bytes()
    for n in range(0, len(content), 7):
        path.write_bytes(content[:n])
        with pytest.raises(DataError, match=r"x\.nii\.gz"):
            read_volume(path)


def test_truncated_plain_nifti_is_noticed(tmp_path) -> None:
    path = write_volume(image(), tmp_path / "x.nii.gz")
    plain = tmp_path / "x.nii"
    plain.write_bytes(gzip.decompress(path.read_bytes())[:-8])
    with pytest.raises(DataError, match="damaged"):
        read_volume(plain)


def test_missing_file_and_missing_sidecar_are_named(tmp_path) -> None:
    with pytest.raises(DataError, match="THR-201"):
        read_volume(tmp_path / "none.nii.gz")
    path = write_volume(image(), tmp_path / "x.nii.gz")
    sidecar(path).unlink()
    with pytest.raises(DataError, match="THR-203"):
        read_volume(path)


def test_sheared_axes_are_refused(tmp_path) -> None:
    affine = np.eye(4)
    affine[0, 1] = 0.1
    nib.save(nib.Nifti1Image(np.zeros((2, 2, 2), np.float32), affine), tmp_path / "x.nii")
    with pytest.raises(GeometryError, match="right angles"):
        read_volume(tmp_path / "x.nii", "HU")
