"""The report's chapter on features that survive small changes of image and outline, and those that do not."""

from typing import Any

import pandas as pd

from theradose.evaluation.figures import as_svg, sort_organs, words
from theradose.evaluation.figures_stability import class_words, filter_words, stability
from theradose.evaluation.report_tables import Cell, Head, Sheet, count, number_cell, percent, three
from theradose.evaluation.results import StudyResults
from theradose.features.perturb import GROW_VOXELS, NOISE_PART, ROTATION_DEG

LEAST = 10
FEW_PATIENTS = 20
HOW = (
    "Each image is read seven times: as it is, shifted by a third of a voxel along every axis, turned by "
    f"{ROTATION_DEG:g}°, with noise of {100 * NOISE_PART:g} % of the signal, and with outlines grown by "
    f"{GROW_VOXELS} voxel, shrunk by as much, and drawn anew from supervoxels. ICC(2,1) is the part of a feature's "
    "variance that lies between patients and not between the versions of one."
)
VIRTUAL = (
    "The images are virtual: the chapter says how features react to small changes of such images, not how well they "
    "repeat between scanners and readers."
)


def _stable(table: pd.DataFrame) -> int:
    """Return how many rows are stable."""
    return int((table["stable"] == "yes").sum())


def counts_sheet(table: pd.DataFrame) -> Sheet:
    """Return how many features are stable by class, all organs together, against each group of versions."""
    heads = [
        Head("Class", number=False), Head("Features", "of all organs"), Head("Stable", "all versions"),
        Head("Stable", "image changed"), Head("Stable", "outline changed"), Head("Lower bound", "median, all"),
        Head("Scatter within a patient", "median, %"),
    ]  # fmt: skip
    rows = []
    for kind in dict.fromkeys(table["feature_class"]):
        by_group = dict(iter(table[table["feature_class"] == kind].groupby("versions")))
        n = len(by_group["all"])
        shares = [Cell(f"{_stable(by_group[g])}", "", percent(100 * _stable(by_group[g]) / n)) for g in by_group]
        low, cov = float(by_group["all"]["icc_low"].median()), 100 * float(by_group["all"]["cov"].median())
        rows.append([Cell(class_words(kind)), Cell(str(n)), *shares, number_cell(low), number_cell(cov)])
    return Sheet(heads, rows)


def least_sheet(table: pd.DataFrame) -> Sheet:
    """Return the features with the lowest ICC, and whether image or outline moves them more."""
    keys = ["voi", "filter", "feature_class", "feature"]
    icc = table.set_index([*keys, "versions"])["icc"].to_dict()
    heads = [
        Head("Organ", number=False), Head("Image", number=False), Head("Class", number=False),
        Head("Feature", number=False), Head("ICC", "all versions"), Head("ICC", "image changed"),
        Head("ICC", "outline changed"), Head("Patients"),
    ]  # fmt: skip
    rows = []
    for row in table[table["versions"] == "all"].nsmallest(LEAST, "icc").to_dict("records"):
        key = tuple(str(row[name]) for name in keys)
        note = f"from {three(row['icc_low'])}"
        rows.append([
            Cell(words(key[0])), Cell(filter_words(key[1])), Cell(class_words(key[2])), Cell(key[3]),
            Cell(three(row["icc"]), "", note), number_cell(icc[*key, "image"]), number_cell(icc[*key, "mask"]),
            Cell(str(row["patients"])),
        ])  # fmt: skip
    return Sheet(heads, rows, fold=f"The {len(rows)} least stable features")


def stability_words(table: pd.DataFrame, threshold: float, *, virtual: bool) -> list[str]:
    """Return sentences on how many features are stable, what moves them, and what the figures do not say."""
    own = dict(iter(table.groupby("versions")))
    n, patients = len(own["all"]), int(own["all"]["patients"].max())
    none = int(own["all"]["icc"].isna().sum())
    image, mask = (_stable(own[group]) for group in ("image", "mask"))
    worse = "outlines move features more than the image does" if mask < image else "the image moves features more"
    found = [
        f"{_stable(own['all'])} of {n} features (each organ apart) of {count(patients, 'PET')} are stable: the lower "
        f"end of the 95 % interval of their ICC is {threshold:g} or more. With the image alone changed {image} are, "
        f"with the outline alone {mask}: {worse}.",
        HOW,
    ]
    if none:
        found.append(f"{none} have no ICC: a version leaves no value, often a small organ shrunk by a whole voxel.")
    if patients < FEW_PATIENTS:
        found.append("With so few patients the lower ends lie far below the ICC; more of them would find more stable.")
    return [*found, VIRTUAL] if virtual else found


def stability_section(study: StudyResults) -> dict[str, Any] | None:
    """Return how stable the features of the study are, None when it was not asked for."""
    table = study.table("stability")
    if table.empty:
        return None
    threshold = study.settings.radiomics.stability.icc_low
    every = table[table["versions"] == "all"]
    panels = {words(organ): every[every["voi"] == organ] for organ in sort_organs(every["voi"])}
    figure = as_svg(
        stability(panels, every, threshold),
        "Share of stable features by organ, class and filter, and the lower bound of every feature",
        "Above: features whose ICC has a lower bound of "
        f"{threshold:g} or more, of all features of the class, by filter; all seven versions. Below: the lower bound "
        "of every feature of every organ." + (" Virtual patients." if study.virtual else ""),
    )
    return {
        "why": stability_words(table, threshold, virtual=study.virtual),
        "figure": figure,
        "counts": counts_sheet(table),
        "least": least_sheet(table),
    }
