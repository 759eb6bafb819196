"""The one door for NIfTI files: LPS inside, RAS at the border, unit and times in a JSON sidecar."""

import gzip
import json
import math
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from theradose.errors import DataError, GeometryError, Where
from theradose.imaging.grid import Grid
from theradose.imaging.volume import Volume
from theradose.provenance import write_atomically, write_json

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
# Below SHEAR_LIMIT axes are set upright; below ROUNDED they are, up to the rounding of the header's 32-bit numbers.
SHEAR_LIMIT, ROUNDED = 1e-3, 1e-6
# What gzip and nibabel raise on damaged bytes.
DAMAGE = (
    OSError, EOFError, ValueError, TypeError, LookupError, ArithmeticError, MemoryError, RecursionError, zlib.error,
    nib.filebasedimages.ImageFileError,
    nib.wrapstruct.WrapStructError, nib.spatialimages.HeaderDataError,
)  # fmt: skip


def sidecar(path: Path) -> Path:
    """Return the JSON file beside an image, `x.json` for `x.nii.gz`."""
    return path.with_name(path.name.removesuffix(".nii.gz").removesuffix(".nii") + ".json")


def write_volume(volume: Volume, path: Path, extra: dict[str, Any] | None = None) -> Path:
    """Write an image (.nii.gz) with a sidecar that names its unit; bytes depend on the image alone."""
    affine = RAS_FROM_LPS @ volume.grid.affine_lps()
    values = np.ascontiguousarray(np.transpose(volume.values, (2, 1, 0)))
    image = nib.Nifti1Image(values, affine)
    image.header.set_xyzt_units("mm")
    write_atomically(path, gzip.compress(image.to_bytes(), compresslevel=4, mtime=0))
    write_json(sidecar(path), {"Units": volume.unit, **(extra or {})})
    return path


def _grid(affine_ras: np.ndarray, shape_xyz: tuple[int, ...], where: Where) -> Grid:
    """Turn a NIfTI affine into a grid; axes that are askew by rounding are set upright, GeometryError when by more."""
    affine = RAS_FROM_LPS @ affine_ras
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or spacing.min() <= 0:
        raise GeometryError(
            "image has no place in space", where=where, got=affine.round(3).tolist(), expected="a finite affine",
            remedy="export the image again", code="THR-337",
        )  # fmt: skip
    direction = affine[:3, :3] / spacing
    shear = float(np.abs(direction.T @ direction - np.eye(3)).max())
    if shear > SHEAR_LIMIT:
        raise GeometryError(
            "image axes are not at right angles", where=where, got=f"shear {shear:.3g}", expected=SHEAR_LIMIT,
            remedy="resample the image on upright axes", code="THR-337",
        )  # fmt: skip
    if shear > ROUNDED:  # the nearest matrix of right angles
        left, _, right = np.linalg.svd(direction)
        direction = left @ right
    rounded = np.round(direction, 7) + 0.0
    return Grid(
        (int(shape_xyz[2]), int(shape_xyz[1]), int(shape_xyz[0])),
        (float(spacing[0]), float(spacing[1]), float(spacing[2])),
        (float(affine[0, 3]), float(affine[1, 3]), float(affine[2, 3])),
        tuple((float(row[0]), float(row[1]), float(row[2])) for row in rounded),
    )


def read_sidecar(path: Path) -> dict[str, Any]:
    """Read the JSON sidecar of an image; DataError when it is missing or damaged."""
    file = sidecar(path)
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise DataError(
            "sidecar is missing or damaged", where=Where(file=file.name), got=_words(error), code="THR-203",
            remedy="restore it, or import the patient again",
        ) from error  # fmt: skip


def _words(error: BaseException) -> str:
    """Return what an error says without the path that the system's errors add."""
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


def _values(content: bytes, packed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers and the affine of a NIfTI file; one of DAMAGE when it is shorter than its header says."""
    raw = gzip.decompress(content) if packed else content
    image = nib.Nifti1Image.from_bytes(raw)
    start = int(image.dataobj.offset)  # type: ignore[attr-defined]
    needed = start + math.prod(image.shape) * int(image.header.get_data_dtype().itemsize)
    if len(raw) < needed:
        raise EOFError(f"{len(raw)} of {needed} bytes")
    values = np.asanyarray(image.dataobj)
    if values.dtype.kind not in "iufb":
        raise ValueError(f"values of type {values.dtype}")
    return values, np.asarray(image.affine, float)


def read_volume(path: Path, unit: str | None = None) -> Volume:
    """Read an image with its unit (from `unit` or the sidecar); DataError when the file is damaged."""
    where = Where(file=path.name)
    if not path.is_file():
        raise DataError("image is missing", where=where, code="THR-201", remedy="restore it or exclude the patient")
    try:
        values, affine = _values(path.read_bytes(), path.name.endswith(".gz"))
    except DAMAGE as error:
        raise DataError(
            "image file is damaged", where=where, got=_words(error), code="THR-204", remedy="copy or export it again"
        ) from error
    if values.ndim != 3:
        raise GeometryError("image is not three-dimensional", where=where, got=values.shape, expected="3 axes")
    grid = _grid(affine, values.shape, where)
    unit = unit or str(read_sidecar(path).get("Units", "not stated"))
    return Volume(np.ascontiguousarray(np.transpose(values, (2, 1, 0))), grid, unit)
