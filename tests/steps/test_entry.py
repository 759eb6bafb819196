"""The entrance of the steps: faults end in one sentence, and the planted truth opens only to those that judge by it."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from theradose.cohort.truth_folder import mark_truth
from theradose.imaging.grid import Grid
from theradose.imaging.nifti import write_volume
from theradose.imaging.volume import Volume
from theradose.provenance import write_atomically
from theradose.steps import entry
from theradose.steps.entry import MAY_OPEN_TRUTH
from theradose.tables import IMAGES, write_table
from theradose.truth_schemas import TRUTH_VOI

FILES = sorted((Path(__file__).resolve().parents[2] / "src" / "theradose" / "steps").glob("*.py"))
STEPS = [path.stem for path in FILES if "__main__" in path.read_text(encoding="utf-8")]

# Run every step as `python -m` does, up to the first argument that it reads; there, try all ways to the truth.
PROGRAM = """
import argparse, contextlib, importlib, json, os, runpy, shutil, subprocess, sys
from pathlib import Path

import nibabel, numpy, pandas
from theradose.imaging.nifti import read_volume
from theradose.provenance import sha256_file, write_json
from theradose.tables import IMAGES, read_table
from theradose.truth_schemas import TRUTH_VOI

os.chdir(sys.argv[1])
root, truth = Path.cwd(), Path.cwd() / "truth" / "tiny"
dose, parquet = truth / "sub-v001_dose.nii.gz", truth / "truth_voi.parquet"


def there_and_back():
    os.rename(truth, root / "mine")
    os.rename(root / "mine", truth)


def linked():
    os.link(parquet, root / f"hard-{os.getpid()}")


def walked_into():
    os.chdir(truth)
    os.chdir(root)


ATTEMPTS = {
    "open": lambda: open(truth / "manifest.tsv").close(),
    "open by bytes": lambda: open(os.fsencode(parquet), "rb").close(),
    "os.open": lambda: os.close(os.open(parquet, os.O_RDONLY)),
    "read_bytes": lambda: parquet.read_bytes(),
    "hash": lambda: sha256_file(dose),
    "table, parquet": lambda: read_table(parquet, TRUTH_VOI),
    "table, tsv": lambda: read_table(truth / "manifest.tsv", IMAGES),
    "pandas": lambda: pandas.read_csv(truth / "manifest.tsv", sep="\\t"),
    "image": lambda: read_volume(dose),
    "nibabel": lambda: nibabel.load(dose).get_fdata(),
    "numpy": lambda: numpy.fromfile(parquet, numpy.uint8),
    "below": lambda: (truth / "below" / "more.txt").read_text(),
    "scandir": lambda: list(os.scandir(truth)),
    "listdir": lambda: os.listdir(truth),
    "glob": lambda: list(root.rglob("*")),
    "linked file": lambda: open("linked.parquet", "rb").close(),
    "linked folder": lambda: open("linked/manifest.tsv").close(),
    "link in the middle": lambda: open("below/../manifest.tsv").close(),
    "relative with dots": lambda: open("data/../truth/./tiny/../tiny/manifest.tsv").close(),
    "working folder": walked_into,
    "copy": lambda: shutil.copyfile(parquet, root / "copy.parquet"),
    "copy of the folder": lambda: shutil.copytree(truth, root / "copy", dirs_exist_ok=True),
    "rename": there_and_back,
    "hard link": linked,
    "new link": lambda: os.symlink(truth, root / f"soft-{os.getpid()}"),
    "another program": lambda: subprocess.run(["cat", str(parquet)], check=True, stdout=subprocess.DEVNULL),
    "write": lambda: write_json(truth / f"{os.getpid()}.json", {}),
    "beside it": lambda: (open("data/manifest.tsv").close(), os.listdir("truth")),
}


class Chosen:
    def __getattr__(self, name):
        found = {}
        for way, attempt in ATTEMPTS.items():
            try:
                attempt()
                found[way] = "done"
            except Exception as error:
                found[way] = type(error).__name__ + ": " + str(error)
        print(json.dumps(found), flush=True)
        os._exit(0)


argparse.ArgumentParser.parse_args = lambda self: Chosen()
for step in sys.argv[2:]:  # what the steps load is loaded once
    with contextlib.suppress(ImportError):
        importlib.import_module(f"theradose.steps.{step}")
