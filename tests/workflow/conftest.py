"""A copy of the project in a folder of its own, and Snakemake run in it."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = (
    "Snakefile", "workflow", "config", "profiles", "src", "environment.yml", "constraints.txt",
    "dvc.yaml", ".dvc", ".dvcignore", ".gitignore",
)  # fmt: skip
IGNORED = shutil.ignore_patterns("__pycache__", "*.egg-info", "cache", "tmp")
LOOKS = {"-n", "--summary", "--touch", "--lint"}  # with these Snakemake runs no step
# Load Snakemake, and nothing of this package, once; then each line is a run in a fork of its own.
READY = """
import json, os, sys
import jsonschema, pandas, snakemake.cli, snakemake.workflow
for line in sys.stdin:
    child = os.fork()
    if not child:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()
run = json.loads(line)
for number, name in enumerate((os.devnull, run["out"], run["err"])):
    os.dup2(os.open(name, os.O_RDWR | os.O_CREAT, 0o600), number)
os.chdir(run["cwd"])
os.environ.update(run["env"])
sys.path.insert(0, run["env"]["PYTHONPATH"])
sys.argv = ["snakemake", *run["args"]]
snakemake.cli.main(run["args"])
"""


@cache
def ready():
    """Return the process that has Snakemake loaded; it ends with this one."""
    return subprocess.Popen([sys.executable, "-c", READY], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def looked(args, cwd, env):
    """Return the exit code of Snakemake and what it said, from a fork of the process that has it loaded."""
    with tempfile.TemporaryDirectory() as folder:
        said = {name: f"{folder}/{name}" for name in ("out", "err")}
        ready().stdin.write(json.dumps({"args": args, "cwd": str(cwd), "env": env, **said}) + "\n")
        ready().stdin.flush()
        code = int(ready().stdout.readline())
        return code, "".join(Path(file).read_text(encoding="utf-8") for file in said.values())


@dataclass(frozen=True)
class Project:
    """A project folder; its own `src` is the package that runs in it."""

    root: Path
    config: str = "config/quick.yaml"

    @property
    def environment(self):
        return {**os.environ, "PYTHONPATH": str(self.root / "src"), "MLFLOW_TRACKING_URI": ""}

    def command(self, *args):
        return [sys.executable, "-m", "snakemake", "--configfile", self.config, *args]

    def snakemake(self, *args, ok=True, bare=False):
        """Run Snakemake and return what it said; the study of `config` unless `bare`."""
        command = [sys.executable, "-m", "snakemake", *args] if bare else self.command(*args)
        if LOOKS & set(args) and not bare:
            code, said = looked(command[3:], self.root, self.environment)
        else:
            done = subprocess.run(command, cwd=self.root, env=self.environment, text=True, capture_output=True)
            code, said = done.returncode, done.stdout + done.stderr
        if ok is not None:
            assert (code == 0) == ok, said[-4000:]
        return said

    def theradose(self, *args):
        """Run the command of the project's own package and return how it ended."""
        command = [sys.executable, "-c", "from theradose.cli.main import run; run()", *map(str, args)]
        return subprocess.run(command, cwd=self.root, env=self.environment, text=True, capture_output=True)

    def jobs(self, *args, bare=False):
        """Return {rule: number of jobs} of a dry run."""
        return jobs_of(self.snakemake("-n", *args, bare=bare))

    def outputs(self):
        """Return {output file: rule} of the whole study."""
        rows = [line.split("\t") for line in self.snakemake("--summary").splitlines()]
        return {row[0]: row[2] for row in rows if len(row) > 5 and row[0] != "output_file"}

    def pretend(self):
        """Put a file in the place of every output and let Snakemake believe in them."""
        for file in self.outputs():
            path = self.root / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{file}\n", encoding="utf-8")
        self.snakemake("--touch", "--forceall", "--cores", "1")

    def edit(self, file, old, new):
        """Replace text in a file of the project."""
        path = self.root / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) >= 1, f"{old!r} is not in {file}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    def tables(self):
        """Return {file: bytes} of everything a study writes except logs, provenance of runs and the tracking record."""
        left_out = re.compile(r"/log/|tracking\.json|registered\.json|\.snakemake|mlflow|mlartifacts|optuna\.journal")
        folders = ("data", "truth", "results", "models", "metrics")
        files = [f for name in folders for f in sorted((self.root / name).rglob("*")) if f.is_file()]
        named = {f.relative_to(self.root).as_posix(): f for f in files}
        return {name: f.read_bytes() for name, f in named.items() if not left_out.search(name)}


def jobs_of(said):
    """Return {rule: count} from the last job table that Snakemake printed."""
    if "Job stats:" not in said:
        return {}
    rows = re.findall(r"^([a-z_]+) +(\d+)$", said.rsplit("Job stats:", 1)[1], re.MULTILINE)
    return {name: int(count) for name, count in rows}


def copy_project(target, origin=ROOT):
    """Copy what a run needs, without anything it has made, into a folder."""
    for name in PARTS:
        source = origin / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=IGNORED)
        else:
            shutil.copy(source, target / name)
    return Project(target)


@pytest.fixture(scope="session")
def copy_to():
    """Return the function that copies the project into a folder."""
    return copy_project


@pytest.fixture
def project(tmp_path):
    """An empty copy of the project."""
    return copy_project(tmp_path)


@pytest.fixture(scope="session")
def pretended(tmp_path_factory):
    """A copy in which every output of the quick study seems to be there; not to be changed, copy it."""
    made = copy_project(tmp_path_factory.mktemp("pretended"))
    made.pretend()
    return made


@pytest.fixture
def finished(pretended, tmp_path):
    """A copy of the project in which the quick study seems to be finished."""
    target = tmp_path / "project"
    shutil.copytree(pretended.root, target)
    return Project(target)
