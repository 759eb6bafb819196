"""Check that every predictor and hyperparameter of the experiments exists, before any image is read."""

import json
from argparse import Namespace

from theradose.experiment_sections import ExperimentSettings
from theradose.models.registry import predictor_named
from theradose.provenance import write_json
from theradose.settings import parse_settings
from theradose.steps.entry import arguments, start


def run(chosen: Namespace) -> None:
    """Look up every predictor by name, kind and fixed hyperparameters; write what each may still search."""
    found = {}
    for given in json.loads(chosen.settings):
        one = parse_settings(ExperimentSettings, given)
        classes = {
            name: predictor_named(name, one.kind, one.parameters.get(name), experiment=one.name)
            for name in one.all_predictors
        }
        found[one.name] = {name: sorted(predictor.space) for name, predictor in classes.items()}
    write_json(chosen.out, found)
    count = sum(len(predictors) for predictors in found.values())
    print(f"check_experiments: {len(found)} experiments, {count} predictors, all known")


if __name__ == "__main__":
    start(arguments(__doc__, texts=("settings",), paths=("out",)), run)
