"""Examples for dose maps: axial slices of PET and CT with the dose to learn, cut to one size, with their patients."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import safe_open
from safetensors.numpy import save as save_tensors

from theradose.errors import DataError, SettingsError, Where
from theradose.imaging.grid import Grid
from theradose.imaging.normalise import body_mask
from theradose.imaging.volume import Volume
from theradose.provenance import write_atomically
from theradose.tables import PAIRS, read_table, write_table
from theradose.vocabulary import LESION_LABEL_FROM, VOIS

ARRAYS_FILE, TABLE_FILE = "pairs.safetensors", "pairs.tsv"
PET_CHANNEL, CT_CHANNEL = 0, 1
SIZE_STEP = 8  # a U-Net of up to four levels halves each side three times
TARGET_LABELS = np.array([voi.label for voi in VOIS.values() if not voi.region])


@dataclass(frozen=True)
class ImageExamples:
    """Pairs of slices, all of one size.

    `inputs` (n, 2, h, w): PET as SUV over the study's scale, CT as its place in the window. `dose` (n, h, w) Gy/GBq,
    `mask` (n, h, w) bool the body, `organs` (n, h, w) labels. `table` has a row a pair (schema PAIRS), `grids` the
    grid each patient's slices were cut from.
    """

    inputs: np.ndarray
    dose: np.ndarray
    mask: np.ndarray
    organs: np.ndarray
    table: pd.DataFrame
    grids: dict[str, Grid]

    def __len__(self) -> int:
        return len(self.table)

    @property
    def patients(self) -> Sequence[str]:
        """The patient of each pair."""
        return list(self.table["patient"])

    @property
    def partitions(self) -> Sequence[str]:
        """The partition of each pair."""
        return list(self.table["partition"])

    @property
    def originals(self) -> np.ndarray:
        """Which pairs are no augmented copy, (n,) bool."""
        return np.asarray(self.table["copy"] == 0)

    def concentration(self) -> np.ndarray:
        """Return the PET as Bq/mL per MBq injected, (n, h, w): what a dose per activity is proportional to."""
        factor: np.ndarray = self.table["bq_per_ml_per_mbq"].to_numpy(np.float32)
        return np.asarray(self.inputs[:, PET_CHANNEL] * factor[:, None, None])

    def pick(self, chosen: np.ndarray) -> "ImageExamples":
        """Return the pairs chosen by a boolean array (n,), in their order."""
        table = self.table[chosen].reset_index(drop=True)
        grids = {patient: self.grids[patient] for patient in dict.fromkeys(table["patient"])}
        return ImageExamples(
            self.inputs[chosen], self.dose[chosen], self.mask[chosen], self.organs[chosen], table, grids
        )


def subset(examples: ImageExamples, patients: Collection[str]) -> ImageExamples:
    """Return the pairs of some patients, augmented copies included, so that a copy never leaves its patient."""
    return examples.pick(np.asarray(examples.table["patient"].isin(list(patients))))


def stacks_of(examples: ImageExamples) -> list[np.ndarray]:
    """Return the pairs of each patient and copy as their numbers, in order of slices.

    SettingsError when slices in between are missing: a slice far away is no neighbour.
    """
    found = []
    for (patient, _), rows in examples.table.groupby(["patient", "copy"], sort=False):
        own = rows.sort_values("slice")
        if (np.diff(own["slice"]) != 1).any():
            raise SettingsError(
                "networks that see neighbouring slices need every slice",
                where=Where(patient=str(patient), field="augment.slices"),
                got=f"slices {own['slice'].tolist()[:4]} ...",
                expected="slices without gaps",
                remedy="set augment.slices to 0",
                code="THR-101",
            )
        found.append(own.index.to_numpy())
    return found


def slices_of(organs: np.ndarray, n: int) -> np.ndarray:
    """Return up to `n` axial slice numbers, evenly spaced over the slices that hold a VOI with a dose of its own.

    With `n` 0 all from the first to the last of these, without gaps.
    """
    wanted = np.isin(organs, TARGET_LABELS) | (organs >= LESION_LABEL_FROM)
    bearing = np.flatnonzero(wanted.any(axis=(1, 2)))
    if n == 0 and len(bearing):
        return np.arange(bearing[0], bearing[-1] + 1)
    if len(bearing) <= n:
        return bearing
    return np.asarray(bearing[np.floor((np.arange(n) + 0.5) * len(bearing) / n).astype(int)])


def body_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return first and last row and column of a body mask (z, y, x); DataError when it is empty."""
    rows, columns = (np.flatnonzero(mask.any(axis=axes)) for axes in ((0, 2), (0, 1)))
    if not len(rows):
        raise DataError("no voxel belongs to the body", got="empty masks", expected="labels or tissue in the CT")
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


