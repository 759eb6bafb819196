"""What tune, train and evaluate share: their input flags and the examples behind them."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from theradose.experiment_sections import ExperimentSettings
from theradose.models.image_examples import ARRAYS_FILE
from theradose.steps.kinds import KINDS

OPTIONAL = ("covariates", "covariate_manifest", "labels", "pairs", "stability")
INPUTS = ("splits", *OPTIONAL)


def load_parts(chosen: Namespace, settings: ExperimentSettings) -> dict[str, Any]:
    """Return the examples of each part of an experiment and say who had to be left out."""
    parts = KINDS[settings.kind].load(**{name: getattr(chosen, name, None) for name in INPUTS}, settings=settings)
    for part, examples in parts.items():
        for patient, reason in getattr(examples, "left_out", {}).items():
            print(f"{settings.name}: {part}: patient {patient} left out: {reason}")
    return parts


def input_files(chosen: Namespace) -> list[Path]:
    """Return the files behind the flags that were given."""
    given = [path for name in INPUTS if (path := getattr(chosen, name, None)) is not None]
    return [path / ARRAYS_FILE if path.is_dir() else path for path in given]
