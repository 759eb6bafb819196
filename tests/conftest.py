"""Fixtures that tests of several layers share."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from theradose.features.cycles import LAST_DOSE
from theradose.imaging.grid import Grid
from theradose.models.examples import OrganExamples, examples_of, first_doses, subset
from theradose.models.image_examples import ImageExamples
from theradose.models.latency_examples import LatencyExamples
from theradose.models.latency_predictors import MECHANISTIC
from theradose.models.outcome_examples import CAUSES, OutcomeExamples
from theradose.models.patch_examples import PatchExamples
from theradose.models.patch_examples import subset as patch_subset
from theradose.models.tiac_examples import subset as tiac_subset
from theradose.models.tiac_examples import targets, tiac_examples
from theradose.physics.nuclides import nuclide
from theradose.tables import PAIRS, SPLITS

SIDE = 16
# These files share a study and its report, which take longer to make than most files to run.
TOGETHER = re.compile(r"^tests/evaluation/test_(card|figures|report\w*|summary)\.py")


def pytest_configure(config):
    """Draw 100 examples of a property, as Hypothesis does, when the slow tests run too, and 40 otherwise."""
    settings.register_profile("quick", max_examples=40)
    settings.load_profile("quick" if config.option.markexpr else "default")


class ByFile(LoadFileScheduling):
    """Sends the tests of a file to one worker, and those of the files that share a study to the same."""

    def _split_scope(self, nodeid):
        return TOGETHER.sub("tests/evaluation", nodeid).split("::", 1)[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Return what deals tests to workers; with xdist 3.8 and pytest 9.2 its own groups have no effect."""
    return ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


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
                rows.append((f"v{i:03d}", copy, 5 + number, partition, splits[-1][-1], 0, 0, 100.0, 7400.0))
    arrays = np.array(inputs, np.float32)
    mask = np.broadcast_to(body, (len(rows), SIDE, SIDE)).copy()
    dose = (k * 100.0 * arrays[:, 0] * (1 + 0.5 * arrays[:, 1])).astype(np.float32)
    organs = np.where(mask, 1, 0).astype(np.int16)
    organs[arrays[:, 0] > 0.5] = 5
    table = pd.DataFrame(rows, columns=PAIRS.names())
    examples = ImageExamples(arrays, dose, mask, organs, table, {s[0]: GRID for s in splits})
    return examples, pd.DataFrame(splits, columns=SPLITS.names())


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def organ_examples():
    """Return a function that makes the training examples of one organ; with `earlier` the dose of a cycle before."""

    def make(*, earlier=False, **changes):
        covariates, _, labels, splits = organ_cohort(**{"organs": ("kidneys",), **changes})
        if earlier:
            drift = np.random.default_rng(9).normal(0.0, 0.2, len(labels))
            covariates[LAST_DOSE] = labels["dose_gy_per_gbq"] * np.exp(drift)
        examples = examples_of("kidneys", covariates, first_doses(labels), splits, list(covariates.columns[2:]))
        return subset(examples, list(splits.loc[splits["partition"] == "train", "patient"])), examples, splits

    return make


def tiac_cohort(*, n_patients=30, n_test=8, organs=("kidneys",), seed=0, n_noise=5, folds=4):
    """Return covariates, curves (schema TIAC) and splits: f follows SUV volume / weight, T_bio a column.

    Of a patient's two kidneys, each has half the fraction; curves are one term of Lu-177 without uptake phase.
    """
    covariates, manifest, _, splits = organ_cohort(
        n_patients=n_patients, n_test=n_test, organs=organs, seed=seed, n_noise=n_noise, folds=folds
    )
    rng = np.random.default_rng([seed, 1])
    half_life_h, rows = nuclide("Lu-177").half_life_h, []
    for row in covariates.to_dict("records"):
        uptake = row["physics.pet_suv_mean"] * row["physics.volume_ml"] / row["physics.weight_kg"] / 1000.0
        t_bio_h = 50.0 * np.exp(0.3 * row["radiomic.half"] + 0.03 * rng.normal())
        t_eff_h = 1.0 / (1.0 / t_bio_h + 1.0 / half_life_h)
        vois = ("kidney_left", "kidney_right") if row["voi"] == "kidneys" else (row["voi"],)
        for voi in vois:
            mbq = 7400.0 * uptake * np.exp(0.05 * rng.normal()) / len(vois)
            tia = mbq * t_eff_h / np.log(2.0)
            curve = {"a1_mbq": mbq, "lambda1_per_h": np.log(2.0) / t_eff_h}
            rows.append(
                {
                    "patient": row["patient"], "cycle": 1, "voi": voi, "radionuclide": "Lu-177", "model": "mono",
                    "tia_mbq_h": tia, "tia_std_mbq_h": 1.0, "tia_uncorrected_mbq_h": tia, "tiac_h": tia / 7400.0,
                    "tiac_std_h": 0.1, "t_eff_h": t_eff_h, "tail_fraction": 0.1, "aicc": 1.0,
                    "parameters": json.dumps(curve), "covariance": "[]", "flags": "", "reason": "",
                }
            )  # fmt: skip
    return covariates, manifest, pd.DataFrame(rows), splits


@pytest.fixture(scope="session")
def tiac_tables():
    """Return the function that makes the tables of a small study of TIACs."""
    return tiac_cohort