def size_for(boxes: Collection[tuple[int, int, int, int]], step: int = SIZE_STEP) -> tuple[int, int]:
    """Return the smallest (h, w), multiples of `step`, that holds every body box."""
    height = max(last - first + 1 for first, last, _, _ in boxes)
    width = max(last - first + 1 for _, _, first, last in boxes)
    return -(-height // step) * step, -(-width // step) * step


def window_for(box: tuple[int, int, int, int], size: tuple[int, int]) -> tuple[int, int]:
    """Return first row and column (may be negative) of a window of `size` about the centre of a body box."""
    top, bottom, left, right = box
    return (top + bottom + 1 - size[0]) // 2, (left + right + 1 - size[1]) // 2


def cut(values: np.ndarray, slices: np.ndarray, corner: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Return axial slices of (z, y, x) values inside a window, (n, h, w); what lies outside the image is zero."""
    found = np.zeros((len(slices), *size), values.dtype)
    (row, column), (height, width) = corner, size
    rows = slice(max(row, 0), min(row + height, values.shape[1]))
    columns = slice(max(column, 0), min(column + width, values.shape[2]))
    inside = values[slices, rows, columns]
    found[:, rows.start - row : rows.stop - row, columns.start - column : columns.stop - column] = inside
    return found


def pairs_of(
    images: Mapping[str, Volume],
    *,
    row: Mapping[str, Any],
    n_slices: int,
    corner: tuple[int, int],
    size: tuple[int, int],
) -> ImageExamples:
    """Cut one patient's normalised images (roles pet, ct, dose, organs on one grid) into pairs.

    `row` gives the cells of PAIRS that all slices share. The window is the patient's, not the copy's, so that a
    shifted copy is seen shifted.
    """
    grid = images["pet"].grid
    for role in ("ct", "dose", "organs"):
        grid.require_same(images[role].grid, role, Where(patient=str(row["patient"])))
    slices = slices_of(images["organs"].values, n_slices)
    body = body_mask(images["organs"], images["ct"])
    parts = {role: cut(image.values, slices, corner, size) for role, image in images.items()}
    table = pd.DataFrame({"slice": slices}).assign(**row, row_from=corner[0], column_from=corner[1])
    return ImageExamples(
        np.stack([parts["pet"], parts["ct"]], axis=1).astype(np.float32),
        parts["dose"].astype(np.float32),
        cut(body, slices, corner, size),
        parts["organs"].astype(np.int16),
        table[PAIRS.names()],
        {str(row["patient"]): grid},
    )


def join(parts: Sequence[ImageExamples]) -> ImageExamples:
    """Return the pairs of several examples as one, in order."""
    return ImageExamples(
        np.concatenate([part.inputs for part in parts]),
        np.concatenate([part.dose for part in parts]),
        np.concatenate([part.mask for part in parts]),
        np.concatenate([part.organs for part in parts]),
        pd.concat([part.table for part in parts], ignore_index=True),
        {patient: grid for part in parts for patient, grid in part.grids.items()},
    )


def save_examples(examples: ImageExamples, folder: Path, *, held_out_copies: bool = False) -> list[Path]:
    """Write pairs.safetensors and pairs.tsv; the same examples give the same bytes.

    `held_out_copies` marks pairs made with augment.pairs, where held-out patients have copies too.
    """
    arrays: dict[str, np.ndarray] = {
        "inputs": np.ascontiguousarray(examples.inputs, np.float32),
        "dose": np.ascontiguousarray(examples.dose, np.float32),
        "mask": np.ascontiguousarray(examples.mask, np.uint8),
        "organs": np.ascontiguousarray(examples.organs, np.int16),
    }
    grids = {patient: asdict(grid) for patient, grid in examples.grids.items()}
    # One entry only: several would be written in no fixed order.
    marked = {"held_out_copies": True} if held_out_copies else {}
    about = {"about": json.dumps({"grids": grids, "dose": "Gy/GBq", **marked}, sort_keys=True)}
    write_atomically(folder / ARRAYS_FILE, save_tensors(arrays, metadata=about))
    return [folder / ARRAYS_FILE, write_table(examples.table, folder / TABLE_FILE, PAIRS)]


def _grid(record: Mapping[str, Any]) -> Grid:
    """Build a grid again from its record."""
    direction = tuple((float(x), float(y), float(z)) for x, y, z in record["direction"])
    depth, height, width = record["shape_zyx"]
    return Grid((depth, height, width), tuple(record["spacing_mm"]), tuple(record["origin_mm"]), direction)


def has_held_out_copies(folder: Path) -> bool:
    """Tell whether pairs were made with augment.pairs, so that held-out patients have copies too."""
    with safe_open(folder / ARRAYS_FILE, framework="numpy") as file:
        return bool(json.loads(file.metadata()["about"]).get("held_out_copies", False))


def load_examples(folder: Path) -> ImageExamples:
    """Read what `save_examples` wrote; DataError when files are missing or do not belong together."""
    table = read_table(folder / TABLE_FILE, PAIRS)
    path = folder / ARRAYS_FILE
    if not path.is_file():
        raise DataError("image pairs are missing", where=Where(file=path.as_posix()), code="THR-201")
    with safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
        about = json.loads(file.metadata()["about"])
    if len(arrays["inputs"]) != len(table):
        raise DataError(
            "image pairs and their table do not belong together",
            where=Where(file=path.as_posix()),
            got=f"{len(arrays['inputs'])} pairs",
            expected=f"{len(table)} as in {TABLE_FILE}",
        )
    grids = {patient: _grid(record) for patient, record in about["grids"].items()}
    return ImageExamples(arrays["inputs"], arrays["dose"], arrays["mask"].astype(bool), arrays["organs"], table, grids)
