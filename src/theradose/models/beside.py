"""What a patient's organs say together: the uptake of every organ, and how noisy the liver is in the PET."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from theradose.models.examples import SUV, OrganExamples

UPTAKE, NOISE, EVEN_ORGAN = "uptake.", "noise.liver", "liver"
VARIANCE, MEAN = "pet.original.firstorder.Variance", "pet.original.firstorder.Mean"
NEEDED_BESIDE = (SUV, VARIANCE, MEAN)


def together(covariates: pd.DataFrame) -> pd.DataFrame:
    """Return for each patient of a table (patient, voi, covariates) the SUV of every organ and the noise of the liver.

    Columns `uptake.<organ>` (g/mL) and, when variance and mean of the PET are there, `noise.liver`: the standard
    deviation over the mean within the liver, whose uptake is even. Rows are patients, NaN what a patient lacks.
    """
    wide = covariates.pivot_table(SUV, "patient", "voi", aggfunc="first").add_prefix(UPTAKE)
    if not {VARIANCE, MEAN} <= set(covariates):
        return wide
    liver = covariates[covariates["voi"] == EVEN_ORGAN].set_index("patient")
    return wide.assign(**{NOISE: np.sqrt(liver[VARIANCE].astype(float)) / liver[MEAN].astype(float)})


def of_parts(parts: Mapping[str, OrganExamples]) -> pd.DataFrame:
    """Return `together` of the examples of all organs of an experiment."""
    wanted = [
        part.covariates.reindex(columns=[c for c in NEEDED_BESIDE if c in part.covariates]).assign(
            patient=list(part.patients), voi=organ
        )
        for organ, part in parts.items()
    ]
    return together(pd.concat(wanted, ignore_index=True))


def others(table: pd.DataFrame, organ: str) -> list[str]:
    """Return the columns of `together` that an organ's own examples do not have."""
    return [str(name) for name in table.columns if name != UPTAKE + organ]


def with_others(examples: OrganExamples, table: pd.DataFrame, names: Iterable[str]) -> OrganExamples:
    """Return the examples with columns of `together` added, NaN for patients or columns that are not in it."""
    own = table.reindex(index=list(examples.patients), columns=list(names)).astype(float)
    joined = pd.concat([examples.covariates.reset_index(drop=True), own.reset_index(drop=True)], axis=1)
    return replace(examples, covariates=joined)
