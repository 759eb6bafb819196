import numpy as np
import pandas as pd
import pytest

from theradose.evaluation.organ_dose import out_of_fold_doses, true_doses
from theradose.models.organ_dose import natural


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
