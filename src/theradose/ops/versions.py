"""The door to DVC: give what a run made a version, and read which version is recorded."""

import subprocess
import sys
from pathlib import Path

from theradose.errors import TheradoseError
from theradose.settings import read_yaml

LOCK = Path("dvc.lock")


class VersionError(TheradoseError):
    """DVC refused to record or to store a version."""

    code = "THR-520"


def recorded_versions(lock: Path = LOCK) -> dict[str, str]:
    """Return the MD5 that DVC recorded for each output, by path; empty before the first record.

    DVC is not imported: its lock file is plain YAML, and a study must run where neither DVC nor git is.
    """
    if not Path(lock).is_file():
        return {}
    stages = read_yaml(lock).get("stages", {})
    outs = [out for stage in stages.values() for out in stage.get("outs", [])]
    return {str(out["path"]): str(out["md5"]) for out in outs if "md5" in out}


def record_outputs() -> dict[str, str]:
    """Record what plain Snakemake made, store it in the default remote, and return the versions; re-runs nothing."""
    for words in (["commit", "--force"], ["push"]):
        done = subprocess.run([sys.executable, "-m", "dvc", *words], check=False)
        if done.returncode:
            raise VersionError(
                f"dvc {words[0]} failed",
                got=f"exit code {done.returncode}",
                remedy="see its message above; DVC needs a git repository (git init)",
            )
    return recorded_versions()
