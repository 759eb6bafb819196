"""Other grids: activity stays, labels stay labels, places stay places."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from theradose.errors import GeometryError, UnitError
from theradose.imaging.grid import Grid
from theradose.imaging.resample import activity_inside_mbq, resample, resample_activity, resample_labels
from theradose.imaging.volume import Volume

CENTRE = np.array([60.0, 50.0, 40.0])


def blobs(spacing=4.0, shape=(20, 25, 30), unit="Bq/mL"):
    """Return two Gaussian blobs well inside the field of view."""
    grid = Grid(shape, (spacing,) * 3)
    z, y, x = np.meshgrid(*(np.arange(n) * spacing for n in shape), indexing="ij")
    first = np.exp(-((x - 60) ** 2 + (y - 50) ** 2 + (z - 40) ** 2) / (2 * 9**2))
    second = 0.5 * np.exp(-((x - 80) ** 2 + (y - 40) ** 2 + (z - 30) ** 2) / (2 * 6**2))
    return Volume((1e5 * (first + second)).astype(np.float32), grid, unit)


def rigid(angles_deg, shift_mm):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    matrix[:3, 3] = CENTRE - matrix[:3, :3] @ CENTRE + shift_mm
    return matrix


def test_the_same_grid_changes_nothing() -> None:
    image = blobs()
    for interpolation in ("linear", "nearest"):
        assert np.array_equal(resample(image, image.grid, interpolation=interpolation).values, image.values)


def test_a_whole_voxel_shift_by_hand() -> None:
    image = Volume(np.arange(24, dtype=np.float32).reshape(2, 3, 4), Grid((2, 3, 4), (1.0, 2.0, 3.0)), "HU")
    moved = resample(image, Grid((2, 3, 4), (1.0, 2.0, 3.0), (1.0, 0.0, 0.0)), outside=-1.0)
    assert np.array_equal(moved.values[:, :, :3], image.values[:, :, 1:])
    assert (moved.values[:, :, 3] == -1.0).all()


def test_a_larger_voxel_is_the_mean_of_those_it_holds() -> None:
    values = np.random.default_rng(0).random((8, 8, 8)).astype(np.float32)
    image = Volume(values, Grid((8, 8, 8), (2.0, 2.0, 2.0)), "HU")
    coarse = resample(image, Grid((4, 4, 4), (4.0, 4.0, 4.0), (1.0, 1.0, 1.0)))
    assert np.allclose(coarse.values, values.reshape(4, 2, 4, 2, 4, 2).mean(axis=(1, 3, 5)), atol=1e-6)


def test_a_linear_ramp_stays_a_linear_ramp_on_a_turned_finer_grid() -> None:
    z, y, x = np.meshgrid(np.arange(20), np.arange(20), np.arange(20), indexing="ij")
    image = Volume((2 * x - y + 3 * z).astype(np.float32), Grid((20, 20, 20), (1.0, 1.0, 1.0)), "HU")
    turn = Rotation.from_euler("z", 30, degrees=True).as_matrix()
    grid = Grid((5, 5, 5), (0.7, 0.6, 0.5), (8.0, 8.0, 8.0), tuple(tuple(map(float, r)) for r in turn))
    k, j, i = np.meshgrid(*(np.arange(5),) * 3, indexing="ij")
    points = np.stack([i, j, k, np.ones_like(i)], -1) @ grid.affine_lps().T
    expected = 2 * points[..., 0] - points[..., 1] + 3 * points[..., 2]
    assert np.allclose(resample(image, grid).values, expected, atol=1e-3)


@given(
    spacing=st.floats(2.0, 9.0),
    shift=st.tuples(*(st.floats(-15, 15),) * 3),
    angles=st.tuples(*(st.floats(-10, 10),) * 3),
)
@settings(max_examples=25, deadline=None)
def test_activity_inside_the_field_of_view_is_kept(spacing, shift, angles) -> None:
    image = blobs()
    # 40 mm of room on every side: with less, small voxels leave the far side outside when the image moves by 14 mm.
    grid = Grid(tuple(int((n * 4.0 + 80.0) / spacing) + 1 for n in (20, 25, 30)), (spacing,) * 3, (-40.0, -40.0, -40.0))
    moved = resample_activity(image, grid, matrix=rigid(angles, shift))
    assert moved.total_mbq() == pytest.approx(image.total_mbq(), rel=1e-3)


def test_the_place_of_activity_is_kept() -> None:
    image = blobs()
    moved = resample_activity(image, Grid((40, 40, 40), (3.0, 3.0, 3.0), (-5.0, -5.0, -5.0)))
    centres = []
    for volume in (image, moved):
        index = np.indices(volume.values.shape).reshape(3, -1)[::-1]
        points = volume.grid.affine_lps()[:3] @ np.vstack([index, np.ones(index.shape[1])])
        centres.append((points * volume.values.ravel()).sum(1) / volume.values.sum())
    assert np.allclose(*centres, atol=0.02)


def test_half_the_field_of_view_keeps_the_activity_of_that_half() -> None:
    uniform = Volume(np.full((10, 10, 10), 1e5, np.float32), Grid((10, 10, 10), (4.0, 4.0, 4.0)), "Bq/mL")
    half = Grid((10, 10, 5), (4.0, 4.0, 4.0))
    assert activity_inside_mbq(uniform, half) == pytest.approx(uniform.total_mbq() / 2, rel=1e-6)
    assert resample_activity(uniform, half).total_mbq() == pytest.approx(uniform.total_mbq() / 2, rel=1e-6)
    finer = Grid((40, 40, 20), (1.0, 1.0, 1.0), (-1.5, -1.5, -1.5))
    assert np.allclose(resample_activity(uniform, finer).values, 1e5, rtol=1e-5)


def test_noise_of_both_signs_is_not_blown_up() -> None:
    noise = np.random.default_rng(1).normal(0, 1, (10, 10, 10)).astype(np.float32)
    noise -= noise.mean()
    image = Volume(noise, Grid((10, 10, 10), (4.0, 4.0, 4.0)), "Bq/mL")
    assert np.abs(resample_activity(image, image.grid).values - noise).max() < 1e-6


def test_images_apart_and_other_units_are_refused() -> None:
    with pytest.raises(GeometryError, match="do not overlap"):
        resample_activity(blobs(), Grid((5, 5, 5), (4.0, 4.0, 4.0), (500.0, 0.0, 0.0)))
    with pytest.raises(UnitError):
        resample_activity(blobs(unit="HU"), blobs().grid)


def test_labels_survive_a_round_trip_through_a_finer_grid() -> None:
    labels = np.zeros((12, 12, 12), np.uint16)
    labels[2:7, 2:7, 2:7], labels[4:6, 4:6, 4:6], labels[8:10, 1:11, 8:10] = 7, 101, 300
    mask = Volume(labels, Grid((12, 12, 12), (6.0, 6.0, 6.0)), "label")
    fine = resample_labels(mask, Grid((36, 36, 36), (2.0, 2.0, 2.0), (-2.0, -2.0, -2.0)))
    assert set(np.unique(fine.values)) == {0, 7, 101, 300}
    again = resample_labels(fine, mask.grid)
    assert np.array_equal(again.values, labels)
    assert again.values.dtype == np.uint16


def test_a_voxel_needs_half_of_a_label() -> None:
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[:, :, :3] = 1
    labels[:, :, 3] = 2
    coarse = resample_labels(
        Volume(labels, Grid((4, 4, 4), (1.0,) * 3), "label"), Grid((2, 2, 2), (2.0,) * 3, (0.5,) * 3)
    )
    assert (coarse.values[:, :, 0] == 1).all()
    assert (coarse.values[:, :, 1] == 2).all()  # one half each: the larger number
    sparse = np.zeros((4, 4, 4), np.uint8)
    sparse[::2, ::2, ::2] = 1
    empty = resample_labels(
        Volume(sparse, Grid((4, 4, 4), (1.0,) * 3), "label"), Grid((2, 2, 2), (2.0,) * 3, (0.5,) * 3)
    )
    assert not empty.values.any()


def test_a_sphere_keeps_its_volume_when_turned() -> None:
    grid = Grid((20, 25, 30), (4.0,) * 3)
    z, y, x = np.meshgrid(*(np.arange(n) * 4.0 for n in grid.shape_zyx), indexing="ij")
    ball = ((x - 60) ** 2 + (y - 50) ** 2 + (z - 40) ** 2 < 24**2).astype(np.uint8)
    moved = resample_labels(Volume(ball, grid, "label"), grid, matrix=rigid((5, 10, -8), (1.3, 2.1, -0.7)))
    assert moved.values.sum() == pytest.approx(ball.sum(), rel=0.02)
