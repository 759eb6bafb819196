"""Normalise and augment on a data set made by hand: three patients, one of them for the test."""

import json
import shutil
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from theradose.cohort.layout import Dataset
from theradose.errors import SettingsError
from theradose.imaging.augment import Draw, apply
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import read_volume, sidecar, write_volume
from theradose.imaging.volume import Volume
from theradose.models.dose_map import require_split
from theradose.models.image_examples import has_held_out_copies, load_examples
from theradose.provenance import sha256_file, write_json
from theradose.sections import AugmentSettings, NormaliseSettings
from theradose.settings import to_json
from theradose.steps import augment, normalise
from theradose.steps.entry import arguments
from theradose.tables import DRAWS, IMAGES, PARTICIPANTS, PATIENTS, SPLITS, read_table, write_table

GRID = Grid((10, 14, 18), (8.0, 8.0, 8.0))
PET_SIDECAR = {
    "Modality": "PT",
    "TracerRadionuclide": "Ga-68",
    "InjectedRadioactivity": 150.0,
    "InjectedRadioactivityUnits": "MBq",
    "InjectionStart": 0,
    "FrameTimesStart": [3000],
    "FrameDuration": [600],
    "ImageDecayCorrected": True,
    "DecayReference": "administration",
}
WEIGHT_KG, ADMINISTERED_MBQ = 80.0, 7400.0
PATIENTS_HERE = {"v001": "train", "v002": "train", "v003": "test"}