for step in sys.argv[2:]:
    child = os.fork()
    if not child:
        runpy.run_module(f"theradose.steps.{step}", run_name="__main__", alter_sys=True)
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with planted truth in `truth/tiny`, something beside it, and links."""
    root = tmp_path_factory.mktemp("cohort")
    truth = root / "truth" / "tiny"
    mark_truth(truth)
    voi = {"patient": "v001", "cycle": 1, "voi": "liver", "mass_g": 1500.0, "tia_mbq_h": 1.0, "dose_gy": 1.0}
    voi |= {"dose_gy_per_gbq": 1.0, "t_eff_h": 30.0, "uptake_fraction": 0.1}
    write_table(pd.DataFrame([voi]), truth / "truth_voi.parquet", TRUTH_VOI)
    dose = {"patient": "v001", "cycle": 1, "role": "dose", "time_h": None, "file": "sub-v001_dose.nii.gz"}
    write_table(pd.DataFrame([dose | {"sha256": "0"}]), truth / "manifest.tsv", IMAGES)
    write_volume(Volume(np.ones((2, 2, 2), np.float32), Grid((2, 2, 2), (1.0, 1.0, 1.0)), "Gy"), truth / dose["file"])
    for folder in (truth / "below", root / "data"):
        folder.mkdir()
    (truth / "below" / "more.txt").write_text("more", encoding="utf-8")
    (root / "data" / "manifest.tsv").write_text("file\n", encoding="utf-8")
    (root / "linked.parquet").symlink_to(truth / "truth_voi.parquet")
    (root / "linked").symlink_to("truth/tiny")
    (root / "below").symlink_to(truth / "below")
    return root


@pytest.fixture(scope="module")
def attempts(cohort: Path) -> dict[str, dict[str, str]]:
    """Return what came of every attempt of every step."""
    command = [sys.executable, "-c", PROGRAM, str(cohort), *STEPS]
    done = subprocess.run(command, text=True, capture_output=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == len(STEPS), done.stderr[-4000:]
    return {step: json.loads(line) for step, line in zip(STEPS, lines, strict=True)}


@pytest.mark.parametrize("step", sorted(set(STEPS) - MAY_OPEN_TRUTH))
def test_a_step_cannot_reach_the_planted_truth(attempts: dict[str, dict[str, str]], step: str) -> None:
    found = dict(attempts[step])
    assert found.pop("beside it") == "done"
    told = f"LeakageError: THR-401 the step {step} may not open the planted truth"
    assert {way: said for way, said in found.items() if not said.startswith(told)} == {}
    assert len(found) > 20


@pytest.mark.parametrize("step", sorted(MAY_OPEN_TRUTH & set(STEPS)))
def test_a_step_that_makes_or_judges_reaches_it(attempts: dict[str, dict[str, str]], step: str) -> None:
    assert {way: said for way, said in attempts[step].items() if said != "done"} == {}


def test_the_steps_that_may_are_few_and_known() -> None:
    assert {"simulate", "limit", "evaluate", "evaluate_labels"} == MAY_OPEN_TRUTH
    assert {"simulate", "evaluate", "evaluate_labels"} <= set(STEPS)


def test_a_step_that_tries_ends_with_one_sentence(cohort: Path, tmp_path: Path) -> None:
    truth = cohort / "truth" / "tiny" / "truth_voi.parquet"
    words = ["--schema", "truth_voi", "--inputs", truth, "--out", tmp_path / "truth_voi.parquet"]
    command = [sys.executable, "-m", "theradose.steps.gather", *map(str, words)]
    done = subprocess.run(command, text=True, capture_output=True)
    assert done.returncode == 4
    (sentence,) = done.stderr.splitlines()
    assert sentence.startswith(f"ERROR THR-401 the step gather may not open the planted truth · file {truth} ·")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "ERROR THR-531 file cannot be read or written · file out/a.tsv · got no space left on device ·"),
        (errno.EROFS, "ERROR THR-532 file cannot be read or written · file out/a.tsv · got read-only file system ·"),
    ],
)
def test_a_step_that_the_system_refuses_ends_with_one_sentence(number, said, tmp_path, monkeypatch, capsys) -> None:
    def run(chosen):
        write_atomically(Path("out/a.tsv"), b"1")

    def refuse(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(entry.sys, "argv", ["step"])
    monkeypatch.setattr(entry, "keep_out", lambda step: None)
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(SystemExit) as ended:
        entry.start(entry.arguments("a step"), run)
    assert ended.value.code == 4
    assert capsys.readouterr().err.startswith(said)
    assert list((tmp_path / "out").iterdir()) == []
