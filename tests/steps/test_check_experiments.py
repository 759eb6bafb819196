"""Names of predictors and hyperparameters are checked before anything is computed."""

import json
from argparse import Namespace
from pathlib import Path

import pytest

from theradose.errors import SettingsError
from theradose.settings import load_experiment
from theradose.steps import check_experiments

EXPERIMENTS = Path(__file__).resolve().parents[2] / "config" / "experiments"


def asked(*experiments):
    given = [one if isinstance(one, dict) else one.model_dump(mode="json") for one in experiments]
    return Namespace(settings=json.dumps(given))


def test_every_experiment_of_the_repository_has_predictors_that_exist(capsys):
    experiments = [load_experiment(EXPERIMENTS, file.stem) for file in sorted(EXPERIMENTS.glob("*.yaml"))]
    check_experiments.run(asked(*experiments))
    count = sum(len(one.all_predictors) for one in experiments)
    assert f"{len(experiments)} experiments, {count} predictors" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"predictors": ["rigde"]}, "organ_dose.predictors.*rigde.*did you mean ridge"),
        ({"baselines": ["unet2d"]}, "no predictor of this name for organ_dose.*organ_dose.predictors.*unet2d"),
        ({"parameters": {"ridge": {"alpa": 1.0}}}, "ridge has no such parameter.*alpa"),
        ({"parameters": {"ridge": {"alpha": "much"}}}, "impossible hyperparameter.*parameters.ridge.alpha.*'much'"),
    ],
)
def test_a_wrong_name_is_told_with_the_right_one(changed, words):
    one = {**load_experiment(EXPERIMENTS, "organ_dose").model_dump(mode="json"), **changed}
    with pytest.raises(SettingsError, match=words):
        check_experiments.run(asked(one))
