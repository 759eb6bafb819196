"""Measure the activity in every VOI of every SPECT, and put the time points of a cycle on one grid."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pandas as pd

from theradose.cohort.counts import Camera
from theradose.cohort.layout import Dataset, patients_of_chunk
from theradose.cohort.quantification import Prepared, Rows, measured, on_first_grid, recovered, totals
from theradose.cohort.time_points import RECOVERED, SPECT, TimePoint, cycles, marks, time_points
from theradose.imaging.activity import Accuracy
from theradose.imaging.nifti import write_volume
from theradose.imaging.plausible import tracer_of
from theradose.physics.nuclides import nuclide
from theradose.provenance import sha256_file, write_provenance
from theradose.sections import QuantifySettings
from theradose.settings import from_json
from theradose.steps.entry import arguments, start
from theradose.tables import IMAGES, PATIENTS, QC, TAC, read_table, write_table


def listed(points: list[TimePoint], folder: Path, role: str = SPECT) -> Rows:
    """Write the images that are no longer what the data set holds, and list all of them under a role."""
    rows: Rows = []
    for point in points:
        file = point.file
        if point.changed:
            name = f"sub-{point.patient}_cycle-{point.cycle}_time-{round(point.time_h):03d}h_{role}.nii.gz"
            extra = {"TracerRadionuclide": tracer_of(point.sidecar), "DecayReference": "scan_start"}
            file = write_volume(point.image, folder / name, {**extra, **marks(point.sidecar)})
        row = {"patient": point.patient, "cycle": point.cycle, "role": role, "time_h": point.time_h}
        rows.append({**row, "file": file.as_posix(), "sha256": sha256_file(file)})
    return rows


def run(chosen: Namespace) -> None:
    """Quantify the patients of this chunk."""
    settings, data = from_json(QuantifySettings, chosen.settings), Dataset(chosen.data)
    status = read_table(chosen.patients, PATIENTS)
    usable = status.loc[status["status"].isin(["ok", "flagged"]), "patient"].tolist()
    names = patients_of_chunk(usable, chosen.chunk, chosen.of)
    administered = data.participants().set_index("patient")["administered_mbq"]
    half_life_h = nuclide(chosen.radionuclide).half_life_h
    limits = settings.model_dump(include={"max_shift_mm", "min_overlap"}) if settings.register_time_points else None
    asked = settings.model_dump(include={"recovery", "fwhm_mm"})
    camera = Camera(settings.sensitivity_cps_per_mbq, settings.dead_time_us, settings.dead_time_model)
    reading: dict[str, Any] = {"reference": settings.decay_reference, "camera": camera}
    accuracy = Accuracy(
        calibration=settings.calibration_uncertainty, scan=settings.scan_variation, fwhm=settings.fwhm_uncertainty,
        outline_fwhm_mm=settings.outline_fwhm_mm,
    )  # fmt: skip
    tac: Rows = []
    qc: Rows = []
    images: Rows = []
    for number, patient in enumerate(names, 1):
        print(f"quantify: patient {patient} ({number} of {len(names)})", flush=True)
        for session in cycles(data, patient):
            points = list(time_points(data, patient, session, chosen.radionuclide, **reading))
            prepared = Prepared()
            aligned, done = on_first_grid(points, limits)
            qc += totals(points, float(administered[patient]), half_life_h) + done
            tac += measured(data, points, aligned, prepared, accuracy=accuracy, **asked)
            images += listed(aligned, chosen.out)
            if settings.voxel_recovery != "none":
                images += listed(recovered(data, aligned, prepared, **asked), chosen.out, RECOVERED)
    for rows, schema in ((tac, TAC), (qc, QC), (images, IMAGES)):
        write_table(pd.DataFrame(rows, columns=schema.names()), chosen.out / f"{schema.name}.tsv", schema)
    inputs = [data.manifest_file, data.participants_file, chosen.patients]
    write_provenance(chosen.out, "quantify", inputs, settings.model_dump(mode="json"))


if __name__ == "__main__":
    paths = ("data", "patients", "out")
    start(arguments(__doc__, texts=("settings", "radionuclide"), paths=paths, numbers=("chunk", "of")), run)
