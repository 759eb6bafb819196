"""Release the models of a study: copy them, register the best organ-dose model, write the study's numbers."""

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from theradose.evaluation.release import study_numbers
from theradose.models.store import MODEL_FILE, WEIGHTS_FILE
from theradose.ops.registry import input_example, register
from theradose.ops.tracking import close_study
from theradose.provenance import digest, git_commit, sha256_file, write_atomically, write_json
from theradose.sections import TrackingSettings
from theradose.settings import from_json
from theradose.steps.entry import arguments, start
from theradose.tables import COVARIATES, EXPERIMENTS, read_table
from theradose.vocabulary import RESEARCH_USE_ONLY


def read_json(path: Path | None) -> dict[str, Any]:
    """Read a JSON file, empty when there is none."""
    return {} if path is None else dict(json.loads(path.read_text(encoding="utf-8")))


def copy_models(files: list[Path], out: Path) -> dict[str, Path]:
    """Copy model folders .../<experiment>/<predictor>/model to <out>/<experiment>/<predictor>; return the originals."""
    folders = {"/".join(file.parts[-4:-2]): file.parent for file in files}
    for name, folder in folders.items():
        for part in (MODEL_FILE, WEIGHTS_FILE):
            write_atomically(out / name / part, (folder / part).read_bytes())
    return folders


def tags_of(chosen: Namespace, folder: Path) -> dict[str, str]:
    """Return where a model came from, as tags of its version."""
    trained = read_json(folder.parent / "provenance.json")
    return {
        "study": chosen.study,
        "cohort_source": chosen.source,
        "notice": RESEARCH_USE_ONLY,
        "data_manifest_sha256": sha256_file(chosen.data_manifest),
        "splits_sha256": sha256_file(chosen.splits),
        "settings_digest": digest(trained["settings"]),
        "code_digest": trained["code"],
        "git_commit": git_commit(Path.cwd()),
    }


def run(chosen: Namespace) -> None:
    """Copy, register, write metrics and registered.json."""
    settings = from_json(TrackingSettings, chosen.settings)
    best, folders = read_json(chosen.best), copy_models(chosen.models, chosen.out_models)
    numbers = study_numbers(read_table(chosen.table, EXPERIMENTS), best, read_json(chosen.recovery))
    write_json(chosen.out_metrics, numbers)
    record: dict[str, Any] = {"registered": None, "released": sorted(folders)}
    # Whoever is asked about a new patient knows of no earlier cycle.
    asked = [str(name) for name in chosen.experiments]
    named = [f"{name}/{best[name]['best']}" for name in asked if best[name]["kind"] == "organ_dose"]
    usable = [name for name in named if "cycle" not in read_json(folders[name] / MODEL_FILE)["card"]]
    if usable:
        name = usable[0]
        example = input_example(folders[name], read_table(chosen.covariates, COVARIATES))
        found = register(
            chosen.tracking,
            name=settings.registered_model,
            folder=folders[name],
            example=example,
            tags=tags_of(chosen, folders[name]),
        )
        record["registered"] = {"uri": found.uri, "digest": found.digest, "model": name}
        print(f"register: {name} is {found.uri}" + ("" if found.is_new else " (these bytes were registered before)"))
    close_study(chosen.tracking)
    write_json(chosen.out, record)


if __name__ == "__main__":
    parser = arguments(
        __doc__,
        texts=("settings", "study", "source"),
        lists=("models", "experiments"),
        paths=(
            "best", "table", "recovery", "covariates", "data_manifest", "splits", "tracking",
            "out_models", "out_metrics", "out",
        ),
        optional=("recovery", "covariates"),
    )  # fmt: skip
    start(parser, run)
