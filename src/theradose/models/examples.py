"""Examples for organ doses: one row a patient, what is known before therapy, and the dose to learn."""

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd

from theradose.errors import DataError, LeakageError, SettingsError, Where
from theradose.features.cycles import LAST_DOSE, earlier_cycles
from theradose.tables import COVARIATE_MANIFEST, COVARIATES, ORGAN_DOSE, SPLITS, TIAC, read_table
from theradose.vocabulary import IMPOSSIBLE

SUV, WEIGHT, VOLUME = "physics.pet_suv_mean", "physics.weight_kg", "physics.volume_ml"
NEEDED = (SUV, WEIGHT)
# What every example must have, where its kind of experiment knows it, and what is said when it has not.
WITHOUT = {SUV: "no PET uptake", WEIGHT: "no body weight", LAST_DOSE: "no dose of the cycle before"}
PRE_THERAPY = "pre_therapy"


@dataclass(frozen=True)
class OrganExamples:
    """Patients with one organ: `covariates` (n rows, named columns, missing values NaN), `dose` (n,) Gy/GBq.

    `dose` is NaN for patients whose dose is to be predicted. `left_out` says of every patient that cannot be
    an example why not. `centres` names the centre of each; it is no covariate, but features may be harmonised by it.
    """

    organ: str
    patients: Sequence[str]
    partitions: Sequence[str]
    covariates: pd.DataFrame
    dose: np.ndarray
    left_out: dict[str, str] = field(default_factory=dict)
    centres: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.patients)

    @property
    def log_dose(self) -> np.ndarray:
        """Return the logarithm of the dose per activity, (n,)."""
        return np.asarray(np.log(self.dose))

    def column(self, name: str) -> np.ndarray:
        """Return one covariate as float, (n,); DataError when there is no such column."""
        if name not in self.covariates:
            raise DataError("covariate is missing", where=Where(voi=self.organ, field=name), code="THR-421")
        return self.covariates[name].to_numpy(float)


def subset(examples: OrganExamples, patients: Collection[str]) -> OrganExamples:
    """Return the examples of some patients, in their order."""
    chosen = [i for i, patient in enumerate(examples.patients) if patient in set(patients)]
    return OrganExamples(
        examples.organ,
        [examples.patients[i] for i in chosen],
        [examples.partitions[i] for i in chosen],
        examples.covariates.iloc[chosen].reset_index(drop=True),
        examples.dose[chosen],
        {p: why for p, why in examples.left_out.items() if p in patients},
        [examples.centres[i] for i in chosen] if len(examples.centres) else (),
    )


def allowed_columns(manifest: pd.DataFrame, patterns: Sequence[str], earlier: Collection[str] = ()) -> list[str]:
    """Return the columns that experiments may use: known before therapy and matching a pattern (all without patterns).

    `earlier` are columns that cycles before the predicted one have shown. Columns of physical scaling and the last dose
    always stay. LeakageError when a pattern names a column known only after therapy; SettingsError when it matches
    nothing.
    """
    known = dict(zip(manifest["column"], manifest["leak_class"], strict=True)) | dict.fromkeys(earlier, PRE_THERAPY)
    for pattern in patterns:
        hits = [c for c in known if fnmatchcase(c, pattern)]
        if not hits:
            raise SettingsError("no covariate has this name", where=Where(field="features"), got=pattern)
        late = [c for c in hits if known[c] != PRE_THERAPY]
        if late:
            raise LeakageError("a covariate is known only after therapy", where=Where(field="features"), got=late)
    early = [c for c, leak in known.items() if leak == PRE_THERAPY]
    wanted = patterns or ("*",)
    return [c for c in early if c in WITHOUT or any(fnmatchcase(c, pattern) for pattern in wanted)]


