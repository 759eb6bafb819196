"""Read what a study has left in its results folder; a part that was not asked for is simply not there."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from theradose.cohort.layout import Dataset
from theradose.columns import Schema
from theradose.evaluation.limit_scores import LIMIT_SCORES
from theradose.learning_schemas import LEARNING_CURVE, NESTED, PLANS, UPTAKE_SCALING
from theradose.sections import StudySettings
from theradose.tables import (
    AUDIT,
    BUDGET,
    DVH,
    EXPERIMENTS,
    FAULTS,
    FEATURES,
    HISTORY,
    IMAGES,
    METRICS,
    ORGAN_DOSE,
    PATIENTS,
    PREDICTIONS,
    QC,
    SPLITS,
    STABILITY,
    TAC,
    TIAC,
    TRIALS,
    read_table,
)
from theradose.truth_schemas import LIMITS, OUTCOME_LIMITS, RECOVERY_CHECK

TABLES: dict[str, tuple[str, Schema]] = {
    "patients": ("check/patients.tsv", PATIENTS),
    "faults": ("check/faults.tsv", FAULTS),
    "tac": ("quantify/tac.tsv", TAC),
    "qc": ("quantify/qc.tsv", QC),
    "tiac": ("kinetics/tiac.tsv", TIAC),
    "organ_dose": ("dose/organ_dose.tsv", ORGAN_DOSE),
    "budget": ("dose/budget.tsv", BUDGET),
    "dvh": ("dose/dvh.tsv", DVH),
    "dose_images": ("dose/images.tsv", IMAGES),
    "splits": ("split/splits.tsv", SPLITS),
    "features": ("features/features.parquet", FEATURES),
    "stability": ("features/stability.tsv", STABILITY),
    "limits": ("limit/limits.tsv", LIMITS),
    "outcome_limits": ("limit/outcome_limits.tsv", OUTCOME_LIMITS),
    "limit_scores": ("compare/limit_scores.tsv", LIMIT_SCORES),
}
"""Where each table of a study lies below its results folder."""


def read_json(path: Path) -> Any:
    """Read a JSON file of the results."""
    return json.loads(path.read_text(encoding="utf-8"))


@dataclass(frozen=True)
class ExperimentResults:
    """The folder of one experiment: its scores, its predictions and a folder for each predictor."""

    name: str
    folder: Path

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """The scores of every predictor, schema METRICS."""
        return read_table(self.folder / "metrics.tsv", METRICS)

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """What was predicted for each patient, schema PREDICTIONS; without rows when the experiment writes none."""
        return _optional(self.folder / "predictions.tsv", PREDICTIONS)

    @cached_property
    def audit(self) -> pd.DataFrame:
        """What shuffling labels found, schema AUDIT; without rows when it was not asked for."""
        return _optional(self.folder / "audit.tsv", AUDIT)

    @cached_property
    def nested(self) -> pd.DataFrame:
        """What nested cross-validation found, schema NESTED; without rows when it was not asked for."""
        return _optional(self.folder / "nested.tsv", NESTED)

    @cached_property
    def plans(self) -> pd.DataFrame:
        """The activity planned for each patient, schema PLANS; without rows when it was not asked for."""
        return _optional(self.folder / "plans.tsv", PLANS)

    @cached_property
    def learning_curve(self) -> pd.DataFrame:
        """Scores by the number of patients learned from, schema LEARNING_CURVE; without rows when not asked for."""
        return _optional(self.folder / "learning_curve.tsv", LEARNING_CURVE)

    @cached_property
    def uptake_scaling(self) -> pd.DataFrame:
        """How predictions follow when uptake falls, schema UPTAKE_SCALING; without rows for kinds that do not say."""
        return _optional(self.folder / "uptake_scaling.tsv", UPTAKE_SCALING)

    @cached_property
    def about(self) -> dict[str, Any]:
        """What the experiment is: title, kind, baselines, predictors."""
        return dict(read_json(self.folder / "experiment.json"))

    @property
    def title(self) -> str:
        """The experiment in words."""
        return str(self.about["title"])

    @property
    def predictors(self) -> list[str]:
        """All predictors, baselines first as the settings list them."""
        return [str(name) for name in self.about["predictors"]]

    @property
    def baselines(self) -> list[str]:
        """The predictors that the others stand beside."""
        return [str(name) for name in self.about["baselines"]]

    def record(self, predictor: str, name: str) -> dict[str, Any]:
        """Return a JSON file of a predictor (`tune.json`, `model/model.json`), empty when it has none."""
        path = self.folder / predictor / name
        return dict(read_json(path)) if path.is_file() else {}

    def history(self, predictor: str) -> pd.DataFrame:
        """Return the losses by epoch, without rows when nothing iterates."""
        return _optional(self.folder / predictor / "history.tsv", HISTORY)

    def trials(self, predictor: str) -> pd.DataFrame:
        """Return the trials of the search."""
        return _optional(self.folder / predictor / "trials.tsv", TRIALS)


def _optional(path: Path, schema: Schema) -> pd.DataFrame:
    """Read a table that may be absent; then it has its columns and no rows."""
    return read_table(path, schema) if path.is_file() else pd.DataFrame(columns=schema.names())


@dataclass(frozen=True)
class StudyResults:
    """A study after its run: settings, data set and results folder.

    Tables that exist are read and checked once; the others have their columns and no rows.
    """

    settings: StudySettings
    data_root: Path
    root: Path

    @cached_property
    def data(self) -> Dataset:
        """The data set of the study."""
        return Dataset(self.data_root)

    @cached_property
    def _read(self) -> dict[str, pd.DataFrame]:
        return {name: _optional(self.root / file, schema) for name, (file, schema) in TABLES.items()}

    def table(self, name: str) -> pd.DataFrame:
        """Return a table by the name it has in TABLES."""
        return self._read[name]

    @cached_property
    def participants(self) -> pd.DataFrame:
        """The clinical table, with the status and reason that `check` gave each patient."""
        return self.table("patients").merge(self.data.participants().drop(columns="centre"), on="patient", how="left")

    @cached_property
    def manifest(self) -> pd.DataFrame:
        """The list of images of the data set."""
        return self.data.manifest()

    @property
    def virtual(self) -> bool:
        """Whether the patients were made by a computer."""
        return self.settings.cohort.source == "virtual"

    @cached_property
    def usable(self) -> list[str]:
        """The patients that were worked on."""
        status = self.table("patients")
        return sorted(status.loc[status["status"].isin(["ok", "flagged"]), "patient"])

    @cached_property
    def organs(self) -> pd.DataFrame:
        """Organ doses of level `organ`, the first cycle."""
        table = self.table("organ_dose")
        return table[(table["level"] == "organ") & (table["cycle"] == 1)].reset_index(drop=True)

    @cached_property
    def experiments(self) -> list[ExperimentResults]:
        """The experiments that have scores, in the order of the settings, others after them by name."""
        folders = [path.parent for path in sorted(self.root.glob("experiments/*/metrics.tsv"))]
        order = list(self.settings.experiments)
        folders.sort(key=lambda f: (order.index(f.name) if f.name in order else len(order), f.name))
        return [ExperimentResults(folder.name, folder) for folder in folders]

    @cached_property
    def verdicts(self) -> dict[str, Any]:
        """What `compare` found of each experiment; empty when it has not run."""
        path = self.root / "compare" / "best.json"
        return dict(read_json(path)) if path.is_file() else {}

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The scores of all experiments, schema EXPERIMENTS; without rows when `compare` has not run."""
        return _optional(self.root / "compare" / "experiments.tsv", EXPERIMENTS)

    @cached_property
    def recovery(self) -> pd.DataFrame:
        """Planted against recovered, a row a VOI; empty for real patients."""
        return _optional(self.root / "evaluate" / "recovery.tsv", RECOVERY_CHECK)

    def files(self) -> list[Path]:
        """Return the tables of this study that were there to be read."""
        named = [self.root / file for file, _ in TABLES.values()]
        named += [self.root / "compare" / "best.json", self.root / "compare" / "experiments.tsv"]
        named += [self.root / "evaluate" / "recovery.tsv"]
        named += [experiment.folder / name for experiment in self.experiments for name in ("metrics.tsv", "nested.tsv")]
        return [path for path in named if path.is_file()]

    def images(self, chunk_table: str) -> pd.DataFrame:
        """Return the rows of `<folder>/chunk-*/images.tsv` with `path`, where each file lies."""
        frames = []
        for table in sorted(self.root.glob(f"{chunk_table}/chunk-*/images.tsv")):
            frame = read_table(table, IMAGES)
            paths = [str(resolve(table.parent, file, self.data_root)) for file in frame["file"]]
            frames.append(frame.assign(path=paths))
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=[*IMAGES.names(), "path"])


def resolve(folder: Path, file: str, *others: Path) -> Path:
    """Return where an image of a table lies: beside the table, below the working folder, or below one of `others`."""
    candidates: Sequence[Path] = (folder / file, Path(file), *(other / file for other in others))
    return next((path for path in candidates if path.is_file()), folder / file)
