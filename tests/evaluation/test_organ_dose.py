import numpy as np
import pandas as pd
import pytest

from theradose.evaluation.organ_dose import domain_scores, out_of_fold_doses, true_doses
from theradose.models.baselines import PopulationMean
from theradose.models.domain import KEY, Domain
from theradose.models.examples import OrganExamples, subset
from theradose.models.fitting import Fitted
from theradose.models.organ_dose import finish, natural
from theradose.models.predictors import TrainingPlan
from theradose.models.store import Trained


def test_true_dose_of_an_organ_is_weighted_by_mass(tmp_path):
    row = {"patient": "v000", "cycle": 1, "tia_mbq_h": 1.0, "dose_gy": 1.0, "t_eff_h": 30.0, "uptake_fraction": 0.1}
    rows = [
        {**row, "voi": "kidney_left", "mass_g": 100.0, "dose_gy_per_gbq": 1.0},
        {**row, "voi": "kidney_right", "mass_g": 300.0, "dose_gy_per_gbq": 2.0},
        {**row, "voi": "kidney_right", "cycle": 2, "mass_g": 300.0, "dose_gy_per_gbq": 9.0},
        {**row, "voi": "lesion_01", "mass_g": 10.0, "dose_gy_per_gbq": 5.0},
    ]
    pd.DataFrame(rows).to_parquet(tmp_path / "truth_voi.parquet")
    assert true_doses(tmp_path) == pytest.approx({("v000", "kidneys"): 1.75, ("v000", "lesions"): 5.0})
    assert true_doses(tmp_path, 2) == pytest.approx({("v000", "kidneys"): 9.0})
    assert true_doses(tmp_path, 3) == {}


def test_own_residual_does_not_widen_ones_own_interval():
    rng = np.random.default_rng(1)
    observed = rng.normal(size=20)
    outlier = observed.copy()
    outlier[4] += 50.0
    before, after = out_of_fold_doses(np.zeros(20), observed, 0.9), out_of_fold_doses(np.zeros(20), outlier, 0.9)
    for name in ("point", "low", "high"):
        assert getattr(before, name)[4] == getattr(after, name)[4]
    others = natural(np.zeros(1), np.delete(observed, 4), 0.9)
    assert after.high[4] == others.high[0]


def test_too_few_patients_leave_the_interval_empty():
    doses = out_of_fold_doses(np.zeros(9), np.linspace(-1, 1, 9), 0.9)
    assert np.isnan(doses.low).all()
    assert np.isfinite(doses.point).all()


def test_domain_scores_are_out_of_fold_in_training_and_ordinary_elsewhere():
    rng = np.random.default_rng(3)
    partitions = ["train"] * 30 + ["test"] * 6
    names = [f"p{i:02d}" for i in range(36)]
    table = pd.DataFrame({name: np.exp(0.3 * rng.standard_normal(36)) for name in KEY})
    parts = {organ: OrganExamples(organ, names, partitions, table, np.ones(36)) for organ in ("kidneys", "liver")}
    inside = {organ: subset(part, names[:30]) for organ, part in parts.items()}
    predictor = PopulationMean()
    predictor.fit(inside["kidneys"], seed=1, training=TrainingPlan())
    both = dict.fromkeys(parts, predictor)
    found = Fitted(both, calibration={organ: {} for organ in parts}, cards={organ: {} for organ in parts})
    finish(inside, found)
    model = Trained(found.predictors, found.calibration, {"parts": found.cards})
    scores = domain_scores(parts, {"population_mean": model, "older": Trained(both, {}, {})})
    assert {name for name, _, _ in scores} == {"population_mean"}
    assert len(scores) == 2 * 36
    domain = Domain.restore(found.cards["liver"]["domain"], found.calibration["liver"])
    own = np.array([scores["population_mean", patient, "liver"] for patient in names[:30]])
    assert np.mean(own <= domain.cut) >= 0.9
    assert "uptake.kidneys" in domain.columns
