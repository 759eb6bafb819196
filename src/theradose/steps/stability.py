"""Change the PETs of a few patients a little, and say which features stay what they are."""

from argparse import Namespace

import pandas as pd

from theradose.cohort.layout import Dataset
from theradose.features.engine import engine
from theradose.features.presets import read_preset
from theradose.features.stability import stability_table
from theradose.features.versions import joined, versions_in_dataset
from theradose.provenance import write_provenance
from theradose.sections import RadiomicsSettings
from theradose.settings import from_json
from theradose.steps.entry import arguments, start
from theradose.tables import DRAWS, PATIENTS, STABILITY, read_table, write_table

MODALITY = "pet"


def run(chosen: Namespace) -> None:
    """Read preset, patients and their PETs; write what was drawn and the stability of every feature."""
    settings = from_json(RadiomicsSettings, chosen.settings)
    file = chosen.presets / f"{settings.presets['pet']}.yaml"
    preset = read_preset(file, MODALITY)
    status = read_table(chosen.patients, PATIENTS)
    patients = sorted(status.loc[status["status"].isin(["ok", "flagged"]), "patient"])[: settings.stability.patients]
    data = Dataset(chosen.data)
    weights = data.participants().set_index("patient")["weight_kg"]
    found = []
    for number, patient in enumerate(patients, 1):
        print(f"stability: patient {patient} ({number} of {len(patients)})", flush=True)
        one = versions_in_dataset(
            data,
            patient,
            preset,
            weight_kg=float(weights[patient]),
            organs=[organ for organ in settings.organs if organ in settings.stability.organs],
            seed=chosen.seed,
            min_voxels=settings.min_voxels,
        )
        if one is not None:
            found.append(one)
    table, draws = pd.DataFrame(columns=STABILITY.names()), pd.DataFrame(columns=DRAWS.names())
    if found:
        features, draws = joined(found)
        table = stability_table(features, MODALITY, settings.stability.icc_low)
    out = write_table(table, chosen.out / "stability.tsv", STABILITY)
    write_table(draws, chosen.out / "stability_draws.tsv", DRAWS)
    inputs = [file, chosen.patients, data.participants_file, data.manifest_file]
    record = {**settings.model_dump(mode="json"), "seed": chosen.seed, "engine": engine()}
    write_provenance(out.parent, "stability", inputs, record, "stability.provenance.json")
    stable = int((table["stable"] == "yes").sum())
    print(f"stability: {stable} of {len(table)} rows stable, {len(found)} patients")


if __name__ == "__main__":
    start(arguments(__doc__, texts=("settings",), numbers=("seed",), paths=("presets", "data", "patients", "out")), run)
