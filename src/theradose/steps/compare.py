"""Put all experiments of a study into one table and name the best predictor of each, chosen out of fold."""

import json
from argparse import Namespace

import pandas as pd

from theradose.evaluation.compare import verdict, with_roles
from theradose.provenance import write_json, write_provenance
from theradose.steps.entry import arguments, start
from theradose.tables import EXPERIMENTS, METRICS, read_table, write_table


def run(chosen: Namespace) -> None:
    """Read the scores of every experiment; write experiments.tsv and best.json."""
    tables, best, inputs = [], {}, []
    for file in chosen.metrics:
        about = file.parent / "experiment.json"
        experiment = json.loads(about.read_text(encoding="utf-8"))
        scores = read_table(file, METRICS)
        best[experiment["name"]] = verdict(scores, experiment)
        tables.append(with_roles(scores, experiment, best[experiment["name"]]["best"]))
        inputs += [file, about]
    write_table(pd.concat(tables, ignore_index=True), chosen.out / "experiments.tsv", EXPERIMENTS)
    write_json(chosen.out / "best.json", best)
    write_provenance(chosen.out, "compare", inputs, {})
    for name, found in best.items():
        print(f"compare: {name}: best {found['best']}, best baseline {found['best_baseline']} ({found['metric']})")


if __name__ == "__main__":
    start(arguments(__doc__, lists=("metrics",), paths=("out",)), run)
