"""Draw the pictures of docs/virtual-patients.md: patients, time-activity curves, a page of a cohort, distributions.

Run `python scripts/virtual_pictures.py` (about a minute of one core). Virtual patients; research use only.
"""

import argparse
import base64
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image
from scipy.ndimage import median_filter

from theradose.cohort.virtual.activity import tumour_volume_ml
from theradose.cohort.virtual.exposures import exposure_of_many
from theradose.cohort.virtual.outcomes import FOLLOW_UP_MONTHS, Exposure, kidney_bed_gy, latency_of
from theradose.cohort.virtual.patient import VirtualPatient, virtual_patient
from theradose.cohort.virtual.scans import FIRST_PET_H, ct_scan, pet_scan, spect_scan
from theradose.cohort.virtual.tier_one import TierOne, tier_one
from theradose.cohort.virtual.truth import dose_map, truth_of_vois
from theradose.evaluation import figures as house
from theradose.evaluation import figures_planes as planes
from theradose.evaluation.figures import FAINT, INK, MUTED, PAPER, SERIES_COLOURS
from theradose.evaluation.figures_overlay import AIR_HU, CT_WINDOW_HU, DOSE_MAP, dose_axis, nice_levels, view
from theradose.evaluation.figures_planes import Slice, colour_bar, coronal_mip
from theradose.evaluation.figures_projections import ACTIVITY_MAP, BQ_PER_KBQ, MIP_CEILING
from theradose.imaging.volume import Volume
from theradose.physics.nuclides import nuclide
from theradose.physics.units import BQ_PER_MBQ
from theradose.vocabulary import LESION_LABEL_FROM, organ_of, voi_of_label

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
SEED = 20260115  # that of config/demo.yaml
WORLD = {"difficulty": "xue_like", "texture_coupling": 0.6, "cycles": 4}
CENTRES, RADIONUCLIDE, SPECT_TIMES_H, G_PER_KG = ("north", "south"), "Lu-177", (4.0, 24.0, 72.0, 168.0), 1000.0
TIERS = {"tier 1, closed form": "closed_form", "tier 2, ODE": "ode"}
DRUGS = {"psma": "177Lu-PSMA", "dotatate": "177Lu-DOTATATE"}
EXAMPLES = {"psma": 4, "dotatate": 12}  # numbers of the patients that stand for their ligand, from 0
COHORT, MANY, SHOWN = 12, 20000, 2000
CURVES = ("kidneys", "parotids", "liver", "spleen", "marrow", "lesion_01", "lesion_02", "remainder")
TITLES = {"pet": "68Ga PET after 50 min, MIP", "ct": "CT through the kidneys", "dose": "Dose of cycle 1 over CT"}
TITLES |= {"ct2": "CT, axial", "dose2": "Dose, axial"}
NOTICE = "VIRTUAL patients made by a computer: no person was imaged. Research use only."
SUV_TOP, DOSE_PERCENTILE, WHITE, DPI, BITS = 15.0, 99.0, "#e6e6e6", 115, 7
LEAST_PART, MEDIAN_VOXELS, FIRST_LINE = 0.13, 5, 1.5
# No dose is drawn where the median about a voxel is below 13 % of the colour scale, so that the CT stays clean; isodose
# lines begin at 1.5 times the scale's top, to tell what the colours cannot.
MIP_SEEN = (-215.0, 215.0, -384.0, 384.0)
Extent = tuple[float, float, float, float]


def patient_of(index: int, ligand: str, kinetics: str = "closed_form") -> VirtualPatient:
    """Return a patient of the demo's seed on the fine grid."""
    return virtual_patient(SEED, index, ligand=ligand, kinetics=kinetics, centres=CENTRES, spacing_mm=4.0, **WORLD)


def suv_of(patient: VirtualPatient) -> Volume:
    """Return the PET in SUV by body weight; the image is decay-corrected to the injection."""
    pet = pet_scan(patient, WORLD["difficulty"], "Ga-68", FIRST_PET_H)
    bq_per_g = patient.administered_pet_mbq * BQ_PER_MBQ / (float(patient.body.weight_kg) * G_PER_KG)
    return pet.with_values(pet.values / bq_per_g, "g/mL")


