"""Absorbed dose of every VOI, organ and voxel from the fitted curves: the labels that models learn from."""

from argparse import Namespace
from pathlib import Path
from typing import Any

import pandas as pd

from theradose.cohort.budget import budget_of
from theradose.cohort.doses import Rows, dose_rows, dvh_rows, flags_of, opened, region_tia_mbq_h, tia_map, voi_doses
from theradose.cohort.layout import Dataset
from theradose.cohort.time_points import map_rows, marks
from theradose.imaging.nifti import read_sidecar, write_volume
from theradose.imaging.volume import Volume
from theradose.physics.nuclides import nuclide
from theradose.provenance import sha256_file, write_provenance
from theradose.sections import DoseSettings
from theradose.settings import from_json
from theradose.steps.entry import arguments, start
from theradose.tables import BUDGET, DVH, IMAGES, ORGAN_DOSE, TAC, TIAC, read_table, write_table
from theradose.vocabulary import IMPOSSIBLE, IMPOSSIBLE_MARK, voi_of_label


def of_cycle(table: pd.DataFrame, patient: str, cycle: int) -> pd.DataFrame:
    """Return the rows of a patient's cycle in the order of time."""
    rows = table[(table["patient"] == patient) & (table["cycle"] == cycle)]
    return rows.sort_values("time_h", kind="stable") if "time_h" in rows else rows


def written(image: Volume, role: str, key: dict[str, object], folder: Path, extra: dict[str, Any]) -> dict[str, object]:
    """Write a map of a cycle and return what the list of images says of it."""
    file = folder / f"sub-{key['patient']}_cycle-{key['cycle']}_{role}.nii.gz"
    write_volume(image, file, extra)
    return {"role": role, "time_h": None, "file": file.as_posix(), "sha256": sha256_file(file)}


def run(chosen: Namespace) -> None:
    """Compute the doses of every cycle in the tables."""
    settings, radionuclide = from_json(DoseSettings, chosen.settings), nuclide(chosen.radionuclide)
    data = Dataset(chosen.data)
    tac, tiac, images = read_table(chosen.tac, TAC), read_table(chosen.tiac, TIAC), read_table(chosen.images, IMAGES)
    administered = data.participants().set_index("patient")["administered_mbq"]
    known = settings.model_dump(include={"engine", "density", "density_g_per_ml"})
    found: dict[str, Rows] = {"organ_dose": [], "budget": [], "dvh": [], "images": []}
    for patient, cycle in dict.fromkeys(zip(tiac["patient"], tiac["cycle"], strict=True)):
        print(f"compute_dose: patient {patient}, cycle {cycle}", flush=True)
        points, fits, listed = (of_cycle(table, patient, cycle) for table in (tac, tiac, images))
        own, shown = map_rows(listed)
        place, seen = opened(data, own, nuclide=radionuclide, **known)
        tia = region_tia_mbq_h(fits, place.labels, shown)
        spread, about = tia_map(place, *seen, tia, settings.tia_map)
        dose = place.dose_map(spread)
        volumes = {str(voi): float(ml) for voi, ml in points.groupby("voi")["volume_ml"].first().items()}
        parts = voi_doses(fits, volumes, settings.density_g_per_ml, place)
        voxels = {voi_of_label(label): dose.values[place.labels == label] for label in tia}
        budgets = budget_of(points, fits, parts)
        raised = flags_of(points, fits, place=place)
        rows = dose_rows(parts, voxels, raised, float(administered[patient]), budgets)
        key = {"patient": patient, "cycle": cycle}
        method = {"radionuclide": radionuclide.name, "engine": settings.engine}
        found["organ_dose"] += [{**key, **method, **row} for row in rows]
        found["budget"] += [{**key, **row} for row in budgets.rows()]
        found["dvh"] += [{**key, **row} for row in dvh_rows(parts, voxels, settings.dvh_bins)]
        extra: dict[str, Any] = {"DoseEngine": settings.engine, "TracerRadionuclide": radionuclide.name}
        extra |= marks(read_sidecar(Path(own.iloc[0]["file"]))) | about
        wrong = sorted(set(IMPOSSIBLE) & set().union(*raised.values()))
        extra |= {IMPOSSIBLE_MARK: wrong} if wrong else {}
        maps = {"dose": dose, "tia": spread}
        found["images"] += [{**key, **written(maps[role], role, key, chosen.out, extra)} for role in maps]
    for schema in (ORGAN_DOSE, BUDGET, DVH, IMAGES):
        write_table(pd.DataFrame(found[schema.name], columns=schema.names()), chosen.out / f"{schema.name}.tsv", schema)
    inputs = [chosen.images, chosen.tac, chosen.tiac, data.manifest_file, data.participants_file]
    write_provenance(chosen.out, "compute_dose", inputs, settings.model_dump(mode="json"))


if __name__ == "__main__":
    paths = ("data", "images", "tac", "tiac", "out")
    start(arguments(__doc__, texts=("settings", "radionuclide"), paths=paths), run)