def possible_doses(labels: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of organs (schema ORGAN_DOSE) whose dose physics allows, earlier cycles first."""
    impossible = [bool(set(IMPOSSIBLE) & set(str(flags).split(";"))) for flags in labels["flags"]]
    return labels[(labels["level"] == "organ") & ~np.array(impossible, bool)].sort_values("cycle", kind="stable")


def first_doses(labels: pd.DataFrame) -> pd.DataFrame:
    """Return the dose per activity (Gy/GBq) of every patient and organ in the first cycle that has a possible one."""
    return possible_doses(labels).groupby(["patient", "voi"], as_index=False)[["dose_gy_per_gbq"]].first()


def why_not(row: Mapping[Hashable, float], dose: float, *, labelled: bool) -> str:
    """Return why a patient cannot be an example of an organ, or an empty text."""
    for name, words in WITHOUT.items():
        if name in row and not (np.isfinite(row[name]) and row[name] > 0):
            return f"{words} ({name} {row[name]:g})"
    if labelled and not (np.isfinite(dose) and dose > 0):
        return f"no positive reference dose ({dose:g} Gy/GBq)"
    return ""


def examples_of(
    organ: str, covariates: pd.DataFrame, doses: pd.DataFrame, splits: pd.DataFrame, columns: Sequence[str]
) -> OrganExamples:
    """Join covariates, doses (columns patient, voi, dose_gy_per_gbq) and split into the examples of one organ.

    DataError when covariates lack a column or no patient is left.
    """
    rows = covariates[covariates["voi"] == organ].drop(columns="centre", errors="ignore")
    rows = rows.merge(splits[["patient", "partition", "centre"]], on="patient")
    missing = [c for c in (*NEEDED, *columns) if c not in rows]
    if missing:
        raise DataError("covariates lack columns", where=Where(voi=organ), got=missing[:5], code="THR-421")
    rows = rows.sort_values("patient", ignore_index=True)
    known = doses[doses["voi"] == organ].set_index("patient")["dose_gy_per_gbq"].to_dict()
    dose = np.array([known.get(patient, np.nan) for patient in rows["patient"]], float)
    needed = rows[[name for name in WITHOUT if name in rows]].to_dict("records")
    reasons = [why_not(row, own, labelled=True) for row, own in zip(needed, dose, strict=True)]
    good = np.array([not reason for reason in reasons], bool)
    left_out = {p: reason for p, reason in zip(rows["patient"], reasons, strict=True) if reason}
    if not good.any():
        raise DataError("no patient has this organ", where=Where(voi=organ), got=left_out, code="THR-422")
    kept = rows[good].reset_index(drop=True)
    numbers = kept[list(columns)].astype("float64").replace([np.inf, -np.inf], np.nan)
    who, partitions, centres = (list(kept[name]) for name in ("patient", "partition", "centre"))
    return OrganExamples(organ, who, partitions, numbers, dose[good], left_out, centres)


def load_organs(
    *,
    splits: Path,
    covariates: Path,
    covariate_manifest: Path,
    labels: Path,
    organs: Sequence[str],
    patterns: Sequence[str],
    without: Collection[str] = (),
    cycle: int = 1,
    tiac: Path | None = None,
) -> dict[str, OrganExamples]:
    """Return the examples of each organ, patients in alphabetical order; the columns `without` are not offered.

    Doses are those of the first cycle, or of a later `cycle` with what the cycles before showed among the covariates;
    then the fitted curves in `tiac` are needed.
    """
    table, doses = read_table(covariates, COVARIATES), possible_doses(read_table(labels, ORGAN_DOSE))
    earlier: list[str] = []
    if cycle > 1 and tiac is not None:
        shown = earlier_cycles(doses, read_table(tiac, TIAC), cycle)
        table, earlier = table.merge(shown, on=["patient", "voi"], how="left"), list(shown.columns[2:])
        doses = doses[doses["cycle"] == cycle]
    allowed = allowed_columns(read_table(covariate_manifest, COVARIATE_MANIFEST), patterns, earlier)
    columns = [column for column in allowed if column not in without]
    who, target = read_table(splits, SPLITS), first_doses(doses)
    return {organ: examples_of(organ, table, target, who, columns) for organ in organs}
