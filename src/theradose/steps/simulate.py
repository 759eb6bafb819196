"""Make the virtual cohort: a data set of images and tables, and the planted truth in a folder apart."""

from argparse import Namespace

from theradose.cohort.layout import Dataset
from theradose.cohort.virtual.patient import virtual_patient
from theradose.cohort.virtual.scanner import centre
from theradose.cohort.virtual.writer import CohortWriter, description, require_times_apart
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
    writer = CohortWriter(
        Dataset(chosen.out_data), chosen.out_truth, virtual.spect_times_h, chosen.radionuclide, virtual.difficulty
    )
    for index in range(virtual.patients):
        patient = virtual_patient(
            chosen.seed,
            index,
            centres=virtual.centres,
            spacing_mm=virtual.spacing_mm,
            difficulty=virtual.difficulty,
            texture_coupling=virtual.texture_coupling,
        )
        writer.add(patient)
        print(f"simulate: patient {patient.name} ({index + 1} of {virtual.patients})", flush=True)
    used = virtual.model_dump(mode="json")
    writer.close(description(settings.name, chosen.seed, used))
    record = {"seed": chosen.seed, "radionuclide": chosen.radionuclide, "cohort": settings.model_dump(mode="json")}
    for folder in (chosen.out_data, chosen.out_truth):
        write_provenance(folder, "simulate", [], record)


if __name__ == "__main__":
    start(
        arguments(__doc__, texts=("settings", "radionuclide"), numbers=("seed",), paths=("out_data", "out_truth")),
        run,
    )
