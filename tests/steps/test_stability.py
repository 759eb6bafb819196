import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from theradose.cohort.layout import Dataset
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import write_volume
from theradose.imaging.volume import Volume
from theradose.steps.stability import run
from theradose.tables import DRAWS, PARTICIPANTS, PATIENTS, STABILITY, read_table, write_table

GRID = Grid((10, 12, 14), (8.0, 8.0, 8.0))
STATUS = {"v001": "ok", "v002": "flagged", "v003": "quarantined", "v004": "ok", "v005": "ok"}
PRESET = "featureClass: {firstorder: [Mean], shape: [MeshVolume]}\nsetting: {binWidth: 0.5}\n"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Five patients with PET in SUV, a kidney and a liver; one in quarantine, one without PET."""
    data, rows = Dataset(tmp_path / "data"), []
    for number, patient in enumerate(STATUS):
        labels = np.zeros(GRID.shape_zyx, np.int16)
        labels[2:7, 3:8, 4:9] = 5
        labels[2:7, 3:8, 10:13] = 7
        values = np.random.default_rng(number).gamma(9.0, 0.5 + 0.1 * number, GRID.shape_zyx).astype(np.float32)
        images = {"mask": (labels, "label"), "pet": (values, "g/mL")}
        for modality in ("mask",) if patient == "v004" else images:
            file = write_volume(
                Volume(images[modality][0], GRID, images[modality][1]), data.image_file(patient, modality)
            )
            row = {"patient": patient, "session": "ses-pre", "modality": modality, "time_h": 1.0}
            rows.append({**row, "file": file.relative_to(data.root).as_posix()})
    data.write_manifest(pd.DataFrame(rows))
    people = pd.DataFrame({"patient": list(STATUS), "centre": "north", "weight_kg": 80.0, "height_cm": 180.0})
    people = people.assign(administered_mbq=7400.0, radionuclide="Lu-177")
    write_table(people, data.participants_file, PARTICIPANTS)
    status = people[["patient", "centre"]].assign(status=list(STATUS.values()), reason="")
    write_table(status, tmp_path / "patients.tsv", PATIENTS)
    (tmp_path / "presets").mkdir()
    (tmp_path / "presets" / "tiny.yaml").write_text(PRESET)
    return tmp_path


def chosen(root: Path, out: str = "R", **stability: object) -> Namespace:
    settings = {"presets": {"pet": "tiny"}, "organs": ["kidneys", "liver"], "stability": stability}
    return Namespace(
        settings=json.dumps(settings), presets=root / "presets", data=root / "data", patients=root / "patients.tsv",
        seed=7, out=root / out,
    )  # fmt: skip


def test_usable_patients_with_a_pet_are_changed_and_draws_are_kept(study):
    run(chosen(study))
    table = read_table(study / "R" / "stability.tsv", STABILITY)
    assert set(table["patients"]) == {3}
    assert set(table["voi"]) == {"kidneys"}
    draws = read_table(study / "R" / "stability_draws.tsv", DRAWS)
    assert set(draws["patient"]) == {"v001", "v002", "v005"}
    assert len(draws) == 3 * 7


def test_patients_organs_and_threshold_are_settings(study):
    run(chosen(study, patients=2, organs=["liver"], icc_low=0.0))
    table = read_table(study / "R" / "stability.tsv", STABILITY)
    assert set(table["patients"]) == {2}
    assert set(table["voi"]) == {"liver"}
    assert (table["stable"] == "yes").sum() == (table["icc_low"] >= 0).sum()


def test_the_same_seed_gives_the_same_bytes(study):
    for out in ("one", "two"):
        run(chosen(study, out, patients=2))
    for file in ("stability.tsv", "stability_draws.tsv"):
        assert (study / "one" / file).read_bytes() == (study / "two" / file).read_bytes()


def test_without_any_pet_the_tables_are_empty(study):
    manifest = Dataset(study / "data").manifest()
    Dataset(study / "data").write_manifest(manifest.loc[manifest["modality"] != "pet", list(manifest.columns[:5])])
    run(chosen(study))
    assert read_table(study / "R" / "stability.tsv", STABILITY).empty
    assert read_table(study / "R" / "stability_draws.tsv", DRAWS).empty