def images_of(seed):
    """Return PET (Bq/mL), CT (HU), labels and dose (Gy) with a liver in a body; dose is 2e-4 Gy per Bq/mL."""
    organs = np.zeros(GRID.shape_zyx, np.int16)
    organs[:, 3:11, 4:14] = 1
    organs[3:8, 5:9, 6:10] = 7
    pet = np.where(organs == 7, 20e3, np.where(organs == 1, 2e3, 0.0)).astype(np.float32)
    pet *= np.random.default_rng(seed).uniform(0.8, 1.2, pet.shape).astype(np.float32)
    ct = np.where(organs > 0, 40.0, -1000.0).astype(np.float32)
    return pet, ct, organs, 2e-4 * pet


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the folder of a small study, not to be changed."""
    root = tmp_path_factory.mktemp("made")
    data, rows, doses = Dataset(root / "data"), [], []
    for number, patient in enumerate(PATIENTS_HERE):
        pet, ct, organs, dose = images_of(number)
        for modality, values, unit, extra in (
            ("pet", pet, "Bq/mL", PET_SIDECAR),
            ("ct", ct, "HU", {}),
            ("mask", organs, "label", {}),
        ):
            file = write_volume(Volume(values, GRID, unit), data.image_file(patient, modality), extra)
            time = 0.9 if modality == "pet" else None
            place = file.relative_to(data.root).as_posix()
            rows.append({"patient": patient, "session": "ses-pre", "modality": modality, "time_h": time, "file": place})
        file = write_volume(Volume(dose, GRID, "Gy"), root / "dose" / f"sub-{patient}_cycle-1_dose.nii.gz")
        place = file.relative_to(root).as_posix()
        doses.append((patient, 1, "dose", None, place, sha256_file(file)))
    data.write_manifest(pd.DataFrame(rows))
    people = [(patient, "north", WEIGHT_KG, 175.0, ADMINISTERED_MBQ, "Lu-177") for patient in PATIENTS_HERE]
    write_table(pd.DataFrame(people, columns=PARTICIPANTS.names()), data.participants_file, PARTICIPANTS)
    write_table(pd.DataFrame(doses, columns=IMAGES.names()), root / "dose/images.tsv", IMAGES)
    status = [(patient, "north", "ok", "") for patient in PATIENTS_HERE]
    write_table(pd.DataFrame(status, columns=PATIENTS.names()), root / "patients.tsv", PATIENTS)
    split = [
        (p, "north", "north", part, -1 if part == "test" else i) for i, (p, part) in enumerate(PATIENTS_HERE.items())
    ]
    write_table(pd.DataFrame(split, columns=SPLITS.names()), root / "splits.tsv", SPLITS)
    return root


@pytest.fixture
def study(made, tmp_path, monkeypatch):
    """Return a copy of the small study, made the working folder."""
    monkeypatch.chdir(shutil.copytree(made, tmp_path, dirs_exist_ok=True))
    return tmp_path


@pytest.fixture(scope="module")
def scaled(made, tmp_path_factory):
    """Return what the step normalise makes of the study, not to be changed."""
    with chdir(shutil.copytree(made, tmp_path_factory.mktemp("scaled"), dirs_exist_ok=True)):
        run_normalise()
        return Path.cwd() / "normalise"


@pytest.fixture
def normalised(study, scaled):
    """Return a copy of the small study whose images are normalised, made the working folder."""
    shutil.copytree(scaled, study / "normalise")
    return study


def numbers(image):
    """Return the numbers of an image."""
    return image.values


def run_normalise(chunk=0, of=1, out="normalise/chunk-0", **changes):
    parser = arguments(
        "", texts=("settings",), paths=("data", "patients", "dose_images", "out"), numbers=("chunk", "of")
    )
    settings = to_json(NormaliseSettings(**changes))
    words = ["--settings", settings, "--data", "data", "--patients", "patients.tsv", "--dose-images", "dose/images.tsv"]
    normalise.run(parser.parse_args([*words, "--out", out, "--chunk", str(chunk), "--of", str(of)]))


def run_augment(out="augment", images=("normalise/chunk-0/images.tsv",), **changes):
    parser = arguments("", texts=("settings",), numbers=("seed",), lists=("images",), paths=("splits", "out"))
    settings = to_json(AugmentSettings(**{"copies": 2, "slices": 4, **changes}))
    words = ["--settings", settings, "--seed", "3", "--images", *images, "--splits", "splits.tsv", "--out", out]
    augment.run(parser.parse_args(words))


def test_normalised_images_have_their_scale(study):
    run_normalise()
    table = read_table(study / "normalise/chunk-0/images.tsv", IMAGES)
    assert set(table["role"]) == {"pet", "ct", "dose", "organs"}
    files = table[table["patient"] == "v001"].set_index("role")["file"]
    pet, _, organs, dose = images_of(0)
    images = {role: read_volume(study / file) for role, file in files.items()}
    found = {role: numbers(image) for role, image in images.items()}
    assert found["pet"] == pytest.approx(pet * 80e3 / 150e6 / 10.0, rel=1e-5)
    assert found["dose"] == pytest.approx(dose / 7.4, rel=1e-5)
    assert found["ct"][organs > 0] == pytest.approx(0.5)
    assert np.array_equal(found["organs"], organs)
    assert {role: image.unit for role, image in images.items()} == {
        "pet": "SUV/10", "ct": "window fraction", "dose": "Gy/GBq", "organs": "label",
    }  # fmt: skip


def test_chunks_share_out_the_patients(study):
    for chunk in (0, 1):
        run_normalise(chunk, 2, f"normalise/chunk-{chunk}")
    names = [set(read_table(study / f"normalise/chunk-{k}/images.tsv", IMAGES)["patient"]) for k in (0, 1)]
    assert names == [{"v001", "v003"}, {"v002"}]
    run_augment(images=("normalise/chunk-1/images.tsv", "normalise/chunk-0/images.tsv"))
    assert list(load_examples(study / "augment").grids) == ["v001", "v002", "v003"]


def test_a_dose_map_of_impossible_curves_is_not_learned(study, capsys):
    file = sidecar(study / "dose" / "sub-v002_cycle-1_dose.nii.gz")
    write_json(file, {**json.loads(file.read_text()), "ImpossibleCurves": ["impossible_sum"]})
    run_normalise()
    assert set(read_table(study / "normalise/chunk-0/images.tsv", IMAGES)["patient"]) == {"v001", "v003"}
    assert "patient v002 has no usable dose map and is left out" in capsys.readouterr().out


def test_coarser_model_grid(study):
    run_normalise(spacing_mm=16.0)
    image = read_volume(study / "normalise/chunk-0/sub-v001_pet.nii.gz")
    assert image.grid.spacing_mm == pytest.approx((16.0, 16.0, 16.0))
    assert image.grid.shape_zyx == (5, 7, 9)


def test_only_training_patients_have_copies(normalised):
    run_augment()
    table = load_examples(normalised / "augment").table
    copies = table.groupby("patient")["copy"].unique().map(sorted).to_dict()
    assert copies == {"v001": [0, 1, 2], "v002": [0, 1, 2], "v003": [0]}
    draws = read_table(normalised / "augment/draws.tsv", DRAWS)
    assert draws[["patient", "copy"]].to_numpy().tolist() == [["v001", 1], ["v001", 2], ["v002", 1], ["v002", 2]]


def test_copy_zero_is_the_patient_and_other_copies_follow_from_their_record(normalised):
    run_augment()
    examples = load_examples(normalised / "augment")
    roles = ("pet", "ct", "dose", "organs")
    images = {role: read_volume(normalised / f"normalise/chunk-0/sub-v002_{role}.nii.gz") for role in roles}
    draws = read_table(normalised / "augment/draws.tsv", DRAWS).set_index(["patient", "copy"])["draw"]
    for copy in (0, 1, 2):
        change = Draw.from_json(draws["v002", copy]) if copy else Draw()
        dose = numbers(apply(change, images)["dose"])
        part = examples.pick(np.asarray((examples.table["patient"] == "v002") & (examples.table["copy"] == copy)))
        for number, row in enumerate(part.table.itertuples()):
            window = np.s_[row.slice, row.row_from : row.row_from + 8, row.column_from : row.column_from + 16]
            whole = part.dose[number][:, : GRID.shape_zyx[2] - row.column_from]
            assert np.array_equal(whole, dose[window])
    assert examples.concentration()[0].max() == pytest.approx(24e3 / 150.0, rel=0.05)


def test_the_same_seed_gives_the_same_bytes_whoever_else_is_there(normalised):
    run_augment("augment")
    run_augment("again")
    for name in ("pairs.safetensors", "pairs.tsv", "draws.tsv"):
        assert (normalised / "augment" / name).read_bytes() == (normalised / "again" / name).read_bytes()
    splits = read_table(normalised / "splits.tsv", SPLITS)
    write_table(splits[splits["patient"] != "v001"], normalised / "splits.tsv", SPLITS)
    run_augment("fewer")
    before = read_table(normalised / "augment/draws.tsv", DRAWS)
    assert read_table(normalised / "fewer/draws.tsv", DRAWS)["draw"].tolist() == before["draw"][2:].tolist()


def test_a_changed_image_is_one_sentence(normalised, refused):
    file = normalised / "normalise/chunk-0/sub-v001_pet.nii.gz"
    file.write_bytes(file.read_bytes() + b"x")
    words = ["--images", "normalise/chunk-0/images.tsv", "--splits", "splits.tsv", "--out", "augment"]
    code, said = refused("augment", "--settings", json.dumps({}), "--seed", "1", *words)
    assert code == 2
    assert said.startswith("ERROR THR-202")
    assert "patient v001" in said


def literal_cohort(study, partitions):
    """Give the study 27 patients, made of the three that it has: images of nine each, 9/9/9."""
    table = read_table(study / "normalise/chunk-0/images.tsv", IMAGES)
    donors, rows, split = list(PATIENTS_HERE), [], []
    for number, partition in enumerate(partitions):
        patient = f"w{number:03d}"
        rows.append(table[table["patient"] == donors[number % 3]].assign(patient=patient))
        split.append((patient, "north", "north", partition, number % 3 if partition == "train" else -1))
    write_table(pd.concat(rows, ignore_index=True), study / "normalise/many.tsv", IMAGES)
    write_table(pd.DataFrame(split, columns=SPLITS.names()), study / "splits.tsv", SPLITS)


LITERAL = {
    "copies": 9, "slices": 3, "pairs": {"train": 245, "validation": 245, "test": 105}, "translation_mm": 0.0,
    "scaling": 0.0, "noise_sd": 0.0, "flip_left_right": True, "exchange_sides": True,
}  # fmt: skip


def test_the_printed_numbers_of_patients_and_pairs(normalised):
    literal_cohort(normalised, ["train", "validation", "test"] * 9)
    run_augment("literal", ("normalise/many.tsv",), **LITERAL)
    table = load_examples(normalised / "literal").table
    assert table.groupby("partition")["patient"].nunique().to_dict() == {"train": 9, "validation": 9, "test": 9}
    assert table["partition"].value_counts().to_dict() == {"train": 245, "validation": 245, "test": 105}
    counts = table.groupby(["partition", "patient"]).size()
    assert sorted(set(counts["train"])) == sorted(set(counts["validation"])) == [27, 28]
    assert sorted(set(counts["test"])) == [11, 12]
    # Originals come first: every patient has all three, and copies follow in order.
    assert (table[table["copy"] == 0].groupby("patient").size() == 3).all()
    assert table["copy"].max() == 9
    draws = read_table(normalised / "literal/draws.tsv", DRAWS)
    assert set(zip(draws["patient"], draws["copy"], strict=True)) == set(
        zip(table.loc[table["copy"] > 0, "patient"], table.loc[table["copy"] > 0, "copy"], strict=True)
    )
    flips = [Draw.from_json(text).flip_left_right for text in draws["draw"]]
    assert 0 < sum(flips) < len(flips)
    assert has_held_out_copies(normalised / "literal")
    require_split(table, read_table(normalised / "splits.tsv", SPLITS), held_out_copies=True)


def test_pairs_that_cannot_be_made_are_refused(normalised):
    literal_cohort(normalised, ["train", "validation", "test"])
    with pytest.raises(SettingsError, match="do not make as many pairs"):
        run_augment("literal", ("normalise/many.tsv",), **LITERAL)
    literal_cohort(normalised, ["train", "test", "test"])
    with pytest.raises(SettingsError, match="nobody is in partition validation"):
        run_augment("literal", ("normalise/many.tsv",), **LITERAL)


def test_without_numbers_held_out_patients_have_no_copies_and_no_mark(normalised):
    run_augment()
    assert not has_held_out_copies(normalised / "augment")


def test_every_slice_is_cut_when_asked(normalised):
    run_augment(slices=0, copies=0)
    assert (
        load_examples(normalised / "augment").table.groupby("patient")["slice"].apply(list).tolist()
        == [[3, 4, 5, 6, 7]] * 3
    )