def labels_of(patient: VirtualPatient, name: str) -> list[int]:
    """Return the labels of an organ or VOI."""
    vois = {label: voi_of_label(label) for label in patient.anatomy.volumes_ml()}
    return [label for label, voi in vois.items() if name in (voi, organ_of(voi))]


def activity_mbq(patient: VirtualPatient, name: str, times_h: Sequence[float]) -> list[float]:
    """Return the true activity of an organ or VOI in MBq at times after the first cycle."""
    decay_per_h, own = nuclide(RADIONUCLIDE).lambda_per_h, labels_of(patient, name)
    at = [patient.label_activities_mbq(time_h, decay_per_h, cycle=1) for time_h in times_h]
    return [sum(mbq[label] for label in own) for mbq in at]


def kidney_planes_mm(patient: VirtualPatient, ct: Volume) -> tuple[float, float]:
    """Return (z, y): the axial plane through the kidneys' middle, the coronal one in them that holds most tumour."""
    z, y, _ = planes.coordinates_mm(ct)
    kidneys = np.isin(patient.anatomy.labels, labels_of(patient, "kidneys"))
    depth, tumour = kidneys.sum(axis=(0, 2)), (patient.anatomy.labels >= LESION_LABEL_FROM).sum(axis=(0, 2))
    best = (tumour * (depth > 0.7 * depth.max()) + depth / (1.0 + depth.max())).argmax()
    return float(z[kidneys.sum(axis=(1, 2)).argmax()]), float(y[best])


def about(patient: VirtualPatient) -> str:
    """Return one line on a patient."""
    body = patient.body
    return (
        f"Virtual patient {patient.name}, {DRUGS[patient.ligand]}: {'woman' if body.female else 'man'} of "
        f"{float(body.age_y):.0f}, {float(body.weight_kg):.0f} kg, eGFR {float(body.egfr_ml_min):.0f} mL/min, "
        f"{len(patient.lesions)} lesions of {tumour_volume_ml(patient.anatomy):.0f} mL, "
        f"{patient.administered_mbq / 1000:.1f} GBq in cycle 1"
    )


def page(title: str, height_in: float) -> Figure:
    """Return an empty figure with a title and, below, the notice that nobody was imaged."""
    figure = house.canvas(height_in=height_in)
    figure.suptitle(title, x=0.01, ha="left", fontsize=9.5, fontweight="bold")
    figure.supxlabel(NOTICE, fontsize=8, color=MUTED)
    return figure


def show(axes: Axes, plane: Slice, cmap: str, limits: tuple[float, float], seen: Extent) -> None:
    """Draw a plane with sides and a length."""
    house.image_axis(axes)
    scale = {"cmap": cmap, "vmin": limits[0], "vmax": limits[1], "interpolation": "bilinear"}
    axes.imshow(plane.values, extent=plane.extent_mm, origin="lower", **scale)
    axes.set(xlim=seen[:2], ylim=seen[2:])
    planes.side_marks(axes, Slice(plane.values, seen), MUTED if cmap == ACTIVITY_MAP else WHITE)


def doses_over_ct(axes: Sequence[Axes], cts: Sequence[Slice], doses: Sequence[Slice], seen: Sequence[Extent]) -> float:
    """Draw planes of the dose over the CT, the first with isodose lines; return the top of the colour scale in Gy."""
    values = np.concatenate([plane.values.ravel() for plane in doses])
    high = float(np.percentile(values[values > 0], DOSE_PERCENTILE))
    levels = [level for level in nice_levels(float(values.max())) if level > FIRST_LINE * high]
    for number, (one, ct, plane, own) in enumerate(zip(axes, cts, doses, seen, strict=True)):
        low = median_filter(plane.values, MEDIAN_VOXELS) < LEAST_PART * high
        drawn = Slice(np.where(low, 0.0, plane.values), plane.extent_mm)
        dose_axis(one, ct, CT_WINDOW_HU, drawn, (high, [] if number else levels))
        one.set(xlim=own[:2], ylim=own[2:])
        planes.side_marks(one, Slice(plane.values, own), WHITE)
    return high


