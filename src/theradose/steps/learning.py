"""What tune, train and evaluate share: their input flags, the examples behind them, and what a model says of images."""

import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from theradose.cohort.layout import Dataset
from theradose.errors import SettingsError, Where
from theradose.experiment_sections import ExperimentSettings
from theradose.features.presets import read_preset
from theradose.models.image_examples import ARRAYS_FILE
from theradose.models.predictors import VALIDATION, OnEpoch, TrainingPlan
from theradose.models.seen_images import seen
from theradose.sections import RadiomicsSettings
from theradose.settings import from_json
from theradose.steps.kinds import KINDS

OPTIONAL = (
    "covariates", "covariate_manifest", "labels", "pairs", "stability", "outcomes", "doses", "participants", "tiac",
)  # fmt: skip
INPUTS, LISTS = ("splits", *OPTIONAL), ("images",)


def load_parts(chosen: Namespace, settings: ExperimentSettings) -> dict[str, Any]:
    """Return the examples of each part of an experiment and say who had to be left out."""
    given = {name: getattr(chosen, name, None) for name in (*INPUTS, *LISTS)}
    parts = KINDS[settings.kind].load(**given, settings=settings)
    for part, examples in parts.items():
        for patient, reason in getattr(examples, "left_out", {}).items():
            print(f"{settings.name}: {part}: patient {patient} left out: {reason}")
    return parts


def plan_of(
    settings: ExperimentSettings, everyone: Mapping[str, Any], splits: pd.DataFrame, checkpoints: Path | None = None
) -> TrainingPlan:
    """Return how the fits of an experiment are trained, with the validation patients of its one part if they watch."""
    if settings.training.watch != VALIDATION:
        return TrainingPlan.of(settings, checkpoints)
    names = list(splits.loc[splits["partition"] == VALIDATION, "patient"])
    if not names:
        raise SettingsError(
            "no patient is in the partition validation, so none can watch over a training",
            where=Where(field=f"{settings.name}.training.watch"),
            got=VALIDATION,
            remedy="set split.scheme: thirds, or training.watch: held_back",
        )
    (examples,) = everyone.values()
    return TrainingPlan.of(settings, checkpoints, KINDS[settings.kind].subset(examples, names))


def input_files(chosen: Namespace) -> list[Path]:
    """Return the files behind the flags that were given."""
    given = [path for name in INPUTS if (path := getattr(chosen, name, None)) is not None]
    given += getattr(chosen, "images", None) or []
    return [path / ARRAYS_FILE if path.is_dir() else path for path in given]


def progress(name: str, every_s: float = 10.0) -> Callable[[str, str], OnEpoch]:
    """Return what names, for each part and fit of a training, a watcher that prints an epoch now and then."""
    said_s = [time.monotonic()]

    def watch(part: str, fit: str) -> OnEpoch:
        def on_epoch(epoch: int, losses: dict[str, float]) -> None:
            if time.monotonic() - said_s[0] >= every_s:
                said_s[0] = time.monotonic()
                shown = ", ".join(f"{loss} {value:.4g}" for loss, value in losses.items())
                print(f"{name}: {part}: {fit}: epoch {epoch}: {shown}", flush=True)

        return on_epoch

    return watch


def image_card(chosen: Namespace, patients: Sequence[str]) -> dict[str, Any]:
    """Return how features are made, with whole presets, and of which kind the images of these patients are.

    A new patient gets the same features, and is told apart when his images are of another kind.
    """
    if chosen.radiomics is None or chosen.presets is None:
        return {}
    settings = from_json(RadiomicsSettings, chosen.radiomics)
    presets = {m: read_preset(chosen.presets / f"{name}.yaml", m).recipe for m, name in settings.presets.items()}
    images = {} if chosen.data is None else seen(Dataset(chosen.data), patients)
    return {"radiomics": {"settings": settings.model_dump(mode="json"), "presets": presets}, "images": images}
