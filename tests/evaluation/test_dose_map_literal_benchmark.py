"""The functions of benchmarks/dose_map_literal.py on a small cohort and two epochs."""

import dose_map_literal as benchmark
import numpy as np
import pytest

from theradose.models.predictors import TrainingPlan


def test_every_form_and_seed_is_judged_beside_zero_and_physics(image_cohort):
    examples, _ = image_cohort(n_patients=5, test=2, copies=0)
    rows = list(benchmark.scores(examples, seeds=(1, 2), plan=TrainingPlan(2, 2, 8)))
    names = [(row["predictor"], row["seed"]) for row in rows]
    assert names[:2] == [("zero_map", 0), ("pet_scaled_map", 0)]
    assert set(names[2:]) == {(name, seed) for name in benchmark.PRINTED for seed in (1, 2)}
    assert len(names) == 8
    zero = rows[0]
    assert (zero["sum_bias_percent"], zero["hot_voxel_mae_percent"]) == pytest.approx((-100.0, 100.0))
    assert len({row["rmse"] for row in rows}) == 8  # neither form nor seed is without effect
    assert all(np.isfinite(row["ssim"]) for row in rows)
