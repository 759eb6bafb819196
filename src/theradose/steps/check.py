"""Check every patient before any work: who is usable, and every fault with its remedy."""

import json
from argparse import Namespace

from theradose.cohort.check import check_dataset
from theradose.cohort.layout import Dataset
from theradose.errors import DataError
from theradose.provenance import write_provenance
from theradose.sections import CheckSettings, CohortSettings
from theradose.settings import from_json
from theradose.steps.entry import arguments, start
from theradose.tables import FAULTS, PATIENTS, write_table


def run(chosen: Namespace) -> None:
    """Run all checks, write both tables; with `strict` a quarantined patient stops the study after that."""
    settings, cohort = from_json(CheckSettings, chosen.settings), from_json(CohortSettings, chosen.cohort)
    data, counts, organs = Dataset(chosen.data), bool(chosen.counts), json.loads(chosen.organs)
    result = check_dataset(
        data,
        require=settings.require,
        max_time_h=settings.max_time_h,
        radionuclide=chosen.radionuclide,
        exclude=cohort.exclude,
        counts=counts,
        organs=organs,
        half_lives=json.loads(chosen.half_lives) if chosen.half_lives else None,
        progress=lambda line: print(f"check: {line}"),
    )
    write_table(result.patients, chosen.out / "patients.tsv", PATIENTS)
    write_table(result.faults, chosen.out / "faults.tsv", FAULTS)
    asked = {"exclude": list(cohort.exclude), "radionuclide": chosen.radionuclide, "counts": counts, "organs": organs}
    inputs = [data.participants_file, data.manifest_file]
    write_provenance(chosen.out, "check", inputs, {**settings.model_dump(), **asked})
    for message in result.faults.loc[result.faults["severity"] != "NOTE", "message"]:
        print(f"check: {message}")
    print(f"check: {result.invariant()}")
    if settings.strict and result.count("quarantined"):
        raise DataError(
            "patients are quarantined and the study is strict",
            got=result.count("quarantined"),
            expected=0,
            remedy=f"see {chosen.out / 'faults.tsv'}, or set check.strict to false",
            code="THR-280",
        )


if __name__ == "__main__":
    texts, paths = ("settings", "cohort", "radionuclide", "organs", "half_lives"), ("data", "out")
    start(arguments(__doc__, texts=texts, paths=paths, numbers=("counts",), optional=("half_lives",)), run)
