"""One wide table of what is known before therapy, a row per patient and organ, and a manifest of every column.

Centre is no covariate: it is not the patient's, and with few centres it would stand for all that differs between them.
Missing values stay missing; models fill them inside their training folds.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from theradose.cohort.layout import PRE
from theradose.cohort.participants import CLINICAL_COLUMNS
from theradose.errors import DataError, LeakageError, Where
from theradose.features.presets import LOCAL, ORIGINAL_NAME, UNIT_OF
from theradose.features.sessions import changes, feature_unit, image_names, in_order
from theradose.features.vois import MEASURED
from theradose.tables import COVARIATE_MANIFEST, PARTICIPANTS

RADIOMIC, PHYSICS = "radiomic", "physics"
PRE_THERAPY, POST_THERAPY = "pre_therapy", "post_therapy"
SHAPE = "shape"
KEY = ["patient", "voi"]
WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0, "": np.nan, "n/a": np.nan}
MEASURED_COLUMNS = {
    "physics.pet_suv_mean": ("mean", UNIT_OF["pet"], "mean uptake in the PET"),
    "physics.volume_ml": ("volume_ml", "mL", "volume of the mask"),
}


def pre_therapy_columns(participants: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the columns of a participants table that are declared as known before therapy, and the names left out."""
    known = [c for c in participants.columns if c in PARTICIPANTS.names() or c in CLINICAL_COLUMNS]
    return participants[known], [c for c in participants.columns if c not in known]


def _require_pre_therapy(features: pd.DataFrame, participants: pd.DataFrame) -> None:
    """Raise LeakageError when an image or a clinical column is not declared as known before therapy."""
    later = sorted(set(features["session"]) - {PRE})
    if later:
        raise LeakageError("features of an image made after therapy began", got=later, expected=PRE)
    unknown = pre_therapy_columns(participants)[1]
    if unknown:
        raise LeakageError(
            "columns not declared as known before therapy",
            got=unknown,
            expected="columns of theradose.cohort.participants",
            remedy="leave them out of the covariates",
        )


def radiomic(features: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, list[dict[str, str]]]:
    """Return radiomic columns by patient and organ, what each column is, and their manifest rows.

    `features` has the schema FEATURES and a column `image`, the name that columns begin with. What a column is stands
    in a table with the column as index, of one of its rows. Columns in which nobody has a value are left out.
    """
    column = features["image"] + "." + features["filter"] + "." + features["feature_class"] + "." + features["feature"]
    named = features.assign(column=column)
    wide = named.pivot(index=KEY, columns="column", values="value")  # noqa: PD010 - refuses rows that stand twice
    wide = wide.dropna(axis="columns", how="all")
    once = named.drop_duplicates("column").set_index("column").loc[list(wide.columns)]
    rows = [
        {
            "column": str(column),
            "block": RADIOMIC,
            "source": f"{row['image'].replace('_', ' ').upper()} of {row['session']}, {_engine(row['feature_class'])}",
            "unit": feature_unit(row["modality"], row["feature_class"], row["feature"]),
            "leak_class": PRE_THERAPY if row["session"] == PRE else POST_THERAPY,
            "meaning": f"{row['feature_class']} {row['feature']}, {row['filter']} image",
        }
        for column, row in once.iterrows()
    ]
    return wide, once, rows


def _engine(feature_class: str) -> str:
    """Return what computes a class of features."""
    return "theradose" if feature_class == LOCAL else "PyRadiomics"


