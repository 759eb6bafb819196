"""Absorbed dose of every VOI, organ and voxel from the fitted curves: the labels that models learn from."""

from argparse import Namespace
from pathlib import Path

import pandas as pd

from theradose.cohort.budget import budget_of
from theradose.cohort.doses import Rows, dose_rows, dvh_rows, flags_of, region_tia_mbq_h, scene, tia_map, voi_doses
from theradose.cohort.layout import CYCLE_PREFIX, Dataset
from theradose.cohort.time_points import marks, mask_row
from theradose.errors import Where
from theradose.imaging.activity import whole_labels
from theradose.imaging.nifti import read_sidecar, read_volume, write_volume
from theradose.imaging.volume import Volume
from theradose.physics.nuclides import nuclide
from theradose.provenance import sha256_file, verify_file, write_provenance
from theradose.sections import DoseSettings
from theradose.settings import from_json
from theradose.steps.entry import arguments, start
from theradose.tables import BUDGET, DVH, IMAGES, ORGAN_DOSE, TAC, TIAC, read_table, write_table
from theradose.vocabulary import voi_of_label


def of_cycle(table: pd.DataFrame, patient: str, cycle: int) -> pd.DataFrame:
    """Return the rows of a patient's cycle in the order of time."""
    rows = table[(table["patient"] == patient) & (table["cycle"] == cycle)]
    return rows.sort_values("time_h", kind="stable") if "time_h" in rows else rows


def verified(row: "pd.Series[str]") -> Volume:
    """Read a SPECT of the list after checking its hash."""
    verify_file(Path(row["file"]), row["sha256"], Where(patient=row["patient"], file=row["file"]))
    return read_volume(Path(row["file"]))


def written(image: Volume, role: str, key: dict[str, object], folder: Path, extra: dict[str, str]) -> dict[str, object]:
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
    density = settings.density_g_per_ml
    found: dict[str, Rows] = {"organ_dose": [], "budget": [], "dvh": [], "images": []}
    for patient, cycle in dict.fromkeys(zip(tiac["patient"], tiac["cycle"], strict=True)):
        print(f"compute_dose: patient {patient}, cycle {cycle}", flush=True)
        points, fits, own = (of_cycle(table, patient, cycle) for table in (tac, tiac, images))
        spect, times = [verified(row) for _, row in own.iterrows()], own["time_h"].tolist()
        mask = data.load(mask_row(data.rows(patient, "mask"), patient, f"{CYCLE_PREFIX}{cycle}", times[0]))
        spect[0].grid.require_same(mask.grid, "mask", Where(patient=patient))
        labels = whole_labels(mask)
        place = scene(spect, times, labels, engine=settings.engine, soft_tissue_g_per_ml=density, nuclide=radionuclide)
        tia = region_tia_mbq_h(fits, labels)
        spread = tia_map(place, spect, times, tia)
        dose = place.dose_map(spread)
        volumes = {str(voi): float(ml) for voi, ml in points.groupby("voi")["volume_ml"].first().items()}
        parts = voi_doses(fits, volumes, density, place)
        voxels = {voi_of_label(label): dose.values[labels == label] for label in tia}
        budgets = budget_of(points, fits, parts)
        raised = flags_of(points, fits, place=place)
        rows = dose_rows(parts, voxels, raised, float(administered[patient]), budgets)
        key = {"patient": patient, "cycle": cycle}
        method = {"radionuclide": radionuclide.name, "engine": settings.engine}
        found["organ_dose"] += [{**key, **method, **row} for row in rows]
        found["budget"] += [{**key, **row} for row in budgets.rows()]
        found["dvh"] += [{**key, **row} for row in dvh_rows(parts, voxels, settings.dvh_bins)]
        extra = {"DoseEngine": settings.engine, "TracerRadionuclide": radionuclide.name}
        extra |= marks(read_sidecar(Path(own.iloc[0]["file"])))
        maps = {"dose": dose, "tia": spread}
        found["images"] += [{**key, **written(maps[role], role, key, chosen.out, extra)} for role in maps]
    for schema in (ORGAN_DOSE, BUDGET, DVH, IMAGES):
        write_table(pd.DataFrame(found[schema.name], columns=schema.names()), chosen.out / f"{schema.name}.tsv", schema)
    inputs = [chosen.images, chosen.tac, chosen.tiac, data.manifest_file, data.participants_file]
    write_provenance(chosen.out, "compute_dose", inputs, settings.model_dump(mode="json"))


if __name__ == "__main__":
    paths = ("data", "images", "tac", "tiac", "out")
    start(arguments(__doc__, texts=("settings", "radionuclide"), paths=paths), run)
