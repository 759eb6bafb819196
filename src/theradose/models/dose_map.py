"""The kind of experiment that predicts dose maps from PET and CT slices: its examples, and what tuning lowers."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from theradose.errors import LeakageError, SettingsError, Where
from theradose.experiment_sections import ExperimentSettings
from theradose.models.image_examples import ImageExamples, has_held_out_copies, load_examples, subset
from theradose.tables import SPLITS, read_table

__all__ = ["ALL", "calibrate", "card", "load", "score", "subset"]

ALL = "all"


def load(
    *,
    splits: Path,
    pairs: Path | None,
    settings: ExperimentSettings,
    **unused: object,
) -> dict[str, ImageExamples]:
    """Read the pairs of slices (folder `pairs`) as the one part `all`; the other tables are not used.

    SettingsError without a folder; LeakageError when a pair's partition is not the one `splits` gives its patient.
    """
    del unused
    if pairs is None:
        raise SettingsError(
            "a dose_map experiment needs image pairs",
            where=Where(field=settings.name),
            expected="the folder of augment",
        )
    examples = load_examples(pairs)
    require_split(examples.table, read_table(splits, SPLITS), held_out_copies=has_held_out_copies(pairs))
    return {ALL: examples}


def require_split(table: pd.DataFrame, splits: pd.DataFrame, *, held_out_copies: bool = False) -> None:
    """Raise LeakageError unless each pair stands where its patient does and copies exist for training alone.

    `held_out_copies` allows copies of all, as augment.pairs makes them; nothing is judged on those, and those of
    validation patients at most watch over a training.
    """
    wanted = splits.set_index("patient")["partition"]
    unknown = sorted(set(table["patient"]) - set(wanted.index))
    moved = [] if unknown else sorted(set(table.loc[table["partition"] != table["patient"].map(wanted), "patient"]))
    copied = sorted(set(table.loc[(table["copy"] > 0) & (table["partition"] != "train"), "patient"]))
    faults = {"pairs of a patient without a split": unknown, "pairs of another split": moved}
    faults["augmented copies of a held-out patient"] = [] if held_out_copies else copied
    for what, patients in faults.items():
        if patients:
            raise LeakageError(what, where=Where(patient=patients[0]), got=patients, remedy="run augment again")


def score(examples: ImageExamples, prediction: np.ndarray) -> float:
    """Return the RMSE in Gy/GBq inside the body, of each patient's unaugmented slices, averaged over patients."""
    squares = np.where(examples.mask, (prediction.astype(np.float64) - examples.dose) ** 2, 0.0).sum(axis=(1, 2))
    table = pd.DataFrame({"patient": examples.patients, "square": squares, "n": examples.mask.sum(axis=(1, 2))})
    sums = table[examples.originals].groupby("patient")[["square", "n"]].sum()
    return float(np.sqrt(sums["square"] / sums["n"]).mean())


def calibrate(examples: ImageExamples, prediction: np.ndarray) -> dict[str, np.ndarray]:
    """Return the RMSE in Gy/GBq of each training patient out of fold, in ascending order, without names."""
    names = dict.fromkeys(examples.patients)
    chosen = [np.asarray(examples.table["patient"] == name) for name in names]
    scores = [score(examples.pick(which), prediction[which]) for which in chosen]
    return {"rmse_gy_per_gbq": np.sort(np.array(scores))}


def card(examples: ImageExamples) -> dict[str, Any]:
    """Return what the model has been trained on: patients, pairs, size, and the range of each input and of the dose."""
    body = examples.mask & examples.originals[:, None, None]
    pet, ct = (examples.inputs[:, channel][body] for channel in (0, 1))
    dose = examples.dose[body]
    ranges = {"pet_normalised": pet, "ct_window_fraction": ct, "dose_gy_per_gbq": dose}
    return {
        "patients": len(set(examples.patients)),
        "pairs": len(examples),
        "pairs_without_copies": int(examples.originals.sum()),
        "size_voxel": list(examples.dose.shape[1:]),
        "percentiles_1_50_99": {name: np.percentile(x, (1, 50, 99)).tolist() for name, x in ranges.items()},
    }
