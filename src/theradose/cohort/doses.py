"""From the fitted curves of a cycle to its dose map and the rows of the dose tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from theradose.errors import DataError
from theradose.imaging.activity import activity_per_voxel_mbq
from theradose.imaging.volume import Volume
from theradose.physics.dose import (
    VoiDose,
    is_implausible,
    organ_dose,
    unlabelled_tia_mbq_h,
    voi_dose,
    voxel_tia_mbq_h,
)
from theradose.physics.dvh import cumulative_dvh
from theradose.physics.engines import density_g_per_ml, dose_engine
from theradose.physics.nuclides import Nuclide
from theradose.vocabulary import LESIONS, VOIS, is_target, organ_of, voi_of_label

MBQ_PER_GBQ = 1000.0
Rows = list[dict[str, Any]]


def region_tia_mbq_h(fits: pd.DataFrame, labels: np.ndarray) -> dict[int, float]:
    """Return label -> uncorrected TIA of every label in a mask; DataError when one has no curve (schema TIAC)."""
    found = dict(zip(fits["voi"], fits["tia_uncorrected_mbq_h"], strict=True))
    present = [int(label) for label in np.unique(labels) if label]
    lost = [voi_of_label(label) for label in present if voi_of_label(label) not in found]
    if lost:
        raise DataError("VOI of the mask has no time-activity curve", got=lost, code="THR-246")
    return {label: float(found[voi_of_label(label)]) for label in present}


def dose_map(
    images: Sequence[Volume],
    times_h: Sequence[float],
    labels: np.ndarray,
    tia: Mapping[int, float],
    *,
    engine: str,
    soft_tissue_g_per_ml: float,
    nuclide: Nuclide,
) -> Volume:
    """Return the dose of every voxel in Gy, float32, from images in Bq/mL at their times, on their common grid.

    The voxels of a region share its TIA in `tia` (label -> MBq.h). What has no label lies outside the body when the
    mask holds the remainder of it, and gets trapezoids with physical decay otherwise.
    """
    activity = [activity_per_voxel_mbq(image) for image in images]
    spread = voxel_tia_mbq_h(activity, times_h, labels, tia)
    if VOIS["remainder"].label not in tia:
        spread = np.where(labels == 0, unlabelled_tia_mbq_h(activity, times_h, nuclide), spread)
    density = np.full(int(labels.max()) + 1, soft_tissue_g_per_ml)
    for label in tia:
        density[label] = density_g_per_ml(organ_of(voi_of_label(label)), soft_tissue_g_per_ml)
    grid = images[0].grid
    dose = dose_engine(engine)(spread, density[labels], grid.spacing_zyx_mm, nuclide)
    return Volume(dose.astype(np.float32), grid, "Gy")


def voi_doses(
    fits: pd.DataFrame, volume_ml: Mapping[str, float], soft_tissue_g_per_ml: float, nuclide: Nuclide
) -> dict[str, VoiDose]:
    """Return VOI -> dose of every target VOI of a cycle from its fitted curves (schema TIAC)."""
    found = {}
    for fit in fits.to_dict("records"):
        voi = str(fit["voi"])
        if is_target(voi):
            found[voi] = voi_dose(
                organ_of(voi),
                volume_ml=volume_ml[voi],
                density_g_per_ml=density_g_per_ml(organ_of(voi), soft_tissue_g_per_ml),
                tia_mbq_h=fit["tia_mbq_h"],
                tia_std_mbq_h=fit["tia_std_mbq_h"],
                tia_uncorrected_mbq_h=fit["tia_uncorrected_mbq_h"],
                nuclide=nuclide,
            )
    return found


def flags_of(*tables: pd.DataFrame) -> dict[str, set[str]]:
    """Return VOI -> all flags it got in some tables (columns voi, flags separated by semicolons)."""
    found: dict[str, set[str]] = {}
    for table in tables:
        for voi, cell in zip(table["voi"], table["flags"], strict=True):
            found.setdefault(str(voi), set()).update(flag for flag in str(cell).split(";") if flag)
    return found


def _row(dose: VoiDose, voxels_gy: np.ndarray, administered_mbq: float, flags: set[str]) -> dict[str, Any]:
    """Return the numbers of a row of the dose table."""
    per_gbq = dose.dose_gy / administered_mbq * MBQ_PER_GBQ
    raised = flags | ({"implausible_dose"} if is_implausible(dose.organ, per_gbq) else set())
    return {
        "mass_g": dose.mass_g, "volume_ml": dose.volume_ml, "tia_mbq_h": dose.tia_mbq_h,
        "tia_uncorrected_mbq_h": dose.tia_uncorrected_mbq_h, "dose_gy": dose.dose_gy, "dose_std_gy": dose.dose_std_gy,
        "dose_uncorrected_gy": dose.dose_uncorrected_gy, "dose_voxel_gy": float(voxels_gy.mean(dtype=np.float64)),
        "dose_gy_per_gbq": per_gbq, "flags": ";".join(sorted(raised)),
    }  # fmt: skip


def dose_rows(
    parts: Mapping[str, VoiDose],
    voxels_gy: Mapping[str, np.ndarray],
    flags: Mapping[str, set[str]],
    administered_mbq: float,
) -> Rows:
    """Return the rows of VOIs and of organs (level `voi`, `organ`); an organ sums energy and mass over its VOIs."""
    rows = [
        {"voi": voi, "level": "voi", **_row(dose, voxels_gy[voi], administered_mbq, flags[voi])}
        for voi, dose in parts.items()
    ]
    for organ, members in _organs(parts).items():
        together = np.concatenate([voxels_gy[voi] for voi in members])
        raised = set().union(*(flags[voi] for voi in members))
        whole = organ_dose([parts[voi] for voi in members])
        rows.append({"voi": organ, "level": "organ", **_row(whole, together, administered_mbq, raised)})
    return rows


def dvh_rows(parts: Mapping[str, VoiDose], voxels_gy: Mapping[str, np.ndarray], n_bins: int) -> Rows:
    """Return the dose-volume histograms of a map: a curve for each VOI, and one for all lesions together."""
    curves = {voi: voxels_gy[voi] for voi, dose in parts.items() if dose.organ != LESIONS}
    if LESIONS in _organs(parts):
        curves[LESIONS] = np.concatenate([voxels_gy[voi] for voi in _organs(parts)[LESIONS]])
    rows = []
    for voi, values in curves.items():
        levels, volume = cumulative_dvh(values, n_bins)
        rows += [{"voi": voi, "dose_gy": gy, "volume_fraction": part} for gy, part in zip(levels, volume, strict=True)]
    return rows


def _organs(parts: Mapping[str, VoiDose]) -> dict[str, list[str]]:
    """Return organ -> its VOIs."""
    found: dict[str, list[str]] = {}
    for voi, dose in parts.items():
        found.setdefault(dose.organ, []).append(voi)
    return found
