"""Features of ten VOIs in twelve images: ours beside a plain loop of PyRadiomics calls: `make benchmark-features`.

Synthetic PET of 128^3 voxels of 4 mm in files, preset `full` (original, three LoG, eight wavelet bands). The plain loop
reads the image and calls `execute(image, mask file, label)` for every VOI. Printed: wall and processor seconds, their
ratio, whether all values are equal to 1e-9, and the memory of a process after few and after many images. `--quick`
takes smaller ones.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import SimpleITK as sitk
from radiomics.featureextractor import RadiomicsFeatureExtractor
from scipy import ndimage

from theradose.cohort.pool import in_order
from theradose.features.presets import Preset, preset_from, read_preset
from theradose.features.radiomics import extract
from theradose.features.vois import label_masks
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import read_volume, write_volume
from theradose.imaging.volume import Volume

PRESETS = Path(__file__).parents[1] / "config" / "radiomics"
# Centre (z, y, x as parts of the field of view) and voxels of the VOIs of the design's benchmark.
VOIS = {
    "liver": ((0.55, 0.45, 0.32), 50001), "kidney_left": ((0.38, 0.62, 0.70), 9985),
    "kidney_right": ((0.38, 0.62, 0.28), 9939), "spleen": ((0.55, 0.55, 0.80), 5999),
    "marrow": ((0.20, 0.70, 0.50), 3987), "parotid_left": ((0.90, 0.50, 0.62), 593),
    "parotid_right": ((0.90, 0.50, 0.38), 593), "submandibular": ((0.83, 0.40, 0.50), 300),
    "lesion_1": ((0.15, 0.40, 0.30), 350), "lesion_2": ((0.25, 0.35, 0.65), 1525),
}  # fmt: skip
BARS = {"one process": 2.5, "two processes": 4.5}


def make(folder: Path, number: int, side: int) -> None:
    """Write a PET (g/mL) and its mask, ten balls in smooth noise."""
    rng = np.random.default_rng(number)
    shape = (side, side, side)
    values = 1.0 + 0.3 * ndimage.gaussian_filter(rng.normal(size=shape), 1.5) / 0.15
    labels = np.zeros(shape, np.uint16)
    places = np.indices(shape)
    for label, (centre, voxels) in enumerate(VOIS.values(), 1):
        radius = (3.0 * voxels * (side / 128) ** 3 / (4.0 * np.pi)) ** (1 / 3)
        ball = sum((p - c * side) ** 2 for p, c in zip(places, centre, strict=True)) <= radius**2
        labels[ball & (labels == 0)] = label
        values[ball] += rng.uniform(2.0, 20.0)
    values = np.clip(ndimage.gaussian_filter(values, 1.0) + rng.normal(0, 0.1, shape), 0, None)
    grid = Grid(shape, (4.0, 4.0, 4.0))
    write_volume(Volume(values.astype(np.float32), grid, "g/mL"), folder / f"pet{number}.nii.gz")
    write_volume(Volume(labels, grid, "label"), folder / f"mask{number}.nii.gz")


def chosen() -> Preset:
    """Return the preset, at the voxel size the images have."""
    return preset_from(read_preset(PRESETS / "full.yaml", "pet").content(), "pet", "full")


def plain(folder: Path, number: int) -> dict[tuple[str, str], float]:
    """Return (label, PyRadiomics' name) -> value by one call a VOI."""
    extractor = RadiomicsFeatureExtractor(chosen().content(), additionalInfo=False)
    found = {}
    for label in range(1, len(VOIS) + 1):
        # As float64, which ours are too: in float32 the filters round differently, up to 0.6 % of a feature.
        image = sitk.ReadImage(folder / f"pet{number}.nii.gz", sitk.sitkFloat64)
        values = extractor.execute(image, str(folder / f"mask{number}.nii.gz"), label=label)
        found.update({(f"label_{label}", name): float(np.real(v)) for name, v in values.items() if "diag" not in name})
    return found


def ours(number: int, folder: Path) -> pd.DataFrame:
    """Return our table of one image."""
    image, mask = (
        read_volume(folder / f"pet{number}.nii.gz", "g/mL"),
        read_volume(folder / f"mask{number}.nii.gz", "label"),
    )
    masks = {f"label_{k}": m for k, m in enumerate(label_masks(mask).values(), 1)}
    return extract(image, masks, chosen())


def clocks() -> tuple[float, float]:
    """Return wall and processor seconds, those of ended children too."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return time.perf_counter(), sum(u.ru_utime + u.ru_stime for u in used)


def difference(table: pd.DataFrame, values: dict[tuple[str, str], float]) -> float:
    """Return the largest relative difference; missing rows, statuses and NaN are differences without end."""
    names = table["filter"] + "_" + table["feature_class"] + "_" + table["feature"]
    pairs = list(zip(table["voi"], names, strict=True))
    if set(pairs) != set(values) or (table["status"] != "ok").any():
        return float("inf")
    expected = np.array([values[pair] for pair in pairs])
    return float((np.abs(table["value"] - expected) / np.maximum(np.abs(expected), 1e-300)).max())


def memory_mb(folder: Path, images: int) -> float:
    """Return the largest memory (MB) of a new process that takes `images` images, one after the other."""
    command = [sys.executable, __file__, "--memory", str(images), "--folder", str(folder)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def report(folder: Path, images: int) -> bool:
    """Time everything, print it beside the bars, and tell whether they are kept."""
    start = clocks()
    slow = [plain(folder, k) for k in range(images)]
    loop = np.subtract(clocks(), start)
    print(f"plain loop of PyRadiomics     {loop[0]:7.1f} s wall {loop[1]:7.1f} s processor")
    good = True
    for workers, name in ((1, "one process"), (2, "two processes")):
        start = clocks()
        tables = list(in_order(partial(ours, folder=folder), range(images), workers))
        spent = np.subtract(clocks(), start)
        largest = max(difference(t, s) for t, s in zip(tables, slow, strict=True))
        ratio = loop[0] / spent[0]
        kept = ratio >= BARS[name] and largest <= 1e-9
        print(
            f"ours, {name:<22}  {spent[0]:7.1f} s wall {spent[1]:7.1f} s processor, {ratio:.2f} times faster"
            f" (bar {BARS[name]}), largest relative difference {largest:.1e}: {'kept' if kept else 'MISSED'}"
        )
        good &= kept
    few, many = memory_mb(folder, 2), memory_mb(folder, 8)
    flat = many < 1.1 * few
    print(f"memory of a process: {few:.0f} MB after 2 images, {many:.0f} MB after 8: {'flat' if flat else 'GROWS'}")
    return good and flat


def main() -> None:
    """Make the images and report; exit code 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--memory", type=int)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.memory:
        for k in range(given.memory):
            ours(k % 2, given.folder)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    with tempfile.TemporaryDirectory() as made:
        for k in range(given.images):
            make(Path(made), k, 72 if given.quick else 128)
        sys.exit(0 if report(Path(made), given.images) else 1)


if __name__ == "__main__":
    main()
