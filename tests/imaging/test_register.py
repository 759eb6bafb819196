"""A known displacement is found again; what cannot be true is refused."""

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from theradose.cohort.virtual.patient import virtual_patient
from theradose.cohort.virtual.scanner import CENTRES, blurred
from theradose.errors import DataError, GeometryError, UnitError
from theradose.imaging.grid import Grid
from theradose.imaging.register import register_to
from theradose.imaging.resample import activity_inside_mbq, resample_labels
from theradose.imaging.volume import Volume
from theradose.physics.nuclides import nuclide

SPACING = 6.0
SHAPE = (36, 36, 48)
GRID = Grid(SHAPE, (SPACING,) * 3, (-140.0, -105.0, 700.0))
BODY = np.array([0.0, 0.0, 805.0])


def scene(matrix, noise_seed, hot=1.0, grid=GRID):
    """Return a body with two kidneys, a liver and a lesion, displaced: point p of the scene is seen at matrix p."""
    index = np.indices(grid.shape_zyx).reshape(3, -1)[::-1]
    points = grid.affine_lps() @ np.vstack([index, np.ones(index.shape[1])])
    x, y, z = (np.linalg.inv(matrix) @ points)[:3] - BODY[:, None]
    values = 2e3 / (1 + np.exp((np.sqrt((x / 110) ** 2 + (y / 75) ** 2 + (z / 120) ** 4) - 1) * 12))
    for centre, size, uptake in (
        ((55, 25, -30), 24, 9e4 * hot), ((-55, 28, -38), 22, 9e4 * hot), ((-50, -10, 35), 40, 2e4),
        ((30, -25, 60), 14, 5e4),
    ):  # fmt: skip
        squares = sum((a - c) ** 2 for a, c in zip((x, y, z), centre, strict=True))
        values = values + uptake * np.exp(-squares / (2 * (size / 2) ** 2))
    noisy = np.random.default_rng(noise_seed).normal(values, 0.03 * np.sqrt(values * 2e4))
    return Volume(noisy.reshape(grid.shape_zyx).astype(np.float32), grid, "Bq/mL")


@pytest.fixture(scope="module")
def virtual():
    """A virtual patient of a 12.5 mm camera, and the slice of the kidneys."""
    patient = virtual_patient(
        5, 0, centres=("north", "south"), spacing_mm=6.0, difficulty="xue_like", texture_coupling=0.6
    )  # fmt: skip
    labels = patient.anatomy.labels
    return patient, int(np.argwhere((labels == 5) | (labels == 6))[:, 0].mean())


