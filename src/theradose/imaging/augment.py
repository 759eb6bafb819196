"""Random copies of images: the change is drawn first, recorded, and applied second, so that it can be replayed."""

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from theradose.errors import DataError, SettingsError
from theradose.imaging.volume import Volume
from theradose.vocabulary import VOIS

LABELS, PET, DOSE = "organs", "pet", "dose"
SIDED_LABELS = frozenset(voi.label for voi in VOIS.values() if voi.sided)
OTHER_SIDE = {
    voi.label: VOIS[name.replace("left", "right") if "left" in name else name.replace("right", "left")].label
    for name, voi in VOIS.items()
    if voi.sided
}


@dataclass(frozen=True)
class Draw:
    """One random change: everything `apply` needs, the seed of its noise included; the default changes nothing.

    `rotation_deg` turns about the z axis, x towards y; `scale` enlarges in all directions; `shift_x_mm` and
    `shift_y_mm` move in the axial plane; all about the centre of the grid. `intensity` multiplies PET and dose.
    `noise_sd` is in units of the normalised PET. A flip with `exchange_sides` gives labels that have a side that of the
    other side.
    """

    rotation_deg: float = 0.0
    shift_x_mm: float = 0.0
    shift_y_mm: float = 0.0
    scale: float = 1.0
    intensity: float = 1.0
    noise_sd: float = 0.0
    noise_seed: int = 0
    flip_left_right: bool = False
    exchange_sides: bool = False

    def to_json(self) -> str:
        """Return the record as one line; floats keep all their digits."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Draw":
        """Read a record back; DataError when it is none."""
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise DataError("record of a draw cannot be read", got=text, code="THR-428") from error

    @property
    def moves(self) -> bool:
        """Tell whether voxels change their place other than by a flip."""
        return (self.rotation_deg, self.shift_x_mm, self.shift_y_mm, self.scale) != (0.0, 0.0, 0.0, 1.0)


def copy_rng(seed: int, name: str, copy: int) -> np.random.Generator:
    """Return the generator of one copy of one patient's images; it depends on neither order nor number of others."""
    return np.random.default_rng(np.random.SeedSequence([seed, zlib.crc32(name.encode()), copy]))


def draw(
    rng: np.random.Generator,
    *,
    rotation_deg: float,
    translation_mm: float,
    scaling: float,
    intensity: float,
    noise_sd: float,
    flip_left_right: bool = False,
    exchange_sides: bool = False,
) -> Draw:
    """Draw one change: angle, shifts, scale and intensity uniform between minus and plus their limit.

    `scaling` and `intensity` are parts of one (0.05: 0.95 to 1.05); `noise_sd` is taken as it is; a flip, when
    allowed, comes half of the time. The number of random numbers taken does not depend on the limits.
    """
    angle, x, y, size, bright, side = rng.uniform(-1.0, 1.0, 6)
    return Draw(
        rotation_deg=float(angle * rotation_deg),
        shift_x_mm=float(x * translation_mm),
        shift_y_mm=float(y * translation_mm),
        scale=float(1.0 + size * scaling),
        intensity=float(1.0 + bright * intensity),
        noise_sd=float(noise_sd),
        noise_seed=int(rng.integers(2**31)),
        flip_left_right=bool(flip_left_right and side > 0),
        exchange_sides=exchange_sides,
    )


def refuse_flip(organs: np.ndarray) -> None:
    """Raise SettingsError when a label map holds labels that have a side: flipped, left would be called right."""
    sided = sorted(SIDED_LABELS.intersection(np.unique(organs).tolist()))
    if sided:
        raise SettingsError(
            "left-right flips are refused where labels have a side",
            got=[name for name, voi in VOIS.items() if voi.label in sided],
            expected="no sided label",
            remedy="set augment.flip_left_right to false, or augment.exchange_sides to true",
            code="THR-110",
        )


def _sides_exchanged(organs: np.ndarray) -> np.ndarray:
    """Return labels with left called right and right called left; labels without a side stay."""
    found = organs.copy()
    for label, other in OTHER_SIDE.items():
        found[organs == label] = other
    return found


def _backward_map(change: Draw, image: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Return matrix and offset from (z, y, x) indices of the changed image to those of the original."""
    angle = np.deg2rad(change.rotation_deg)
    forward = change.scale * np.array(
        [[1.0, 0.0, 0.0], [0.0, np.cos(angle), np.sin(angle)], [0.0, -np.sin(angle), np.cos(angle)]]
    )
    spacing = np.asarray(image.grid.spacing_zyx_mm)
    backward = np.linalg.inv(forward) * spacing[None, :] / spacing[:, None]
    centre = (np.asarray(image.grid.shape_zyx) - 1) / 2
    shift = np.array([0.0, change.shift_y_mm, change.shift_x_mm]) / spacing
    return backward, centre - backward @ (centre + shift)


def _moved(change: Draw, image: Volume, order: Literal[0, 1]) -> np.ndarray:
    """Return the values of an image after flip, rotation, scaling and shift; what comes from outside is zero."""
    values = image.values[:, :, ::-1] if change.flip_left_right else image.values
    if not change.moves:
        return np.ascontiguousarray(values)
    matrix, offset = _backward_map(change, image)
    return np.asarray(ndimage.affine_transform(values, matrix, offset, order=order, mode="constant", cval=0.0))


def apply(change: Draw, images: Mapping[str, Volume]) -> dict[str, Volume]:
    """Return changed copies of images by role; the same change and images give the same bytes.

    All roles move alike, `organs` by the nearest voxel and the others linearly. `intensity` multiplies `pet` and
    `dose`, as twice the uptake is twice the dose; noise is added to `pet` alone. SettingsError for a flip of sided
    labels that are not to be exchanged.
    """
    if change.flip_left_right and not change.exchange_sides and LABELS in images:
        refuse_flip(images[LABELS].values)
    moved = {role: _moved(change, image, order=0 if role == LABELS else 1) for role, image in images.items()}
    if change.flip_left_right and change.exchange_sides and LABELS in moved:
        moved[LABELS] = _sides_exchanged(moved[LABELS])
    if change.intensity != 1.0:
        for role in {PET, DOSE} & moved.keys():
            moved[role] = moved[role] * moved[role].dtype.type(change.intensity)
    if PET in moved and change.noise_sd > 0:
        noise = np.random.default_rng(change.noise_seed).normal(0.0, change.noise_sd, moved[PET].shape)
        moved[PET] = (moved[PET] + noise).astype(moved[PET].dtype)
    return {role: image.with_values(moved[role]) for role, image in images.items()}
