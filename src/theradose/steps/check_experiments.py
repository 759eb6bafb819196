"""Check that every predictor and hyperparameter of the experiments exists, before any image is read."""

import json
from argparse import Namespace

from theradose.experiment_sections import ExperimentSettings
from theradose.models.registry import predictor_named
from theradose.settings import parse_settings
from theradose.steps.entry import arguments, start


def run(chosen: Namespace) -> None:
    """Look up every predictor by name, kind and fixed hyperparameters; SettingsError for one that is not there."""
    experiments = [parse_settings(ExperimentSettings, given) for given in json.loads(chosen.settings)]
    for one in experiments:
        for name in one.all_predictors:
            predictor_named(name, one.kind, one.parameters.get(name), experiment=one.name)
    count = sum(len(one.all_predictors) for one in experiments)
    print(f"check_experiments: {len(experiments)} experiments, {count} predictors, all known")


if __name__ == "__main__":
    start(arguments(__doc__, texts=("settings",)), run)
