"""The `theradose retest` command on a small study."""

import json

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from theradose.cli.retest import retest
from theradose.cohort.layout import Dataset
from theradose.errors import DataError
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import write_volume
from theradose.imaging.volume import Volume
from theradose.learning_schemas import RETEST_DOSES, RETEST_FEATURES
from theradose.models.baselines import PetScaled, PopulationMean
from theradose.models.examples import SUV, VOLUME, WEIGHT, OrganExamples
from theradose.models.organ_dose import calibrate, card
from theradose.models.predictors import TrainingPlan
from theradose.models.store import Trained, save_model
from theradose.provenance import write_json
from theradose.tables import DRAWS, PARTICIPANTS, SPLITS, read_table, write_table
from theradose.vocabulary import RESEARCH_USE_ONLY

GRID = Grid((24, 9, 10), (8.0, 8.0, 8.0))
PRESET = {"featureClass": {"firstorder": ["Mean", "Skewness"], "shape": ["VoxelVolume"]}, "setting": {"binWidth": 0.5}}
SIDECAR = {
    "TracerRadionuclide": "Ga-68", "InjectedRadioactivity": 150.0, "InjectedRadioactivityUnits": "MBq",
    "InjectionStart": 0, "FrameTimesStart": [3600.0], "FrameDuration": [180.0], "ImageDecayCorrected": True,
    "DecayReference": "administration", "Virtual": True,
}  # fmt: skip
app = typer.Typer()
app.command()(retest)


def cohort(root):
    """Write two test patients whose PETs have noise of 5 % in even tissue."""
    rng, data, rows = np.random.default_rng(1), Dataset(root), []
    labels = np.zeros(GRID.shape_zyx, np.int16)
    labels[1:4, 1:4, 1:4], labels[1:4, 5:8, 1:4] = 5, 6
    for patient in ("v001", "v002"):
        pet = 1000.0 * np.where(labels > 0, 10.0, 1.0) * rng.normal(1.0, 0.05, GRID.shape_zyx)
        images = {
            "pet": (Volume(pet.astype(np.float32), GRID, "Bq/mL"), SIDECAR),
            "ct": (Volume(rng.normal(40, 20, GRID.shape_zyx).astype(np.float32), GRID, "HU"), {}),
            "mask": (Volume(labels, GRID, "label"), {}),
        }
        for modality, (volume, about) in images.items():
            file = write_volume(volume, data.image_file(patient, modality), about).relative_to(root).as_posix()
            time_h = 1.0 if modality == "pet" else np.nan
            rows.append((patient, "ses-pre", modality, time_h, file))
    data.write_manifest(pd.DataFrame(rows, columns=["patient", "session", "modality", "time_h", "file"]))
    people = pd.DataFrame({"patient": ["v001", "v002"], "centre": "north", "weight_kg": [80.0, 60.0]})
    people = people.assign(height_cm=175.0, administered_mbq=7400.0, radionuclide="Lu-177")
    write_table(people, data.participants_file, PARTICIPANTS)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A project with a finished study of two predictors of kidney dose."""
    root = tmp_path_factory.mktemp("project")
    results = root / "results" / "t"
    cohort(root / "data" / "made")
    write_json(results / "study.json", {"study": "t", "cohort": {"name": "made"}})
    experiment = results / "experiments" / "organ_dose"
    write_json(experiment / "experiment.json", {"predictors": ["population_mean", "pet_scaled"]})
    splits = pd.DataFrame({"patient": ["v001", "v002", "v003"], "centre": "north", "stratum": "north", "fold": -1})
    write_table(splits.assign(partition=["test", "test", "train"]), results / "split" / "splits.tsv", SPLITS)
    suv = np.linspace(3.0, 20.0, 12)
    numbers = pd.DataFrame({SUV: suv, VOLUME: 300.0, WEIGHT: 70.0})
    names = [f"t{i}" for i in range(12)]
    examples = OrganExamples("kidneys", names, ["train"] * 12, numbers, 0.1 * suv, centres=["north"] * 12)
    for kind in (PopulationMean, PetScaled):
        predictor = kind()
        predictor.fit(examples, seed=1, training=TrainingPlan())
        about = {"kind": "organ_dose", "interval": 0.9, "parts": {"kidneys": card(examples)}}
        settings = {"min_voxels": 3, "organs": ["kidneys"]}
        about["radiomics"] = {"settings": settings, "presets": {"pet": PRESET, "ct": PRESET}}
        calibration = {"kidneys": calibrate(examples, predictor.predict(examples))}
        save_model(experiment / kind.name / "model", Trained({"kidneys": predictor}, calibration, about))
    return results


def call(results, out, *more):
    words = [str(results), "--out", str(out), "--repeats", "3", *more]
    return CliRunner().invoke(app, words, catch_exceptions=False)


@pytest.fixture(scope="module")
def both_patients(study, tmp_path_factory):
    """The folder of tables of all test patients, and what the command said."""
    folder = tmp_path_factory.mktemp("two")
    return folder, call(study, folder)


def test_tables_and_summary_tell_the_scatter_of_features_and_doses(both_patients):
    folder, done = both_patients
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(RESEARCH_USE_ONLY)
    assert "2 virtual patients, 3 times" in done.stdout
    doses = read_table(folder / "retest_doses.tsv", RETEST_DOSES).set_index("predictor")
    assert list(doses.index) == ["population_mean", "pet_scaled"]
    assert doses.loc["population_mean", "cov_pct"] == 0.0
    features = read_table(folder / "retest_features.tsv", RETEST_FEATURES).set_index("feature")
    assert set(features.index) == {SUV, "pet.original.firstorder.Mean", "pet.original.firstorder.Skewness"}
    # The dose of `pet_scaled` is proportional to the uptake. Poisson's noise of 5 % where the image is 1 is 1.6 % where
    # it is 10, and 54 voxels average it to 0.22 %; two patients of three draws know it to about 35 %.
    assert doses.loc["pet_scaled", "cov_pct"] == pytest.approx(features.loc[SUV, "cov_pct"], rel=1e-6)
    assert 0.05 < features.loc[SUV, "cov_pct"] < 0.5
    assert np.isnan(features.loc["pet.original.firstorder.Skewness", "cov_pct"])
    draws = read_table(folder / "retest_draws.tsv", DRAWS)
    assert len({json.loads(draw)[0]["noise_seed"] for draw in draws["draw"]}) == 6


@pytest.mark.slow
def test_a_patient_gets_the_same_noise_whoever_else_is_asked_for(study, both_patients, tmp_path):
    two, _ = both_patients
    report = json.loads(call(study, tmp_path / "one", "--patients", "1", "--predictor", "pet_scaled", "--json").stdout)
    assert report["notice"] == RESEARCH_USE_ONLY
    assert report["patients"] == ["v001"]
    (own,) = report["doses"]
    assert own["predictor"] == "pet_scaled"
    both = read_table(two / "retest_doses.tsv", RETEST_DOSES).set_index("predictor").loc["pet_scaled"]
    other = np.sqrt(2.0 * both["cov_pct"] ** 2 - both["worst_cov_pct"] ** 2)
    assert min(abs(own["cov_pct"] - cov) for cov in (both["worst_cov_pct"], other)) < 1e-6
    draws = [read_table(folder / "retest_draws.tsv", DRAWS) for folder in (two, tmp_path / "one")]
    assert draws[1].equals(draws[0][draws[0]["patient"] == "v001"])


def test_an_experiment_that_is_not_there_is_refused(study, tmp_path):
    with pytest.raises(DataError, match="experiment is not there"):
        call(study, tmp_path, "--experiment", "other")
