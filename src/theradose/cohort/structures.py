"""Structures of contour files as labels: organ names become their VOI, names of tumours lesions.

Names are matched and then forgotten: free text may name a person, so it reaches no file.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import count

import numpy as np

from theradose.errors import DataError, Where
from theradose.imaging.grid import Grid
from theradose.imaging.rtstruct import Roi
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


def _keys(rois: Iterable[Roi]) -> list[tuple[str, Roi]]:
    """Return the structures of one file that hold something, by name; repeats of a lesion's name are told apart."""
    seen: Counter[str] = Counter()
    keys = []
    for roi in (roi for roi in rois if not roi.empty):
        name = " ".join(_words(roi.name))
        seen[name] += 1
        again = seen[name] > 1 and known_label(roi.name) is None
        keys.append((f"{name} copy {seen[name]}" if again else name, roi))
    return keys


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts `lesion 9` before `lesion 10`."""
    return [(int(word), "") if word.isdigit() else (-1, word) for word in name.split()]


def labels_of(sets: Iterable[Iterable[Roi]]) -> dict[str, int]:
    """Return the label of every structure name that has one, in all files alike.

    `lesion_05` keeps the number it says; other lesions get the numbers that are left, in the natural order of names.
    """
    names = {key: known_label(roi.name) for rois in sets for key, roi in _keys(rois)}
    labels = {name: label for name, label in names.items() if label is not None}
    lesions = [n for n in names if n not in labels and any(word.startswith(LESION_WORDS) for word in n.split())]
    own = {name: re.fullmatch(r"lesion 0*([1-9]\d{0,3})", name) for name in lesions}
    labels |= {name: LESION_LABEL_FROM - 1 + int(said[1]) for name, said in own.items() if said}
    left = (label for label in count(LESION_LABEL_FROM) if label not in set(labels.values()))
    return labels | dict(zip(sorted((n for n, said in own.items() if not said), key=_natural), left, strict=False))


def labels_by_number(rois: Iterable[Roi], labels: dict[str, int]) -> dict[int, int | None]:
    """Return the label of each structure's number, None when its name says neither organ nor lesion."""
    return {roi.number: labels.get(key) for key, roi in _keys(rois)}


def label_mask(rois: Sequence[Roi], grid: Grid, labels: dict[str, int], where: Where) -> tuple[Volume, list[str]]:
    """Return the structures as one label mask on a grid and a line about each; lesions lie on top of organs.

    A line gives volume in mL beside the area of the contours times the slice thickness, overlaps, and what lies outside
    the image. DataError when two structures of a file are one organ, or nothing could be drawn.
    """
    values = np.zeros(grid.shape_zyx, MASK_TYPE)
    by_number = labels_by_number(rois, labels)
    named = [(by_number[roi.number], roi) for roi in rois if not roi.empty]
    copies = sum(" copy " in key and key in labels for key, _ in _keys(rois))
    lines = [f"WARN {copies} structures repeat the name of another: numbered in the file's order"] if copies else []
    drawn = sorted(((label, roi) for label, roi in named if label is not None), key=lambda pair: pair[0])
    numbers = [label for label, _ in drawn]
    if not drawn or len(set(numbers)) < len(numbers):
        twice = sorted({voi_of_label(n) for n in numbers if numbers.count(n) > 1})
        raise DataError(
            "structures cannot be told apart" if drawn else "structure set holds nothing to use", where=where,
            got=twice or "no closed contour with a known name", expected="one closed structure a VOI", code="THR-256",
        )  # fmt: skip
    for label, roi in drawn:
        inside, lost_ml = roi.draw(grid)
        covered = int((values[inside] > 0).sum()) * grid.voxel_ml
        values[inside] = label
        overlap = f"; {covered:.2f} mL lie in another structure" if covered else ""
        lost = f"; {lost_ml:.2f} mL lie outside the image" if lost_ml else ""
        skipped = f"; {roi.skipped} points or lines skipped" if roi.skipped else ""
        lines.append(
            f"structure {roi.number} -> {voi_of_label(label)}: {inside.sum() * grid.voxel_ml:.2f} mL "
            f"(contours {roi.volume_ml(grid):.2f} mL){overlap}{lost}{skipped}"
        )
    lines += [
        f"structure {roi.number} has the name of no organ and no lesion: left aside" for n, roi in named if n is None
    ]
    lines += [f"structure {roi.number} is empty in the file: left aside" for roi in rois if roi.empty]
    return Volume(values, grid, "label"), lines
