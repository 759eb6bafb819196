"""A whole results folder as the steps would leave it, with few patients and small images, for tests of the report."""

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd

from theradose.cohort.budget import budget_of
from theradose.cohort.doses import dose_rows, flags_of
from theradose.cohort.layout import Dataset
from theradose.evaluation.labels import recovery_check
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import write_volume
from theradose.imaging.volume import Volume
from theradose.physics.dose import VoiDose
from theradose.physics.kinetics import fit_or_population
from theradose.physics.recovery_curve import volume_relative_std
from theradose.provenance import sha256_file, write_provenance
from theradose.tables import (
    BUDGET,
    DVH,
    FAULTS,
    FEATURES,
    IMAGES,
    ORGAN_DOSE,
    PARTICIPANTS,
    PATIENTS,
    QC,
    STABILITY,
    TAC,
    TIAC,
    write_table,
)
from theradose.truth_schemas import RECOVERY_CHECK, TRUTH_VOI
from theradose.vocabulary import CHAIN_COLUMNS, organ_of

GRID = Grid((24, 16, 20), (16.0, 16.0, 16.0), (-152.0, -120.0, -184.0))
BOXES = {  # label: centre (z, y, x) and half size in voxels
    5: ((9, 10, 13), (3, 2, 2)), 6: ((9, 10, 6), (3, 2, 2)), 7: ((13, 7, 6), (3, 3, 3)), 101: ((16, 8, 12), (1, 1, 1)),
}  # fmt: skip
VOIS = {5: "kidney_left", 6: "kidney_right", 7: "liver", 101: "lesion_01"}
HALF_LIVES_H = {"kidneys": 32.0, "liver": 31.0, "lesions": 55.0}
TIMES_H = (4.0, 24.0, 72.0, 168.0)
HALF_LIFE_H = 159.528
NASTY = "<script>alert('x')</script>"


