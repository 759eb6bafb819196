"""Extract radiomics of PET and CT before therapy, for one chunk of the patients."""

from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from theradose.cohort.layout import Dataset, patients_of_chunk
from theradose.cohort.pool import in_order
from theradose.errors import DataError
from theradose.features.cache import FeatureCache
from theradose.features.engine import engine
from theradose.features.patient import missing_vois, patient_features, resolution_of
from theradose.features.presets import read_preset
from theradose.provenance import write_provenance
from theradose.sections import RadiomicsSettings
from theradose.settings import from_json
from theradose.steps.entry import arguments, start
from theradose.tables import FEATURES, PATIENTS, read_table, write_table

# Features by the hash of all they come from; it may be deleted at any time.
CACHE = Path(".cache/features")


Item = tuple[str, float, tuple[float, float] | None]


def _features(data: Dataset, cache: FeatureCache, asked: dict[str, Any], item: Item) -> pd.DataFrame:
    """Return the features of one patient, of (name, weight in kg, resolutions in mm)."""
    patient, weight_kg, fwhm_mm = item
    return patient_features(data, patient, weight_kg=weight_kg, fwhm_mm=fwhm_mm, cache=cache, **asked)


def run(chosen: Namespace) -> None:
    """Read presets, usable patients and their images; write one row per patient, image, organ, filter and feature."""
    settings = from_json(RadiomicsSettings, chosen.settings)
    files = {modality: chosen.presets / f"{name}.yaml" for modality, name in settings.presets.items()}
    presets = {str(modality): read_preset(file, modality) for modality, file in files.items()}
    status = read_table(chosen.patients, PATIENTS)
    usable = list(status.loc[status["status"].isin(["ok", "flagged"]), "patient"])
    patients = patients_of_chunk(usable, chosen.chunk, chosen.of)
    data = Dataset(chosen.data)
    people = data.participants().set_index("patient").loc[patients]
    resolutions = [resolution_of(centre, settings.pet_fwhm_mm) for centre in people["centre"]]
    tables = [pd.DataFrame(columns=FEATURES.names())]
    asked = {"presets": presets, "organs": settings.organs, "min_voxels": settings.min_voxels}
    work = partial(_features, data, FeatureCache(CACHE), asked)
    items = zip(patients, people["weight_kg"].astype("float64"), resolutions, strict=True)
    made = in_order(work, items, chosen.workers or 1)
    for number, (patient, found) in enumerate(zip(patients, made, strict=True), 1):
        print(f"extract_features: patient {patient} ({number} of {len(patients)})", flush=True)
        if found.empty:
            print(f"extract_features: patient {patient} has no image or no mask before therapy")
        tables.append(found)
    table = pd.concat(tables[1:] or tables, ignore_index=True)
    missing = missing_vois(table, patients, settings.organs)
    if missing and not settings.allow_missing:
        raise DataError("organs without features", got=", ".join(missing), remedy="see status, or set allow_missing")
    out = write_table(table, chosen.out, FEATURES)
    inputs = [*files.values(), chosen.patients, data.participants_file, data.manifest_file]
    write_provenance(out.parent, "extract_features", inputs, {**settings.model_dump(mode="json"), "engine": engine()})
    print(f"extract_features: {len(table)} rows of {len(patients)} patients, {len(missing)} organs without features")


if __name__ == "__main__":
    paths, numbers = ("presets", "data", "patients", "out"), ("chunk", "of", "workers")
    start(arguments(__doc__, texts=("settings",), numbers=numbers, paths=paths, optional=("workers",)), run)
