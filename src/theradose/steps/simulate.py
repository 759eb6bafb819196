"""Make the virtual cohort: a data set of images and tables, and the planted truth in a folder apart."""

from argparse import Namespace
from functools import partial

from theradose.cohort.layout import Dataset
from theradose.cohort.pool import in_order
from theradose.cohort.truth_folder import mark_truth
from theradose.cohort.virtual.scanner import centre
from theradose.cohort.virtual.writer import Protocol, description, make_patient, require_times_apart, write_tables
from theradose.provenance import write_provenance
from theradose.sections import CohortSettings
from theradose.settings import from_json
from theradose.steps.entry import arguments, start


def run(chosen: Namespace) -> None:
    """Draw patient after patient, write images, then the tables of the cohort."""
    settings = from_json(CohortSettings, chosen.settings)
    virtual = settings.virtual
    require_times_apart(virtual.spect_times_h)
    for name in virtual.centres:
        centre(name)
    same = {"ligand", "centres", "spacing_mm", "difficulty", "texture_coupling", "kinetics"}
    drawn = virtual.model_dump(include=same)
    asked = virtual.model_dump(include={"pet", "spect_times_h", "imaged_cycles", "difficulty"})
    work = partial(
        make_patient, seed=chosen.seed, drawn={**drawn, "cycles": virtual.planned_cycles},
        protocol=Protocol(chosen.radionuclide, **asked), data=chosen.out_data, truth=chosen.out_truth,
    )  # fmt: skip
    mark_truth(chosen.out_truth)
    rows = []
    for done in in_order(work, range(virtual.patients), chosen.workers or 1):
        rows.append(done)
        print(f"simulate: patient {done.participant['patient']} ({len(rows)} of {virtual.patients})", flush=True)
    used = virtual.model_dump(mode="json")
    write_tables(rows, Dataset(chosen.out_data), chosen.out_truth, description(settings.name, chosen.seed, used))
    record = {"seed": chosen.seed, "radionuclide": chosen.radionuclide, "cohort": settings.model_dump(mode="json")}
    for folder in (chosen.out_data, chosen.out_truth):
        write_provenance(folder, "simulate", [], record)


if __name__ == "__main__":
    paths, numbers = ("out_data", "out_truth"), ("seed", "workers")
    texts = ("settings", "radionuclide")
    start(arguments(__doc__, texts=texts, numbers=numbers, paths=paths, optional=("workers",)), run)
