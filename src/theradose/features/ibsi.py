"""How far our features are IBSI's: its phantoms, configurations and reference values against what we compute.

Reference: Zwanenburg et al., Radiology 295:328 (2020) and arXiv:1612.07003 for features, Whybra et al., Radiology
310:e231319 (2024) for filters. The data are not part of the package: a folder holds them as published.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from theradose.errors import DataError, Where
from theradose.features.engine import log_response
from theradose.features.names import ibsi_tags
from theradose.features.presets import Preset, preset_from
from theradose.features.radiomics import extract
from theradose.imaging.nifti import read_volume

PLAIN = "plain PyRadiomics"
# IBSI subtracts 3, so that a normal distribution has none; PyRadiomics does not, and says so.
EXCESS = {"firstorder.Kurtosis": 3.0}
WHY = {
    "shape.MinorAxisLength": "PyRadiomics divides by n, IBSI by n - 1: 0.7 % in 74 voxels, nothing in an organ",
    "shape.LeastAxisLength": "PyRadiomics divides by n, IBSI by n - 1: 0.7 % in 74 voxels, nothing in an organ",
}
TWO_MM = {"resampledPixelSpacing": [2.0, 2.0, 2.0], "interpolator": "sitkLinear"}
LUNG_HU = [-1000, 400]


@dataclass(frozen=True)
class Configuration:
    """An IBSI-1 configuration: phantom, reference values, how it is prepared, and PyRadiomics' nearest settings."""

    title: str
    image: str
    mask: str
    values: str
    preset: dict[str, Any]
    plain: dict[str, Any]


def _chest(letter: str, title: str, ours: dict[str, Any], bins: dict[str, Any], plain: dict[str, Any]) -> Configuration:
    """Return a configuration of the CT phantom, brought to 2 mm."""
    spline = {"interpolator": "sitkBSpline"} if letter == "e" else {}
    setting = {**TWO_MM, **spline, **bins}
    folder = "ct_phantom_NC"
    return Configuration(
        f"CT phantom {letter.upper()}: {title}",
        f"{folder}/phantom.nii.gz",
        f"{folder}/mask.nii.gz",
        f"reference_values/ibsi_1_chest_config_{letter}.csv",
        {"preprocess": ours, "setting": setting},
        {"preprocess": {"engine": "pyradiomics"}, "setting": {**setting, **plain}},
    )


CONFIGURATIONS = {
    "digital": Configuration(
        "digital phantom, 3-D",
        "digital_phantom/phantom.nii.gz",
        "digital_phantom/mask.nii.gz",
        "reference_values/ibsi_1_dig_phantom.csv",
        {"setting": {"binWidth": 1.0}},
        {"preprocess": {"engine": "pyradiomics"}, "setting": {"binWidth": 1.0}},
    ),
    "C": _chest(
        "c", "trilinear, [-1000, 400] HU, width 25 HU",
        {"resegment_range": LUNG_HU, "bin_anchor": -1000.0}, {"binWidth": 25.0}, {"resegmentRange": LUNG_HU},
    ),
    "D": _chest(
        "d", "trilinear, 3 sigma, 32 levels",
        {"resegment_sigma": 3.0}, {"binCount": 32}, {"resegmentRange": [-3, 3], "resegmentMode": "sigma"},
    ),
    "E": _chest(
        "e", "cubic spline, [-1000, 400] HU and 3 sigma, 32 levels",
        {"resegment_range": LUNG_HU, "resegment_sigma": 3.0}, {"binCount": 32}, {"resegmentRange": LUNG_HU},
    ),
}  # fmt: skip
# IBSI-2, 3-D Laplacian of Gaussian: phantom, response map, sigma in mm.
LOG_MAPS = {"2.a": ("impulse", "2_a-ValidCRM", 3.0), "2.b": ("checkerboard", "2_b-ValidCRM", 5.0)}
# Largest deviation that IBSI-2 allows a response map, as a part of the range of the reference.
MAP_TOLERANCE = 0.01


def _preset(content: dict[str, Any], name: str) -> Preset:
    """Return the preset of a configuration, with every feature that has an IBSI value."""
    classes: dict[str, list[str]] = {}
    for kind, feature in ibsi_tags().values():
        classes.setdefault(kind, []).append(feature)
    return preset_from({**content, "featureClass": {k: sorted(set(v)) for k, v in classes.items()}}, "ct", name)


def _reference(file: Path) -> pd.DataFrame:
    """Return tag, reference and tolerance of the features that we have."""
    if not file.is_file():
        raise DataError("IBSI reference values are not there", where=Where(file=file.name), code="THR-350")
    with file.open(encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines, delimiter=";") if row["tag"] in ibsi_tags()]
    return pd.DataFrame(
        [(row["tag"], float(row["reference value"]), float(row["tolerance"])) for row in rows],
        columns=["tag", "reference", "tolerance"],
    )


def _half_a_digit(reference: pd.Series) -> np.ndarray:
    """Return half a unit of the third significant digit, to which IBSI rounds its values."""
    size = np.floor(np.log10(reference.abs().where(reference != 0, 1.0)))
    return 0.5 * 10.0 ** (size - 2).to_numpy()


def compare(folder: Path, name: str, *, plain: bool = False) -> pd.DataFrame:
    """Return one row per feature of a configuration (`digital`, C, D, E) of the IBSI data in `folder`.

    Columns: configuration, engine, feature, tag, value, reference, tolerance, within, note. Where IBSI gives no
    tolerance, the value must round to the reference. `plain` lets PyRadiomics do everything alone. DataError when a
    file is not there.
    """
    chosen = CONFIGURATIONS[name]
    table = _reference(folder / chosen.values)
    image, mask = read_volume(folder / chosen.image, "HU"), read_volume(folder / chosen.mask, "label")
    preset = _preset(chosen.plain if plain else chosen.preset, f"IBSI {name}")
    if plain or name != "digital":
        image = image.with_values(image.values.astype(np.float32))
    found = extract(image, {"phantom": mask.values > 0}, preset)
    names = found["feature_class"] + "." + found["feature"]
    values = dict(zip(names, found["value"], strict=True))
    table["feature"] = [".".join(ibsi_tags()[tag]) for tag in table["tag"]]
    table["value"] = [values[feature] - EXCESS.get(feature, 0.0) for feature in table["feature"]]
    allowed = np.where(table["tolerance"] > 0, table["tolerance"], _half_a_digit(table["reference"]))
    table["within"] = (table["value"] - table["reference"]).abs() <= allowed * (1 + 1e-9) + 1e-12
    table["note"] = ["" if ok else WHY.get(f, "") for f, ok in zip(table["feature"], table["within"], strict=True)]
    table.insert(0, "engine", PLAIN if plain else "theradose")
    table.insert(0, "configuration", chosen.title)
    return table


def compare_maps(folder: Path) -> pd.DataFrame:
    """Return how far LoG responses are from the maps of IBSI-2 in `folder`: map, sigma_mm, within_part, max_error."""
    rows = []
    for number, (phantom, reference, sigma_mm) in LOG_MAPS.items():
        image = read_volume(folder / "ibsi2" / "phantoms" / f"{phantom}.nii.gz", "1")
        wanted = read_volume(folder / "ibsi2" / "log_reference" / f"{reference}.nii.gz", "1").values.astype(float)
        error = np.abs(log_response(image.values, image.grid, sigma_mm) - wanted) / np.ptp(wanted)
        rows.append((f"{number} {phantom}", sigma_mm, float((error <= MAP_TOLERANCE).mean()), float(error.max())))
    return pd.DataFrame(rows, columns=["map", "sigma_mm", "within_part", "max_error"])