def spect_row(figure: Figure, patient: VirtualPatient, seen: Extent) -> None:
    """Draw the projections of all SPECTs on one scale."""
    images = [spect_scan(patient, time_h, RADIONUCLIDE) for time_h in SPECT_TIMES_H]
    mips = [coronal_mip(image.with_values(image.values / BQ_PER_KBQ, "kBq/mL")) for image in images]
    high = float(np.percentile(np.concatenate([mip.values for mip in mips]), MIP_CEILING))
    row = figure.subplots(1, len(mips))
    for axes, mip, time_h in zip(row, mips, SPECT_TIMES_H, strict=True):
        show(axes, mip, ACTIVITY_MAP, (0, high), seen)
        axes.set_title(f"177Lu SPECT after {time_h:g} h, MIP")
    colour_bar(figure, list(row), ACTIVITY_MAP, (0, high), "activity (kBq/mL), one scale for all")


@house.styled
def patient_page(patient: VirtualPatient) -> Figure:
    """Return CT, PET, dose map over CT and the SPECTs of a patient."""
    ct, dose = ct_scan(patient), dose_map(patient, RADIONUCLIDE)
    z_mm, y_mm = kidney_planes_mm(patient, ct)
    cts, doses = [(planes.coronal(image, y_mm), planes.axial(image, z_mm)) for image in (ct, dose)]
    seen = [view(plane, AIR_HU) for plane in cts]
    figure = page(about(patient), 8.9)
    top, bottom = figure.subfigures(2, 1)
    mosaic = top.subplot_mosaic([["pet", "ct", "dose", "ct2"], ["pet", "ct", "dose", "dose2"]])
    show(mosaic["pet"], coronal_mip(suv_of(patient)), ACTIVITY_MAP, (0, SUV_TOP), seen[0])
    for name, plane, own in zip(("ct", "ct2"), cts, seen, strict=True):
        show(mosaic[name], plane, "gray", CT_WINDOW_HU, own)
    high = doses_over_ct([mosaic["dose"], mosaic["dose2"]], cts, doses, seen)
    for name, axes in mosaic.items():
        axes.set_title(TITLES[name])
    colour_bar(top, [mosaic["pet"]], ACTIVITY_MAP, (0, SUV_TOP), "SUV (g/mL)")
    colour_bar(top, [mosaic["ct2"], mosaic["dose2"]], DOSE_MAP, (0, high), "absorbed dose (Gy)")
    spect_row(bottom, patient, seen[0])
    return figure


@house.styled
def curves_page(tiers: dict[str, VirtualPatient]) -> Figure:
    """Return time-activity curves of one patient in both tiers, and what SPECT shows in the true VOIs, uncorrected."""
    first, styles = next(iter(tiers.values())), dict(zip(tiers, (("-", "o", INK), ("--", "s", PAPER)), strict=True))
    times_h = np.geomspace(0.1, 200.0, 60).tolist()
    figure = page(about(first).replace(": ", "\n", 1), 5.6)
    panels = dict(zip(CURVES, figure.subplots(2, 4).ravel(), strict=True))
    for tier, patient in tiers.items():
        line, mark, _ = styles[tier]
        images = [spect_scan(patient, time_h, RADIONUCLIDE) for time_h in SPECT_TIMES_H]
        for name, axes in panels.items():
            colour, inside = house.organ_colour(name), np.isin(patient.anatomy.labels, labels_of(patient, name))
            face = colour if mark == "o" else PAPER
            seen = [image.values[inside].sum() * image.grid.voxel_ml / BQ_PER_MBQ for image in images]
            axes.plot(times_h, activity_mbq(patient, name, times_h), line, color=colour)
            axes.plot(SPECT_TIMES_H, seen, mark, color=colour, mfc=face, mec=colour, ms=4.5)
    for name, axes in panels.items():
        site = {lesion.voi: f", {house.words(lesion.site)}" for lesion in first.lesions}.get(name, "")
        axes.set_title(house.words(name) + site, fontsize=8.5)
        axes.set(xscale="log", xlim=(0.1, 210), xticks=[0.1, 1, 4, 24, 72, 168], ylim=(0, None))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.minorticks_off()
    figure.supxlabel(f"hours after injection, log scale\n{NOTICE}", fontsize=8.5)
    figure.supylabel("activity in the VOI (MBq), not decay-corrected", fontsize=8.5)
    handles = [Line2D([], [], color=INK, ls=ls, marker=m, mfc=f, label=t) for t, (ls, m, f) in styles.items()]
    words = {"title": "lines: truth; marks: SPECT, uncorrected", "ncols": 2, "handlelength": 3.5}
    figure.legend(handles=handles, loc="outside upper right", **words)
    return figure


