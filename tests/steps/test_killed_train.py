"""A step `train` that is killed goes on where it was and leaves the same files as one that was not."""

import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest

from theradose.experiment_sections import ExperimentSettings
from theradose.models import checkpoints
from theradose.settings import to_json
from theradose.steps import train, tune
from theradose.tables import COVARIATE_MANIFEST, COVARIATES, ORGAN_DOSE, SPLITS, write_table

SETTINGS = ExperimentSettings(
    name="organs",
    kind="organ_dose",
    title="Organs",
    organs=("kidneys",),
    baselines=("pet_scaled",),
    predictors=("mlp",),
    tuning={"trials": 1, "folds": 2},
    training={"epochs": 120, "patience": 120},
)
FILES = ("model/model.json", "model/weights.safetensors", "history.tsv", "out_of_fold.safetensors", "train.json")
TRAIN = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from test_killed_train import trained
trained(Path(sys.argv[1]), sys.argv[2])
"""


@contextmanager
def untold(tracking, step, tags):
    """Stand in for a run of the tracking store."""
    yield mock.Mock()


def chosen(folder, out):
    """Return the arguments of tune and train on the tables of a folder."""
    names = ("covariates", "covariate_manifest", "labels", "splits")
    files = {name: folder / f"{name}.tsv" for name in names}
    own = {"settings": to_json(SETTINGS), "seed": 7, "pairs": None, "tracking": folder / "t.json", "predictor": "mlp"}
    return Namespace(**own, **files, out=folder / out, tune=folder / "tune.json", radiomics=None, presets=None)


def trained(folder, out):
    """Train, leaving a checkpoint after every epoch."""
    with mock.patch.object(train, "open_run", untold), mock.patch.object(checkpoints, "EVERY_S", 0.0):
        train.run(chosen(folder, out))


def killed_at_a_checkpoint(folder, out):
    """Begin a training in another process and kill it when it has left some epochs behind."""
    code = TRAIN.format(here=str(Path(__file__).parent))
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(folder), out], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    end = time.monotonic() + 600
    while not list((folder / out / "checkpoints").rglob("*.safetensors")) and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_a_killed_step_ends_with_the_same_files(tmp_path, organ_tables):
    schemas = (COVARIATES, COVARIATE_MANIFEST, ORGAN_DOSE, SPLITS)
    for table, schema, name in zip(
        organ_tables(), schemas, ("covariates", "covariate_manifest", "labels", "splits"), strict=False
    ):
        write_table(table, tmp_path / f"{name}.tsv", schema)
    with mock.patch.object(tune, "open_run", untold):
        tune.run(Namespace(**{**vars(chosen(tmp_path, "x")), "out": tmp_path}))
    killed_at_a_checkpoint(tmp_path, "killed")
    left = list((tmp_path / "killed" / "checkpoints").rglob("*.safetensors"))
    assert len(left) == 1
    assert not (tmp_path / "killed" / "model").exists()
    real, taken_up = checkpoints.Checkpoint.resume, []

    def resume(self, training):
        taken_up.append(real(self, training))
        return taken_up[-1]

    with mock.patch.object(checkpoints.Checkpoint, "resume", resume):
        trained(tmp_path, "killed")
    trained(tmp_path, "whole")
    assert taken_up[0] > 0  # epochs of the first fold; the second fold and the final fit begin anew
    assert taken_up[1:] == [0, 0]
    for name in FILES:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert not (tmp_path / "killed" / "checkpoints").exists()
