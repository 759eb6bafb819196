"""Put PET, CT, dose map and organ labels of each patient on one grid and one scale."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pandas as pd

from theradose.cohort.layout import PRE, Dataset, patients_of_chunk
from theradose.errors import Where
from theradose.imaging.nifti import read_sidecar, read_volume, write_volume
from theradose.imaging.normalise import (
    concentration_per_unit,
    dose_per_activity,
    model_grid,
    normalise_ct,
    normalise_pet,
    on_grid,
)
from theradose.imaging.suv import to_suv
from theradose.imaging.volume import Volume
from theradose.provenance import sha256_file, verify_file, write_provenance
from theradose.sections import NormaliseSettings
from theradose.settings import from_json
from theradose.steps.entry import arguments, start
from theradose.tables import IMAGES, PATIENTS, read_table, write_table
from theradose.vocabulary import IMPOSSIBLE_MARK


def first_row(data: Dataset, patient: str, modality: str) -> "pd.Series[Any]":
    """Return the manifest row of the earliest image of a kind, those before therapy first (DataError when none)."""
    rows = data.rows(patient, modality, PRE)
    rows = data.rows(patient, modality) if rows.empty else rows
    if rows.empty:
        data.load_one(patient, modality)
    return rows.iloc[0]


def normalised(
    data: Dataset, patient: str, dose_file: Path, person: dict[Any, Any], settings: NormaliseSettings
) -> dict[str, Volume]:
    """Return the four images of a patient on the grid of the dose map, which bounds what can be learned."""
    pet_row = first_row(data, patient, "pet")
    sidecar = read_sidecar(data.root / str(pet_row["file"]))
    suv = to_suv(data.load(pet_row), sidecar, person["weight_kg"])
    dose = dose_per_activity(read_volume(dose_file), person["administered_mbq"])
    images = {
        "pet": normalise_pet(suv, settings.pet_scale_suv),
        "ct": normalise_ct(data.load(first_row(data, patient, "ct")), settings.ct_window_hu),
        "dose": dose,
        "organs": data.load(first_row(data, patient, "mask")),
    }
    return on_grid(images, model_grid(dose.grid, settings.spacing_mm))


def first_doses(images: pd.DataFrame) -> dict[str, dict[Any, Any]]:
    """Return each patient's dose map of the first cycle, the one the PET precedes; none of impossible curves."""
    doses = images[images["role"] == "dose"].sort_values("cycle").drop_duplicates("patient").to_dict("records")
    return {str(row["patient"]): row for row in doses if IMPOSSIBLE_MARK not in read_sidecar(Path(row["file"]))}


def run(chosen: Namespace) -> None:
    """Normalise the patients of this chunk and list the images."""
    settings = from_json(NormaliseSettings, chosen.settings)
    data, status = Dataset(chosen.data), read_table(chosen.patients, PATIENTS)
    people = {row["patient"]: row for row in data.participants().to_dict("records")}
    doses = first_doses(read_table(chosen.dose_images, IMAGES))
    names = patients_of_chunk(status.query("status in ['ok', 'flagged']")["patient"].tolist(), chosen.chunk, chosen.of)
    rows = []
    for number, patient in enumerate(names, 1):
        print(f"normalise: patient {patient} ({number} of {len(names)})", flush=True)
        if patient not in doses:
            print(f"normalise: patient {patient} has no usable dose map and is left out of map learning")
            continue
        source, person = doses[patient], people[patient]
        verify_file(Path(source["file"]), source["sha256"], Where(patient=patient, file=source["file"]))
        factor = concentration_per_unit(person["weight_kg"], settings.pet_scale_suv)
        extra = {"pet": {"BqPerMlPerMBq": factor}, "dose": {"AdministeredMBq": person["administered_mbq"]}}
        for role, image in normalised(data, patient, Path(source["file"]), person, settings).items():
            file = write_volume(image, chosen.out / f"sub-{patient}_{role}.nii.gz", extra.get(role))
            row = {"patient": patient, "cycle": source["cycle"], "role": role, "time_h": None}
            rows.append({**row, "file": file.as_posix(), "sha256": sha256_file(file)})
    write_table(pd.DataFrame(rows, columns=IMAGES.names()), chosen.out / "images.tsv", IMAGES)
    inputs = [data.manifest_file, data.participants_file, chosen.patients, chosen.dose_images]
    write_provenance(chosen.out, "normalise", inputs, settings.model_dump(mode="json"))


if __name__ == "__main__":
    paths = ("data", "patients", "dose_images", "out")
    start(arguments(__doc__, texts=("settings",), paths=paths, numbers=("chunk", "of")), run)
