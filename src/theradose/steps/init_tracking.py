"""Prepare the tracking store of a study before anything runs in parallel."""

from argparse import Namespace

from theradose.ops.tracking import default_uri, initialise
from theradose.sections import StudySettings
from theradose.settings import from_json
from theradose.steps.entry import arguments, start


def run(chosen: Namespace) -> None:
    """Create database, experiment and parent run where they are missing; write tracking.json."""
    study = from_json(StudySettings, chosen.settings)
    watched = {"data_manifest": chosen.data_manifest, "splits": chosen.splits}
    record = initialise(
        chosen.uri or default_uri(),
        study=study.study,
        title=study.title,
        settings=study.model_dump(mode="json"),
        watched=watched,
        out=chosen.out,
    )
    print(f"init_tracking: study {study.study} is MLflow experiment {record['experiment_id']}")


if __name__ == "__main__":
    parser = arguments(__doc__, texts=("settings", "uri"), paths=("data_manifest", "splits", "out"), optional=("uri",))
    start(parser, run)
