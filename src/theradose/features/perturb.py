"""Small changes of image and outline as in Zwanenburg et al., Sci Rep 9:614 (2019): drawn first, applied second."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
from scipy import ndimage
from skimage.segmentation import slic

from theradose.features.preparation import Preparation
from theradose.features.preprocess import BEYOND, SAME_SPACING_MM, centred_grid
from theradose.imaging.grid import Grid
from theradose.imaging.resample import SAME_PLACE, resample, resample_labels
from theradose.imaging.volume import Volume

BASE = "base"
IMAGE_VERSIONS = ("shift", "rotate", "noise")
MASK_VERSIONS = ("grow", "shrink", "contour")
VERSIONS = (BASE, *IMAGE_VERSIONS, *MASK_VERSIONS)
# What the seven versions do: a third of a voxel along every axis, degrees, part of the signal, voxels.
SHIFT_VOXELS, ROTATION_DEG, NOISE_PART, GROW_VOXELS = 1 / 3, 4.0, 0.05, 1
# Supervoxels: 20 voxels each as in the paper, fewer where a VOI would hold under 30 of them; those that lie inside by
# 90 % always belong to the VOI, those under 20 % never.
SUPERVOXEL, SUPERVOXELS_IN_A_VOI, COMPACTNESS, ROOM_VOXELS = 20, 30, 0.05, 4
SURELY_IN, SURELY_OUT = 0.9, 0.2
AS_IT_IS = Preparation()


@dataclass(frozen=True)
class Perturbation:
    """One change: everything `apply` needs, seeds included; the default changes nothing.

    `shift_zyx` is in voxels of the grid that features are taken on; `rotation_deg` turns about the z axis through the
    centre of that grid, x towards y. `noise_part` is the standard deviation as a part of the signal: SUV, or HU above
    air. `grow_voxels` moves the outline out, or in when negative; `contour_seed` makes it a random one.
    """

    name: str = BASE
    shift_zyx: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rotation_deg: float = 0.0
    noise_part: float = 0.0
    noise_seed: int = 0
    grow_voxels: int = 0
    contour_seed: int | None = None

    def to_json(self) -> str:
        """Return the record as one line; floats keep all their digits."""
        return json.dumps(asdict(self), sort_keys=True)

    @property
    def moves(self) -> bool:
        """Tell whether the image changes its place."""
        return any(self.shift_zyx) or self.rotation_deg != 0.0


def perturbations(
    rng: np.random.Generator,
    *,
    shift_voxels: float = SHIFT_VOXELS,
    rotation_deg: float = ROTATION_DEG,
    noise_part: float = NOISE_PART,
    grow_voxels: int = GROW_VOXELS,
) -> tuple[Perturbation, ...]:
    """Draw one change of each kind, in the order of VERSIONS; which way to shift and turn is left to chance."""
    z, y, x, turn = (float(sign) for sign in rng.choice([-1.0, 1.0], 4))
    noise_seed, contour_seed = (int(seed) for seed in rng.integers(2**31, size=2))
    drawn = (
        Perturbation(),
        Perturbation(shift_zyx=(z * shift_voxels, y * shift_voxels, x * shift_voxels)),
        Perturbation(rotation_deg=turn * rotation_deg),
        Perturbation(noise_part=noise_part, noise_seed=noise_seed),
        Perturbation(grow_voxels=grow_voxels),
        Perturbation(grow_voxels=-grow_voxels),
        Perturbation(contour_seed=contour_seed),
    )
    return tuple(replace(one, name=name) for one, name in zip(drawn, VERSIONS, strict=True))


def _matrix(change: Perturbation, grid: Grid) -> np.ndarray:
    """Return the (4, 4) matrix from LPS mm of the changed image to those of the image itself."""
    if not change.moves:
        return SAME_PLACE
    angle = np.deg2rad(-change.rotation_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0.0], [np.sin(angle), np.cos(angle), 0.0], [0.0, 0.0, 1.0]])
    centre = grid.corners_lps_mm().mean(axis=0)
    shift = np.asarray(grid.direction) @ (np.asarray(grid.spacing_mm) * change.shift_zyx[::-1])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn, centre - turn @ (centre + shift)
    return matrix


def _noisy(change: Perturbation, image: Volume) -> Volume:
    """Return the image with noise that grows with the signal."""
    if change.noise_part == 0.0:
        return image
    noise = np.random.default_rng(change.noise_seed).normal(0.0, change.noise_part, image.values.shape)
    signal = image.values - BEYOND[image.unit]
    return image.with_values((image.values + noise * signal).astype(image.values.dtype))


def random_outline(image: Volume, mask: np.ndarray, seed: int) -> np.ndarray:
    """Return a VOI (z, y, x) made of supervoxels of the image, each drawn with the part of it that `mask` covers.

    Outlines so follow edges of the image, as those of another reader would. An empty mask stays empty.
    """
    if not mask.any():
        return mask
    found = ndimage.find_objects(mask.astype(np.uint8))[0]
    box = tuple(
        slice(max(0, part.start - ROOM_VOXELS), min(size, part.stop + ROOM_VOXELS))
        for part, size in zip(found, mask.shape, strict=True)
    )
    inside, values = mask[box], image.values[box]
    low, high = float(values[inside].min()), float(values[inside].max())
    each = min(SUPERVOXEL, max(1, int(inside.sum()) // SUPERVOXELS_IN_A_VOI))
    parts = slic(
        np.clip((values - low) / (high - low or 1.0), 0.0, 1.0).astype(np.float64),
        n_segments=max(1, inside.size // each),
        compactness=COMPACTNESS,
        spacing=image.grid.spacing_zyx_mm,
        channel_axis=None,
        start_label=0,
    )
    covered = np.bincount(parts.ravel(), weights=inside.ravel()) / np.bincount(parts.ravel())
    chance = np.where(covered >= SURELY_IN, 1.0, np.where(covered < SURELY_OUT, 0.0, covered))
    result = np.zeros_like(mask)
    result[box] = (np.random.default_rng(seed).random(len(chance)) < chance)[parts]
    return result


def _outlined(change: Perturbation, image: Volume, mask: np.ndarray) -> np.ndarray:
    """Return a mask grown, shrunk or drawn anew; growth goes through the six faces of a voxel."""
    if change.grow_voxels > 0:
        mask = ndimage.binary_dilation(mask, iterations=change.grow_voxels)
    elif change.grow_voxels < 0:
        mask = ndimage.binary_erosion(mask, iterations=-change.grow_voxels)
    return mask if change.contour_seed is None else random_outline(image, mask, change.contour_seed)


def apply(
    change: Perturbation, image: Volume, masks: Mapping[str, np.ndarray], how: Preparation = AS_IT_IS
) -> tuple[Volume, dict[str, np.ndarray]]:
    """Return changed copies of an image (g/mL or HU) and its masks (z, y, x) of bool; the same change, the same bytes.

    With a voxel size in `how` both come with such voxels, moved and resampled in one interpolation, so that a shift
    blurs no more than the base version's resampling. Noise comes before it, other outlines after it.
    """
    wanted = how.spacing_mm
    same = wanted is None or np.allclose(image.grid.spacing_mm, wanted, rtol=0, atol=SAME_SPACING_MM)
    grid = image.grid if same or wanted is None else centred_grid(image.grid, wanted)
    seen, drawn = _noisy(change, image), dict(masks)
    if change.moves or not same:
        matrix, beyond = _matrix(change, grid), BEYOND[image.unit]
        seen = resample(seen, grid, interpolation=how.interpolation, matrix=matrix, outside=beyond, average=how.average)
        if image.unit == "HU":
            seen = seen.with_values(np.round(seen.values))
        for name, mask in drawn.items():
            label = Volume(mask.astype(np.uint8), image.grid, "label")
            drawn[name] = resample_labels(label, grid, matrix=matrix, average=how.average).values > 0
    return seen, {name: _outlined(change, seen, mask) for name, mask in drawn.items()}