def sibling(name):
    """Return a module beside this file; tests are no package, so it is read by path."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


experiments_tree = sibling("experiments_tree")


def labels():
    """Return the label mask of the small patient."""
    mask = np.zeros(GRID.shape_zyx, np.int16)
    for label, (centre, half) in BOXES.items():
        mask[tuple(slice(c - h, c + h + 1) for c, h in zip(centre, half, strict=True))] = label
    return mask


def planted(patients, rng):
    """Return the planted truth of small patients, schema TRUTH_VOI."""
    mask, rows = labels(), []
    for patient in patients:
        for label, voi in VOIS.items():
            mass = float((mask == label).sum()) * GRID.voxel_ml * 1.04
            tia = mass * 60.0 * float(rng.lognormal(0, 0.3))
            dose = 0.0853 * tia / mass
            t_eff = HALF_LIVES_H[organ_of(voi)] * float(rng.lognormal(0, 0.1))
            rows.append((patient, 1, voi, mass, tia, dose, dose / 7.4, t_eff, 0.02))
    return pd.DataFrame(rows, columns=TRUTH_VOI.names())


def write_images(data, patients, *, pet=True, ct=True):
    """Write mask, CT, PET and SPECT of small patients and their manifest."""
    mask, rows = labels(), []

    def save(patient, modality, values, unit, time_h=None):
        session = "ses-tx1" if modality == "spect" else "ses-pre"
        path = data.image_file(patient, modality, session, time_h if modality == "spect" else None)
        write_volume(Volume(values, GRID, unit), path)
        file = path.relative_to(data.root).as_posix()
        rows.append({"patient": patient, "session": session, "modality": modality, "time_h": time_h, "file": file})

    uptake = np.select([mask == 7, mask > 100, mask > 0], [4e4, 2e5, 1e5], 2e3).astype(np.float32)
    for patient in patients:
        save(patient, "mask", mask, "label")
        if ct:
            save(patient, "ct", np.where(mask > 0, 50, -20).astype(np.float32), "HU")
        if pet:
            save(patient, "pet", uptake, "Bq/mL", 1.0)
        for time in TIMES_H:
            save(patient, "spect", uptake * np.float32(2 ** (-time / 40)), "Bq/mL", time)
    data.write_manifest(pd.DataFrame(rows))


def write_people(data, patients, rng):
    """Write the participants table."""
    n = len(patients)
    people = pd.DataFrame({
        "patient": patients, "centre": [("north", "south")[i % 2] for i in range(n)],
        "weight_kg": rng.normal(84, 13, n).round(1), "height_cm": rng.normal(176, 7, n).round(),
        "administered_mbq": 7400.0,
        "radionuclide": "Lu-177", "age_y": rng.normal(71, 8, n).round(), "egfr_ml_min": rng.normal(80, 15, n).round(),
    })  # fmt: skip
    write_table(people, data.participants_file, PARTICIPANTS)
    return people


def write_check(root, people):
    """Write the outcome of the check: the last patient quarantined, the one before flagged, with a nasty reason."""
    table = people[["patient", "centre"]].assign(status="ok", reason="")
    table.loc[len(table) - 1, ["status", "reason"]] = ["quarantined", f"weight is missing {NASTY}"]
    table.loc[len(table) - 2, ["status", "reason"]] = ["flagged", "SPECT at 168 h was moved by 22 mm"]
    write_table(table, root / "check/patients.tsv", PATIENTS)
    faults = [("ERROR", "THR-017", table["patient"].iloc[-1], f"weight_kg is missing {NASTY}")]
    write_table(pd.DataFrame(faults, columns=FAULTS.names()), root / "check/faults.tsv", FAULTS)
    return table


def how_well_known(volume_ml, rc):
    """Return how well a VOI is known, in the order of CHAIN_COLUMNS: 4.8 mm voxels, rc = 1/(1 + k v^-n)."""
    outline = volume_relative_std(volume_ml, voxel_mm=4.8, fwhm_mm=2.0)
    known = {
        "volume_relative_std": outline, "recovery_slope": 0.45 * (1 - rc), "recovery_relative_std": 0.1 * (1 - rc),
        "counts_slope": 0.5, "calibration_relative_std": 0.03,
    }  # fmt: skip
    return [known[name] for name in CHAIN_COLUMNS]


def curves(truth, rng, times_h=TIMES_H, rising=()):
    """Return TAC and TIAC tables of planted VOIs: noisy points, blurred without correction, refused where they rise."""
    tac, tiac = [], []
    for row in truth.to_dict("records"):
        rate, t = math.log(2) / row["t_eff_h"], np.array(times_h)
        volume = row["mass_g"] / 1.04
        rc = 1 / (1 + (12.0 / volume) ** 0.45)
        clean = row["tia_mbq_h"] * rate * np.exp(-rate * t)
        clean = clean[0] * np.array([1.0, 1.3, 1.5, 1.6])[: len(t)] if row["voi"] in rising else clean
        noise = 0.03 + 0.05 / math.sqrt(volume)
        measured = clean * (1 + noise * rng.standard_normal(len(t)))
        for time, value in zip(t, measured, strict=True):
            tac.append((
                row["patient"], 1, row["voi"], time, value, noise * value, rc * value, rc, 0.0, volume,
                "geometric_transfer", "", *how_well_known(volume, rc),
            ))  # fmt: skip
        fit = fit_or_population(
            t, measured, noise * measured, half_life_h=HALF_LIFE_H, t_eff_h=60.0, t_eff_cv=0.25, models=("mono", "bi")
        )
        tiac.append((
            row["patient"], 1, row["voi"], "Lu-177", fit.model, fit.tia_mbq_h, fit.tia_std_mbq_h, rc * fit.tia_mbq_h,
            fit.tia_mbq_h / 7400, fit.tia_std_mbq_h / 7400, fit.t_eff_h, fit.tail_fraction, fit.aicc,
            json.dumps(fit.parameters), json.dumps(fit.covariance.tolist()), ";".join(fit.flags), fit.reason,
        ))  # fmt: skip
    return pd.DataFrame(tac, columns=TAC.names()), pd.DataFrame(tiac, columns=TIAC.names())


CROSS_SHARE = 0.02
MAP_OVER_S = {"kidneys": 1.01, "liver": 0.995, "lesions": 0.92}


def voi_doses(tiac, mass_g):
    """Return VOI -> dose of a patient by local deposition and a fixed share of cross-dose."""
    found = {}
    for row in tiac.to_dict("records"):
        mass, s = mass_g[row["voi"]], 0.0853 / mass_g[row["voi"]]
        dose, plain = s * row["tia_mbq_h"], s * row["tia_uncorrected_mbq_h"]
        found[row["voi"]] = VoiDose(
            organ_of(row["voi"]), mass / 1.04, mass, row["tia_mbq_h"], row["tia_uncorrected_mbq_h"], dose,
            s * row["tia_std_mbq_h"], plain, CROSS_SHARE * dose,
        )  # fmt: skip
    return found


def doses(tac, tiac, truth):
    """Return the tables of organ doses and of their budgets, per VOI and per organ, as the step would write them."""
    rows, budgets = [], []
    for patient, fits in tiac.groupby("patient"):
        mass_g = truth[truth["patient"] == patient].set_index("voi")["mass_g"]
        parts, points = voi_doses(fits, mass_g), tac[tac["patient"] == patient]
        voxels = {
            voi: np.full(round(d.volume_ml / GRID.voxel_ml), MAP_OVER_S[d.organ] * d.dose_uncorrected_gy)
            for voi, d in parts.items()
        }
        budget, key = budget_of(points, fits, parts), {"patient": patient, "cycle": 1}
        made = dose_rows(parts, voxels, flags_of(points, fits), 7400.0, budget)
        rows += [{**key, "radionuclide": "Lu-177", "engine": "kernel", **row} for row in made]
        budgets += [{**key, **row} for row in budget.rows()]
    return pd.DataFrame(rows, columns=ORGAN_DOSE.names()), pd.DataFrame(budgets, columns=BUDGET.names())


def write_dose_images(root, data, patients, organ_dose):
    """Write dose maps, their list and the histograms of chunk 0."""
    folder, images, histograms = root / "dose/chunk-0", [], []
    for patient in patients:
        mask = data.load_one(patient, "mask")
        labelled = np.asarray(mask.values)
        own = organ_dose[(organ_dose["patient"] == patient) & (organ_dose["level"] == "voi")].set_index("voi")
        values = np.zeros(labelled.shape, np.float32)
        rng = np.random.default_rng(len(images))
        for label in np.unique(labelled[labelled > 0]).tolist():
            voi = VOIS.get(label, f"lesion_{label - 100:02d}" if label > 100 else "")
            if voi in own.index:
                inside = labelled == label
                values[inside] = own.loc[voi, "dose_gy"] * rng.normal(1, 0.15, inside.sum()).clip(0.2)
                edges = np.linspace(0, values[inside].max(), 40)
                histograms += [(patient, 1, voi, d, float((values[inside] >= d).mean())) for d in edges]
        path = write_volume(Volume(values, mask.grid, "Gy"), folder / f"sub-{patient}_cycle-1_dose.nii.gz")
        images.append((patient, 1, "dose", None, path.name, sha256_file(path)))
    write_table(pd.DataFrame(images, columns=IMAGES.names()), folder / "images.tsv", IMAGES)
    write_table(pd.DataFrame(histograms, columns=DVH.names()), root / "dose/dvh.tsv", DVH)


def write_dosimetry(root, data, truth, patients, rng, **changes):
    """Write what quantify, fit_kinetics and compute_dose leave."""
    tac, tiac = curves(truth[truth["patient"].isin(patients)], rng, **changes)
    write_table(tac, root / "quantify/tac.tsv", TAC)
    note = (patients[0], "register", "spect 168 h", "shift", 22.0, "mm", "moved by more than a voxel")
    write_table(pd.DataFrame([note], columns=QC.names()), root / "quantify/qc.tsv", QC)
    write_table(tiac, root / "kinetics/tiac.tsv", TIAC)
    rows = data.manifest()
    rows = rows[(rows["modality"] == "spect") & rows["patient"].isin(patients)]
    images = rows.assign(cycle=1, role="spect")[IMAGES.names()]
    write_table(images, root / "quantify/chunk-0/images.tsv", IMAGES)
    organ_dose, budget = doses(tac, tiac, truth)
    write_table(budget, root / "dose/budget.tsv", BUDGET)
    write_table(organ_dose, root / "dose/organ_dose.tsv", ORGAN_DOSE)
    write_dose_images(root, data, patients, organ_dose)
    write_provenance(root / "dose/chunk-0", "split", [data.manifest_file], {})
    return tiac, organ_dose


def write_recovery(root, tiac, organ_dose, truth):
    """Write planted against recovered."""
    write_table(recovery_check(tiac, organ_dose, truth), root / "evaluate/recovery.tsv", RECOVERY_CHECK)


def write_study(folder, *, n_patients=8, seed=3):
    """Write data set and results of a whole virtual study and return (data, results)."""
    rng = np.random.default_rng(seed)
    patients = [f"v{i:03d}" for i in range(n_patients)]
    data, root = Dataset(folder / "data"), folder / "results"
    write_images(data, patients)
    people = write_people(data, patients, rng)
    write_check(root, people)
    truth, usable = planted(patients, rng), patients[:-1]
    tiac, organ_dose = write_dosimetry(root, data, truth, usable, rng)
    write_recovery(root, tiac, organ_dose, truth)
    experiments_tree.write_experiments(root, data, truth, organ_dose, patients=usable, rng=rng)
    return data.root, root


def write_real(folder):
    """Write one real patient: two SPECT points, lesions that rise, neither PET nor CT nor truth nor models."""
    rng = np.random.default_rng(5)
    data, root = Dataset(folder / "data"), folder / "results"
    write_images(data, ["p1"], pet=False, ct=False)
    manifest = data.manifest()
    kept = manifest[(manifest["modality"] != "spect") | (manifest["time_h"] < 30)]
    data.write_manifest(kept.drop(columns=["sha256", "n_bytes"]))
    write_table(
        write_people(data, ["p1"], rng)[["patient", "centre"]].assign(status="ok", reason=""),
        root / "check/patients.tsv",
        PATIENTS,
    )
    write_table(pd.DataFrame(columns=FAULTS.names()), root / "check/faults.tsv", FAULTS)
    truth = planted(["p1"], rng)
    truth = truth[truth["voi"] == "lesion_01"]
    write_dosimetry(root, data, truth, ["p1"], rng, times_h=(4.0, 24.0), rising=("lesion_01",))
    return data.root, root


def write_radiomics(folder):
    """Write two patients with PET and features alone: no therapy, no SPECT."""
    rng = np.random.default_rng(6)
    data, root, patients = Dataset(folder / "data"), folder / "results", ["s1", "s2"]
    write_images(data, patients, ct=False)
    manifest = data.manifest()
    data.write_manifest(manifest[manifest["modality"] != "spect"].drop(columns=["sha256", "n_bytes"]))
    people = write_people(data, patients, rng)[["patient", "centre"]].assign(status="ok", reason="")
    write_table(people, root / "check/patients.tsv", PATIENTS)
    write_table(pd.DataFrame(columns=FAULTS.names()), root / "check/faults.tsv", FAULTS)
    rows = [
        (patient, "ses-pre", "pet", 1.0, "lesions", image, "glcm", feature, value, "ok" if value > 0 else "too small")
        for patient in patients
        for image in ("original", "log-sigma-8-mm")
        for feature, value in (("Contrast", 3.2), ("Energy", np.nan))
    ]
    write_table(pd.DataFrame(rows, columns=FEATURES.names()), root / "features/features.parquet", FEATURES)
    steady = {
        "Contrast": (0.97, 0.93, 0.02, "yes"),
        "Energy": (0.8, 0.4, 0.3, "no"),
        "Gap": (np.nan, np.nan, np.nan, "no"),
    }
    rows = [
        ("lesions", "pet", image, "glcm", feature, group, icc, low, cov, 10, stable)
        for image in ("original", "log-sigma-8-0-mm-3D")
        for feature, (icc, low, cov, stable) in steady.items()
        for group in ("all", "image", "mask")
    ]
    write_table(pd.DataFrame(rows, columns=STABILITY.names()), root / "features/stability.tsv", STABILITY)
    return data.root, root
