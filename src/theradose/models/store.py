"""A trained model as two files, `model.json` and `weights.safetensors`: no pickle, no names, the same bytes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from theradose.errors import DataError, Where
from theradose.models.predictors import Predictor
from theradose.models.registry import PREDICTORS
from theradose.provenance import write_atomically, write_json

MODEL_FILE, WEIGHTS_FILE, OUT_OF_FOLD_FILE = "model.json", "weights.safetensors", "out_of_fold.safetensors"
LEARNED, CALIBRATION = "predictor", "calibration"
FORMAT = 1
WEIGHTS_SHA256 = "weights_sha256"  # models of earlier versions do not have it


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
    weights = _bytes(arrays)
    sha256 = hashlib.sha256(weights).hexdigest()
    write_json(folder / MODEL_FILE, {"format": FORMAT, "parts": parts, "card": trained.card, WEIGHTS_SHA256: sha256})
    write_atomically(folder / WEIGHTS_FILE, weights)
    return [folder / MODEL_FILE, folder / WEIGHTS_FILE]


def _under(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}


def _unusable(what: str, file: Path, got: object, expected: str) -> DataError:
    """Return the error for a file of a model that is not what it should be."""
    remedy = "restore the model's folder from its version, or train again"
    where = Where(file=f"{file.parent.name}/{file.name}")
    return DataError(what, where=where, got=got, expected=expected, remedy=remedy, code="THR-430")


def _tensors(file: Path, sha256: str | None = None) -> dict[str, np.ndarray]:
    """Read arrays from safetensors; DataError when the bytes are others than recorded, or no safetensors."""
    content = file.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256:
        raise _unusable("weights are not those of the model", file, f"sha256 {found[:12]}", str(sha256)[:12])
    try:
        return load_tensors(content)
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise _unusable("weights cannot be read", file, f"{len(content)} bytes", "safetensors, no pickle") from error


def _record(file: Path) -> dict[str, Any]:
    """Read what stands beside the weights; DataError when it is damaged or of another format."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _unusable("model file is damaged", file, type(error).__name__, "JSON") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        got = record.get("format") if isinstance(record, dict) else type(record).__name__
        raise DataError("model has another format", where=Where(file=MODEL_FILE), got=got, expected=FORMAT)
    return record


def load_model(folder: Path) -> Trained:
    """Read a model folder; DataError when a file is missing, damaged, foreign or of an unknown format."""
    for name in (MODEL_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            where, remedy = (
                Where(file=(folder / name).as_posix()),
                f"copy both {MODEL_FILE} and {WEIGHTS_FILE}",
            )
            raise DataError("model is not complete", where=where, remedy=remedy, code="THR-201")
    record = _record(folder / MODEL_FILE)
    arrays = _tensors(folder / WEIGHTS_FILE, record.get(WEIGHTS_SHA256))
    try:
        predictors = {
            part: PREDICTORS[entry["predictor"]].restore(entry["state"], _under(arrays, f"{part}/{LEARNED}/"))
            for part, entry in record["parts"].items()
        }
        card = record["card"]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        got = f"{type(error).__name__} {error}"
        raise _unusable("model cannot be built from its files", folder / MODEL_FILE, got, "its own weights") from error
    calibration = {part: _under(arrays, f"{part}/{CALIBRATION}/") for part in predictors}
    return Trained(predictors, calibration, card)


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
    return Trained(model.predictors, model.calibration, model.card, _tensors(path))
