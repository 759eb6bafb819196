"""Bad inputs 45 to 70: identifiers, tables, dates, times, physics, archives, models. Each is answered by one sentence.

A row of the table: number, what is wrong, how it is made, who answers, exit code, error code, words of the sentence.
No answer is a traceback, and no patient is lost on the way.
"""

import gzip
import importlib.util
import io
import json
import os
import pickle
import shutil
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from theradose.cli import project
from theradose.cli.main import run
from theradose.cohort import faults
from theradose.cohort.curves import curve_fit
from theradose.cohort.impossible import with_impossible
from theradose.cohort.layout import Dataset
from theradose.cohort.participants import read_participants
from theradose.cohort.split import split_patients
from theradose.errors import TheradoseError
from theradose.evaluation.report import environment
from theradose.features.vois import organ_masks
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import read_sidecar, write_volume
from theradose.imaging.volume import Volume
from theradose.models.baselines import PopulationMean
from theradose.models.examples import OrganExamples
from theradose.models.organ_dose import outside
from theradose.models.predictors import TrainingPlan
from theradose.models.store import MODEL_FILE, WEIGHTS_FILE, Trained, load_model, save_model
from theradose.ops.study import Plan
from theradose.physics.dose import is_implausible
from theradose.provenance import sha256_file, write_json
from theradose.sections import StudySettings
from theradose.settings import parse_settings
from theradose.tables import MANIFEST, ORGAN_DOSE, PARTICIPANTS, PATIENTS, checked, read_table, write_table

GRID = Grid((10, 12, 14), (20.0, 20.0, 20.0), (-130.0, -110.0, 0.0))
TIMES_H = (4.02, 24.31)
OK, REFUSED, QUARANTINED = 0, 2, 3
PATIENTS_IN = ("a01", "a02")


def labels():
    values = np.zeros(GRID.shape_zyx, np.uint16)
    values[4:6, 6:8, 9:11], values[4:6, 6:8, 3:5], values[8, 5, 7] = 5, 6, 101
    return values


