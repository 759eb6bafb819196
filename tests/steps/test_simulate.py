"""The simulate step: a complete data set, the same bytes twice, patients that do not depend on each other."""

import hashlib
import json
from argparse import Namespace
from pathlib import Path

import pandas as pd
import pytest

from theradose.cohort.layout import Dataset
from theradose.errors import SettingsError
from theradose.imaging.nifti import read_sidecar, read_volume
from theradose.sections import CohortSettings, VirtualSettings
from theradose.settings import to_json
from theradose.steps import simulate
from theradose.tables import IMAGES, read_table
from theradose.truth_schemas import LATENTS, TRUTH_VOI


def run(folder: Path, patients: int, seed: int = 3, workers: int = 1, **changes: object) -> Path:
    usual = {"patients": patients, "spacing_mm": 10.0, "spect_times_h": (4.0, 24.0)}
    virtual = VirtualSettings.model_validate({**usual, **changes})
    settings = to_json(CohortSettings(name="tiny", virtual=virtual))
    simulate.run(
        Namespace(
            settings=settings,
            radionuclide="Lu-177",
            seed=seed,
            workers=workers,
            out_data=folder / "data",
            out_truth=folder / "truth",
        )
    )
    return folder


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("three"), 3)


def test_the_same_seed_gives_the_same_bytes(three: Path, tmp_path: Path) -> None:
    assert hashes(run(tmp_path, 3, workers=2)) == hashes(three)  # by one process and by two


def test_another_seed_gives_other_patients(three: Path, tmp_path: Path) -> None:
    other, here = hashes(run(tmp_path, 1, seed=4)), hashes(three)
    images = [name for name in other if name.endswith(".nii.gz")]
    assert images
    assert not [name for name in images if other[name] == here[name]]


def test_a_patient_does_not_depend_on_the_size_of_the_cohort(three: Path, tmp_path: Path) -> None:
    fewer, here = hashes(run(tmp_path, 2)), hashes(three)
    images = [name for name in fewer if "sub-" in name]
    assert len(images) == 2 * 2 * (2 + 3 + 1)  # SPECT, then PET, CT and mask, then dose; each with its sidecar
    assert {name: here[name] for name in images} == {name: fewer[name] for name in images}
    rows = Dataset(tmp_path / "data").participants()
    assert rows.equals(Dataset(three / "data").participants().iloc[:2])


def test_data_set_is_complete_and_verified(three: Path) -> None:
    data = Dataset(three / "data")
    table = data.participants()
    assert table["patient"].tolist() == ["v001", "v002", "v003"]
    assert table["centre"].tolist() == ["north", "south", "north"]
    assert table["planned_cycles"].tolist() == [4, 4, 4]
    for patient in table["patient"]:
        mask = data.load_one(patient, "mask", "ses-pre")
        for modality in ("pet", "ct"):
            data.load_one(patient, modality, "ses-pre").grid.require_same(mask.grid, modality)
        spect = data.rows(patient, "spect", "ses-tx1")
        assert spect["time_h"].tolist() == [4.0, 24.0]
        for _, row in spect.iterrows():
            assert data.load(row).unit == "Bq/mL"
    assert set(data.manifest()["file"]) == {
        path.relative_to(data.root).as_posix() for path in data.root.rglob("*.nii.gz")
    }


def test_sidecars_say_what_a_reader_needs(three: Path) -> None:
    data = Dataset(three / "data")
    spect = read_sidecar(data.root / data.rows("v002", "spect").iloc[1]["file"])
    injected = data.participants().set_index("patient").loc["v002", "administered_mbq"]
    assert spect["InjectedRadioactivity"] == injected
    assert spect["FrameTimesStart"] == [86400.0]
    assert (spect["TracerRadionuclide"], spect["Modality"], spect["Units"]) == ("Lu-177", "NM", "Bq/mL")
    assert (spect["DecayReference"], spect["EffectiveResolutionFWHM"], spect["Virtual"]) == ("scan_start", 14.0, True)
    pet = read_sidecar(data.root / data.rows("v002", "pet").iloc[0]["file"])
    assert (pet["TracerRadionuclide"], pet["DecayReference"], pet["FrameTimesStart"]) == (
        "Ga-68",
        "administration",
        [3000.0],
    )
    assert data.rows("v002", "pet").iloc[0]["time_h"] == pytest.approx(50 / 60, abs=1e-6)


def test_everything_says_that_it_is_virtual(three: Path) -> None:
    description = json.loads((three / "data" / "dataset_description.json").read_text())
    assert "VIRTUAL" in description["Name"]
    for path in (three / "data").rglob("sub-*.json"):
        assert json.loads(path.read_text())["Virtual"] is True


def test_truth_lies_apart_and_is_complete(three: Path) -> None:
    vois = read_table(three / "truth" / "truth_voi.parquet", TRUTH_VOI)
    latents = read_table(three / "truth" / "latents.parquet", LATENTS)
    images = read_table(three / "truth" / "manifest.tsv", IMAGES)
    assert set(vois["patient"]) == set(latents["patient"]) == set(images["patient"]) == {"v001", "v002", "v003"}
    grid = Dataset(three / "data").load_one("v001", "mask").grid
    assert read_volume(three / "truth" / images.iloc[0]["file"]).grid.same_as(grid)
    written = {path.name for path in (three / "data").rglob("*")}
    assert not written & {"truth_voi.parquet", "latents.parquet", "sub-v001_dose.nii.gz"}


def test_provenance_has_seed_and_settings(three: Path) -> None:
    record = json.loads((three / "data" / "provenance.json").read_text())
    assert record["settings"]["seed"] == 3
    assert record["settings"]["cohort"]["virtual"]["spacing_mm"] == 10.0


def test_unknown_centre_and_colliding_times_are_refused_before_work(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="unknown centre"):
        run(tmp_path, 1, centres=("north", "atlantis"))
    with pytest.raises(SettingsError, match="same hour"):
        run(tmp_path, 1, spect_times_h=(4.0, 4.2))
    assert not list(tmp_path.iterdir())


def test_no_gap_in_participants_is_written_as_a_word(three: Path) -> None:
    raw = pd.read_csv(three / "data" / "participants.tsv", sep="\t", dtype=str, keep_default_na=False)
    assert not raw.isin(["nan", "None"]).any().any()
