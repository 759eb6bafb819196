"""One wide table of what is known before therapy, a row per patient and organ, and a manifest of every column.

Centre is no covariate: it is not the patient's, and with few centres it would stand for all that differs between them.
Missing values stay missing; models fill them inside their training folds.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from theradose.cohort.layout import PRE
from theradose.cohort.participants import CLINICAL_COLUMNS
from theradose.errors import DataError, LeakageError, Where
from theradose.features.presets import ORIGINAL_NAME, UNIT_OF
from theradose.features.vois import MEASURED
from theradose.tables import COVARIATE_MANIFEST, PARTICIPANTS

RADIOMIC, PHYSICS, PRE_THERAPY = "radiomic", "physics", "pre_therapy"
KEY = ["patient", "voi"]
WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0, "": np.nan, "n/a": np.nan}
# Units of PyRadiomics' features; U is the unit of the image, and what is not named is a pure number.
IN_IMAGE_UNIT = (
    "10Percentile", "90Percentile", "InterquartileRange", "Maximum", "Mean", "MeanAbsoluteDeviation", "Median",
    "Minimum", "Range", "RobustMeanAbsoluteDeviation", "RootMeanSquared", "StandardDeviation",
)  # fmt: skip
FEATURE_UNITS = {
    **{f"firstorder.{name}": "U" for name in IN_IMAGE_UNIT},
    **dict.fromkeys(("firstorder.Variance", "firstorder.Energy"), "(U)^2"),
    "firstorder.TotalEnergy": "(U)^2.mm3",
    **dict.fromkeys(("shape.MeshVolume", "shape.VoxelVolume"), "mm3"),
    "shape.SurfaceArea": "mm2",
    "shape.SurfaceVolumeRatio": "1/mm",
}
LENGTHS = ("Diameter", "AxisLength", "DiameterSlice", "DiameterRow", "DiameterColumn")
MEASURED_COLUMNS = {
    "physics.pet_suv_mean": ("mean", UNIT_OF["pet"], "mean uptake in the PET"),
    "physics.volume_ml": ("volume_ml", "mL", "volume of the mask"),
}


def pre_therapy_columns(participants: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Return the columns of a participants table that are declared as known before therapy, and the names left out."""
    known = [c for c in participants.columns if c in PARTICIPANTS.names() or c in CLINICAL_COLUMNS]
    return participants[known], [c for c in participants.columns if c not in known]


def feature_unit(modality: str, feature_class: str, feature: str) -> str:
    """Return the unit of a radiomic feature; LoG responses, scaled by sigma squared, have the unit of the image."""
    if feature_class == "shape" and feature.endswith(LENGTHS):
        return "mm"
    return FEATURE_UNITS.get(f"{feature_class}.{feature}", "1").replace("U", UNIT_OF[modality])


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


def _image_names(features: pd.DataFrame) -> pd.Series:
    """Return the name of each row's image: `pet`; `pet_2` for a patient's second one in the order of time."""
    named_by = ["patient", "modality", "time_h"]
    images = features[named_by].drop_duplicates().sort_values(named_by)
    order = images.groupby(["patient", "modality"]).cumcount() + 1
    images["image"] = images["modality"] + ("_" + order.astype("str")).where(order > 1, "")
    return features[named_by].merge(images, how="left")["image"].set_axis(features.index)


def _radiomic(features: pd.DataFrame) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    """Return radiomic columns by patient and organ, and their manifest rows."""
    column = features["image"] + "." + features["filter"] + "." + features["feature_class"] + "." + features["feature"]
    named = features.assign(column=column)
    wide = named.pivot(index=KEY, columns="column", values="value")  # noqa: PD010 - refuses rows that stand twice
    wide = wide.dropna(axis="columns", how="all")
    once = named.drop_duplicates("column").set_index("column").loc[list(wide.columns)]
    rows = [
        {
            "column": str(column),
            "block": RADIOMIC,
            "source": f"{row['image'].replace('_', ' ').upper()} of {PRE}, PyRadiomics",
            "unit": feature_unit(row["modality"], row["feature_class"], row["feature"]),
            "leak_class": PRE_THERAPY,
            "meaning": f"{row['feature_class']} {row['feature']}, {row['filter']} image",
        }
        for column, row in once.iterrows()
    ]
    return wide, rows


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
    features = features.assign(image=_image_names(features))
    present = [organ for organ in organs if (features["voi"] == organ).any()]
    index = pd.MultiIndex.from_product([sorted(patients), present], names=KEY)
    own = features["feature_class"] == MEASURED
    physics, physics_rows = _measured(features[own])
    radiomic, radiomic_rows = _radiomic(features[~own])
    clinical, clinical_rows = _clinical(participants[participants["patient"].isin(patients)])
    table = pd.concat([physics.reindex(index), radiomic.reindex(index)], axis="columns").reset_index()
    table = table.merge(clinical.reset_index(), on="patient", how="left")
    manifest = pd.DataFrame([*physics_rows, *clinical_rows, *radiomic_rows], columns=COVARIATE_MANIFEST.names())
    return table[[*KEY, *manifest["column"]]], manifest
