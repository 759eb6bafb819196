from dataclasses import replace

import numpy as np
import pytest

from theradose.evaluation.report_uptake import uptake_sheets
from theradose.evaluation.results import ExperimentResults
from theradose.evaluation.uptake_scaling import FACTORS, power_of, uptake_scaling, with_uptake
from theradose.learning_schemas import UPTAKE_SCALING
from theradose.models.baselines import PetScaled, PopulationMean
from theradose.models.examples import SUV, WEIGHT
from theradose.models.fitting import Fitted
from theradose.models.organ_dose import calibrate, card, finish
from theradose.models.predictors import TrainingPlan
from theradose.models.store import Trained
from theradose.provenance import write_json
from theradose.tables import checked, write_table


@pytest.mark.parametrize(
    ("column", "power"),
    [
        (SUV, 1), (WEIGHT, 0), ("physics.volume_ml", 0), ("clinical.age_y", 0), ("previous.dose_gy_per_gbq", 0),
        ("pet.original.firstorder.Mean", 1), ("pet_24h.original.firstorder.Variance", 2),
        ("pet.original.firstorder.Skewness", 0), ("pet.original.glcm.Contrast", 0), ("pet.original.local.tlu", 1),
        ("pet.log-sigma-12-mm-3D.firstorder.90Percentile", 1), ("pet.original.shape.MeshVolume", 0),
        ("ct.original.firstorder.Mean", 0), ("delta.pet_4h-pet.original.firstorder.Mean", 0),
        ("delta.pet_4h-pet.log-sigma-12-mm-3D.firstorder.Mean", 1), ("trend.dose_gy_per_gbq", 0),
        ("delta.pet_4h-pet.original.firstorder.Skewness", 0),
    ],
)  # fmt: skip
def test_a_column_follows_the_uptake_as_its_unit_says(column, power):
    assert power_of(column) == power


@pytest.fixture
def scaled(organ_examples):
    """Two baselines of one organ and what is said of them."""
    training, everyone, _ = organ_examples(n_patients=60, n_test=10)
    models = {}
    for kind in (PopulationMean, PetScaled):
        found = Fitted(cards={"kidneys": card(training)}, predictors={"kidneys": kind()})
        found.predictors["kidneys"].fit(training, seed=1, training=TrainingPlan())
        found.calibration["kidneys"] = calibrate(training, found.predictors["kidneys"].predict(training))
        finish({"kidneys": training}, found)
        models[kind.name] = Trained(found.predictors, found.calibration, {"parts": found.cards})
    return everyone, models


def test_the_mean_is_blind_to_uptake_and_physics_is_proportional_to_it(scaled):
    everyone, models = scaled
    table = checked(uptake_scaling({"kidneys": everyone}, models), UPTAKE_SCALING)
    own = table[(table["voi"] == "all") & (table["partition"] == "test")].set_index(["predictor", "factor"])
    for factor in FACTORS:
        assert own.loc[("population_mean", factor), "ratio"] == pytest.approx(1.0)
        physics = own.loc[("pet_scaled", factor)]
        assert physics[["ratio", "ratio_low", "ratio_high"]].tolist() == pytest.approx([factor] * 3)
    assert set(own["n"]) == {10}


def test_the_domain_of_use_flags_a_fall_and_hardly_the_training_patients_as_they_are(scaled):
    everyone, models = scaled
    few = {name: replace(m, card={"parts": {"kidneys": _bare(m)}}) for name, m in models.items()}
    for own in (models, few):
        table = uptake_scaling({"kidneys": everyone}, own).set_index(["predictor", "voi", "partition", "factor"])
        assert table.loc[("pet_scaled", "kidneys", "train", 1.0), "outside_share"] <= 0.1
        assert table.loc[("pet_scaled", "kidneys", "test", 1 / 25), "outside_share"] == 1.0


def _bare(trained):
    return {name: value for name, value in trained.card["parts"]["kidneys"].items() if name != "domain"}


def test_only_uptake_changes(scaled):
    everyone, _ = scaled
    fallen = with_uptake(everyone, 0.5)
    np.testing.assert_allclose(fallen.column(SUV), 0.5 * everyone.column(SUV))
    assert fallen.covariates.drop(columns=SUV).equals(everyone.covariates.drop(columns=SUV))


def test_the_report_has_a_column_for_each_factor(scaled, tmp_path):
    everyone, models = scaled
    write_json(tmp_path / "experiment.json", {"predictors": list(models), "baselines": []})
    assert uptake_sheets(ExperimentResults("e", tmp_path)) == []
    write_table(uptake_scaling({"kidneys": everyone}, models), tmp_path / "uptake_scaling.tsv", UPTAKE_SCALING)
    ((title, sheet),) = uptake_sheets(ExperimentResults("e", tmp_path))
    assert title == "When uptake falls: test patients, by factor"
    assert [head.name for head in sheet.heads] == ["Predictor", "1", "1/2", "1/5", "1/10", "1/25"]
    assert sheet.rows[1][5].text == "0.0400"
    assert sheet.rows[1][5].note == "0.0400 to 0.0400, 100.0 % flagged"