def _with_changes(features: pd.DataFrame) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Return radiomic columns, those of changes from one PET to the next among them, and their manifest rows.

    Shape does not change, for the mask is the same.
    """
    wide, once, rows = radiomic(features)
    varies = once[(once["modality"] == "pet") & (once["feature_class"] != SHAPE)]
    pets = in_order(features[features["modality"] == "pet"])
    change, change_rows = changes(wide, varies, list(pairwise(pets)))
    about = {"block": RADIOMIC, "source": f"PETs of {PRE}", "leak_class": PRE_THERAPY}
    return pd.concat([wide, change], axis="columns"), [*rows, *({**about, **row} for row in change_rows)]


def _numbers(cells: pd.Series) -> pd.Series:
    """Return clinical cells as float: numbers as they are, yes/true as 1, no/false as 0; DataError for other words."""
    if cells.dtype.kind in "iufb":
        return cells.astype("float64")
    words = cells.fillna("").astype("str").str.strip().str.lower()
    numbers = pd.to_numeric(words, errors="coerce").astype("float64")
    numbers = numbers.fillna(words.map(WORDS).astype("float64"))
    wrong = numbers.isna() & ~words.isin(["", "n/a"])
    if wrong.any():
        raise DataError(
            "a clinical cell is no number",
            where=Where(file="participants.tsv", field=str(cells.name)),
            got=cells[wrong].iloc[0],
            expected="a number, yes or no",
            code="THR-232",
        )
    return numbers


def _clinical(participants: pd.DataFrame) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Return clinical and biological columns by patient, with the weight for physical scaling, and their rows."""
    columns: dict[str, pd.Series] = {}
    rows = []
    by_patient = participants.set_index("patient")
    for name, known in CLINICAL_COLUMNS.items():
        for block in [known.block, PHYSICS] if name == "weight_kg" else [known.block]:
            if name in by_patient and by_patient[name].notna().any():
                columns[f"{block}.{name}"] = _numbers(by_patient[name])
                row = {"block": block, "source": "participants.tsv", "unit": known.unit, "meaning": known.meaning}
                rows.append({"column": f"{block}.{name}", "leak_class": PRE_THERAPY, **row})
    return pd.DataFrame(columns, index=by_patient.index), rows


def _measured(features: pd.DataFrame) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Return mean uptake and volume from the first PET by patient and organ, and their manifest rows."""
    first = features[(features["image"] == "pet") & (features["filter"] == ORIGINAL_NAME)]
    wide = first.pivot(index=KEY, columns="feature", values="value")  # noqa: PD010 - refuses rows that stand twice
    columns: dict[str, pd.Series] = {}
    rows = []
    for column, (feature, unit, meaning) in MEASURED_COLUMNS.items():
        if feature in wide:
            columns[column] = wide[feature]
            row = {"source": f"PET of {PRE}", "unit": unit, "leak_class": PRE_THERAPY, "meaning": meaning}
            rows.append({"column": column, "block": PHYSICS, **row})
    return pd.DataFrame(columns, index=wide.index), rows


def assemble(
    features: pd.DataFrame, participants: pd.DataFrame, patients: Sequence[str], organs: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the covariates (schema COVARIATES) and their manifest (schema COVARIATE_MANIFEST).

    `features` (schema FEATURES) and `participants` (schema PARTICIPANTS) may hold more patients than asked. One row for
    every patient and every organ that has features in someone. LeakageError when an image or a clinical column is not
    declared as known before therapy; DataError when a clinical cell is no number.
    """
    _require_pre_therapy(features, participants)
    features = features[features["patient"].isin(patients) & features["voi"].isin(organs)]
    features = features.assign(image=image_names(features))
    present = [organ for organ in organs if (features["voi"] == organ).any()]
    index = pd.MultiIndex.from_product([sorted(patients), present], names=KEY)
    own = features["feature_class"] == MEASURED
    physics, physics_rows = _measured(features[own])
    wide, radiomic_rows = _with_changes(features[~own])
    clinical, clinical_rows = _clinical(participants[participants["patient"].isin(patients)])
    table = pd.concat([physics.reindex(index), wide.reindex(index)], axis="columns").reset_index()
    table = table.merge(clinical.reset_index(), on="patient", how="left")
    manifest = pd.DataFrame([*physics_rows, *clinical_rows, *radiomic_rows], columns=COVARIATE_MANIFEST.names())
    return table[[*KEY, *manifest["column"]]], manifest
