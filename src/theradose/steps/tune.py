"""Tune one predictor of an experiment on folds inside the training partition; a killed search goes on where it was."""

from argparse import Namespace
from typing import Any

from theradose.experiment_sections import ExperimentSettings
from theradose.models.fitting import objective
from theradose.models.folds import inner_folds, training_patients
from theradose.models.registry import predictor_named
from theradose.models.tuning import PRUNED, TrialRow, best, search, trials_table
from theradose.ops.tracking import open_run
from theradose.provenance import code_digest, digest, sha256_file, write_json, write_provenance
from theradose.settings import from_json
from theradose.steps.entry import arguments, start
from theradose.steps.kinds import KINDS
from theradose.steps.learning import INPUTS, LISTS, OPTIONAL, input_files, load_parts, plan_of
from theradose.tables import SPLITS, TRIALS, read_table, write_table

# What scores of trials do not depend on.
WORDS, AFTERWARDS = ("name", "title", "system"), ("audit_permutations", "learning_curve", "nested", "planning")
BUDGET = {"trials", "workers"}
NO_MATTER: Any = {**dict.fromkeys((*WORDS, *AFTERWARDS), True), "tuning": BUDGET}


def study_key(chosen: Namespace, settings: ExperimentSettings) -> str:
    """Return a digest of all that scores depend on, so that no trial of other code, settings or data is taken over.

    The number of trials is left out: asking for more continues the search.
    """
    said = settings.model_dump(mode="json", exclude=NO_MATTER)
    files = [sha256_file(path) for path in input_files(chosen)]
    return digest([chosen.predictor, chosen.seed, said, files, code_digest("theradose.steps.tune")])


def run(chosen: Namespace) -> None:
    """Read examples, search for each part, write tune.json and trials.tsv."""
    settings = from_json(ExperimentSettings, chosen.settings)
    kind, splits = KINDS[settings.kind], read_table(chosen.splits, SPLITS)
    predictor = predictor_named(chosen.predictor, settings.kind, settings.parameters.get(chosen.predictor))
    folds, key = inner_folds(splits, settings.tuning.folds), study_key(chosen, settings)
    rows: dict[str, list[TrialRow]] = {}
    with open_run(chosen.tracking, "tune", {"experiment": settings.name, "predictor": chosen.predictor}) as tracked:
        parts = load_parts(chosen, settings)
        plan = plan_of(settings, parts, splits)
        for part, everyone in parts.items():
            examples = kind.subset(everyone, training_patients(splits))

            def log(row: TrialRow, part: str = part) -> None:
                tracked.trial(row.number, {"part": part, **row.parameters}, row.value, pruned=row.state == PRUNED)

            rows[part] = search(
                predictor.space,
                objective(
                    predictor,
                    examples,
                    folds=folds,
                    subset=kind.subset,
                    score=kind.score,
                    seed=chosen.seed,
                    training=plan,
                    pruning=settings.tuning.pruning,
                ),
                trials=settings.tuning.trials,
                seed=chosen.seed,
                journal=chosen.out / "optuna.journal",
                name=f"{settings.name}-{chosen.predictor}-{part}-{key}",
                start=predictor.defaults,
                on_trial=log if predictor.space else None,
                workers=settings.tuning.workers,
            )
            print(
                f"tune: {chosen.predictor}: {part}: best of {len(rows[part])} trials {best(rows[part]).value:.4g}",
                flush=True,
            )
        found: dict[str, dict[str, Any]] = {
            p: {"parameters": best(r).parameters, "value": best(r).value, "trials": len(r)} for p, r in rows.items()
        }
        tracked.params({part: entry["parameters"] for part, entry in found.items()})
        tracked.metrics({f"{part}/best": entry["value"] for part, entry in found.items()})
    write_table(trials_table(rows), chosen.out / "trials.tsv", TRIALS)
    record = {"experiment": settings.name, "predictor": chosen.predictor, "study": key, "parts": found}
    write_json(chosen.out / "tune.json", record)
    write_provenance(chosen.out / "tuning", "tune", input_files(chosen), settings.model_dump(mode="json"))


if __name__ == "__main__":
    paths = (*INPUTS, "tracking", "out")
    optional, texts = (*OPTIONAL, *LISTS), ("settings", "predictor")
    start(arguments(__doc__, texts=texts, numbers=("seed",), paths=paths, lists=LISTS, optional=optional), run)