def emission(tracer, injected_mbq, start_h):
    return {
        "TracerRadionuclide": tracer, "InjectedRadioactivity": injected_mbq, "InjectedRadioactivityUnits": "MBq",
        "InjectionStart": 0, "FrameTimesStart": [start_h * 3600], "FrameDuration": [1200.0],
        "ImageDecayCorrected": True, "DecayReference": "scan_start",
    }  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Two good patients with PET, CT, mask and two SPECT; never changed."""
    data, rows = Dataset(tmp_path_factory.mktemp("good") / "mine"), []

    def add(patient, modality, session, time_h, *, values, unit="Bq/mL", extra=()):
        path = data.image_file(patient, modality, session, None if session == "ses-pre" else time_h)
        kind = np.uint16 if modality == "mask" else np.float32
        write_volume(Volume(values.astype(kind), GRID, unit), path, dict(extra))
        file = path.relative_to(data.root).as_posix()
        rows.append({"patient": patient, "session": session, "modality": modality, "time_h": time_h, "file": file})

    for seed, patient in enumerate(PATIENTS_IN):
        rng = np.random.default_rng(seed)
        shares = rng.random(GRID.shape_zyx) * np.where(labels() > 0, 8.0, 1.0)
        spread = shares / shares.sum() * 1e6 / GRID.voxel_ml
        add(patient, "pet", "ses-pre", 1.0, values=spread * 60, extra=emission("Ga-68", 150.0, 1.0))
        add(patient, "ct", "ses-pre", np.nan, values=rng.normal(0, 50, GRID.shape_zyx), unit="HU")
        add(patient, "mask", "ses-pre", np.nan, values=labels(), unit="label")
        for time_h in (t + 0.1 * seed for t in TIMES_H):
            left_mbq = 3700.0 * 2 ** (-time_h / 60.0)
            add(patient, "spect", "ses-tx1", time_h, values=spread * left_mbq, extra=emission("Lu-177", 7400.0, time_h))
    people = pd.DataFrame({"patient": PATIENTS_IN, "weight_kg": [80.5, 71.0]})
    people = people.assign(centre="north", height_cm=175.0, administered_mbq=7400.0, radionuclide="Lu-177")
    write_table(people, data.participants_file, PARTICIPANTS)
    data.write_manifest(pd.DataFrame(rows))
    return data.root


@pytest.fixture
def case(good, tmp_path, capsys, monkeypatch, dicom_maker):
    """A copy of the good data set, and how to ask the command or a function about it."""
    root = Path(shutil.copytree(good, tmp_path / "data" / "mine"))

    def verb(*args):
        monkeypatch.setattr(sys, "argv", ["theradose", *map(str, args)])
        with pytest.raises(SystemExit) as end:
            run()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out + said.err

    return SimpleNamespace(
        data=Dataset(root), root=root, table=root / "participants.tsv", tmp=tmp_path, verb=verb, patch=monkeypatch,
        dicom=dicom_maker,
    )  # fmt: skip


# Who answers.


def check(c):
    return c.verb("check", c.root)


def importing(c):
    return c.verb("import", c.tmp / c.source, "--to", c.tmp / "data" / "new", "--patient", "p001")


def call(function):
    """Ask a function: its value in words, or the sentence of its refusal."""

    def ask(c):
        try:
            return OK, str(function(c))
        except TheradoseError as error:
            return error.exit_code, str(error)

    return ask


# How faults are made.


def nothing(c):
    """Change nothing."""


def lines(c, *rows, header="patient\tcentre\tweight_kg\theight_cm\tadministered_mbq\tradionuclide", encoding="utf-8"):
    c.table.write_bytes("\n".join([header, *rows, ""]).encode(encoding))


def ids(*names):
    return lambda c: lines(c, *(f"{name}\tnorth\t80.5\t175\t7400\tLu-177" for name in names))


def cell(name, value, patient="a02"):
    """Return what sets a cell of the clinical table; the column is made when it is not there."""

    def change(c):
        table = pd.read_csv(c.table, sep="\t", dtype=str, keep_default_na=False)
        table[name] = table.get(name, "")
        table.loc[table["patient"] == patient, name] = value
        table.to_csv(c.table, sep="\t", index=False)

    return change


def both(*changes):
    def change(c):
        for one in changes:
            one(c)

    return change


def german(c):
    header, *rows = c.table.read_text().splitlines()
    text = "\n".join([header.replace("\t", ";"), *(row.replace("\t", ";").replace(".", ",") for row in rows)])
    c.table.write_text(text + "\n")


def declared(c):
    write_json(c.root / "participants.json", {"DecimalMark": ","})


def spelt(old, new):
    return lambda c: c.table.write_text(c.table.read_text().replace(old, new, 1))


def windows_file(c):
    text = c.table.read_text().replace("\n", "\r\n\r\n").replace("north", "Köln")
    c.table.write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\t\t\t\t\t\r\n")


def file_of(c, modality, patient="a02", which=0):
    return c.root / c.data.rows(patient, modality).iloc[which]["file"]


def rehash(c, table=None):
    table = c.data.manifest() if table is None else table
    c.data.write_manifest(table[["patient", "session", "modality", "time_h", "file"]])


def rewritten(modality, values=None, grid=GRID, factor=1.0):
    """Return what rewrites an image of a02 as if it had come so."""

    def change(c):
        path = file_of(c, modality)
        old = read_sidecar(path)
        new = c.data.load(c.data.rows("a02", modality).iloc[0]).values * factor if values is None else values()
        extra = {key: value for key, value in old.items() if key != "Units"}
        write_volume(
            Volume(new.astype(np.uint16 if modality == "mask" else np.float32), grid, old["Units"]), path, extra
        )
        rehash(c)

    return change


def relabelled(**changes):
    names = {"left": 5, "right": 6}

    def values():
        new = labels()
        for name, label in changes.items():
            new[labels() == names[name]] = label
        return new

    return rewritten("mask", values)


def same_image(c):
    file_of(c, "pet").write_bytes(file_of(c, "pet", "a01").read_bytes())
    rehash(c)


def times(*new):
    """Return what gives the SPECT of a02 other times, in manifest and sidecar."""

    def change(c):
        table = c.data.manifest()
        rows = table.index[(table["patient"] == "a02") & (table["modality"] == "spect")]
        for index, time_h in zip(rows, new, strict=False):
            table.loc[index, "time_h"] = time_h
            path = c.root / table.loc[index, "file"]
            write_json(path.with_name(path.name.replace(".nii.gz", ".json")),
                       {**read_sidecar(path), "FrameTimesStart": [time_h * 3600]})  # fmt: skip
        write_table(table.drop(rows[len(new) :]), c.data.manifest_file, MANIFEST)

    return change


def flipped(c):
    path = file_of(c, "spect")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(c):
    path = file_of(c, "ct")
    path.write_bytes(path.read_bytes()[:-100])


def manifest_path(c):
    c.data.manifest_file.write_text(c.data.manifest_file.read_text().replace("sub-a02/ses-pre/ct", "../../etc", 1))


def packed(name, **members):
    """Return what writes a zip archive as the source of an import; `link` makes a symbolic link."""

    def change(c):
        c.source = "x.zip"
        with zipfile.ZipFile(c.tmp / c.source, "w", zipfile.ZIP_DEFLATED) as archive:
            info = zipfile.ZipInfo(name)
            info.external_attr = members.get("mode", 0o100644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, members.get("content", b"x"))

    return change


def nested(c):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("deep.dcm", b"x")
    packed("inner.zip", content=inner.getvalue())(c)


def tar_device(c):
    c.source = "x.tar"
    member = tarfile.TarInfo("device")
    member.type = tarfile.CHRTYPE
    with tarfile.open(c.tmp / c.source, "w") as archive:
        archive.addfile(member)


def linked_folder(c):
    c.source = "folder"
    c.dicom.write_slices(c.tmp / "elsewhere", np.ones((3, 4, 4), np.uint16))
    (c.tmp / c.source).mkdir()
    (c.tmp / c.source / "out").symlink_to(c.tmp / "elsewhere")
    (c.tmp / c.source / "one.dcm").symlink_to(next((c.tmp / "elsewhere").glob("*.dcm")))


def two_people(c):
    c.source = "folder"
    stored = np.ones((3, 4, 4), np.uint16)
    c.dicom.write_slices(c.tmp / c.source / "spect", stored)
    c.dicom.write_slices(c.tmp / c.source / "ct", stored, modality="CT", series="7.7", changes={"PatientID": "DOE"})


def little_memory(c):
    c.patch.setattr(faults, "memory_gb", lambda: 1e-5)


def read_only(c):
    def refuse(**_):
        raise OSError(30, "Read-only file system")

    c.patch.setattr(project.tempfile, "TemporaryFile", refuse)


def typo(c):
    (c.tmp / "mine.yaml").write_text("study: mine\ncheck: {requier: [pet], max_time_h: late}\n")


def learning_study(c):
    """Write a study whose experiment learns the doses of kidneys and liver; the masks hold no liver."""
    c.patch.chdir(Path(__file__).parents[2])
    (c.tmp / "mine.yaml").write_text("study: mine\nexperiments: [organ_dose_quick]\n")


def with_study(c):
    return c.verb("check", c.root, "--config", c.tmp / "mine.yaml")


def valid_model(spoil):
    """Return what writes a valid model and spoils its weights, whose bytes it is given."""

    def change(c):
        model = PopulationMean()
        names = ["v1", "v2", "v3"]
        examples = OrganExamples("kidneys", names, ["train"] * 3, pd.DataFrame(index=range(3)), np.ones(3))
        model.fit(examples, seed=1, training=TrainingPlan())
        _, weights = save_model(c.tmp / "model", Trained({"kidneys": model}, {}, {}))
        assert load_model(c.tmp / "model").predictors
        weights.write_bytes(spoil(weights.read_bytes(), c))

    return change


def predicting(c):
    return c.verb("predict", c.root, "--model", c.tmp / "model")


def file_for_a_folder(c):
    c.patch.chdir(c.tmp)
    (c.tmp / "models").write_text("no folder")


def full_disk(c):
    def refuse(_):
        raise OSError(28, "No space left on device")

    c.patch.chdir(c.tmp)
    c.patch.setattr(os, "fsync", refuse)


def starting(c):
    Plan(parse_settings(StudySettings, {}), {}).require_writable()


class Evil:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def pickled(c):
    write_json(c.tmp / "model" / MODEL_FILE, {"format": "pickle", "parts": {}, "card": {}})
    (c.tmp / "model" / WEIGHTS_FILE).write_bytes(pickle.dumps(Evil(c.tmp / "harm")))


def foreign(c):
    load_model(c.tmp / "model")


def declared_and_wrong(c):
    table = pd.DataFrame(
        {"patient": ["a", "b"], "centre": ["=HYPERLINK(1)", "@SUM"], "status": "ok", "reason": ["-x", ""]}
    )
    return write_table(table, c.tmp / "t.tsv", PATIENTS).read_text()


def rising(c):
    fit = curve_fit((4.0, 24.0), (10.0, 30.0), (0.3, 0.9), models=("mono",), half_life_h=159.5, t_eff_h=32.0,
                    t_eff_cv=0.25, uptake_half_time_h=None, tail_flag=0.4)  # fmt: skip
    return f"{fit.reason}; {fit.flags}"


def too_slow(c):
    return curve_fit((4.0,), (10.0,), (0.3,), models=("mono",), half_life_h=159.5, t_eff_h=200.0, t_eff_cv=0.25)


def impossible(tia_mbq_h, activity_mbq):
    """Return the flags of a curve of one VOI, of 7400 MBq administered."""
    key = {"patient": ["a"], "cycle": [1], "voi": ["liver"]}
    tac = pd.DataFrame({**key, "time_h": [24.0], "activity_mbq": [activity_mbq]})
    tiac = pd.DataFrame({**key, "tiac_h": [tia_mbq_h / 7400.0], "t_eff_h": [40.0], "flags": [""]})
    return list(filter(None, with_impossible(tiac, tac, {"a": 7400.0}, 159.528)["flags"]))


def negative_dose(c):
    row: dict[str, Any] = dict.fromkeys(ORGAN_DOSE.names(), 1.0)
    row |= {"patient": "a", "cycle": 1, "voi": "liver", "level": "organ", "radionuclide": "Lu-177", "engine": "local"}
    return checked(pd.DataFrame([{**row, "flags": "", "dose_gy": -0.5}]), ORGAN_DOSE)


def split_in_two(c):
    people = pd.DataFrame({"patient": [f"v{i:02d}" for i in range(20)], "centre": "north"})
    people["person"] = ["07", "7", *[""] * 16, "07", "7"]
    table = split_patients(people, scheme="holdout", test_fraction=0.3, folds=3, test_centre=None, stratify_by="none",
                           seed=1).set_index("patient")  # fmt: skip
    places = [tuple(table.loc[p, ["partition", "fold"]]) for p in ("v00", "v18", "v01", "v19")]
    return f"together {places[0] == places[1] and places[2] == places[3]}"


def escaped(c):
    return environment().from_string("{{ label }}").render(label="<script>alert(1)</script>")


def no_spleen(c):
    return sorted(organ_masks(Volume(labels(), GRID, "label"), ("kidneys", "spleen", "lesions")))


def changed_later(c):
    row = c.data.rows("a02", "spect").iloc[0]
    flipped(c)
    return c.data.load(row)


@dataclass(frozen=True)
class Bad:
    number: int
    name: str
    make: Any
    ask: Any
    exit_code: int
    code: str
    words: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


PIXDIM_1 = Grid(GRID.shape_zyx, (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
ROWS = (
    Bad(45, "ids are text", ids("007", "7", "NA", "1e5"),
        call(lambda c: list(read_participants(c.table)["patient"])), OK,
        "", ("['007', '7', 'NA', '1e5']",)),
    Bad(45, "id not ASCII", ids("a01", "Jürgen"), check, REFUSED, "THR-365", ("line 3: no safe name", "letters"),
        ("rgen",)),
    Bad(45, "id with a blank inside", ids("a 01"), check, REFUSED, "THR-365", ("line 2",)),
    Bad(45, "blanks around an id", ids("a01 ", "a01"), check, QUARANTINED, "THR-260", ("patient a01", "2 rows")),
    Bad(46, "path as id", ids("../../etc"), check, REFUSED, "THR-365", ("line 2",)),
    Bad(46, "shell text as id", ids("a;rm -rf ~"), check, REFUSED, "THR-365", ("line 2",), ("rm -rf",)),
    Bad(46, "device of Windows", ids("a01", "con"), check, REFUSED, "THR-365", ("line 3: a name of Windows",)),
    Bad(46, "ids that differ in case", ids("a01", "A01"), check, REFUSED, "THR-365",
        ("line 3: differs from line 2 in case",)),
    Bad(46, "path in the manifest", manifest_path, check, REFUSED, "THR-231", ("manifest.tsv", "column file")),
    Bad(47, "formulas", nothing, call(declared_and_wrong), OK, "", ("\t'=HYPERLINK", "\t'@SUM", "\t'-x")),
    Bad(48, "semicolons and decimal commas", german, check, REFUSED, "THR-364",
        ("participants.tsv", "weight_kg 80,5", "DecimalMark")),
    Bad(48, "the same, declared", both(german, declared), check, OK, "", ("2 patients = 2 usable (0 flagged)",)),
    Bad(48, "comma and thousands", both(cell("weight_kg", "72,5"), cell("administered_mbq", "7.400")), check, REFUSED,
        "THR-364", ("administered_mbq 7.400", "weight_kg 72,5")),
    Bad(48, "points where commas are declared", declared, check, REFUSED, "THR-364", ("weight_kg 80.5",)),
    Bad(48, "one comma", cell("weight_kg", "72,5"), check, QUARANTINED, "THR-261",
        ("patient a02", "file participants.tsv", "field weight_kg", "got 72,5", "20 to 250, with a decimal point")),
    Bad(48, "thousands read as GBq", cell("administered_mbq", "7.400"), check, QUARANTINED, "THR-212",
        ("patient a02", "administered_mbq", "7.4 MBq", "GBq")),
    Bad(48, "two separators", spelt("a02\t", "a02;"), check, REFUSED, "THR-362", ("line 3", "6 cells between tabs")),
    Bad(49, "date that is not ISO", cell("injection_date", "01/02/2024"), check, QUARANTINED, "THR-366",
        ("patient a02", "injection_date", "the form 00/00/0000", "YYYY-MM-DD"), ("2024",)),
    Bad(49, "ISO date", cell("injection_date", "2024-02-01T08:30:00"), check, OK, "", ("2 usable (0 flagged)",)),
    Bad(50, "spreadsheet", lambda c: c.table.write_bytes(b"PK\x03\x04" + bytes(50)), check, REFUSED, "THR-360",
        ("save the sheet as tab-separated text",)),
    Bad(50, "Latin-1", lambda c: lines(c, "a01\tKöln\t80\t175\t7400\tLu-177", encoding="latin-1"), check, REFUSED,
        "THR-361", ("byte 0xf6 in line 2", "UTF-8")),
    Bad(50, "UTF-16", lambda c: lines(c, "a01\tx\t80\t175\t7400\tLu-177", encoding="utf-16"), check, REFUSED, "THR-361",
        ("byte 0xff in line 1",)),
    Bad(50, "BOM, CRLF, blank rows", windows_file, check, OK, "", ("2 patients = 2 usable (0 flagged)",)),
    Bad(50, "two columns of one name", spelt("centre\t", "weight_kg\t"), check, REFUSED, "THR-363",
        ("weight_kg twice", "centre is missing")),
    Bad(50, "empty file", lambda c: c.table.write_bytes(b""), check, REFUSED, "THR-204", ("no row",)),
    Bad(51, "misspelt columns", both(spelt("weight_kg", "wieght_kg"), spelt("centre", "center")), check, REFUSED,
        "THR-363", ("wieght_kg: did you mean weight_kg?", "center: did you mean centre?")),
    Bad(52, "one image under two ids", same_image, check, QUARANTINED, "THR-265",
        ("patient a02", "belongs to patient a01")),
    Bad(52, "one person under two ids", both(cell("weight_kg", "80.5"), times(*TIMES_H)), check, QUARANTINED, "THR-367",
        ("patient a02", "patient a01 has the same weight, activity and times", "column person")),
    Bad(52, "the same, declared", both(cell("weight_kg", "80.5"), times(*TIMES_H), cell("person", "x", "a01"),
        cell("person", "x")), check, OK, "", ("2 usable (0 flagged)",)),
    Bad(52, "cycles of one person in two folds", nothing, call(split_in_two), OK, "", ("together True",)),
    Bad(53, "time points unordered", times(30.0, 5.0),
        call(lambda c: c.data.rows("a02", "spect")["time_h"].tolist()), OK,
        "", ("[5.0, 30.0]",)),
    Bad(53, "two at one time", times(4.0, 4.01), check, QUARANTINED, "THR-267", ("patient a02", "4.01 h")),
    Bad(53, "one time point", times(4.0), check, OK, "THR-269", ("WARN", "patient a02", "population's", "1 flagged")),
    Bad(53, "rising activity", nothing, call(rising), OK, "", ("rising_activity", "population_half_life")),
    Bad(54, "SPECT after 16 days", times(4.0, 400.0), check, QUARANTINED, "THR-266", ("400 h", "0.2 to 336 h")),
    Bad(54, "SPECT at once", times(0.1, 24.0), check, QUARANTINED, "THR-266", ("0.1 h", "0.2 to 336 h")),
    Bad(55, "more activity than injected", rewritten("spect", factor=3.0), check, QUARANTINED, "THR-213",
        ("patient a02", "spect", "105 %")),
    Bad(55, "slower than physical decay", nothing, call(too_slow), REFUSED, "THR-100", ("200 h", "159.5 h")),
    Bad(55, "a TIA for ever and more", nothing, call(lambda c: impossible(7400.0 * 231.0, 1.0)), OK, "",
        ("impossible_tia",)),
    Bad(55, "more in a VOI than administered", nothing, call(lambda c: impossible(1e5, 7400.0)), OK, "",
        ("impossible_activity",)),
    Bad(55, "what can be", nothing, call(lambda c: impossible(1e5, 900.0)), OK, "", ("[]",)),
    Bad(55, "negative dose", nothing, call(negative_dose), REFUSED, "THR-231", ("dose_gy", "-0.5")),
    Bad(56, "kidney dose nobody has", nothing,
        call(lambda c: (is_implausible("kidneys", 3.7), is_implausible("kidneys", 0.5))),
        OK, "", ("(True, False)",)),
    Bad(57, "CT of another patient", two_people, importing, REFUSED, "THR-205", ("more than one patient",), ("DOE",)),
    Bad(58, "name in a number's cell", cell("weight_kg", "Jane Doe 80"), check, QUARANTINED, "THR-261",
        ("patient a02", "weight_kg", "got text"), ("Jane", "Doe")),
    Bad(59, "larger than the memory", little_memory, check, QUARANTINED, "THR-370", ("GB", "at most 1e-05 GB")),
    Bad(60, "zip bomb", packed("zeros", content=bytes(30_000_000)), importing, REFUSED, "THR-255", ("30000000 bytes",)),
    Bad(60, "name that leads out", packed("../../out.dcm"), importing, REFUSED, "THR-255", ("leads out",)),
    Bad(60, "link in a zip", packed("link", content=b"/etc/passwd", mode=0o120777), importing, REFUSED, "THR-255",
        ("link",)),
    Bad(60, "archive in an archive", nested, importing, REFUSED, "THR-205", ("no image series",)),
    Bad(60, "device in a tar", tar_device, importing, REFUSED, "THR-255", ("link or device",)),
    Bad(60, "damaged archive", both(packed("x"), lambda c: (c.tmp / "x.zip").write_bytes(b"PK\x03\x04x")),
        importing, REFUSED, "THR-204", ("archive is damaged",)),
    Bad(60, "links out of a folder", linked_folder, importing, REFUSED, "THR-205", ("no image series",)),
    Bad(61, "pickled model", pickled, call(foreign), REFUSED, "THR-200", ("another format",)),
    Bad(61, "pickle for weights", valid_model(lambda _, c: pickle.dumps(Evil(c.tmp / "harm"))), predicting, REFUSED,
        "THR-430", ("weights are not those of the model", "file model/weights.safetensors", "restore"), ("Error",)),
    Bad(61, "weights cut off", valid_model(lambda whole, _: whole[:-3]), predicting, REFUSED, "THR-430", ("sha256",)),
    Bad(61, "one flipped bit", valid_model(lambda whole, _: whole[:-1] + bytes([whole[-1] ^ 1])), predicting, REFUSED,
        "THR-430", ("sha256",)),
    Bad(62, "HTML in a label", nothing, call(escaped), OK, "", ("&lt;script&gt;",), ("<script>",)),
    Bad(63, "file changed during a run", nothing, call(changed_later), REFUSED, "THR-202",
        ("has changed since intake", "patient a02", "_spect.nii.gz")),
    Bad(64, "one flipped byte", flipped, check, QUARANTINED, "THR-202", ("patient a02", "sha256", "_spect.nii.gz")),
    Bad(64, "truncated file", cut, check, QUARANTINED, "THR-202", ("patient a02", "_ct.nii.gz")),
    Bad(65, "read-only folder", read_only, lambda c: c.verb("doctor"), REFUSED, "",
        ("!!  write test", "Read-only file system", "choose a folder")),
    Bad(65, "file for a folder", file_for_a_folder, lambda c: c.verb("schema", "--out", "models/s.json"), 4, "THR-530",
        ("file models/s.json", "look at the file"), ("/tmp",)),
    Bad(65, "full disk", full_disk, lambda c: c.verb("schema", "--out", "out/s.json"), 4, "THR-531",
        ("file out/s.json", "no space left on device", "free some space"), ("/tmp",)),
    Bad(65, "full disk before a study", full_disk, call(starting), 4, "THR-531", ("data/demo/.write-test",)),
    Bad(66, "typo in the settings", typo, lambda c: c.verb("check", c.root, "--config", c.tmp / "mine.yaml"), REFUSED,
        "THR-100", ("line 2: check.requier", "did you mean require?", "line 2: check.max_time_h", "late")),
    Bad(67, "patient unlike those trained on", nothing, call(lambda c: outside({"physics.weight_kg": 190.0},
        {"physics.weight_kg": [50.0, 110.0]})), OK, "", ("190 kg lies outside the training range 50 to 110 kg",)),
    Bad(68, "one kidney", relabelled(left=0), check, QUARANTINED, "THR-369",
        ("patient a02", "kidney_left", "absent_organs")),
    Bad(68, "one kidney, declared", both(relabelled(left=0), cell("absent_organs", "kidney_left, spleen")),
        check, OK, "",
        ("2 usable (0 flagged)",)),
    Bad(68, "declared, but there", cell("absent_organs", "kidney_left"), check, QUARANTINED, "THR-368",
        ("patient a02", "declared absent", "kidney_left")),
    Bad(68, "misspelt organ", cell("absent_organs", "kidny_left"), check, QUARANTINED, "THR-368",
        ("kidney_left misspelt",)),
    Bad(68, "no liver, but it is learned", both(learning_study, cell("absent_organs", "liver", "a01")), with_study,
        QUARANTINED, "THR-374", ("patient a02", "field liver", "absent_organs", "1 usable", "1 quarantined")),
    Bad(68, "no liver, declared", both(learning_study, cell("absent_organs", "liver", "a01"),
        cell("absent_organs", "liver")), with_study, OK, "", ("2 usable (0 flagged)",)),
    Bad(68, "no spleen, no number", nothing, call(no_spleen), OK, "", ("['kidneys', 'lesions']",)),
    Bad(69, "sides exchanged", relabelled(left=6, right=5), check, QUARANTINED, "THR-273", ("patient a02", "kidney")),
    Bad(70, "spacing of 1 mm", rewritten("ct", grid=PIXDIM_1), check, OK, "THR-371",
        ("WARN", "patient a02", "_ct.nii.gz", "1 flagged")),
)  # fmt: skip


@pytest.mark.parametrize("bad", ROWS, ids=lambda bad: f"{bad.number} {bad.name}")
def test_every_bad_input_gets_one_sentence(case, bad) -> None:
    bad.make(case)
    exit_code, said = bad.ask(case)
    assert exit_code == bad.exit_code, said
    assert bad.code in said
    for word in bad.words:
        assert word in said, said
    for word in ("Traceback", *bad.never):
        assert word not in said
    if bad.ask is check and exit_code != REFUSED:
        assert "2 patients = " in said or bad.code == "THR-260"
    if bad.exit_code == REFUSED and bad.ask in (check, importing):
        assert len(said.strip().splitlines()) == 1
    assert not (case.tmp / "harm").exists()
    assert not (case.tmp.parent / "out.dcm").exists()


def test_every_number_has_a_row() -> None:
    assert {bad.number for bad in ROWS} == set(range(45, 71))


def test_the_good_data_set_is_good(case) -> None:
    assert check(case) == (OK, "no fault\n2 patients = 2 usable (0 flagged) + 0 quarantined + 0 excluded\n")


def test_the_faulty_copy_of_the_demo_shows_five_faults(case, capsys) -> None:
    file = Path(__file__).parents[2] / "scripts" / "show_faults.py"
    spec = importlib.util.spec_from_file_location("show_faults", file)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    before = {path: path.read_bytes() for path in case.root.rglob("*") if path.is_file()}
    assert script.show(case.root, "a02") == 0
    said = capsys.readouterr().out
    for code in ("THR-261", "THR-201", "THR-202", "THR-273", "THR-213"):
        assert f"  {code} " in said
    assert "1 patient = 0 usable (0 flagged) + 1 quarantined" in said
    assert {path: path.read_bytes() for path in case.root.rglob("*") if path.is_file()} == before


HEADER = "patient\tcentre\tweight_kg\theight_cm\tadministered_mbq\tradionuclide\n"
TABLES = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=200).map(str.encode),
    st.text(st.sampled_from("a0127.,;\t\n\r\"' -+eE=Jü"), max_size=200).map(lambda rows: (HEADER + rows).encode()),
)


SHARE = settings().max_examples / 100  # all of them when the slow tests run too
FUZZ = settings(
    max_examples=round(60 * SHARE), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(content=TABLES)
@FUZZ
def test_whatever_stands_in_the_table_check_answers(case, content) -> None:
    case.table.write_bytes(content)
    exit_code, said = check(case)
    assert exit_code in (REFUSED, QUARANTINED), said
    assert "THR-" in said


FEW = settings(FUZZ, max_examples=round(25 * SHARE))  # each opens the images of two patients
MANIFEST_HEADER = "patient\tsession\tmodality\ttime_h\tfile\tsha256\n"
KEYS = (
    "TracerRadionuclide", "InjectedRadioactivity", "InjectedRadioactivityUnits", "InjectionStart", "FrameTimesStart",
    "FrameDuration", "ImageDecayCorrected", "DecayReference", "DecayCorrectionDeclared", "DecayFactorDeclared", "Units",
    "Virtual", "EffectiveResolutionFWHM", "CountRate", "RecoveryCorrection", "PatientWeight",
)  # fmt: skip
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["MBq", "Lu-177"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)
SIDECARS = st.dictionaries(st.sampled_from(KEYS), JSONS, max_size=4)


def answered(case):
    """Ask for a check: one of the codes of a check, and no traceback (any other exception ends the test)."""
    exit_code, said = check(case)
    assert exit_code in (OK, REFUSED, QUARANTINED), said
    assert exit_code == OK or "THR-" in said or "ERROR" in said  # the codes of nuclides and doses are words


@given(rows=st.binary(max_size=200) | st.text(st.sampled_from("ap012.,/\t\n -e"), max_size=200).map(str.encode))
@FEW
def test_whatever_stands_in_the_manifest_check_answers(case, rows) -> None:
    case.data.manifest_file.write_bytes(MANIFEST_HEADER.encode() + rows)
    answered(case)


@given(changes=SIDECARS | JSONS, modality=st.sampled_from(["spect", "pet"]))
@FEW
def test_whatever_stands_in_a_sidecar_check_answers(case, good, changes, modality) -> None:
    files = {kind: next(case.root.rglob(f"*_{kind}.json")) for kind in ("spect", "pet")}
    for other in files.values():
        other.write_bytes((good / other.relative_to(case.root)).read_bytes())
    file = files[modality]
    known = json.loads(file.read_text())
    file.write_text(json.dumps(known | changes if isinstance(changes, dict) else changes))
    answered(case)


@given(
    start=st.sampled_from([b"", b"\x1f\x8b\x08", None]),
    at=st.integers(0, 400),
    content=st.binary(min_size=1, max_size=60),
)
@FEW
def test_whatever_bytes_are_in_an_image_check_answers(case, good, start, at, content) -> None:
    """Random bytes, or (None) an image whose header was written over; the manifest takes them for right."""
    file = next(case.root.rglob("*_spect.nii.gz"))
    known = bytearray(gzip.decompress((good / file.relative_to(case.root)).read_bytes()))
    known[at : at + len(content)] = content
    file.write_bytes(gzip.compress(bytes(known), 1) if start is None else start + content)
    table = read_table(case.data.manifest_file, MANIFEST)
    table.loc[table["file"] == file.relative_to(case.root).as_posix(), "sha256"] = sha256_file(file)
    write_table(table, case.data.manifest_file, MANIFEST)
    answered(case)
