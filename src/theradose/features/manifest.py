"""The covariates of the latency of toxicity: 130 columns by manifest, of which 105 need no model."""

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from theradose.errors import DataError, Where
from theradose.features.covariates import KEY, PRE_THERAPY
from theradose.tables import COVARIATES, checked

TABLE = Path(__file__).parent / "data" / "latency_covariates.csv"
# What a model predicts for patients it has not seen; filled after training.
OUT_OF_FOLD = "out_of_fold"
ORGAN, CLINICAL_BLOCK = "kidneys", "clinical"


@cache
def _rows() -> tuple[dict[str, str], ...]:
    """Return the rows of the table."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return tuple(csv.DictReader(line for line in lines if not line.startswith("#")))


def manifest() -> pd.DataFrame:
    """Return the manifest: column, block, source, unit, leak_class, meaning.

    Blocks: pet, ct_shape, dose, surrogate, clinical; leak classes: pre_therapy, out_of_fold.
    """
    return pd.DataFrame(_rows())


def fill(covariates: pd.DataFrame, organ: str = ORGAN) -> tuple[pd.DataFrame, list[str]]:
    """Return a row per patient with patient, voi and the 105 columns known before therapy, and the names that wait.

    `covariates` (schema COVARIATES) come from presets `lifex71` for PET and `ct_latency` for CT. A clinical column that
    nobody has stays empty; DataError when a radiomic one is missing.
    """
    table = manifest()
    early = table[table["leak_class"] == PRE_THERAPY]
    images = early.loc[early["block"] != CLINICAL_BLOCK, "column"]
    missing = [str(name) for name in images if name not in covariates]
    if missing:
        raise DataError(
            "covariate is missing", where=Where(voi=organ), got=missing[:5],
            expected=f"{len(early)} columns, {len(missing)} of them are missing",
            remedy="set radiomics.presets to pet: lifex71 and ct: ct_latency", code="THR-421",
        )  # fmt: skip
    own = covariates[covariates["voi"] == organ].reindex(columns=[*KEY, *early["column"]])
    own = own.astype(dict.fromkeys(early["column"], np.float64))
    waiting = table.loc[table["leak_class"] == OUT_OF_FOLD, "column"]
    return checked(own, COVARIATES), [str(name) for name in waiting]
