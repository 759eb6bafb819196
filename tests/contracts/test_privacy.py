"""Nothing of a person leaves the hospital's files: 40 planted strings are looked for in every byte that is written.

The data are made here: a DICOM folder of a patient with PET, CT, two SPECT and their structure sets, with names, dates,
numbers, UIDs, private tags, comments and labels of a person who never lived. For models there are six of them: virtual
patients, written as DICOM.
"""

import base64
import gzip
import importlib.util
import io
import re
import shutil
import sqlite3
import sys
import zipfile
from argparse import Namespace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pydicom
import pytest
import yaml

from theradose.cli.main import run
from theradose.cohort.dicom_copy import export_dicom
from theradose.cohort.layout import Dataset
from theradose.imaging.dicom import read_series
from theradose.imaging.rtdose_reference import Reference
from theradose.imaging.rtstruct import rasterise, read_rtstruct
from theradose.imaging.seg_writer import write_seg
from theradose.imaging.volume import Volume
from theradose.sections import CohortSettings
from theradose.settings import load_study, parse_settings, to_json
from theradose.steps import simulate
from theradose.vocabulary import VOIS

SHAPE, SPACING, ORIGIN = (12, 24, 24), (8.0, 8.0, 8.0), (-96.0, -96.0, 0.0)
STUDY = "2.25.330088990011223344"
# Where a string is planted, and the string. Dates are those of the images and of the injection, and a birth date.
TAGS = {
    "PatientName": "Qxz01^Wilhelmina", "PatientID": "Qxz02-471", "OtherPatientIDs": "Qxz03-ID",
    "PatientBirthName": "Qxz04^Born", "PatientMotherBirthName": "Qxz05^Mother", "PatientAddress": "Qxz06 Street 7",
    "PatientTelephoneNumbers": "Qxz07-555", "PatientComments": "Qxz08 is a teacher", "Occupation": "Qxz09",
    "AdditionalPatientHistory": "Qxz10 history", "AccessionNumber": "Qxz11ACC", "InstitutionName": "Qxz12 Hospital",
    "InstitutionAddress": "Qxz13 Road", "InstitutionalDepartmentName": "Qxz14 Ward",
    "ReferringPhysicianName": "Qxz15^Doctor", "PerformingPhysicianName": "Qxz16^Doctor", "OperatorsName": "Qxz17^Op",
    "PhysiciansOfRecord": "Qxz18^Doctor", "StationName": "Qxz19", "DeviceSerialNumber": "Qxz20SN",
    "StudyDescription": "Qxz21 therapy", "SeriesDescription": "Qxz22 spect of Wilhelmina", "ProtocolName": "Qxz23",
    "StudyID": "Qxz24", "RequestedProcedureDescription": "Qxz25", "ImageComments": "Qxz26 comment",
    "RequestingPhysician": "Qxz27^Doctor", "StudyInstanceUID": STUDY, "PatientBirthDate": "19230517",
}  # fmt: skip
FOLDER, FILE, TEXT_FILE = "Qxz30_Wilhelmina", "Qxz31", "Qxz32.txt"
PRIVATE, TEXT, LESION, BODY, SET_LABEL, SET_NAME, COMMENT, PERSON = (f"Qxz{n}" for n in range(33, 41))
DAYS = {"pet": "20190307", "early": "20190310", "late": "20190311"}
SERIES = {name: f"2.25.33008899001100{i}" for i, name in enumerate(("pet", "ct", "early", "late"))}
FRAMES = {name: f"2.25.33008899002200{i}" for i, name in enumerate(("pet", "early", "late"))}
CANARIES = sorted({
    *(re.split(r"[\s^]", value)[0] for value in TAGS.values()), "Wilhelmina", FOLDER, FILE, TEXT_FILE, PRIVATE, TEXT,
    LESION, BODY, SET_LABEL, SET_NAME, COMMENT, PERSON, *DAYS.values(),
    *(f"{d[:4]}-{d[4:6]}-{d[6:]}" for d in DAYS.values()),
    *SERIES.values(), *FRAMES.values(),
})  # fmt: skip


def cuboid(x0, x1, y0, y1, slices):
    """Return closed contours around voxels x0..x1-1, y0..y1-1 of some slices."""
    x = [ORIGIN[0] + (v - 0.5) * SPACING[0] for v in (x0, x1, x1, x0)]
    y = [ORIGIN[1] + (v - 0.5) * SPACING[1] for v in (y0, y0, y1, y1)]
    return [("CLOSED_PLANAR", np.column_stack([x, y, [ORIGIN[2] + k * SPACING[2]] * 4])) for k in slices]


