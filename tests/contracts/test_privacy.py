"""Nothing of a person leaves the hospital's files: 40 planted strings are looked for in every byte that is written.

The data are made here: a DICOM folder of a patient with PET, CT, two SPECT and their structure sets, with names, dates,
numbers, UIDs, private tags, comments and labels of a person who never lived.
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
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pydicom
import pytest
import yaml

from theradose.cli.main import run
from theradose.cohort.layout import Dataset
from theradose.settings import load_study

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


def leaks(root, but=()):
    """Return (file, string) for every planted string in a name or in any layer of any file under a folder."""
    found, files = [], [path for path in sorted(Path(root).rglob("*")) if path.is_file() and path not in but]
    for path in files:
        name = path.relative_to(root).as_posix()
        for layer in (name.encode(), *layers(path.read_bytes())):
            found += [(name, canary) for canary in CANARIES if canary.encode() in layer]
            found += [(name, canary) for canary in CANARIES if canary.encode("utf-16-le") in layer]
    assert files
    return sorted(set(found))


@pytest.mark.parametrize("wrapped", ["plain", "gzip", "zip", "parquet", "sqlite", "html", "name", "zip in gzip"])
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
        "plain": secret, "gzip": gzip.compress(secret), "zip": zipped.getvalue(),
        "parquet": pd.DataFrame({"c": [secret.decode()]}).to_parquet(compression="gzip"),
        "sqlite": (tmp_path / "made.db").read_bytes(),
        "html": b'<img src="data:x;base64,' + base64.b64encode(secret) + b'">',
        "name": b"", "zip in gzip": gzip.compress(zipped.getvalue()),
    }  # fmt: skip
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / (PRIVATE if wrapped == "name" else "file")).write_bytes(made[wrapped])
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
    cells.assign(age_y="66", comment=f"{COMMENT} called", person=PERSON).to_csv(table, sep="\t", index=False)


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
