"""Train one predictor of an experiment as tuned, and predict its training patients out of fold."""

import json
from argparse import Namespace
from pathlib import Path
from shutil import rmtree

import pandas as pd

from theradose.experiment_sections import ExperimentSettings
from theradose.models.fitting import Fitted, fit_parts
from theradose.models.folds import inner_folds, training_patients
from theradose.models.registry import predictor_named
from theradose.models.store import Trained, save_model, save_out_of_fold
from theradose.ops.tracking import open_run
from theradose.provenance import code_digest, digest, write_json, write_provenance
from theradose.settings import from_json
from theradose.steps.entry import arguments, start
from theradose.steps.kinds import KINDS
from theradose.steps.learning import INPUTS, LISTS, OPTIONAL, image_card, input_files, load_parts, plan_of, progress
from theradose.tables import HISTORY, SPLITS, read_table, write_table
from theradose.vocabulary import RESEARCH_USE_ONLY


def track(chosen: Namespace, experiment: str, found: Fitted, files: list[Path]) -> None:
    """Log hyperparameters, scores, every epoch and the model's files."""
    with open_run(chosen.tracking, "train", {"experiment": experiment, "predictor": chosen.predictor}) as tracked:
        tracked.params({part: model.parameters for part, model in found.predictors.items()})
        tracked.metrics({f"{part}/out_of_fold": score for part, score in found.scores.items()})
        tracked.series(found.series())
        for file in files:
            tracked.artifact(file)


def run(chosen: Namespace) -> None:
    """Read examples and hyperparameters; write model, history, out-of-fold predictions and train.json."""
    settings = from_json(ExperimentSettings, chosen.settings)
    kind, splits = KINDS[settings.kind], read_table(chosen.splits, SPLITS)
    tuned = json.loads(chosen.tune.read_text(encoding="utf-8"))["parts"]
    kept, code = chosen.out / "checkpoints", code_digest("theradose.steps.train")
    everyone, training = load_parts(chosen, settings), training_patients(splits)
    parts = {part: kind.subset(examples, training) for part, examples in everyone.items()}
    found = fit_parts(
        predictor_named(chosen.predictor, settings.kind, settings.parameters.get(chosen.predictor)),
        parts,
        {part: entry["parameters"] for part, entry in tuned.items()},
        folds=inner_folds(splits, settings.tuning.folds),
        seed=chosen.seed,
        training=plan_of(settings, everyone, splits, kept / digest([settings.model_dump(mode="json"), tuned, code])),
        watch=progress(f"train: {settings.name}: {chosen.predictor}"),
        subset=kind.subset,
        score=kind.score,
        calibrate=kind.calibrate,
        card=kind.card,
    )
    kind.finish(parts, found)
    said = {"experiment": settings.name, "title": settings.title, "kind": settings.kind, "predictor": chosen.predictor}
    facts = {"interval": settings.interval, "seed": chosen.seed, "parts": found.cards, "notice": RESEARCH_USE_ONLY}
    facts |= {**settings.later_cycle, **({"t_eff_h": settings.t_eff_h} if settings.t_eff_h else {})}
    trained = Trained(
        found.predictors, found.calibration, {**said, **facts, **image_card(chosen, training)}, found.out_of_fold
    )
    files = save_model(chosen.out / "model", trained)
    save_out_of_fold(chosen.out, found.out_of_fold)
    history = pd.DataFrame(found.history, columns=None if found.history else HISTORY.names())
    write_table(history, chosen.out / "history.tsv", HISTORY)
    write_json(chosen.out / "train.json", {"predictor": chosen.predictor, "parts": found.summary()})
    write_provenance(chosen.out, "train", [*input_files(chosen), chosen.tune], settings.model_dump(mode="json"))
    track(chosen, settings.name, found, files)
    rmtree(kept, ignore_errors=True)
    print(f"train: {settings.name}: {chosen.predictor}: out of fold {found.scores}", flush=True)


if __name__ == "__main__":
    parser = arguments(
        __doc__,
        texts=("settings", "predictor", "radiomics"),
        numbers=("seed",),
        paths=(*INPUTS, "tune", "presets", "data", "tracking", "out"),
        lists=LISTS,
        optional=(*OPTIONAL, *LISTS, "radiomics", "presets", "data"),
    )
    start(parser, run)
