"""The report's pages on single patients: images at each time point, curves, dose map, dose-volume histograms."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from theradose.evaluation.figures import Picture, as_png, as_svg, words
from theradose.evaluation.figures_doses import dose_volume
from theradose.evaluation.figures_kinetics import time_activity
from theradose.evaluation.figures_overlay import dose_overlay, under_ct, under_spect
from theradose.evaluation.figures_planes import coordinates_mm
from theradose.evaluation.figures_projections import projections
from theradose.evaluation.report_patient_tables import dose_table, is_corrected, refused_fits, totals_table
from theradose.evaluation.results import StudyResults
from theradose.imaging.nifti import read_volume
from theradose.imaging.volume import Volume
from theradose.physics.nuclides import nuclide
from theradose.vocabulary import LESIONS, VOIS

EXAMPLES = 2
LEADING_ORGANS = ("kidneys", LESIONS, "liver")
MINUTES_BELOW_H = 2.0


def example_patients(study: StudyResults, count: int = EXAMPLES) -> dict[str, str]:
    """Return patients to show, each with the reason for the choice: the middle and the highest dose of one organ."""
    organs = study.organs
    led = next((organ for organ in LEADING_ORGANS if (organs["voi"] == organ).any()), None)
    if led is None:
        with_curves = sorted(set(study.table("tac")["patient"]))
        return dict.fromkeys((with_curves or study.usable)[:1], "the first patient")
    doses = organs[organs["voi"] == led].sort_values(["dose_gy_per_gbq", "patient"])["patient"].tolist()
    if len(doses) == 1:
        return {doses[0]: "the only patient"}
    chosen = {
        doses[len(doses) // 2]: f"the middle dose to {words(led)}",
        doses[-1]: f"the highest dose to {words(led)}",
    }
    return dict(list(chosen.items())[:count])


def _time(hours: float) -> str:
    """Return a time after administration in words."""
    return f"{60 * hours:.0f} min" if hours < MINUTES_BELOW_H else f"{hours:.3g} h"


def spect_images(study: StudyResults, patient: str) -> list[tuple[str, Volume]]:
    """Return the SPECT images of a patient's first cycle with their titles, as the dose was computed from them."""
    rows = study.images("quantify")
    rows = rows[(rows["patient"] == patient) & (rows["role"] == "spect") & (rows["cycle"] == 1)].sort_values("time_h")
    return [(f"SPECT {_time(r['time_h'])}", read_volume(Path(r["path"]), "Bq/mL")) for r in rows.to_dict("records")]


def pet_images(study: StudyResults, patient: str) -> list[tuple[str, Volume]]:
    """Return the first PET of a patient with its title, nothing when there is none."""
    rows = study.data.rows(patient, "pet")
    return [] if rows.empty else [(f"PET {_time(float(rows['time_h'].iloc[0]))}", study.data.load(rows.iloc[0]))]


def dose_image(study: StudyResults, patient: str) -> Volume | None:
    """Return the dose map of a patient's first cycle in Gy, None when there is none."""
    rows = study.images("dose")
    rows = rows[(rows["patient"] == patient) & (rows["role"] == "dose") & (rows["cycle"] == 1)]
    return None if rows.empty else read_volume(Path(rows["path"].iloc[0]), "Gy")


def _first(study: StudyResults, patient: str, modality: str) -> Volume | None:
    """Return a patient's first image of a kind, None when there is none."""
    rows = study.data.rows(patient, modality)
    return None if rows.empty else study.data.load(rows.iloc[0])


def plane_through(dose: Volume, mask: Volume | None) -> tuple[float, float]:
    """Return z and y (mm) of the planes to show: the middle of kidneys with a dose, else the highest dose."""
    labels = [VOIS[name].label for name in ("kidney_left", "kidney_right")]
    image = dose if mask is None else mask
    chosen = np.isin(image.values, labels)
    given = np.greater(dose.values, 0)
    if mask is None or chosen.shape != given.shape or not (chosen & given).any():
        image, chosen = dose, np.equal(dose.values, float(np.max(dose.values)))
    z, y, _ = coordinates_mm(image)
    where = np.argwhere(chosen)
    return float(np.median(z[where[:, 0]])), float(np.median(y[where[:, 1]]))