@pytest.fixture(scope="session")
def tiac_organ():
    """Return a function that makes all examples of one organ of `tiac_tables`, and those of training."""

    def make(organ="kidneys", **changes):
        covariates, _, curves, splits = tiac_cohort(organs=(organ,), **changes)
        columns = list(covariates.columns[2:])
        everyone = tiac_examples(
            organ, covariates, found=targets(curves), splits=splits, columns=columns, radionuclide="Lu-177"
        )
        return everyone, tiac_subset(everyone, list(splits.loc[splits["partition"] == "train", "patient"]))

    return make


@pytest.fixture(scope="session")
def latency_examples():
    """Return a function that makes examples whose log latency follows the predicted BED, and those of training."""

    def make(n=60, *, test=10, censored=0.3, seed=0, noise=6):
        rng = np.random.default_rng(seed)
        log_bed = rng.normal(3.0, 0.4, n)
        columns = {
            MECHANISTIC[0]: np.exp(log_bed), "clinical.age_y": rng.normal(70, 8, n),
            "clinical.hypertension": rng.integers(0, 2, n), "clinical.diabetes": rng.integers(0, 2, n),
            "biological.egfr_ml_min": rng.normal(70, 15, n), "empty": np.full(n, np.nan), "constant": np.ones(n),
        }  # fmt: skip
        columns |= {f"noise_{k}": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)) for k in range(noise)}
        log_months = 5.0 - 0.8 * log_bed + 0.3 * rng.normal(size=n)
        observed = rng.random(n) >= censored
        examples = LatencyExamples(
            [f"v{i:03d}" for i in range(n)],
            ["test" if i >= n - test else "train" for i in range(n)],
            pd.DataFrame(columns).astype(float),
            log_months - np.where(observed, 0.0, 0.4 * rng.random(n)),
            observed,
        )
        return examples, examples.pick(np.array(examples.partitions) == "train")

    return make


def outcome_cohort(*, n=60, test=20, seed=0, outcome="kidney_toxicity", log_odds_per_spread=1.5, noise=6, folds=4):
    """Return examples whose event follows the predicted dose that counts, and age; the other columns are noise."""
    rng = np.random.default_rng(seed)
    cause = CAUSES[outcome]
    z, age = rng.normal(size=n), rng.normal(size=n)
    columns = {cause.dose_column: np.exp(2.7 + 0.4 * z), "clinical.age_y": 70.0 + 8.0 * age}
    columns |= {name: rng.normal(10.0, 2.0, n) for name in cause.others if name != "clinical.age_y"}
    columns |= {f"noise_{k}": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)) for k in range(noise)}
    chance = 1.0 / (1.0 + np.exp(1.0 - log_odds_per_spread * z - 0.5 * age))
    observed = 1.0 * (rng.random(n) < chance)
    names = [f"v{i:03d}" for i in range(n)]
    partitions = ["test" if i >= n - test else "train" for i in range(n)]
    return OutcomeExamples(outcome, names, partitions, pd.DataFrame(columns).astype(float), observed), chance


@pytest.fixture(scope="session")
def outcome_examples():
    """Return a function that makes all examples of one outcome and their true chances."""
    return outcome_cohort


@pytest.fixture(scope="session")
def patch_examples():
    """Return a function that makes patients with patches of 8 x 8 x 8 voxels of each organ, and those of training.

    What uptake leaves open of the dose is bright in the CT of the patch and in a covariate. The last training patient
    has no liver, and his events are not known.
    """

    def make(n_patients=20, *, n_test=5, organs=("kidneys", "liver"), outcomes=("xerostomia", "response"), **changes):
        rng = np.random.default_rng(0)
        made = {"n_patients": n_patients, "n_test": n_test, "n_noise": 3, "organs": organs, **changes}
        covariates, _, labels, splits = organ_cohort(**made)
        bare = f"v{n_patients - n_test - 1:03d}"
        covariates = covariates[(covariates["patient"] != bare) | (covariates["voi"] != "liver")]
        doses = first_doses(labels)
        parts = {o: examples_of(o, covariates, doses, splits, list(covariates.columns[2:])) for o in organs}
        who, where = list(splits["patient"]), list(splits["partition"])
        half = covariates.groupby("patient")["radiomic.half"].mean().reindex(who).to_numpy()
        events = (rng.random((n_patients, len(outcomes))) < 1.0 / (1.0 + np.exp(-2.0 * half))[:, None]).astype(float)
        events[who.index(bare)] = np.nan
        patches = rng.random((n_patients, len(organs), 3, 8, 8, 8)).astype(np.float16)
        patches[:, :, 1] += half[:, None, None, None, None].astype(np.float16)
        person = pd.DataFrame({"clinical.age_y": rng.normal(70.0, 8.0, n_patients), "biological.mark": half})
        examples = PatchExamples(
            who, where, parts,
            OrganExamples("person", who, where, person, np.full(n_patients, np.nan), {}, ["north"] * n_patients),
            outcomes, events, dict(zip(who, patches, strict=True)), 159.528,
        )  # fmt: skip
        return examples, patch_subset(examples, [p for p, part in zip(who, where, strict=True) if part == "train"])

    return make


@pytest.fixture(scope="session")
def dicom_maker():
    """Return the module that writes small DICOM series and structure sets."""
    spec = importlib.util.spec_from_file_location("dicom_maker", Path(__file__).parent / "dicom_maker.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
