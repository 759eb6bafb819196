"""From the fitted curves of a cycle to its dose map and the rows of the dose tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage

from theradose.cohort.budget import Budgets
from theradose.cohort.density import density_by_ct
from theradose.cohort.layout import CYCLE_PREFIX, Dataset
from theradose.cohort.time_points import ct_row, mask_row, verified
from theradose.errors import DataError, Where
from theradose.imaging.activity import activity_per_voxel_mbq, whole_labels
from theradose.imaging.grid import Grid
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
from theradose.physics.engines import LUNGS, DoseEngine, density_g_per_ml, dose_engine
from theradose.physics.kinetic_tia import POINTS_OF_A_DECAY
from theradose.physics.nuclides import Nuclide
from theradose.physics.organ_level import cross_doses_gy, share_of_surroundings
from theradose.physics.voxel_fit import FITTED, fit_voxels
from theradose.vocabulary import LESIONS, VOIS, is_target, organ_of, voi_of_label

MBQ_PER_GBQ = 1000.0
MOSTLY = 0.5
# How well a voxel is known in fits of voxels, as a part of its activity, which counts as no less than a part of its
# largest: own choice for reconstructed images. It weighs images and tells curves from noise; no dose scales with it.
VOXEL_STD, LEAST_OF_LARGEST = 0.10, 0.10
Rows = list[dict[str, Any]]
Images = tuple[list[Volume], list[float]]  # in Bq/mL, at hours after administration


def region_tia_mbq_h(fits: pd.DataFrame, labels: np.ndarray, column: str = "tia_uncorrected_mbq_h") -> dict[int, float]:
    """Return label -> TIA of every label in a mask; DataError when one has no curve (schema TIAC)."""
    found = dict(zip(fits["voi"], fits[column], strict=True))
    present = [int(label) for label in np.unique(labels) if label]
    lost = [voi_of_label(label) for label in present if voi_of_label(label) not in found]
    if lost:
        raise DataError("VOI of the mask has no time-activity curve", got=lost, code="THR-246")
    return {label: float(found[voi_of_label(label)]) for label in present}


@dataclass(frozen=True)
class Scene:
    """A cycle ready for dosimetry: labels and densities on one grid, radionuclide, engine, unlabelled TIA (MBq.h).

    `voi_density_g_per_ml` holds the mean of each VOI on the label map. Where the mask does not say what is body (no
    remainder), everything is.
    """

    grid: Grid
    labels: np.ndarray
    density_g_per_ml: np.ndarray
    nuclide: Nuclide
    engine: DoseEngine
    unlabelled_tia_mbq_h: np.ndarray
    in_body: np.ndarray
    voi_density_g_per_ml: Mapping[str, float]

    def dose_gy(self, tia_mbq_h: np.ndarray) -> np.ndarray:
        """Return the dose of every voxel in Gy, (z, y, x), of a TIA per voxel in MBq.h; zero outside the body."""
        dose = self.engine.dose_gy(tia_mbq_h, self.density_g_per_ml, self.grid.spacing_zyx_mm, self.nuclide)
        return np.where(self.in_body, dose, 0.0)

    def dose_map(self, tia: Volume) -> Volume:
        """Return the dose map in Gy, float32, of a map of TIA in MBq.h."""
        dose = self.dose_gy(tia.values.astype(np.float64))
        return Volume(dose.astype(np.float32), self.grid, "Gy")

    def cross_gy(self, tia_mbq_h: Sequence[Mapping[int, float]]) -> list[dict[int, float]]:
        """Return, for each set of TIAs, label -> dose in Gy from outside it."""
        return cross_doses_gy(
            self.labels, tia_mbq_h, density_g_per_ml=self.density_g_per_ml, spacing_zyx_mm=self.grid.spacing_zyx_mm,
            nuclide=self.nuclide, engine=self.engine, unlabelled_tia_mbq_h=self.unlabelled_tia_mbq_h,
        )  # fmt: skip


def scene(
    images: Sequence[Volume],
    times_h: Sequence[float],
    labels: np.ndarray,
    *,
    engine: str,
    soft_tissue_g_per_ml: float,
    nuclide: Nuclide,
    ct: Volume | None = None,
) -> Scene:
    """Return what the dose of a cycle is computed on, from images in Bq/mL at their times, on the grid of the labels.

    Densities are those of the labels' organs, or, with a CT in HU, of the voxels. What has no label lies outside the
    body when the mask holds the remainder of it, and gets trapezoids with physical decay otherwise.
    """
    unlabelled, in_body = np.zeros(labels.shape), labels > 0
    if not (labels == VOIS["remainder"].label).any():
        in_body = np.ones_like(in_body)
        activity = [activity_per_voxel_mbq(image) for image in images]
        unlabelled = np.where(labels == 0, unlabelled_tia_mbq_h(activity, times_h, nuclide), 0.0)
    present = [int(label) for label in np.unique(labels[labels > 0])]
    table = np.full(int(labels.max()) + 1, soft_tissue_g_per_ml)
    for label in present:
        table[label] = density_g_per_ml(organ_of(voi_of_label(label)), soft_tissue_g_per_ml)
    density, means = table[labels], table[present]
    if ct is not None:
        density = density_by_ct(ct, images[0].grid, labels, density)
        means = np.asarray(ndimage.mean(density, labels, present))
    of_voi = {voi_of_label(label): float(mean) for label, mean in zip(present, means, strict=True)}
    return Scene(images[0].grid, labels, density, nuclide, dose_engine(engine), unlabelled, in_body, of_voi)


def opened(
    data: Dataset, own: pd.DataFrame, *, engine: str, density: str, density_g_per_ml: float, nuclide: Nuclide
) -> tuple[Scene, Images]:
    """Return what the dose of a cycle is computed on, and the images of its rows (schema IMAGES) with their times.

    `density` is that of `labels`, or by `ct`. The mask is that of the first image; GeometryError on another grid.
    """
    spect, times = [verified(row) for _, row in own.iterrows()], own["time_h"].tolist()
    patient, cycle = str(own["patient"].iloc[0]), own["cycle"].iloc[0]
    at = (patient, f"{CYCLE_PREFIX}{cycle}", times[0])
    mask = data.load(mask_row(data.rows(patient, "mask"), *at))
    spect[0].grid.require_same(mask.grid, "mask", Where(patient=patient))
    ct = data.load(ct_row(data.rows(patient, "ct"), *at)) if density == "ct" else None
    known: dict[str, Any] = {"engine": engine, "soft_tissue_g_per_ml": density_g_per_ml, "nuclide": nuclide}
    try:
        return scene(spect, times, whole_labels(mask), ct=ct, **known), (spect, times)
    except DataError as error:
        raise error.at(patient=patient) from None


def tia_map(
    place: Scene,
    images: Sequence[Volume],
    times_h: Sequence[float],
    tia_mbq_h: Mapping[int, float],
    method: str = "shares",
) -> tuple[Volume, dict[str, float]]:
    """Return the TIA of every voxel in MBq.h, float32, and what its sidecar says of the method.

    The voxels of a region share its own TIA in `tia_mbq_h` by their time-weighted activity; with `voxel_fit` by the
    mono-exponential of each, where one can be fitted to two images or more (VoxelsFitted: part of the labelled voxels).
    """
    activity = [activity_per_voxel_mbq(image) for image in images]
    spread = voxel_tia_mbq_h(activity, times_h, place.labels, tia_mbq_h)
    about = {} if method == "shares" else {"VoxelsFitted": 0.0}
    if about and len(images) >= POINTS_OF_A_DECAY:
        series, labelled = np.stack(activity), place.labels > 0
        std = VOXEL_STD * np.maximum(np.abs(series), LEAST_OF_LARGEST * np.abs(series).max(axis=0))
        fit = fit_voxels(times_h, series, std, half_life_h=place.nuclide.half_life_h, mask=labelled)
        fitted = fit.status == FITTED
        each = np.where(fitted, fit.tia, spread)
        spread = voxel_tia_mbq_h([each], [1.0], place.labels, tia_mbq_h)
        about["VoxelsFitted"] = float(fitted[labelled].mean())
    return Volume((spread + place.unlabelled_tia_mbq_h).astype(np.float32), place.grid, "MBq.h"), about


def voi_doses(
    fits: pd.DataFrame, volume_ml: Mapping[str, float], soft_tissue_g_per_ml: float, place: Scene
) -> dict[str, VoiDose]:
    """Return VOI -> dose of every target VOI of a cycle from its fitted curves (schema TIAC), cross-dose included.

    A VOI that is not on the label map of the scene gets no cross-dose, and the density of its organ.
    """
    columns = ("tia_mbq_h", "tia_uncorrected_mbq_h")
    crossed = place.cross_gy([region_tia_mbq_h(fits, place.labels, column) for column in columns])
    cross, plain = ({voi_of_label(label): gy for label, gy in part.items()} for part in crossed)
    found = {}
    for fit in fits.to_dict("records"):
        voi = str(fit["voi"])
        if is_target(voi):
            found[voi] = voi_dose(
                organ_of(voi),
                volume_ml=volume_ml[voi],
                density_g_per_ml=place.voi_density_g_per_ml.get(
                    voi, density_g_per_ml(organ_of(voi), soft_tissue_g_per_ml)
                ),
                tia_mbq_h=fit["tia_mbq_h"],
                tia_std_mbq_h=fit["tia_std_mbq_h"],
                tia_uncorrected_mbq_h=fit["tia_uncorrected_mbq_h"],
                nuclide=place.nuclide,
                engine=place.engine,
                cross_gy=cross.get(voi, 0.0),
                cross_uncorrected_gy=plain.get(voi, 0.0),
            )
    return found


def _in_lung(place: Scene) -> list[str]:
    """Return the VOIs that lie in lung, where the kernel of soft tissue is not valid."""
    if not place.engine.crossfire:
        return []
    lungs = [voi.label for voi in VOIS.values() if voi.organ == LUNGS]
    present = (int(label) for label in np.unique(place.labels) if label)
    names = {label: voi_of_label(label) for label in present}
    targets = [label for label, voi in names.items() if is_target(voi)]
    return [names[n] for n in targets if share_of_surroundings(place.labels, n, lungs) > MOSTLY]


def flags_of(*tables: pd.DataFrame, place: Scene | None = None) -> dict[str, set[str]]:
    """Return VOI -> all flags it got in some tables (columns voi, flags with semicolons between) or by its place."""
    found: dict[str, set[str]] = {}
    for table in tables:
        for voi, cell in zip(table["voi"], table["flags"], strict=True):
            found.setdefault(str(voi), set()).update(flag for flag in str(cell).split(";") if flag)
    for voi in _in_lung(place) if place else []:
        found.setdefault(voi, set()).add("kernel_in_lung")
    return found


def _row(
    dose: VoiDose, voxels_gy: np.ndarray, administered_mbq: float, flags: set[str], relative_std: float
) -> dict[str, Any]:
    """Return the numbers of a row of the dose table."""
    per_gbq = dose.dose_gy / administered_mbq * MBQ_PER_GBQ
    raised = flags | ({"implausible_dose"} if is_implausible(dose.organ, per_gbq) else set())
    return {
        "mass_g": dose.mass_g, "volume_ml": dose.volume_ml, "tia_mbq_h": dose.tia_mbq_h,
        "tia_uncorrected_mbq_h": dose.tia_uncorrected_mbq_h, "dose_gy": dose.dose_gy,
        "dose_std_gy": dose.dose_gy * relative_std, "dose_uncorrected_gy": dose.dose_uncorrected_gy,
        "dose_cross_gy": dose.dose_cross_gy, "dose_rbe_gy": dose.dose_rbe_gy,
        "dose_voxel_gy": float(voxels_gy.mean(dtype=np.float64)),
        "dose_gy_per_gbq": per_gbq, "flags": ";".join(sorted(raised)),
    }  # fmt: skip


def dose_rows(
    parts: Mapping[str, VoiDose],
    voxels_gy: Mapping[str, np.ndarray],
    flags: Mapping[str, set[str]],
    administered_mbq: float,
    budgets: Budgets,
) -> Rows:
    """Return the rows of VOIs and of organs (level `voi`, `organ`); an organ sums energy and mass over its VOIs."""
    rows = [
        {
            "voi": voi, "level": "voi",
            **_row(dose, voxels_gy[voi], administered_mbq, flags[voi], budgets.relative_std("voi", voi)),
        }
        for voi, dose in parts.items()
    ]  # fmt: skip
    for organ, members in _organs(parts).items():
        together = np.concatenate([voxels_gy[voi] for voi in members])
        raised = set().union(*(flags[voi] for voi in members))
        whole = organ_dose([parts[voi] for voi in members])
        numbers = _row(whole, together, administered_mbq, raised, budgets.relative_std("organ", organ))
        rows.append({"voi": organ, "level": "organ", **numbers})
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
