"""Predict every patient outside the test partition by nested cross-validation, with one predictor of an experiment."""

from argparse import Namespace

import pandas as pd

from theradose.experiment_sections import ExperimentSettings
from theradose.learning_schemas import NESTED_PREDICTIONS
from theradose.models.nested import Procedure, nested_predictions, people_of
from theradose.models.predictors import TrainingPlan
from theradose.models.registry import predictor_named
from theradose.provenance import write_provenance
from theradose.settings import from_json
from theradose.steps.entry import arguments, start
from theradose.steps.kinds import KINDS
from theradose.steps.learning import INPUTS, LISTS, OPTIONAL, input_files, load_parts
from theradose.tables import PARTICIPANTS, SPLITS, read_table, write_table


def run(chosen: Namespace) -> None:
    """Read examples; write nested_predictions.tsv."""
    settings = from_json(ExperimentSettings, chosen.settings)
    kind, fixed = KINDS[settings.kind], settings.parameters.get(chosen.predictor)
    predictor = predictor_named(chosen.predictor, settings.kind, fixed)
    named = None if chosen.participants is None else read_table(chosen.participants, PARTICIPANTS)
    people = people_of(read_table(chosen.splits, SPLITS), named)
    training = TrainingPlan.of(settings)
    how = Procedure(predictor, kind.subset, kind.score, kind.calibrate, settings.nested, training)
    tables = []
    for part, examples in load_parts(chosen, settings).items():
        table = nested_predictions(how, part, examples, people=people, level=settings.interval, seed=chosen.seed)
        tables.append(table)
        fits = len(table[["repeat", "fold"]].drop_duplicates())
        print(f"cross_validate: {settings.name}: {chosen.predictor}: {part}: {fits} outer folds done", flush=True)
    write_table(pd.concat(tables, ignore_index=True), chosen.out / "nested_predictions.tsv", NESTED_PREDICTIONS)
    write_provenance(chosen.out / "nested", "cross_validate", input_files(chosen), settings.model_dump(mode="json"))


if __name__ == "__main__":
    paths, texts = (*INPUTS, "out"), ("settings", "predictor")
    optional = (*OPTIONAL, *LISTS)
    start(arguments(__doc__, texts=texts, numbers=("seed",), paths=paths, lists=LISTS, optional=optional), run)
