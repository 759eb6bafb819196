"""All checks over all patients: who is ok, flagged, quarantined or excluded, and every fault in one table."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

import pandas as pd

from theradose.cohort.case import ERROR, WARN, Case, Fault, Limits, Row
from theradose.cohort.faults import CHECKS
from theradose.cohort.layout import Dataset
from theradose.cohort.participants import read_participants
from theradose.columns import checked
from theradose.errors import DataError, TheradoseError, Where
from theradose.sections import POPULATION_T_EFF_H
from theradose.tables import FAULTS, PATIENTS
from theradose.vocabulary import counted

USABLE = ("ok", "flagged")


@dataclass(frozen=True)
class Checked:
    """The tables of a check (schemas PATIENTS and FAULTS)."""

    patients: pd.DataFrame
    faults: pd.DataFrame

    def count(self, *status: str) -> int:
        """Return how many patients have one of some statuses."""
        return int(self.patients["status"].isin(status).sum())

    def invariant(self) -> str:
        """Return the line that accounts for every patient; raises when one is lost."""
        found, usable = len(self.patients), self.count(*USABLE)
        quarantined, excluded = self.count("quarantined"), self.count("excluded")
        if found != usable + quarantined + excluded:
            raise TheradoseError("patients were lost in the check", got=usable + quarantined + excluded, expected=found)
        flagged = self.count("flagged")
        parts = f"{usable} usable ({flagged} flagged) + {quarantined} quarantined + {excluded} excluded"
        return f"{counted(found, 'patient')} = {parts}"


def _cases(data: Dataset, limits: Limits) -> list[Case]:
    """Return one case a patient, of those in the clinical table and those in the manifest."""
    cells, manifest = read_participants(data.participants_file), data.manifest()
    twins = {str(sha): set(group) for sha, group in manifest.groupby("sha256")["patient"]}
    cases = []
    for patient in sorted(set(cells["patient"]) | set(manifest["patient"])):
        own = cells[cells["patient"] == patient]
        rows = [
            Row(str(r["session"]), str(r["modality"]), float(r["time_h"]), str(r["file"]), str(r["sha256"]))
            for r in manifest[manifest["patient"] == patient].sort_values("file").to_dict("records")
        ]
        participant = {str(k): str(v) for k, v in own.iloc[0].items()} if len(own) else None
        cases.append(Case(data, patient, limits, rows, participant, len(own), twins))
        if likeness := cases[-1].likeness:
            twins.setdefault(likeness, set()).add(patient)
    return cases


def _row(case: Case, faults: list[Fault], excluded: bool) -> dict[str, str]:
    """Return a patient's line in the table of patients."""
    errors = [fault for fault in faults if fault.severity == ERROR]
    warnings = [fault for fault in faults if fault.severity == WARN]
    if excluded:
        status, reason = "excluded", "by cohort.exclude of the study"
    elif errors:
        status, reason = "quarantined", errors[0].message
    elif warnings:
        status, reason = "flagged", warnings[0].message
    else:
        status, reason = "ok", ""
    centre = (case.participant or {}).get("centre", "") or "unknown"
    return {"patient": case.patient, "centre": centre, "status": status, "reason": reason}


def _of_the_study(cases: list[Case], excluded: set[str], half_lives: Mapping[str, float] | None) -> Iterator[Fault]:
    """Yield what is odd about the study as a whole: names to exclude that nobody has, half-lives of another tracer."""
    for name in sorted(excluded - {case.patient for case in cases}):
        message = f"THR-275 patient to exclude is not in the data set · patient {name} · correct cohort.exclude"
        yield Fault(WARN, "THR-275", name, message)
    if half_lives == POPULATION_T_EFF_H and any(case.images("spect") for case in cases):
        error = DataError(
            "half-lives that stand in for refused fits are the defaults, those of 177Lu-PSMA",
            where=Where(field="kinetics.population_t_eff_h"), expected="those of the tracer of these patients",
            remedy="write published ones of your tracer, with their source", code="THR-377",
        )  # fmt: skip
        yield Fault(WARN, error.code, "", error.sentence())


def check_dataset(
    data: Dataset,
    *,
    require: Iterable[str],
    max_time_h: float,
    radionuclide: str,
    exclude: Iterable[str] = (),
    counts: bool = False,
    organs: Iterable[str] = (),
    half_lives: Mapping[str, float] | None = None,
    progress: Callable[[str], None] | None = None,
) -> Checked:
    """Run every check on every patient that is not excluded; faults are gathered, none stops the others.

    `counts` lets a SPECT in counts through; of `organs` every VOI is in the masks or declared absent; `half_lives` (h)
    stand in for refused fits and are left out when the tracer is known to be theirs. DataError only when the clinical
    table or the manifest as a whole cannot be read.
    """
    excluded = set(exclude)
    rows: list[dict[str, str]] = []
    faults: list[Fault] = []
    cases = _cases(data, Limits(tuple(require), max_time_h, radionuclide, counts, tuple(organs)))
    for number, case in enumerate(cases, start=1):
        found = [] if case.patient in excluded else [fault for check in CHECKS.values() for fault in check(case)]
        case.volumes.clear()
        rows.append(_row(case, found, case.patient in excluded))
        faults += found
        if progress is not None:
            progress(f"patient {case.patient} ({number} of {len(cases)}): {rows[-1]['status']}")
    faults += _of_the_study(cases, excluded, half_lives)
    patients = checked(pd.DataFrame(rows, columns=PATIENTS.names()), PATIENTS)
    columns = pd.DataFrame([asdict(fault) for fault in faults], columns=FAULTS.names())
    result = Checked(patients, checked(columns, FAULTS))
    result.invariant()
    return result
