"""One lock: environment.yml, requirements and what is installed cannot drift apart."""

import re
from importlib.metadata import distributions
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)$")


def pins():
    lines = [line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()]
    return dict(PIN.match(line).groups() for line in lines if line)


def wanted():
    """Return the names of the packages that requirements files ask for."""
    names = set()
    for file in ("requirements.in", "requirements-dev.in"):
        for line in (ROOT / file).read_text(encoding="utf-8").splitlines():
            name = re.split(r"[=<>~!;\[ ]", line.split("#")[0].strip())[0]
            if name:
                names.add(name.lower().replace("_", "-"))
    return names


def test_conda_installs_the_same_lock_and_no_version_of_its_own():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, pip = environment["dependencies"]
    assert conda == ["python=3.11", "pip", "git"]
    assert pip == {"pip": ["-r requirements.in", "-r requirements-dev.in", "-c constraints.txt", "-e ."]}


def test_every_requirement_is_locked():
    locked = {name.lower().replace("_", "-") for name in pins()}
    assert wanted() - locked == set()


def test_the_lock_holds_versions_that_everyone_can_get():
    assert not [name for name, pinned in pins().items() if "+" in pinned]
    assert "://" not in (ROOT / "constraints.txt").read_text(encoding="utf-8")


def test_what_is_installed_is_what_is_locked():
    """Packages of another platform are locked and not installed; those that are here must agree."""
    installed = {d.metadata["Name"].lower().replace("_", "-"): d.version.split("+")[0] for d in distributions()}
    known = {name: pinned for name, pinned in pins().items() if name in installed}
    assert len(known) > 150
    assert {name: installed[name] for name in known} == known
