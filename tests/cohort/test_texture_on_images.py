"""On images of virtual patients LoG features tell of the kidneys' half-life what was planted, and nothing without it.

60 patients, PET of 8 mm, each made twice from the same draws: texture coupled to kinetics (rho 0.6) and not.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import Pipeline

from theradose.cohort.virtual.patient import virtual_patient
from theradose.cohort.virtual.scans import FIRST_PET_H, pet_scan
from theradose.features.presets import read_preset
from theradose.features.radiomics import extract
from theradose.features.vois import organ_masks
from theradose.imaging.volume import Volume
from theradose.models.columns import preparation
from theradose.physics.nuclides import nuclide
from theradose.vocabulary import organ_of, voi_of_label

PATIENTS, RHO, SEED = 60, 0.6, 20260115
PRESET = Path(__file__).parents[2] / "config" / "radiomics" / "pet_8mm.yaml"
CENTRES = ("north", "south", "west")


def kidneys(index, coupling):
    """Return log TIA per injected activity and mL, the texture latent, and the intensity features of the kidneys."""
    patient = virtual_patient(
        SEED, index, centres=CENTRES, spacing_mm=8.0, difficulty="xue_like", texture_coupling=coupling
    )
    pet = pet_scan(patient, "xue_like", "Ga-68", FIRST_PET_H)
    suv = pet.values * patient.body.weight_kg * 1e3 / (patient.administered_pet_mbq * 1e6)
    labels = Volume(patient.anatomy.labels.astype(np.int16), patient.anatomy.grid, "label")
    preset = read_preset(PRESET, "pet")
    image = Volume(suv.astype(np.float32), pet.grid, "g/mL")
    table = extract(image, organ_masks(labels, ("kidneys",)), preset)
    table = table[table["feature_class"] != "shape"]
    names = table["filter"] + "." + table["feature_class"] + "." + table["feature"]
    own = [label for label in patient.anatomy.volumes_ml() if voi_of_label(label) and _is_kidney(label)]
    tia = patient.label_tia_mbq_h(nuclide("Lu-177").lambda_per_h, cycle=1)
    per_ml = sum(tia[k] for k in own) / sum(patient.anatomy.volumes_ml()[k] for k in own)
    found = {"log_tia": np.log(per_ml / patient.administered_mbq), "z": patient.latents.z("texture", "kidneys")}
    found["log_t"] = np.log(patient.kinetics.t_bio_h["kidneys"])
    return {**found, **dict(zip(names, table["value"], strict=True))}


def _is_kidney(label):
    try:
        return organ_of(voi_of_label(label)) == "kidneys"
    except KeyError:
        return False


def told(table):
    """Return what the features say of the texture latent, each patient out of fold, (n,)."""
    columns = [name for name in table if name.startswith(("log-sigma", "original"))]
    model = Pipeline([("prepare", preparation(20)), ("ridge", RidgeCV(np.logspace(-1, 3, 9)))])
    folds = KFold(10, shuffle=True, random_state=0)
    return cross_val_predict(model, table[columns].to_numpy(float), table["z"].to_numpy(), cv=folds)


@pytest.mark.slow
def test_log_features_tell_the_planted_part_and_nothing_when_the_coupling_is_off():
    on, off = (pd.DataFrame([kidneys(i, rho) for i in range(PATIENTS)]) for rho in (RHO, 0.0))
    said, said_off = told(on), told(off)
    explained = 1.0 - np.mean((on["z"] - said) ** 2) / on["z"].var()
    assert 0.65 < explained < 0.95  # pet_view.csv has 0.86 to 0.92 with features made for it and 150 patients a centre
    # The same draws twice: of the difference texture explains rho^2 / (rho^2 + (1 - sqrt(1 - rho^2))^2) = 0.90.
    apart = (on["log_tia"] - off["log_tia"]).to_numpy()
    planted = np.polyfit(on["z"], apart, 1)[0]
    assert planted == pytest.approx(0.087, abs=0.005)
    slope = np.polyfit(said, apart, 1)[0]
    assert slope == pytest.approx(planted, rel=0.12)
    assert slope * said.std() == pytest.approx(planted * on["z"].std() * np.sqrt(explained), rel=0.12)
    # Half-life against what the images say: rho sqrt(R2) = 0.54 coupled, 0 not; the error of r is 0.13 at most.
    assert np.corrcoef(said, on["log_t"])[0, 1] == pytest.approx(RHO * np.sqrt(explained), abs=0.26)
    assert abs(np.corrcoef(said_off, off["log_t"])[0, 1]) < 0.26