def images_picture(study: StudyResults, patient: str) -> Picture | None:
    """Return the projections of PET and of every SPECT time point, None without images."""
    pet, spect = pet_images(study, patient), spect_images(study, patient)
    if not pet and not spect:
        return None
    return as_png(
        projections(pet, spect),
        f"Maximum-intensity projections of patient {patient}",
        "Coronal maximum-intensity projections. All SPECT time points share one scale (activity at the time of the "
        "scan, "
        "so physical decay is visible); its end is the 99.5th percentile, hotter voxels are black.",
    )


def curves_picture(study: StudyResults, patient: str) -> Picture | None:
    """Return the time-activity curves of the first cycle, None without any."""
    tac, tiac = study.table("tac"), study.table("tiac")
    tac = tac[(tac["patient"] == patient) & (tac["cycle"] == 1)]
    tac = tac[tac["voi"].isin(set(tiac["voi"]))] if not tiac.empty else tac
    if tac.empty:
        return None
    tiac = tiac[(tiac["patient"] == patient) & (tiac["cycle"] == 1)]
    half_life_h = nuclide(study.settings.radionuclide).half_life_h
    return as_svg(
        time_activity(tac, tiac, half_life_h),
        f"Time-activity curves of patient {patient}",
        f"{_marks_words(study)} Line and band: fit with one standard uncertainty. Black dashes: physical decay of "
        f"{study.settings.radionuclide} ({half_life_h:.4g} h) from the highest point. Left: solid, circles; right: "
        "dashed, squares.",
    )


def _marks_words(study: StudyResults) -> str:
    """Return what the marks of the curves mean."""
    if not is_corrected(study):
        return "Marks: activity as measured, without recovery correction, with one standard uncertainty."
    return (
        "Filled marks: activity corrected for recovery and spill-in, with one standard uncertainty. Open grey marks: "
        "as the image shows it."
    )


def dose_picture(study: StudyResults, patient: str) -> Picture | None:
    """Return the dose map over the CT, or the first SPECT where there is none; None without a dose map."""
    dose = dose_image(study, patient)
    if dose is None or not float(np.max(dose.values)) > 0:
        return None
    ct, spect = _first(study, patient, "ct"), spect_images(study, patient)
    if ct is None and not spect:
        return None
    background = under_ct(ct) if ct is not None else under_spect(spect[0][1])
    under = "over the CT" if ct is not None else "over the first SPECT (the data set has no CT)"
    return as_png(
        dose_overlay(dose, background, plane_through(dose, _first(study, patient, "mask"))),
        f"Absorbed dose of patient {patient} {under}",
        f"Absorbed dose {under}; planes through the middle of the kidneys (else through the highest dose) and "
        "through the highest dose. "
        "One colour scale; isodose lines in Gy.",
    )


def dvh_picture(study: StudyResults, patient: str) -> Picture | None:
    """Return the dose-volume histograms of the first cycle, None without any."""
    dvh = study.table("dvh")
    dvh = dvh[(dvh["patient"] == patient) & (dvh["cycle"] == 1)]
    if dvh.empty:
        return None
    text = (
        "Cumulative dose-volume histograms from the dose map; the mark is D50, which half of the volume gets at least."
    )
    if is_corrected(study):
        text += (
            " The map keeps the blur of the images, which takes dose out of small VOIs; the table is corrected for it."
        )
    return as_svg(dose_volume(dvh), f"Dose-volume histograms of patient {patient}", text)


def patient_pages(study: StudyResults) -> Sequence[dict[str, Any]]:
    """Return what is shown of each example patient, none when there are neither images nor curves."""
    centres = study.table("patients").set_index("patient")["centre"]
    pages = []
    for patient, why in example_patients(study).items():
        page = {
            "patient": patient, "why": why, "centre": centres.get(patient, ""),
            "images": images_picture(study, patient),
            "curves": curves_picture(study, patient), "dose": dose_picture(study, patient),
            "dvh": dvh_picture(study, patient), "table": dose_table(study, patient),
            "totals": totals_table(study, patient), "refused": refused_fits(study, patient),
        }  # fmt: skip
        if any(page[part] is not None for part in ("images", "curves", "dose", "dvh")):
            pages.append(page)
    return pages
