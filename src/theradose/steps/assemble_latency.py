"""Join covariates, predicted doses and surrogates into the 130 covariates of the latency of toxicity."""

from argparse import Namespace
from pathlib import Path

import pandas as pd

from theradose.experiment_sections import ExperimentSettings
from theradose.features.dictionary import DICTIONARY, covariates_dictionary
from theradose.learning_schemas import OUTCOME_PREDICTIONS
from theradose.models.latency_covariates import empty_columns, latency_covariates
from theradose.provenance import write_provenance
from theradose.settings import from_json
from theradose.steps.entry import arguments, start
from theradose.tables import COVARIATE_MANIFEST, COVARIATES, PARTICIPANTS, PREDICTIONS, SPLITS, read_table, write_table

SURROGATE_PREDICTOR = "multitask"  # the network of the experiment, not one of its baselines
DOSE_FILE, EVENT_FILE = "predictions.tsv", "outcome_predictions.tsv"


def read_surrogates(folder: Path | None) -> tuple[pd.DataFrame, pd.DataFrame] | None:
    """Return the doses and the events that a multi-task experiment predicted, None without one."""
    if folder is None:
        return None
    return read_table(folder / DOSE_FILE, PREDICTIONS), read_table(folder / EVENT_FILE, OUTCOME_PREDICTIONS)


def run(chosen: Namespace) -> None:
    """Read tables and predictions; write covariates.tsv, covariate_manifest.tsv and their dictionary into a folder."""
    settings = from_json(ExperimentSettings, chosen.settings)
    table, manifest = latency_covariates(
        read_table(chosen.covariates, COVARIATES),
        read_table(chosen.participants, PARTICIPANTS),
        read_table(chosen.splits, SPLITS),
        doses=read_table(chosen.doses, PREDICTIONS),
        dose_predictor=settings.dose_predictor,
        surrogates=read_surrogates(chosen.surrogates),
        surrogate_predictor=SURROGATE_PREDICTOR,
        t_eff_h=settings.t_eff_h,
    )
    write_table(table, chosen.out / "covariates.tsv", COVARIATES)
    write_table(manifest, chosen.out / "covariate_manifest.tsv", COVARIATE_MANIFEST)
    write_table(covariates_dictionary(manifest), chosen.out / "covariates.dictionary.tsv", DICTIONARY)
    own = [] if chosen.surrogates is None else [chosen.surrogates / name for name in (DOSE_FILE, EVENT_FILE)]
    inputs = [chosen.covariates, chosen.participants, chosen.splits, chosen.doses, *own]
    write_provenance(chosen.out, "assemble_latency", inputs, settings.model_dump(mode="json"))
    empty = empty_columns(table)
    print(f"assemble_latency: {len(table)} patients, {len(manifest) - len(empty)} of {len(manifest)} columns filled")
    if chosen.surrogates is None:
        print("assemble_latency: no multi-task experiment, so the surrogates stay empty")
    if empty:
        print(f"assemble_latency: nobody has {', '.join(empty)}")


if __name__ == "__main__":
    paths = ("covariates", "participants", "splits", "doses", "surrogates", "out")
    start(arguments(__doc__, texts=("settings",), paths=paths, optional=("surrogates",)), run)
