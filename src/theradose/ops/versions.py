"""The door to DVC: which version of a data set or model folder is recorded. DVC itself is run by the Makefile."""

from pathlib import Path

from theradose.settings import read_yaml

LOCK = Path("dvc.lock")


def recorded_versions(lock: Path = LOCK) -> dict[str, str]:
    """Return the MD5 that DVC recorded for each output, by path; empty before the first record.

    DVC is not imported: its lock file is plain YAML, and a study must run where neither DVC nor git is.
    """
    if not Path(lock).is_file():
        return {}
    stages = read_yaml(lock).get("stages", {})
    outs = [out for stage in stages.values() for out in stage.get("outs", [])]
    return {str(out["path"]): str(out["md5"]) for out in outs if "md5" in out}


def recorded_version(path: str, lock: Path = LOCK) -> str:
    """Return the MD5 that DVC recorded for an output, or `none`."""
    return recorded_versions(lock).get(path, "none")