ROIS = (
    (f"Lesion {LESION}", cuboid(10, 13, 3, 6, (3, 4, 5))),
    ("Kidney_L", cuboid(16, 20, 12, 16, (2, 3, 4, 5))),
    ("Kidney_R", cuboid(4, 8, 12, 16, (2, 3, 4, 5))),
    (f"{BODY} outline", cuboid(1, 23, 1, 23, (1, 2))),
)


def planted(file, number):
    """Write the planted strings into a DICOM file and give it a name that tells a person."""
    header = pydicom.dcmread(file)
    for tag, value in TAGS.items():
        setattr(header, tag, value)
    block = header.private_block(0x0009, "QXZ MAKER", create=True)
    block.add_new(0x01, "LO", PRIVATE)
    if header.Modality == "RTSTRUCT":
        header.StructureSetLabel, header.StructureSetName = SET_LABEL, SET_NAME
        for roi in header.StructureSetROISequence:
            roi.ROIDescription = LESION
    header.save_as(file)
    file.rename(file.with_name(f"{FILE}_{number}.dcm"))


@pytest.fixture(scope="module")
def hospital(dicom_maker, tmp_path_factory):
    """The folder as a hospital would give it."""
    folder, rng = tmp_path_factory.mktemp("source") / FOLDER, np.random.default_rng(0)

    def series(name, total_mbq, tracer, frame, **options):
        stored = rng.integers(10000, 30000, SHAPE).astype(np.uint16)
        for roi, contours in ROIS[:3]:
            del roi
            low, high = contours[0][1].min(axis=0), contours[0][1].max(axis=0)
            x, y = (
                slice(*((np.array([low[i], high[i]]) - ORIGIN[i]) / SPACING[i] + 0.5).round().astype(int))
                for i in (0, 1)
            )
            stored[2:6, y, x] = 60000
        slope = total_mbq * 1e6 / (float(stored.sum()) * np.prod(SPACING) / 1000.0)
        day = DAYS[name]
        dicom_maker.write_slices(
            folder / f"{FOLDER}_{name}", stored, spacing=SPACING, origin=ORIGIN, series=SERIES[name], info=tracer,
            frame=frame, slopes=[round(slope, 6)] * SHAPE[0],
            changes={"SeriesDate": day, "AcquisitionDate": day, "StudyDate": day, "ContentDate": day},
        )  # fmt: skip

    gallium = dicom_maker.tracer("^68^Gallium", 1.5e8, f"{DAYS['pet']}110000", "110000")
    lutetium = dicom_maker.tracer("177 Lutetium", 7.4e9, f"{DAYS['early']}080000", "080000")
    series("pet", 60.0, gallium, FRAMES["pet"])
    series("early", 3500.0, lutetium, FRAMES["early"])
    series("late", 2200.0, lutetium, FRAMES["late"])
    ct = rng.integers(900, 1100, SHAPE).astype(np.uint16)
    dicom_maker.write_slices(
        folder / "ct", ct, modality="CT", spacing=SPACING, origin=ORIGIN, series=SERIES["ct"], frame=FRAMES["pet"]
    )
    for name in ("pet", "early", "late"):
        dicom_maker.write_structures(folder / f"{name}.dcm", ROIS, series=SERIES[name], frame=FRAMES[name])
    for number, file in enumerate(sorted(folder.rglob("*.dcm"))):
        planted(file, number)
    (folder / TEXT_FILE).write_text(TEXT)
    return folder


# Looking for a string in everything.


def layers(content):
    """Yield bytes and what is packed in them: gzip, zip, Parquet, SQLite, base64."""
    yield content
    if content.startswith(b"\x1f\x8b"):
        yield from layers(gzip.decompress(content))
    elif content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield name.encode()
                yield from layers(archive.read(name))
    elif content.startswith(b"PAR1"):
        yield pd.read_parquet(io.BytesIO(content)).to_csv().encode()
    elif content.startswith(b"SQLite format 3"):
        base = sqlite3.connect(":memory:")
        base.deserialize(content)
        yield "\n".join(base.iterdump()).encode()
        base.close()
    for packed in re.findall(rb"base64,([A-Za-z0-9+/=\s]+)", content):
        yield from layers(base64.b64decode(re.sub(rb"\s", b"", packed)))


def decoded(name):
    """Return what a file name says in base64, as Snakemake names its records; empty when it says nothing."""
    try:
        return base64.b64decode(name, altchars=b"-_", validate=True)
    except ValueError:
        return b""


