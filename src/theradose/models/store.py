"""A trained model as two files, `model.json` and `weights.safetensors`: no pickle, no names, the same bytes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file
from safetensors.numpy import save as save_tensors

from theradose.errors import DataError, Where
from theradose.models.predictors import Predictor
from theradose.models.registry import PREDICTORS
from theradose.provenance import write_atomically, write_json

MODEL_FILE, WEIGHTS_FILE, OUT_OF_FOLD_FILE = "model.json", "weights.safetensors", "out_of_fold.safetensors"
LEARNED, CALIBRATION = "predictor", "calibration"
FORMAT = 1


@dataclass(frozen=True)
class Trained:
    """A trained model: one fitted predictor and its calibration for each part (organ, or `all`), and its card.

    `out_of_fold` holds, for each part, the predictions of the training patients by fits without them; they belong to
    the study, not to the model, and are stored beside its folder.
    """

    predictors: dict[str, Predictor]
    calibration: dict[str, dict[str, np.ndarray]]
    card: dict[str, Any]
    out_of_fold: dict[str, np.ndarray] = field(default_factory=dict)


def _plain(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays as safetensors wants them: in C order."""
    return {name: np.ascontiguousarray(values) for name, values in arrays.items()}


def _bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    return bytes(save_tensors(_plain(arrays)))


def save_model(folder: Path, trained: Trained) -> list[Path]:
    """Write a model folder and return its files."""
    arrays: dict[str, np.ndarray] = {}
    for part, predictor in trained.predictors.items():
        arrays |= {f"{part}/{LEARNED}/{name}": values for name, values in predictor.tensors().items()}
        arrays |= {f"{part}/{CALIBRATION}/{name}": v for name, v in trained.calibration.get(part, {}).items()}
    parts = {part: {"predictor": p.name, "state": p.state()} for part, p in trained.predictors.items()}
    write_json(folder / MODEL_FILE, {"format": FORMAT, "parts": parts, "card": trained.card})
    write_atomically(folder / WEIGHTS_FILE, _bytes(arrays))
    return [folder / MODEL_FILE, folder / WEIGHTS_FILE]


def _under(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}


def load_model(folder: Path) -> Trained:
    """Read a model folder; DataError when files are missing or of an unknown format."""
    for name in (MODEL_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise DataError("model is not complete", where=Where(file=(folder / name).as_posix()), code="THR-201")
    record = json.loads((folder / MODEL_FILE).read_text(encoding="utf-8"))
    if record.get("format") != FORMAT:
        raise DataError(
            "model has another format", where=Where(file=MODEL_FILE), got=record.get("format"), expected=FORMAT
        )
    arrays = load_file(folder / WEIGHTS_FILE)
    predictors = {
        part: PREDICTORS[entry["predictor"]].restore(entry["state"], _under(arrays, f"{part}/{LEARNED}/"))
        for part, entry in record["parts"].items()
    }
    calibration = {part: _under(arrays, f"{part}/{CALIBRATION}/") for part in predictors}
    return Trained(predictors, calibration, record["card"])


def save_out_of_fold(folder: Path, predictions: Mapping[str, np.ndarray]) -> Path:
    """Write the out-of-fold predictions of a predictor into its folder."""
    write_atomically(folder / OUT_OF_FOLD_FILE, _bytes(predictions))
    return folder / OUT_OF_FOLD_FILE


def load_trained(folder: Path) -> Trained:
    """Read a model folder and the out-of-fold predictions beside it."""
    path = folder.parent / OUT_OF_FOLD_FILE
    if not path.is_file():
        raise DataError(
            "out-of-fold predictions are missing",
            where=Where(file=path.as_posix()),
            remedy="run the train step again",
            code="THR-201",
        )
    model = load_model(folder)
    return Trained(model.predictors, model.calibration, model.card, load_file(path))
