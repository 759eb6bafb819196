"""Judge the predictors of an experiment on untouched patients, beside their baselines."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from theradose.errors import SettingsError, Where
from theradose.evaluation.audited_models import write_audit
from theradose.evaluation.learning_curve import write_learning_curve
from theradose.experiment_sections import ExperimentSettings
from theradose.models.store import MODEL_FILE, WEIGHTS_FILE, Trained, load_trained
from theradose.ops.tracking import open_run
from theradose.provenance import write_json, write_provenance
from theradose.settings import from_json
from theradose.steps.entry import arguments, start
from theradose.steps.judges import EVALUATIONS
from theradose.steps.kinds import KINDS
from theradose.steps.learning import INPUTS, LISTS, OPTIONAL, input_files, load_parts, plan_of
from theradose.tables import METRICS, SPLITS, read_table

EXPERIMENT_FILE = "experiment.json"


def read_models(folders: list[Path], settings: ExperimentSettings) -> dict[str, Trained]:
    """Return the trained models by predictor, in the order of the settings; a folder or its model.json may be given."""
    models = [load_trained(path.parent if path.name == MODEL_FILE else path) for path in folders]
    by_name = {str(model.card["predictor"]): model for model in models}
    missing = [name for name in settings.all_predictors if name not in by_name]
    if missing:
        raise SettingsError(
            "an experiment is judged whole, every model beside its baselines",
            where=Where(field=settings.name),
            got=f"no model of {', '.join(missing)}",
            remedy="train them, or take them out of the experiment",
        )
    return {name: by_name[name] for name in settings.all_predictors}


def track(chosen: Namespace, settings: ExperimentSettings, predictor: str) -> None:
    """Log the scores of one predictor as the metrics of a run of its own, so that runs compare side by side."""
    table = read_table(chosen.out / "metrics.tsv", METRICS)
    table = table[(table["predictor"] == predictor) & table["value"].notna()]
    names = table[["partition", "reference", "voi", "metric"]].agg("/".join, axis=1)
    with open_run(chosen.tracking, "evaluate", {"experiment": settings.name, "predictor": predictor}) as tracked:
        tracked.params({"kind": settings.kind, "baseline": predictor in settings.baselines})
        tracked.metrics(dict(zip(names, table["value"], strict=True)))


def run(chosen: Namespace) -> None:
    """Read examples and models; write predictions, scores and what the experiment is."""
    settings = from_json(ExperimentSettings, chosen.settings)
    models = read_models(chosen.models, settings)
    splits = read_table(chosen.splits, SPLITS)
    parts, folds = load_parts(chosen, settings), dict(zip(splits["patient"], splits["fold"], strict=True))
    told: dict[str, Any] = {"settings": settings, "parts": parts, "models": models, "folds": folds, "seed": chosen.seed}
    EVALUATIONS[settings.kind](**told, truth=chosen.truth, out=chosen.out)
    write_audit(**told, out=chosen.out)
    if not write_learning_curve(KINDS[settings.kind], plan_of(settings, parts, splits), **told, out=chosen.out):
        print(f"evaluate: {settings.name}: no learning curve: it is judged on test patients, and there are none")
    record = {
        "name": settings.name,
        "kind": settings.kind,
        "title": settings.title,
        "system": settings.system,
        "baselines": [name for name in models if name in settings.baselines],
        "predictors": list(models),
        **settings.later_cycle,
    }
    write_json(chosen.out / EXPERIMENT_FILE, record)
    files = [path / name for path in chosen.models for name in (MODEL_FILE, WEIGHTS_FILE) if path.is_dir()]
    write_provenance(chosen.out, "evaluate", [*input_files(chosen), *files], settings.model_dump(mode="json"))
    for predictor in models:
        track(chosen, settings, predictor)
        print(f"evaluate: {settings.name}: {predictor} done", flush=True)


if __name__ == "__main__":
    parser = arguments(
        __doc__,
        texts=("settings",),
        numbers=("seed",),
        paths=(*INPUTS, "truth", "tracking", "out"),
        lists=("models", *LISTS),
        optional=(*OPTIONAL, *LISTS, "truth"),
    )
    start(parser, run)
