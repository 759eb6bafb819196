import numpy as np
import pytest

from theradose.errors import SettingsError
from theradose.experiment_sections import ExperimentSettings
from theradose.models.multitask import calibrate, card, load, score

SETTINGS = {"name": "both", "kind": "multitask", "title": "Both", "organs": ("kidneys", "liver")}
SETTINGS |= {"baselines": ("multitask_physics",), "predictors": ("multitask",)}


def test_score_by_hand(patch_examples):
    _, training = patch_examples()
    prediction = np.column_stack([training.log_dose + np.array([0.1, -0.3]), np.zeros_like(training.events)])
    assert score(training, prediction) == pytest.approx(0.2 + np.log(2.0))
    assert score(training, np.where(np.arange(4) < 2, prediction, np.nan)) == pytest.approx(0.2)
    assert score(training, np.where(np.arange(4) < 2, np.nan, prediction)) == pytest.approx(np.log(2.0))


def test_calibration_names_nobody_and_leaves_gaps_out(patch_examples):
    _, training = patch_examples()
    found = calibrate(training, np.column_stack([training.log_dose - 0.2, np.zeros_like(training.events)]))
    assert set(found) == {"kidneys.log_residuals", "liver.log_residuals", "xerostomia.rate", "response.rate"}
    assert found["liver.log_residuals"] == pytest.approx(np.full(14, 0.2))
    events = np.nansum(training.events[:, 0])
    assert found["xerostomia.rate"] == pytest.approx([(events + 0.5) / 15.0])


def test_card_counts_patients_and_events(patch_examples):
    _, training = patch_examples()
    facts = card(training)
    assert (facts["patients"], facts["organs"]["liver"]["patients"]) == (15, 14)
    assert facts["outcomes"]["response"] == {"known": 14, "events": int(np.nansum(training.events[:, 1]))}


def test_load_says_what_is_missing(tmp_path):
    given = dict.fromkeys(("splits", "covariates", "covariate_manifest", "labels"), tmp_path / "none.tsv")
    with pytest.raises(SettingsError, match="needs covariates"):
        load(**given, images=None, settings=ExperimentSettings(**SETTINGS), pairs=None)
    for outcomes in (("egfr_slope",), ("response",)):
        with pytest.raises(SettingsError, match="outcomes are unknown"):
            load(**given, images=[tmp_path], settings=ExperimentSettings(**SETTINGS, outcomes=outcomes))
