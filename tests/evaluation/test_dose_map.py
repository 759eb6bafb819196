import json

import numpy as np
import pytest
from safetensors import safe_open

from theradose.evaluation.dose_map import evaluate, mean_with_limits, truth_map
from theradose.experiment_sections import ExperimentSettings
from theradose.imaging.nifti import write_volume
from theradose.imaging.volume import Volume
from theradose.models.dose_map import ALL
from theradose.models.image_examples import subset
from theradose.models.image_predictors import PetScaledMap
from theradose.models.predictors import TrainingPlan
from theradose.models.store import Trained
from theradose.tables import METRICS, PREDICTIONS, read_table

SETTINGS = ExperimentSettings(
    name="maps", kind="dose_map", title="Maps", baselines=("pet_scaled_map",), predictors=("other",)
)


def trained(training, factor):
    predictor = PetScaledMap()
    predictor.fit(training, seed=1, training=TrainingPlan())
    predictor.k *= factor
    return Trained({ALL: predictor}, {ALL: {}}, {}, {ALL: training.dose * np.float32(factor)})


def plant(folder, examples, patient, offset):
    """Write a truth map that is 7.4 times (GBq) the label plus an offset in the slices at hand."""
    grid = examples.grids[patient]
    values = np.zeros(grid.shape_zyx, np.float32)
    chosen = np.asarray(examples.table["patient"] == patient) & examples.originals
    for number, dose in zip(examples.table["slice"][chosen], examples.dose[chosen], strict=True):
        values[number] = 7.4 * (dose + offset)
    write_volume(Volume(values, grid, "Gy"), folder / f"sub-{patient}_dose.nii.gz")


@pytest.fixture(scope="module")
def judged(image_cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("judged")
    examples, splits = image_cohort(n_patients=8, test=3, copies=1)
    inside = subset(examples, ["v000", "v001", "v002", "v003", "v004"])
    for patient in examples.grids:
        plant(out, examples, patient, 0.1)
    models = {"pet_scaled_map": trained(inside, 1.0), "other": trained(inside, 1.1)}
    folds = dict(zip(splits["patient"], splits["fold"], strict=True))
    evaluate(settings=SETTINGS, parts={ALL: examples}, models=models, folds=folds, truth=out, seed=5, out=out)
    return examples, out


def cell(table, **wanted):
    rows = table
    for name, value in wanted.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1
    return rows.iloc[0]


def test_scores_are_means_over_patients_with_limits(judged):
    _, out = judged
    table = read_table(out / "metrics.tsv", METRICS)
    base = {"voi": "body", "reference": "label", "partition": "train"}
    bias = cell(table, predictor="other", metric="sum_bias_percent", **base)
    assert bias["value"] == pytest.approx(10.0, rel=1e-5)  # out of fold it was the label times 1.1
    assert (bias["n"], bias["unit"]) == (5, "%")
    assert cell(table, predictor="pet_scaled_map", metric="rmse", **base)["value"] == 0.0
    difference = cell(table, predictor="other", metric="rmse_minus_best_baseline", **base)
    assert difference["value"] == pytest.approx(cell(table, predictor="other", metric="rmse", **base)["value"])
    assert difference["low"] <= difference["value"] <= difference["high"]
    test = cell(table, predictor="other", metric="ssim", voi="body", reference="label", partition="test")
    assert test["n"] == 3
    both = table[table["voi"] == "all"].drop(columns="voi").to_numpy().tolist()
    assert len(both) == len(table) / 2


def test_truth_is_told_apart_from_the_label(judged):
    _, out = judged
    table = read_table(out / "metrics.tsv", METRICS)
    base = {"predictor": "pet_scaled_map", "voi": "body", "partition": "train", "metric": "masked_mae"}
    assert cell(table, reference="label", **base)["value"] == 0.0
    assert cell(table, reference="truth", **base)["value"] == pytest.approx(0.1, rel=1e-5)


def test_predictions_are_means_of_the_maps(judged):
    examples, out = judged
    table = read_table(out / "predictions.tsv", PREDICTIONS)
    row = cell(table, predictor="other", patient="v001", voi="kidneys")
    chosen = np.asarray(examples.table["patient"] == "v001") & examples.originals
    inside = examples.organs[chosen] == 5
    assert row["label_gy_per_gbq"] == pytest.approx(examples.dose[chosen][inside].mean(), rel=1e-5)
    assert row["predicted_gy_per_gbq"] == pytest.approx(1.1 * row["label_gy_per_gbq"], rel=1e-5)
    assert row["truth_gy_per_gbq"] == pytest.approx(row["label_gy_per_gbq"] + 0.1, rel=1e-5)
    assert (row["partition"], row["fold"]) == ("train", 1)
    assert cell(table, predictor="other", patient="v007", voi="body")["fold"] == -1


def test_maps_of_test_patients_are_kept(judged):
    examples, out = judged
    with safe_open(out / "maps.safetensors", framework="numpy") as file:
        names = set(file.keys())
        about = json.loads(file.metadata()["about"])
        label = file.get_tensor("v005/label")
    chosen = np.asarray(examples.table["patient"] == "v005")
    assert np.array_equal(label, examples.dose[chosen])
    assert {name.split("/")[0] for name in names} == {"v005", "v006", "v007"} == set(about["patients"])
    assert {"v005/pet", "v005/ct", "v005/mask", "v005/truth", "v005/predicted/other"} <= names
    assert about["patients"]["v005"]["slices"] == examples.table["slice"][chosen].tolist()


def test_the_same_input_gives_the_same_bytes(judged, image_cohort, tmp_path_factory):
    examples, out = judged
    again = tmp_path_factory.mktemp("again")
    inside = subset(examples, ["v000", "v001", "v002", "v003", "v004"])
    models = {"pet_scaled_map": trained(inside, 1.0), "other": trained(inside, 1.1)}
    folds = {f"v{i:03d}": -1 if i > 4 else i % 3 for i in range(8)}
    evaluate(settings=SETTINGS, parts={ALL: examples}, models=models, folds=folds, truth=out, seed=5, out=again)
    for name in ("metrics.tsv", "predictions.tsv", "maps.safetensors"):
        assert (again / name).read_bytes() == (out / name).read_bytes()


def test_without_truth_there_is_none(image_cohort, tmp_path):
    examples, _ = image_cohort()
    assert truth_map(tmp_path, subset(examples, ["v000"])) is None


def test_limits_hold_the_mean_and_one_patient_has_none():
    found = mean_with_limits(np.array([1.0, 2.0, 6.0]), 1)
    assert found["low"] < found["value"] == 3.0 < found["high"]
    assert np.isnan(mean_with_limits(np.array([1.0]), 1)["low"])
