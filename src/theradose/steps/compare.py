"""Put all experiments of a study into one table and name the best predictor of each, chosen out of fold."""

import json
from argparse import Namespace

import numpy as np
import pandas as pd

from theradose.evaluation.compare import DOSE_KINDS, verdict, with_roles
from theradose.evaluation.limit_scores import LIMIT_SCORES, limit_scores, require_possible
from theradose.provenance import write_json, write_provenance
from theradose.steps.entry import arguments, start
from theradose.tables import EXPERIMENTS, METRICS, PREDICTIONS, read_table, write_table
from theradose.truth_schemas import LIMITS, ORACLE


def beside_limits(chosen: Namespace) -> pd.DataFrame:
    """Score the experiments that predict organ doses in a virtual study beside the limit; write limit_scores.tsv."""
    oracle, limits = (read_table(chosen.limits / f"{s.name}.tsv", s) for s in (ORACLE, LIMITS))
    spread = limits[limits["way"] == "resimulated"].set_index(["reference", "voi"])["log_sd"] ** 2
    label = np.sqrt(spread["label"] - spread["planted"]).to_dict()
    folders = [file.parent for file in chosen.metrics]
    about = {folder: json.loads((folder / "experiment.json").read_text(encoding="utf-8")) for folder in folders}
    # Who knows the cycle before knows more than the oracle, who knows what there is before therapy.
    judged = [folder for folder in folders if about[folder]["kind"] in DOSE_KINDS and "cycle" not in about[folder]]
    predictions = {folder.name: read_table(folder / "predictions.tsv", PREDICTIONS) for folder in judged}
    scores = limit_scores(predictions, oracle, label, chosen.seed)
    write_table(scores, chosen.out / "limit_scores.tsv", LIMIT_SCORES)
    return scores


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
    beside = beside_limits(chosen) if chosen.limits else None
    write_provenance(chosen.out, "compare", inputs, {})
    for name, found in best.items():
        print(f"compare: {name}: best {found['best']}, best baseline {found['best_baseline']} ({found['metric']})")
    if beside is not None:
        require_possible(beside)


if __name__ == "__main__":
    paths, optional = ("limits", "out"), ("limits", "seed")
    start(arguments(__doc__, lists=("metrics",), numbers=("seed",), paths=paths, optional=optional), run)
