"""Judge what nested cross-validation predicted, every predictor of an experiment beside its baselines."""

from argparse import Namespace

import pandas as pd

from theradose.errors import SettingsError, Where
from theradose.evaluation.nested import nested_table
from theradose.experiment_sections import ExperimentSettings
from theradose.learning_schemas import NESTED, NESTED_PREDICTIONS
from theradose.provenance import write_provenance
from theradose.settings import from_json
from theradose.steps.entry import arguments, start
from theradose.tables import SPLITS, read_table, write_table


def run(chosen: Namespace) -> None:
    """Read the predictions of all predictors; write nested.tsv."""
    settings = from_json(ExperimentSettings, chosen.settings)
    splits = read_table(chosen.splits, SPLITS)
    predictions = pd.concat([read_table(file, NESTED_PREDICTIONS) for file in chosen.predictions], ignore_index=True)
    missing = [name for name in settings.all_predictors if name not in set(predictions["predictor"])]
    if missing:
        raise SettingsError(
            "an experiment is judged whole, every model beside its baselines",
            where=Where(field=settings.name),
            got=f"no nested predictions of {', '.join(missing)}",
        )
    table = nested_table(
        predictions,
        experiment=settings.name,
        kind=settings.kind,
        vois=settings.organs if settings.kind == "organ_dose" else settings.outcomes,
        baselines=settings.baselines,
        predictors=settings.all_predictors,
        centres=dict(zip(splits["patient"], splits["centre"], strict=True)),
        seed=chosen.seed,
    )
    write_table(table, chosen.out, NESTED)
    files = [chosen.splits, *chosen.predictions]
    write_provenance(chosen.out.parent / "nested", "judge_nested", files, settings.model_dump(mode="json"))
    print(f"judge_nested: {settings.name}: {len(settings.all_predictors)} predictors, {settings.nested.scheme}")


if __name__ == "__main__":
    texts, paths, lists = ("settings",), ("splits", "out"), ("predictions",)
    start(arguments(__doc__, texts=texts, numbers=("seed",), paths=paths, lists=lists), run)
