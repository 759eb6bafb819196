"""Examples of one outcome after therapy: a row a patient, what is known before, the predicted doses, and the event.

Predicted doses of training patients are out of fold (`dose_columns` refuses others), so that a patient is described as
a new one will be.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from theradose.errors import DataError, Where
from theradose.models.dose_columns import COURSE_BED, COURSE_DOSE, column
from theradose.models.examples import VOLUME
from theradose.vocabulary import EGFR_SLOPE, LESIONS, OUTCOME_EVENTS, RENAL_IMPAIRMENT

IMPAIRED_RATIO = 0.8  # design of the cohort, section 6; the paper's section 10.2 names no cut
EGFR, EGFR_LATER = "egfr_ml_min", "egfr_12m_ml_min"
OF_EGFR = (RENAL_IMPAIRMENT, EGFR_SLOPE)
LESION_VOLUME = "physics.lesion_volume_ml"
RENAL = ("clinical.age_y", "clinical.hypertension", "clinical.diabetes", "biological.egfr_ml_min")
# Extent of bone disease is what marrow toxicity follows (Groener et al., EJNMMI Res 2021;11:61); the blood tells of it.
MARROW = (LESION_VOLUME, "biological.alp_u_per_l", "biological.haemoglobin_g_per_dl", "clinical.prior_chemotherapy")


@dataclass(frozen=True)
class Cause:
    """What an outcome comes from: the organ, which of its predicted doses counts, and other columns with a reason."""

    organ: str
    dose: str
    others: tuple[str, ...]

    @property
    def dose_column(self) -> str:
        """Return the name of the dose that counts."""
        return column(self.organ, self.dose)


CAUSES: dict[str, Cause] = {
    "kidney_toxicity": Cause("kidneys", COURSE_BED, RENAL),
    "xerostomia": Cause("parotids", COURSE_DOSE, ("clinical.age_y",)),
    "marrow_toxicity": Cause("marrow", COURSE_DOSE, MARROW),
    "response": Cause(LESIONS, COURSE_DOSE, (LESION_VOLUME,)),
    **dict.fromkeys(OF_EGFR, Cause("kidneys", COURSE_BED, RENAL)),
}


@dataclass(frozen=True)
class OutcomeExamples:
    """Patients with one outcome: `covariates` (n rows, named columns, missing values NaN), `observed` (n,) 0 or 1.

    Of the slope of eGFR `observed` is in mL/min/1.73 m2 a year. `left_out` says of every patient that cannot be an
    example why not; `centres` names the centre of each.
    """

    outcome: str
    patients: Sequence[str]
    partitions: Sequence[str]
    covariates: pd.DataFrame
    observed: np.ndarray
    left_out: dict[str, str] = field(default_factory=dict)
    centres: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.patients)

    @property
    def dose(self) -> np.ndarray:
        """Return the predicted dose (or BED) that counts for the outcome, Gy, (n,)."""
        return self.column(CAUSES[self.outcome].dose_column)

    def column(self, name: str) -> np.ndarray:
        """Return one covariate as float, (n,); DataError when there is no such column."""
        if name not in self.covariates:
            raise DataError("covariate is missing", where=Where(voi=self.outcome, field=name), code="THR-421")
        return self.covariates[name].to_numpy(float)

    def with_columns(self, names: Sequence[str]) -> "OutcomeExamples":
        """Return the same examples with those of the named columns that they have."""
        return replace(self, covariates=self.covariates[[name for name in names if name in self.covariates]])


def subset(examples: OutcomeExamples, patients: Collection[str]) -> OutcomeExamples:
    """Return the examples of some patients, in their order."""
    wanted = set(patients)
    chosen = [i for i, patient in enumerate(examples.patients) if patient in wanted]
    return replace(
        examples,
        patients=[examples.patients[i] for i in chosen],
        partitions=[examples.partitions[i] for i in chosen],
        covariates=examples.covariates.iloc[chosen].reset_index(drop=True),
        observed=examples.observed[chosen],
        left_out={p: why for p, why in examples.left_out.items() if p in wanted},
        centres=[examples.centres[i] for i in chosen] if len(examples.centres) else (),
    )


def observed_outcomes(outcomes: pd.DataFrame, participants: pd.DataFrame) -> pd.DataFrame:
    """Return patient and every outcome as 0, 1 or NaN (not observed), from schemas OUTCOMES and PARTICIPANTS.

    Renal function is impaired when the eGFR after 12 months lies below 0.8 of that measured before therapy; its slope
    is their difference, a year apart, in mL/min/1.73 m2 a year.
    """
    before = participants.set_index("patient").reindex(outcomes["patient"])
    baseline = before[EGFR].to_numpy(float) if EGFR in before else np.full(len(before), np.nan)
    later = outcomes[EGFR_LATER].to_numpy(float)
    ratio = np.divide(later, baseline, out=np.full(len(later), np.nan), where=baseline > 0)
    impaired = np.where(np.isfinite(ratio), ratio < IMPAIRED_RATIO, np.nan)
    return outcomes[["patient", *OUTCOME_EVENTS]].astype(dict.fromkeys(OUTCOME_EVENTS, "float64")).assign(
        **{RENAL_IMPAIRMENT: impaired, EGFR_SLOPE: later - baseline}
    )  # fmt: skip


def why_not(outcome: str, row: Mapping[Hashable, object]) -> str:
    """Return why a patient cannot be an example of an outcome, or an empty text."""
    cause = CAUSES[outcome]
    if row["found"] != "both":
        return f"no covariates of {cause.organ}"
    if not np.isfinite(float(str(row[outcome]))):
        return "eGFR missing before therapy or after 12 months" if outcome in OF_EGFR else "not observed"
    if not np.isfinite(float(str(row[cause.dose_column]))):
        return f"no predicted dose to {cause.organ}"
    return ""


def _own_rows(covariates: pd.DataFrame, organ: str, columns: Sequence[str]) -> pd.DataFrame:
    """Return patient and columns of an organ, with the volume of all lesions where volumes may be used."""
    own = covariates.loc[covariates["voi"] == organ, ["patient", *columns]]
    if VOLUME not in columns:
        return own
    lesions = covariates.loc[covariates["voi"] == LESIONS, ["patient", VOLUME]]
    return own.merge(lesions.rename(columns={VOLUME: LESION_VOLUME}), on="patient", how="left")


def examples_of(
    outcome: str,
    *,
    covariates: pd.DataFrame,
    columns: Sequence[str],
    doses: pd.DataFrame,
    observed: pd.DataFrame,
    splits: pd.DataFrame,
) -> OutcomeExamples:
    """Join covariates (their `columns`), predicted doses, outcomes and split into the examples of one outcome.

    `doses` as `dose_columns` gives it, `observed` as `observed_outcomes`. DataError when covariates or doses lack what
    the outcome needs, or no patient is left.
    """
    cause = CAUSES[outcome]
    missing = [c for c in columns if c not in covariates] + [c for c in (cause.dose_column,) if c not in doses]
    if missing:
        raise DataError("columns are missing", where=Where(voi=cause.organ), got=missing[:5], code="THR-421")
    rows = _own_rows(covariates, cause.organ, columns)
    names = [*rows.columns.drop("patient"), *doses.columns.drop("patient")]
    table = splits[["patient", "partition", "centre"]].merge(rows, on="patient", how="left", indicator="found")
    table = table.merge(doses, on="patient", how="left")
    table = table.merge(observed[["patient", outcome]], on="patient", how="left").sort_values("patient")
    asked = table[["found", outcome, cause.dose_column]].to_dict("records")
    reasons = [why_not(outcome, row) for row in asked]
    left_out = {p: reason for p, reason in zip(table["patient"], reasons, strict=True) if reason}
    kept = table[[not reason for reason in reasons]].reset_index(drop=True)
    if kept.empty:
        raise DataError("no patient has this outcome", where=Where(field=outcome), got=left_out, code="THR-422")
    numbers = kept[names].astype("float64").replace([np.inf, -np.inf], np.nan)
    who, partitions, centres = (list(kept[name]) for name in ("patient", "partition", "centre"))
    return OutcomeExamples(outcome, who, partitions, numbers, kept[outcome].to_numpy(float), left_out, centres)
