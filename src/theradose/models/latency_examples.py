"""Examples for the latency of toxicity: one row a patient, 130 covariates, and months until it or until censoring."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from theradose.errors import DataError, Where

LEAST_MONTHS = 0.05  # months are recorded to a tenth: half a step stands for 0.0, which has no logarithm


@dataclass(frozen=True)
class LatencyExamples:
    """Patients with `covariates` (n rows, gaps NaN), `log_months` (n,) and `observed` (n,), false where censored.

    `left_out` says of every patient that cannot be an example why not.
    """

    patients: Sequence[str]
    partitions: Sequence[str]
    covariates: pd.DataFrame
    log_months: np.ndarray
    observed: np.ndarray
    left_out: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.patients)

    def column(self, name: str) -> np.ndarray:
        """Return one covariate as float, (n,); DataError when there is no such column."""
        if name not in self.covariates:
            raise DataError("covariate is missing", where=Where(field=name), code="THR-421")
        return self.covariates[name].to_numpy(float)

    def pick(self, chosen: np.ndarray) -> "LatencyExamples":
        """Return some examples, by numbers or by a mask (n,)."""
        numbers = np.arange(len(self))[chosen]
        return LatencyExamples(
            [self.patients[i] for i in numbers],
            [self.partitions[i] for i in numbers],
            self.covariates.iloc[numbers].reset_index(drop=True),
            self.log_months[numbers],
            self.observed[numbers],
            self.left_out,
        )


def subset(examples: LatencyExamples, patients: Collection[str]) -> LatencyExamples:
    """Return the examples of some patients, in their order."""
    return examples.pick(np.isin(list(examples.patients), list(patients)))


def latency_examples(
    covariates: pd.DataFrame, outcomes: pd.DataFrame, splits: pd.DataFrame, columns: Sequence[str]
) -> LatencyExamples:
    """Join covariates (one row a patient), outcomes and split (schemas COVARIATES, OUTCOMES, SPLITS), by patient.

    DataError when covariates lack a column or nobody is left.
    """
    missing = [name for name in columns if name not in covariates]
    if missing:
        raise DataError("covariates lack columns", got=missing[:5], code="THR-421")
    told = outcomes[["patient", "latency_months", "latency_observed"]]
    rows = splits[["patient", "partition"]].merge(covariates[["patient", *columns]], on="patient", how="left")
    rows = rows.merge(told, on="patient", how="left").sort_values("patient", ignore_index=True)
    reasons = dict.fromkeys(rows.loc[rows["latency_months"].isna(), "patient"], "no latency, not even a censored one")
    reasons |= dict.fromkeys(set(rows["patient"]) - set(covariates["patient"]), "no covariates")
    rows = rows[~rows["patient"].isin(list(reasons))].reset_index(drop=True)
    if rows.empty:
        raise DataError("no patient has covariates and a latency", got=len(reasons), code="THR-422")
    return LatencyExamples(
        list(rows["patient"]),
        list(rows["partition"]),
        rows[list(columns)].astype("float64").replace([np.inf, -np.inf], np.nan),
        np.log(np.maximum(rows["latency_months"].to_numpy(float), LEAST_MONTHS)),
        rows["latency_observed"].to_numpy(float) > 0,
        dict(sorted(reasons.items())),
    )
