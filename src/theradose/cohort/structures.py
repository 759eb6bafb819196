"""Structures of contour files as labels: organ names become their VOI, names of tumours lesions.

Names are matched and then forgotten: free text may name a person, so it reaches no file.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np

from theradose.errors import DataError, Where
from theradose.imaging.grid import Grid
from theradose.imaging.rtstruct import Roi, polygon_volume_ml, rasterise
from theradose.imaging.volume import Volume
from theradose.vocabulary import LESION_LABEL_FROM, VOIS, voi_of_label

SIDES = {"l": "left", "lt": "left", "links": "left", "r": "right", "rt": "right", "rechts": "right"}
# First letters of words that call a structure a lesion.
LESION_WORDS = ("lesion", "tumor", "tumour", "gtv", "met", "node", "lymph")
NO_WORD = "gland"  # `parotid` and `parotid gland` are the same
MASK_TYPE = np.uint16


def _words(name: str) -> list[str]:
    """Return the words of a name, lower case, sides spelt out and last."""
    words = [SIDES.get(word, word) for word in re.findall(r"[a-z0-9]+", name.lower())]
    sides = [word for word in words if word in ("left", "right")]
    return [word for word in words if word not in (*sides, NO_WORD)] + sides


def known_label(name: str) -> int | None:
    """Return the label of a structure's name when it is a VOI (`Kidney_L`, `left kidney`), else None."""
    wanted = "_".join(_words(name)).replace("kidneys", "kidney")
    return next((voi.label for voi_name, voi in VOIS.items() if "_".join(_words(voi_name)) == wanted), None)


def labels_of(rois: Iterable[Roi]) -> dict[str, int]:
    """Return the label of every structure name that has one; lesions are numbered by name, in all files alike."""
    names = {" ".join(_words(roi.name)): known_label(roi.name) for roi in rois if not roi.empty}
    unknown = sorted(name for name, label in names.items() if label is None)
    lesions = [name for name in unknown if any(word.startswith(LESION_WORDS) for word in name.split())]
    numbers = {name: LESION_LABEL_FROM + i for i, name in enumerate(lesions)}
    return {**{name: label for name, label in names.items() if label is not None}, **numbers}


def label_of(roi: Roi, labels: dict[str, int]) -> int | None:
    """Return a structure's label, None when its name says neither organ nor lesion."""
    return labels.get(" ".join(_words(roi.name)))


def label_mask(rois: Sequence[Roi], grid: Grid, labels: dict[str, int], where: Where) -> tuple[Volume, list[str]]:
    """Return the structures as one label mask on a grid and a line about each; lesions lie on top of organs.

    A line gives volume in mL beside the area of the contours times the slice thickness, and overlaps. DataError when
    two structures of a file have one name, or nothing could be drawn.
    """
    values = np.zeros(grid.shape_zyx, MASK_TYPE)
    lines: list[str] = []
    named = [(label_of(roi, labels), roi) for roi in rois if not roi.empty]
    drawn = sorted(((label, roi) for label, roi in named if label is not None), key=lambda pair: pair[0])
    numbers = [label for label, _ in drawn]
    if not drawn or len(set(numbers)) < len(numbers):
        twice = sorted({voi_of_label(n) for n in numbers if numbers.count(n) > 1})
        raise DataError(
            "structures cannot be told apart" if drawn else "structure set holds nothing to use", where=where,
            got=twice or "no closed contour with a known name", expected="one closed structure a VOI", code="THR-256",
        )  # fmt: skip
    for label, roi in drawn:
        inside = rasterise(roi, grid)
        covered = int((values[inside] > 0).sum()) * grid.voxel_ml
        values[inside] = label
        overlap = f"; {covered:.2f} mL lie in another structure" if covered else ""
        skipped = f"; {roi.skipped} points or lines skipped" if roi.skipped else ""
        lines.append(
            f"structure {roi.number} -> {voi_of_label(label)}: {inside.sum() * grid.voxel_ml:.2f} mL "
            f"(contours {polygon_volume_ml(roi, grid):.2f} mL){overlap}{skipped}"
        )
    lines += [
        f"structure {roi.number} has the name of no organ and no lesion: left aside" for n, roi in named if n is None
    ]
    lines += [f"structure {roi.number} is empty in the file: left aside" for roi in rois if roi.empty]
    return Volume(values, grid, "label"), lines
