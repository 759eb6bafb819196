"""Write the report of a study: one page that needs no network, a card for each model, the scores as CSV."""

from argparse import Namespace

from theradose.evaluation.report import write_report
from theradose.evaluation.results import StudyResults
from theradose.provenance import write_provenance
from theradose.sections import StudySettings
from theradose.settings import from_json
from theradose.steps.entry import arguments, start


def run(chosen: Namespace) -> None:
    """Read the results folder, write the page; parts that the study has not are left out."""
    study = StudyResults(from_json(StudySettings, chosen.settings), chosen.data, chosen.results)
    written = write_report(study, chosen.out)
    inputs = [study.data.manifest_file, study.data.participants_file, *study.files()]
    write_provenance(chosen.out, "report", inputs, study.settings.model_dump(mode="json"))
    size_mb = written[0].stat().st_size / 1e6
    print(f"report: {written[0].as_posix()} ({size_mb:.1f} MB), {len(written) - 1} files beside it")


if __name__ == "__main__":
    start(arguments(__doc__, texts=("settings",), paths=("data", "results", "out")), run)