def leaks(root, but=(), canaries=CANARIES):
    """Return (file, string) for every planted string in a name or in any layer of any file under a folder."""
    found, files = [], [path for path in sorted(Path(root).rglob("*")) if path.is_file() and path not in but]
    forms = [(canary, canary.encode(code)) for canary in canaries for code in ("utf-8", "utf-16-le", "utf-16-be")]
    for path in files:
        name = path.relative_to(root).as_posix()
        for layer in (name.encode(), decoded(path.name), *layers(path.read_bytes())):
            found += [(name, canary) for canary, form in forms if form in layer]
    assert files
    return sorted(set(found))


@pytest.mark.parametrize(
    "wrapped",
    ["plain", "utf-16", "gzip", "zip", "parquet", "sqlite", "html", "name", "base64 name", "zip in gzip"],
)
def test_a_planted_string_would_be_found(tmp_path, wrapped) -> None:
    secret, zipped = f"x {PRIVATE} y".encode(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inside", secret)
    base = sqlite3.connect(tmp_path / "made.db")
    base.execute("create table t (c text)")
    base.execute("insert into t values (?)", (secret.decode(),))
    base.commit()
    base.close()
    made = {
        "plain": secret, "gzip": gzip.compress(secret), "utf-16": secret.decode().encode("utf-16"),
        "zip": zipped.getvalue(),
        "parquet": pd.DataFrame({"c": [secret.decode()]}).to_parquet(compression="gzip"),
        "sqlite": (tmp_path / "made.db").read_bytes(),
        "html": b'<img src="data:x;base64,' + base64.b64encode(secret) + b'">',
        "name": b"", "base64 name": b"", "zip in gzip": gzip.compress(zipped.getvalue()),
    }  # fmt: skip
    folder = tmp_path / "out"
    folder.mkdir()
    names = {"name": PRIVATE, "base64 name": base64.urlsafe_b64encode(secret).decode()}
    (folder / names.get(wrapped, "file")).write_bytes(made[wrapped])
    assert [canary for _, canary in leaks(folder)] == [PRIVATE]


def test_there_are_forty_strings_and_all_are_in_the_folder(hospital) -> None:
    assert len(CANARIES) >= 40
    names_and_bytes = b"".join(
        path.as_posix().encode() + path.read_bytes() for path in hospital.rglob("*") if path.is_file()
    )
    in_table = {COMMENT, PERSON}
    iso = {day for day in CANARIES if re.fullmatch(r"\d{4}-\d\d-\d\d", day)}
    assert [c for c in CANARIES if c.encode() not in names_and_bytes and c not in in_table | iso] == []


def complete(table):
    """Fill in the clinical table as a clinic would, free text included."""
    cells = pd.read_csv(table, sep="\t", dtype=str, keep_default_na=False)
    ages, people = zip(*((str(66 - n), f"{PERSON}{n}") for n in range(len(cells))), strict=True)
    cells = cells.assign(age_y=ages, comment=f"{COMMENT} called", person=people)
    cells.to_csv(table, sep="\t", index=False)


@pytest.fixture
def verb(monkeypatch, capsys):
    """Return what runs the command in this process and gives back exit code and all it said."""

    def ask(*args):
        monkeypatch.setattr(sys, "argv", ["theradose", *map(str, args)])
        with pytest.raises(SystemExit) as end:
            run()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out + said.err

    return ask


def said_nothing_of_the_person(text):
    return [canary for canary in CANARIES if canary in text] == []


def test_import_check_and_init_keep_nothing_of_the_person(hospital, tmp_path, verb) -> None:
    root, log = tmp_path / "data" / "mine", []
    log.append(verb("import", hospital, "--to", root, "--patient", "p001", "--centre", "here"))
    assert Dataset(root).manifest()["modality"].value_counts().to_dict() == {"mask": 3, "spect": 2, "pet": 1, "ct": 1}
    assert leaks(root) == []
    complete(root / "participants.tsv")
    log.append(verb("check", root))
    log.append(verb("check", root, "--json"))
    log.append(verb("init", root, "--to", tmp_path / "config" / "mine.yaml"))
    assert [code for code, _ in log] == [0] * 4, log
    assert all(said_nothing_of_the_person(said) for _, said in log)
    assert leaks(tmp_path, but=[root / "participants.tsv"]) == []


def test_refusals_say_nothing_of_the_person(hospital, tmp_path, verb) -> None:
    """Damage, a second person, a missing field and a wrong table are told without names."""
    copies = {
        name: Path(shutil.copytree(hospital, tmp_path / FOLDER / name)) for name in ("cut", "two", "field", "table")
    }
    first = {name: next(iter(sorted(folder.rglob("*.dcm")))) for name, folder in copies.items()}
    first["cut"].write_bytes(first["cut"].read_bytes()[:-400])
    for name, tag in (("two", "PatientID"), ("field", "RadiopharmaceuticalInformationSequence")):
        for file in sorted((copies[name] / f"{FOLDER}_early").glob("*.dcm")):
            header = pydicom.dcmread(file)
            if name == "two":
                header.PatientID = "Qxz02-472"
            else:
                delattr(header, tag)
            header.save_as(file)
    said = [
        verb("import", copies[name], "--to", tmp_path / name, "--patient", "p001") for name in ("cut", "two", "field")
    ]
    verb("import", copies["table"], "--to", tmp_path / "table", "--patient", "p001")
    complete(tmp_path / "table" / "participants.tsv")
    table = tmp_path / "table" / "participants.tsv"
    table.write_text(table.read_text().replace("80.0", f"{COMMENT} 80"))
    said.append(verb("check", tmp_path / "table"))
    assert [code for code, _ in said] == [3, 2, 3, 3], said
    assert all("THR-" in words and "Traceback" not in words for _, words in said)
    assert [canary for _, words in said for canary in CANARIES if canary in words] == []


@pytest.fixture(scope="module")
def projects():
    """Return the module that copies the project and runs Snakemake in the copy."""
    file = Path(__file__).parents[1] / "workflow" / "conftest.py"
    spec = importlib.util.spec_from_file_location("projects", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return SimpleNamespace(copy=module.copy_project)


@pytest.mark.slow
def test_a_whole_study_keeps_nothing_of_the_person(hospital, tmp_path, projects) -> None:
    """From import to report: data set, results, models, logs, Snakemake's folder and the tracking database."""
    (tmp_path / "project").mkdir()
    project = projects.copy(tmp_path / "project")
    done = project.theradose("import", hospital, "--to", "data/mine", "--patient", "p001")
    assert done.returncode == 0, done.stderr
    table = project.root / "data" / "mine" / "participants.tsv"
    complete(table)
    assert project.theradose("init", "data/mine").returncode == 0
    file = project.root / "config" / "mine.yaml"
    study = load_study(file).model_dump(mode="json")
    study["quantify"]["register_time_points"] = False
    file.write_text(yaml.safe_dump(study))
    project = type(project)(project.root, "config/mine.yaml")
    said = project.snakemake("--cores", "1")
    assert (project.root / "results" / "mine" / "report" / "index.html").is_file()
    assert said_nothing_of_the_person(said + done.stdout + done.stderr)
    assert leaks(project.root, but=[table]) == []


# Models of six patients.

OWN_UIDS, UIDS = "1.2.826.0.1.3680043.8.498.", "1.2.3300889900."  # how UIDs made here begin, and those of the persons
LATER = timedelta(days=7005)
ACCOUNT = "Qxz50account"
EXPERIMENT = """\
name: tiny
kind: organ_dose
title: Ridge of six patients
organs: [kidneys]
baselines: [pet_scaled]
predictors: [ridge]
tuning: {trials: 1, folds: 2}
"""


def move_dates(header):
    """Put every date of a header later, and return them as a header and as a person would write them."""
    moved = set()
    for element in header.iterall():
        if element.VR in ("DA", "DT") and element.value:
            text = str(element.value)
            day = datetime.strptime(text[:8], "%Y%m%d") + LATER
            element.value = f"{day:%Y%m%d}{text[8:]}"
            moved |= {f"{day:%Y%m%d}", f"{day:%Y-%m-%d}"}
    return moved


def as_segments(folder):
    """Write the structures of a patient as SEG on the CT instead, under the names they have."""
    (contours,) = (folder / "ses-pre_mask").glob("*.dcm")
    files = sorted((folder / "ses-pre_ct").glob("*.dcm"))
    volume, first = read_series(files).volume, pydicom.dcmread(files[0], stop_before_pixels=True)
    names = {number: roi.name for number, roi in enumerate(read_rtstruct(contours).rois, 1)}
    values = np.zeros(volume.values.shape, np.uint16)
    for number, roi in enumerate(read_rtstruct(contours).rois, 1):
        values[rasterise(roi, volume.grid)] = number
    uids = [(first.SOPClassUID, pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID) for file in files]
    place = Reference(
        "p001", False, first.StudyInstanceUID, first.FrameOfReferenceUID, first.SeriesInstanceUID, tuple(uids)
    )
    mask = Volume(values, volume.grid, "label")
    known = {number: name if name in VOIS else "lesion_01" for number, name in names.items()}
    write_seg(mask, known, place, contours.with_name("0002.dcm"), what="masks", content="made")
    contours.unlink()


def made_real(folder, number):
    """Turn the DICOM of a virtual patient into that of a person; return the dates in it."""
    days = set()
    for k, file in enumerate(sorted(folder.rglob("*.dcm"))):
        header = pydicom.dcmread(file)
        days |= move_dates(header)
        header.pop("SyntheticData", None)
        for element in header.iterall():
            if element.VR == "UI" and str(element.value).startswith(OWN_UIDS):
                element.value = str(element.value).replace(OWN_UIDS, UIDS)
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        for roi in header.get("StructureSetROISequence", ()):
            roi.ROIName = re.sub("^lesion", f"Lesion {LESION}", roi.ROIName)
        for segment in header.get("SegmentSequence", ()):
            segment.SegmentLabel = re.sub("^lesion", f"Lesion {LESION}", segment.SegmentLabel)
            segment.SegmentDescription = f"{SET_NAME} of Wilhelmina"
        header.save_as(file)
        planted(file, k)
        file = file.with_name(f"{FILE}_{k}.dcm")
        header = pydicom.dcmread(file)
        header.PatientID = f"{TAGS['PatientID']}{number}"
        header.save_as(file)
    return days


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Return the folders of six patients, as a hospital would give them, and the strings planted in them."""
    place = tmp_path_factory.mktemp("clinic")
    simulated = {"name": "made", "virtual": {"patients": 6, "spacing_mm": 10.0, "spect_times_h": [24.0, 72.0]}}
    settings = to_json(parse_settings(CohortSettings, simulated))
    data = place / "data"
    simulate.run(
        Namespace(
            settings=settings, radionuclide="Lu-177", seed=3, workers=1, out_data=data, out_truth=place / "truth"
        )
    )  # fmt: skip
    export_dicom(Dataset(data), place / FOLDER)
    folders, days = sorted((place / FOLDER).iterdir()), set()
    as_segments(folders[0])
    for number, folder in enumerate(folders):
        days |= made_real(folder, number)
    assert len(days) >= 6
    return folders, sorted({*CANARIES, *days, UIDS, ACCOUNT})


@pytest.mark.slow
def test_models_keep_nothing_of_the_persons(cohort, tmp_path, projects, monkeypatch) -> None:
    """Six persons, a trained and registered model: data set, results, models, MLflow, Snakemake's folder, words."""
    monkeypatch.setenv("LOGNAME", ACCOUNT)
    monkeypatch.setenv("USER", ACCOUNT)
    folders, canaries = cohort
    (tmp_path / "project").mkdir()
    project = projects.copy(tmp_path / "project")
    done = [
        project.theradose("import", folder, "--to", "data/mine", "--patient", f"p{number:03d}", "--centre", "here")
        for number, folder in enumerate(folders, 1)
    ]
    table = project.root / "data" / "mine" / "participants.tsv"
    complete(table)
    done += [project.theradose("check", "data/mine"), project.theradose("init", "data/mine")]
    file = project.root / "config" / "mine.yaml"
    study = load_study(file).model_dump(mode="json")
    study["quantify"]["register_time_points"] = False
    study["radiomics"]["organs"], study["split"]["folds"] = ["kidneys"], 2
    study["experiments"] = ["tiny"]
    (project.root / "config" / "experiments" / "tiny.yaml").write_text(EXPERIMENT)
    file.write_text(yaml.safe_dump(study))
    project = type(project)(project.root, "config/mine.yaml")
    said = project.snakemake("--cores", "1")
    done.append(project.theradose("predict", "data/mine", "--model", "models:/theradose-organ-dose@champion"))
    done.append(project.theradose("export-dose", "results/mine", "--to", "out"))
    assert [run.returncode for run in done] == [0] * len(done), [run.stdout + run.stderr for run in done]
    said += "".join(run.stdout + run.stderr for run in done)
    assert [canary for canary in canaries if canary in said] == []
    made = {path.name for path in project.root.rglob("*") if path.is_file()}
    assert {"MLmodel", "mlflow.db", "model.json", "weights.safetensors", "train.json", "index.html"} <= made
    assert list((project.root / ".snakemake" / "log").glob("*.log"))
    assert leaks(project.root, [table], canaries) == []
    log, base = project.root / "results" / "mine" / "log" / "split.log", project.root / "mlflow.db"
    with log.open("a") as more, sqlite3.connect(base) as tracked:
        more.write(f"a person: {LESION}")
        tracked.execute("update experiments set name = ? where experiment_id = 0", (ACCOUNT,))
    assert leaks(project.root, [table], canaries) == [
        ("mlflow.db", ACCOUNT), (log.relative_to(project.root).as_posix(), LESION)
    ]  # fmt: skip