@house.styled
def cohort_page(patients: Sequence[VirtualPatient]) -> Figure:
    """Return the PET projections of patients, with the planted kidney dose and the tumour volume."""
    figure = page(f"The first {len(patients)} virtual patients of seed {SEED}, 68Ga-PSMA PET after 50 min, MIP", 7.2)
    panels = figure.subplots(2, len(patients) // 2)
    for axes, patient in zip(panels.ravel(), patients, strict=True):
        show(axes, coronal_mip(suv_of(patient)), ACTIVITY_MAP, (0, SUV_TOP), MIP_SEEN)
        axes.set_title(f"{patient.name}, {float(patient.body.weight_kg):.0f} kg", fontsize=8.5)
        vois = truth_of_vois(patient, RADIONUCLIDE).set_index("voi").filter(like="kidney", axis=0)
        gy_per_gbq = np.average(vois["dose_gy_per_gbq"], weights=vois["mass_g"])
        axes.set_xlabel(
            f"kidneys {gy_per_gbq:.2f} Gy/GBq\ntumour {tumour_volume_ml(patient.anatomy):.0f} mL", color=INK, fontsize=8
        )
    colour_bar(figure, list(panels.ravel()), ACTIVITY_MAP, (0, SUV_TOP), "SUV (g/mL)")
    return figure


def histogram(axes: Axes, values: dict[str, np.ndarray], edges: np.ndarray, title: str, label: str) -> None:
    """Draw distributions, their medians as dashed lines."""
    for row, ((name, own), colour) in enumerate(zip(values.items(), SERIES_COLOURS, strict=False)):
        share = np.full(own.size, 100.0 / own.size)
        axes.hist(own, edges, weights=share, histtype="stepfilled", fc=(colour, 0.15), ec=colour, linewidth=1.2)
        axes.axvline(float(np.median(own)), color=colour, linewidth=1.0, dashes=(4, 2))
        house.corner(axes, "\n" * row + f"{name}: median {np.median(own):.3g}", right=True, colour=colour)
    axes.set(title=title, xlabel=label, ylabel="patients (%)", xlim=edges[[0, -1]], ylim=(0, 1.12 * axes.get_ylim()[1]))


def cloud(axes: Axes, x: np.ndarray, y: np.ndarray, title: str, label: str) -> None:
    """Draw some patients, the median of y in ten equally full classes of x, and the rank correlation of all."""
    axes.plot(x[:SHOWN], y[:SHOWN], ".", color=SERIES_COLOURS[0], ms=2.5, alpha=0.4, mew=0)
    middle = pd.DataFrame({"x": x, "y": y}).groupby(pd.qcut(x, 10, labels=False)).median()
    axes.plot(middle["x"], middle["y"], "-o", color=INK, ms=3, linewidth=1.2)
    rank = pd.Series(x).corr(pd.Series(y), method="spearman")
    house.corner(axes, f"PSMA, rank correlation {rank:+.2f}".replace("-", house.MINUS), right=True)
    axes.set(title=title, xlabel=label, ylabel="kidneys (Gy/GBq)", ylim=(0, float(np.percentile(y, 99.5))))


def latencies(axes: Axes, cohort: TierOne, exposure: Exposure) -> None:
    """Draw the months to the first fall of eGFR by 10 %, those who were seen to fall apart from those who were not."""
    found = latency_of(exposure, cohort.latents.z("latency"), cohort.latents.z("dropout"))
    months, seen = np.asarray(found.time_months), np.asarray(found.observed) == 1
    shown = {"color": [SERIES_COLOURS[0], FAINT], "label": ["fall seen", "left, or end after 36 months"]}
    share = [own * 100.0 / months.size for own in (seen, ~seen)]
    axes.hist([months, months], np.arange(0, FOLLOW_UP_MONTHS + 3, 2), weights=share, stacked=True, **shown)
    axes.legend(loc="upper left", title=f"PSMA: {100 * (1 - seen.mean()):.0f} % censored", alignment="left")
    axes.set(xlabel="months to a fall of eGFR by 10 %", ylabel="patients (%)", title="Latency")


@house.styled
def distributions_page(cohorts: dict[str, TierOne]) -> Figure:
    """Return distributions over tier-1 patients of both ligands, and what the kidney dose of PSMA patients hangs on."""
    exposures, psma = {ligand: exposure_of_many(own) for ligand, own in cohorts.items()}, cohorts["psma"]
    names = {ligand: drug.removeprefix("177Lu-") for ligand, drug in DRUGS.items()}
    gy_per_gbq = {names[ligand]: np.asarray(own.dose_gy_per_gbq["kidneys"][0]) for ligand, own in cohorts.items()}
    bed_gy = {names[ligand]: np.asarray(kidney_bed_gy(exposure)) for ligand, exposure in exposures.items()}
    tumour_ml, egfr = np.asarray(psma.body.tumour_volume_ml), np.asarray(psma.body.egfr_ml_min)
    figure = page(f"{MANY} virtual patients of each ligand without images (tier 1), 177Lu, four cycles", 5.6)
    dose, bed, tumour, function, sink, latency = figure.subplots(2, 3).ravel()
    histogram(dose, gy_per_gbq, np.linspace(0, 1.5, 46), "Kidney dose", "kidneys, cycle 1 (Gy/GBq)")
    histogram(bed, bed_gy, np.linspace(0, 60, 46), "Kidney BED", "kidneys, BED over four cycles (Gy)")
    histogram(tumour, {"both ligands": tumour_ml}, np.geomspace(2, 3000, 46), "Tumour", "tumour volume (mL)")
    cloud(function, egfr, gy_per_gbq["PSMA"], "Kidney function", "true eGFR (mL/min)")
    cloud(sink, tumour_ml, gy_per_gbq["PSMA"], "Sink", "tumour volume (mL)")
    latencies(latency, psma, exposures["psma"])
    for axes in (tumour, sink):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    return figure


def save(figure: Figure, name: str) -> None:
    """Write a figure to docs/pictures as a PNG with 128 levels of each colour, which keeps it small."""
    content = BytesIO(base64.b64decode(house.as_png(figure, name, dpi=DPI).uri.split(",")[1]))
    levels = [level >> (8 - BITS) << (8 - BITS) | level >> BITS for level in range(256)]
    image = Image.open(content).convert("RGB").point(levels * 3)
    image.save(PICTURES / name, optimize=True)
    print(f"{name}: {(PICTURES / name).stat().st_size / 1000:.0f} kB, {image.size[0]} x {image.size[1]}")


def many(ligand: str) -> TierOne:
    """Return patients without images."""
    return tier_one(SEED, MANY, ligand=ligand, radionuclide=RADIONUCLIDE, **WORLD)


def main() -> None:
    """Draw the pictures whose names hold the word asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="part of a picture's name")
    asked, chosen = parser.parse_args().only, EXAMPLES["psma"]
    draw = {
        "psma": lambda: patient_page(patient_of(chosen, "psma")),
        "dotatate": lambda: patient_page(patient_of(EXAMPLES["dotatate"], "dotatate")),
        "curves": lambda: curves_page({tier: patient_of(chosen, "psma", kind) for tier, kind in TIERS.items()}),
        "cohort": lambda: cohort_page([patient_of(index, "psma") for index in range(COHORT)]),
        "distributions": lambda: distributions_page({own: many(own) for own in DRUGS}),
    }
    for name, drawn in draw.items():
        if asked in name:
            save(drawn(), f"virtual-{name}.png")


if __name__ == "__main__":
    main()