def spect_of(virtual, time_h, spacing_mm, shift_mm, seed):
    """Return the SPECT of 390 mm of a virtual patient who lies `shift_mm` further, with the noise of its camera."""
    patient, middle = virtual
    grid, camera = patient.anatomy.grid, CENTRES[patient.centre].spect
    true = 1e6 * patient.activity_map_mbq_per_ml(time_h, nuclide("Lu-177").lambda_per_h, cycle=1)
    mean = blurred(true, camera.fwhm_mm, grid.spacing_mm[0])
    x, y, z = grid.origin_mm
    _, ny, nx = (int(n * s // spacing_mm) for n, s in zip(grid.shape_zyx, grid.spacing_zyx_mm, strict=True))
    seen = Grid((int(390 // spacing_mm), ny, nx), (spacing_mm,) * 3, (x, y, z + middle * grid.spacing_mm[2] - 195))
    index = np.indices(seen.shape_zyx).reshape(3, -1)[::-1]
    points = (seen.affine_lps() @ np.vstack([index, np.ones(index.shape[1])]))[:3] - np.asarray(shift_mm)[:, None]
    voxels = (points - np.asarray(grid.origin_mm)[:, None]) / np.asarray(grid.spacing_mm)[:, None]
    values = np.maximum(ndimage.map_coordinates(mean, voxels[::-1], order=3), 0.0).reshape(seen.shape_zyx)
    counts = camera.counts_per_mbq_s * camera.frame_s * seen.voxel_ml * 1e-6
    noise = np.random.default_rng(seed).poisson(counts * values) - counts * values
    noisy = values + blurred(noise, camera.filter_fwhm_mm, spacing_mm) / counts
    return Volume(np.maximum(noisy, 0.0).astype(np.float32), seen, "Bq/mL")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spacing_mm", "times_h", "shift_mm"),
    [
        (4.0, (4.0, 24.0), (-10.1, 17.9, -12.4)),
        (6.0, (24.0, 168.0), (-17.8, -9.2, 5.1)),
        (8.0, (4.0, 168.0), (-4.4, -13.5, 11.8)),
    ],
)
def test_a_patient_whose_uptake_changed_is_found_to_a_quarter_voxel(virtual, spacing_mm, times_h, shift_mm) -> None:
    """Each organ washes out at its own speed, the field of view ends in the body; correlation alone misses by 0.37."""
    early = spect_of(virtual, times_h[0], spacing_mm, (0, 0, 0), 1)
    late = spect_of(virtual, times_h[1], spacing_mm, shift_mm, 2)
    found = register_to(early, late, max_shift_mm=60, min_overlap=0.3)
    assert np.abs(np.asarray(found.shift_mm) + shift_mm).max() < spacing_mm / 4
    assert np.abs(found.rotation_deg).max() < 0.5
    inside = activity_inside_mbq(late, early.grid, found.matrix)
    assert found.moved.total_mbq() == pytest.approx(inside, rel=1e-3)


def displacement(angles_deg, shift_mm):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", angles_deg, degrees=True).as_matrix()
    matrix[:3, 3] = BODY - matrix[:3, :3] @ BODY + shift_mm
    return matrix


@pytest.mark.parametrize(
    ("angles", "shift"), [((0, 0, 0), (7.3, -5.1, 9.7)), ((2.0, -1.5, 3.0), (-4.2, 11.0, 3.3))], ids=["shift", "turn"]
)
def test_a_known_displacement_is_recovered_to_a_quarter_voxel(angles, shift) -> None:
    truth = displacement(angles, shift)
    # Kidneys have lost half of their activity between the scans.
    found = register_to(scene(np.eye(4), 1), scene(truth, 2, hot=0.5), max_shift_mm=50, min_overlap=0.5)
    for organ in ((55, 25, -30), (-55, 28, -38), (-50, -10, 35), (30, -25, 60), (0, 0, 0)):
        point = np.append(BODY + organ, 1.0)
        assert np.linalg.norm((found.matrix @ point - truth @ point)[:3]) < SPACING / 4
    assert np.allclose(found.rotation_deg, -np.asarray(angles), atol=0.7)
    assert found.metric > 0.9
    assert found.overlap > 0.95


def test_activity_is_kept_and_a_mask_goes_along() -> None:
    truth = displacement((0, 0, 0), (SPACING, 0.0, -SPACING))
    moving = scene(truth, 2)
    found = register_to(scene(np.eye(4), 1), moving, max_shift_mm=50, min_overlap=0.5)
    assert found.moved.total_mbq() == pytest.approx(moving.total_mbq(), rel=0.01)
    labels = np.zeros(SHAPE, np.uint8)
    labels[10:18, 12:20, 20:30] = 7
    carried = found.carry(Volume(labels, GRID, "label"))
    exact = resample_labels(Volume(labels, GRID, "label"), GRID, matrix=truth)
    both = ((carried.values == 7) & (exact.values == 7)).sum()
    assert 2 * both / ((carried.values == 7).sum() + (exact.values == 7).sum()) > 0.97


def test_frames_of_reference_and_grids_may_differ() -> None:
    far = Grid(SHAPE, (SPACING,) * 3, (-140.0, -105.0, 740.0))
    truth = displacement((0, 0, 0), (0.0, 0.0, 40.0))
    found = register_to(scene(np.eye(4), 1), scene(truth, 2, grid=far), max_shift_mm=50, min_overlap=0.5)
    assert np.allclose(found.shift_mm, (0, 0, -40), atol=SPACING / 4)


def test_the_same_images_give_the_same_bytes() -> None:
    one, two = (
        register_to(scene(np.eye(4), 1), scene(displacement((0, 1, 0), (3, 2, 1)), 2), max_shift_mm=50, min_overlap=0.5)
        for _ in range(2)
    )
    assert one.moved.values.tobytes() == two.moved.values.tobytes()
    assert one.matrix.tobytes() == two.matrix.tobytes()


def test_a_shift_or_an_overlap_beyond_the_limit_is_refused() -> None:
    moving = scene(displacement((0, 0, 0), (0.0, 0.0, 20.0)), 2)
    with pytest.raises(DataError, match=r"too far · got (19|20)\.\d mm .* at most 10 mm"):
        register_to(scene(np.eye(4), 1), moving, max_shift_mm=10, min_overlap=0.5)
    slab = Grid((8, 36, 48), (SPACING,) * 3, (-140.0, -105.0, 745.0))
    with pytest.raises(GeometryError, match="overlap too little"):
        register_to(scene(np.eye(4), 1), scene(np.eye(4), 2, grid=slab), max_shift_mm=500, min_overlap=0.6)


def test_an_empty_image_and_another_unit_are_refused() -> None:
    fixed = scene(np.eye(4), 1)
    with pytest.raises(DataError, match="no activity"):
        register_to(fixed, fixed.with_values(np.zeros(SHAPE, np.float32)), max_shift_mm=50, min_overlap=0.5)
    with pytest.raises(UnitError):
        register_to(fixed, fixed.with_values(fixed.values, "HU"), max_shift_mm=50, min_overlap=0.5)
