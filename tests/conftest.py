"""Fixtures that tests of several layers share."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from theradose.imaging.grid import Grid
from theradose.models.examples import examples_of, first_doses, subset
from theradose.models.image_examples import ImageExamples
from theradose.tables import PAIRS, SPLITS

SIDE = 16
GRID = Grid((40, SIDE, SIDE), (8.0, 8.0, 8.0))


def cohort(*, n_patients=6, n_slices=4, copies=1, test=1, seed=0, k=0.01):
    """Return pairs of slices whose dose is k C (1 + 0.5 where the CT is bright) around a hot spot, and their splits."""
    rng = np.random.default_rng(seed)
    rows, inputs = [], []
    y, x = np.mgrid[:SIDE, :SIDE]
    body = (y - 8) ** 2 + (x - 8) ** 2 < 49
    splits = []
    for i in range(n_patients):
        partition = "test" if i >= n_patients - test else "train"
        splits.append((f"v{i:03d}", "north", "north", partition, -1 if partition == "test" else i % 3))
        for copy in range(1 + (copies if partition == "train" else 0)):
            for number in range(n_slices):
                row, column = rng.integers(5, 11, 2)
                hot = np.exp(-((y - row) ** 2 + (x - column) ** 2) / 8.0) * rng.uniform(0.5, 2.0)
                bright = (x > column).astype(float)
                inputs.append(np.stack([(0.1 + hot) * body, bright * body]))
                rows.append((f"v{i:03d}", copy, 5 * number, partition, splits[-1][-1], 0, 0, 100.0, 7400.0))
    arrays = np.array(inputs, np.float32)
    mask = np.broadcast_to(body, (len(rows), SIDE, SIDE)).copy()
    dose = (k * 100.0 * arrays[:, 0] * (1 + 0.5 * arrays[:, 1])).astype(np.float32)
    organs = np.where(mask, 1, 0).astype(np.int16)
    organs[arrays[:, 0] > 0.5] = 5
    table = pd.DataFrame(rows, columns=PAIRS.names())
    examples = ImageExamples(arrays, dose, mask, organs, table, {s[0]: GRID for s in splits})
    return examples, pd.DataFrame(splits, columns=SPLITS.names())


@pytest.fixture
def image_cohort():
    """Return the function that makes a small cohort of pairs by hand."""
    return cohort


def organ_cohort(*, n_patients=24, n_test=8, n_noise=20, organs=("kidneys", "liver"), folds=4, seed=0, spread=0.15):
    """Return covariates, their manifest, labels and splits: D = 10 SUV / weight, scattered.

    Of the columns, `radiomic.half` explains what uptake leaves open, `radiomic.uptake_k` repeat the uptake, the rest is
    noise; one value in ten is missing.
    """
    rng = np.random.default_rng(seed)
    rows, labels, splits = [], [], []
    for i in range(n_patients):
        patient = f"v{i:03d}"
        weight = rng.normal(80.0, 12.0)
        test = i >= n_patients - n_test
        splits.append((patient, "north", "north", "test" if test else "train", -1 if test else i % folds))
        for organ in organs:
            suv = float(np.exp(rng.normal(2.5, 0.4)))
            half = rng.normal()
            dose = 10.0 * suv / weight * np.exp(0.15 * half + spread * rng.normal())
            row = {"patient": patient, "voi": organ, "physics.pet_suv_mean": suv, "physics.weight_kg": weight}
            row |= {"physics.volume_ml": rng.normal(180.0, 30.0), "radiomic.half": half + 0.2 * rng.normal()}
            row |= {f"radiomic.uptake_{k}": suv * np.exp(0.1 * rng.normal()) for k in range(3)}
            row |= {f"radiomic.noise_{k}": rng.lognormal() if rng.random() > 0.1 else np.nan for k in range(n_noise)}
            rows.append(row)
            numbers = {"mass_g": 150.0, "volume_ml": 150.0, "tia_mbq_h": 1.0, "tia_uncorrected_mbq_h": 1.0}
            numbers |= {"dose_gy": dose * 7.4, "dose_std_gy": 0.1, "dose_uncorrected_gy": dose * 7.0}
            numbers |= {"dose_cross_gy": dose * 0.1, "dose_rbe_gy": dose * 7.4}
            labels.append(
                {
                    "patient": patient, "cycle": 1, "voi": organ, "level": "organ", "radionuclide": "Lu-177",
                    "engine": "local", **numbers, "dose_voxel_gy": dose * 7.0, "dose_gy_per_gbq": dose, "flags": "",
                }
            )  # fmt: skip
    covariates = pd.DataFrame(rows)
    manifest = pd.DataFrame(
        [
            {
                "column": column, "block": column.split(".")[0], "source": "made", "unit": "1",
                "leak_class": "pre_therapy", "meaning": "made for a test",
            }
            for column in covariates.columns[2:]
        ]
    )  # fmt: skip
    return covariates, manifest, pd.DataFrame(labels), pd.DataFrame(splits, columns=SPLITS.names())


@pytest.fixture(scope="session")
def organ_tables():
    """Return the function that makes the tables of a small organ-dose study."""
    return organ_cohort


@pytest.fixture
def organ_examples():
    """Return a function that makes the training examples of one organ."""

    def make(**changes):
        covariates, _, labels, splits = organ_cohort(**{"organs": ("kidneys",), **changes})
        examples = examples_of("kidneys", covariates, first_doses(labels), splits, list(covariates.columns[2:]))
        return subset(examples, list(splits.loc[splits["partition"] == "train", "patient"])), examples, splits

    return make


@pytest.fixture(scope="session")
def dicom_maker():
    """Return the module that writes small DICOM series and structure sets."""
    spec = importlib.util.spec_from_file_location("dicom_maker", Path(__file__).parent / "dicom_maker.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
