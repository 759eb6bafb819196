"""A data set of one patient made by hand: two kidneys, a liver and a lesion in a body, seen by a blurring camera."""

import json
import runpy
import sys
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from theradose.cohort.layout import Dataset
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import write_volume
from theradose.imaging.volume import Volume
from theradose.physics.recovery import blur
from theradose.steps import compute_dose, entry, fit_kinetics, quantify
from theradose.tables import PARTICIPANTS, PATIENTS, write_table

GRID = Grid((24, 20, 28), (6.0, 6.0, 6.0))
TIMES_H = (4.0, 24.0, 72.0, 168.0)
ADMINISTERED_MBQ = 7400.0
FWHM_MM = 13.0
# label: (activity at time zero in MBq, effective half-life in h)
TRUTH = {1: (900.0, 11.0), 5: (130.0, 32.0), 6: (110.0, 30.0), 7: (200.0, 31.0), 101: (60.0, 52.0)}


def labels():
    """Return the label map, (z, y, x)."""
    found = np.zeros(GRID.shape_zyx, np.uint8)
    found[2:22, 2:18, 2:26] = 1
    found[5:14, 5:10, 4:8] = 5
    found[5:14, 5:10, 20:24] = 6
    found[14:20, 4:14, 6:20] = 7
    found[16:18, 8:10, 12:14] = 101
    return found


def volume_ml(label):
    return float((labels() == label).sum()) * GRID.voxel_ml


def activity_mbq(label, time_h):
    a, t_eff_h = TRUTH[label]
    return a * 2.0 ** (-time_h / t_eff_h)


def spect(time_h, fwhm_mm=FWHM_MM, shift=0):
    """Return the image of the body at a time, Bq/mL; `shift` moves it by whole voxels along x."""
    true = np.zeros(GRID.shape_zyx)
    for label in TRUTH:
        true[labels() == label] = 1e6 * activity_mbq(label, time_h) / volume_ml(label)
    values = blur(np.roll(true, shift, axis=2), GRID.spacing_zyx_mm, fwhm_mm)
    return Volume(values.astype(np.float32), GRID, "Bq/mL")


def sidecar(time_h, **changes):
    return {
        "Modality": "NM",
        "TracerRadionuclide": "Lu-177", "FrameTimesStart": [3600.0 * time_h], "FrameDuration": [1800.0],
        "ImageDecayCorrected": True, "DecayReference": "scan_start", "EffectiveResolutionFWHM": FWHM_MM,
        "Virtual": True, "Notice": "Research use only.", **changes,
    }  # fmt: skip


def make(root: Path, patients=("p1",), images=None, masks=None, ct=None, **changes) -> Namespace:
    """Write the data set; `images` maps time to image, `masks` maps None (before therapy) or time to mask.

    `ct` is one from before therapy.
    """
    data = Dataset(root / "data")
    images = images or {time: spect(time) for time in TIMES_H}
    masks = masks or {None: Volume(labels(), GRID, "label")}
    rows = []
    for patient in patients:
        for time, image in images.items():
            path = data.image_file(patient, "spect", "ses-tx1", time)
            write_volume(image, path, sidecar(time, **changes))
            rows.append((patient, "ses-tx1", "spect", time, path))
        for time, mask in masks.items():
            session = "ses-pre" if time is None else "ses-tx1"
            path = data.image_file(patient, "mask", session, time)
            write_volume(mask, path)
            rows.append((patient, session, "mask", time, path))
        if ct is not None:
            path = write_volume(ct, data.image_file(patient, "ct"))
            rows.append((patient, "ses-pre", "ct", None, path))
    table = pd.DataFrame(rows, columns=["patient", "session", "modality", "time_h", "file"])
    table["file"] = [path.relative_to(data.root).as_posix() for path in table["file"]]
    data.write_manifest(table)
    people = pd.DataFrame({"patient": patients, "centre": "north", "weight_kg": 80.0, "height_cm": 176.0})
    people["administered_mbq"], people["radionuclide"] = ADMINISTERED_MBQ, "Lu-177"
    write_table(people, data.participants_file, PARTICIPANTS)
    status = pd.DataFrame({"patient": patients, "centre": "north", "status": "ok", "reason": ""})
    write_table(status, root / "check" / "patients.tsv", PATIENTS)
    return Namespace(root=root, data=data.root, patients=root / "check" / "patients.tsv")


def quantified(case: Namespace, chunk=0, of=1, out="quantify", **settings) -> Path:
    """Run the step `quantify` and return its folder."""
    folder = case.root / out
    quantify.run(
        Namespace(
            settings=json.dumps(settings), radionuclide="Lu-177", data=case.data, patients=case.patients, chunk=chunk,
            of=of, out=folder,
        )
    )  # fmt: skip
    return folder


def fitted(case: Namespace, tac: Path, **settings) -> Path:
    """Run the step `fit_kinetics` and return its table."""
    folder = case.root / "kinetics"
    fit_kinetics.run(
        Namespace(settings=json.dumps(settings), radionuclide="Lu-177", data=case.data, tac=tac, out=folder)
    )
    return folder / "tiac.tsv"


def dosed(case: Namespace, quantify_folder: Path, tiac: Path, **settings) -> Path:
    """Run the step `compute_dose` and return its folder."""
    folder = case.root / "dose"
    compute_dose.run(
        Namespace(
            settings=json.dumps({"engine": "local", **settings}), radionuclide="Lu-177", data=case.data,
            images=quantify_folder / "images.tsv", tac=quantify_folder / "tac.tsv", tiac=tiac, out=folder,
        )
    )  # fmt: skip
    return folder


@pytest.fixture
def refused(monkeypatch, capsys):
    """Return what runs a step that ends in a fault as `python -m` does, here: its exit code and what it said of it."""

    def run(step, *words):
        monkeypatch.setattr(sys, "argv", [step, *map(str, words)])
        monkeypatch.setattr(entry, "keep_out", lambda step: None)  # it would hold for all that this process runs later
        monkeypatch.delitem(sys.modules, f"theradose.steps.{step}", raising=False)  # as if it were not yet loaded
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(f"theradose.steps.{step}", run_name="__main__")
        return ended.value.code, capsys.readouterr().err

    return run


@pytest.fixture(scope="session")
def hand_made():
    """Return the functions and truths of the data set made by hand."""
    return SimpleNamespace(
        labels=labels, volume_ml=volume_ml, activity_mbq=activity_mbq, spect=spect, make=make, quantified=quantified,
        fitted=fitted, dosed=dosed, grid=GRID, times_h=TIMES_H, truth=TRUTH, administered_mbq=ADMINISTERED_MBQ,
    )  # fmt: skip


@pytest.fixture(scope="session")
def default_run(tmp_path_factory):
    """Run the three steps once on the data set made by hand: its case, folders and tables."""
    case = make(tmp_path_factory.mktemp("dosimetry"))
    folder = quantified(case)
    tiac = fitted(case, folder / "tac.tsv", models=["mono"])
    return SimpleNamespace(case=case, quantify=folder, tiac=tiac, dose=dosed(case, folder, tiac, dvh_bins=200))
