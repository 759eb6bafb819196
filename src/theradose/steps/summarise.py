"""Write and print the few lines that end a run."""

from argparse import Namespace

from theradose.evaluation.results import StudyResults
from theradose.evaluation.summary import summary
from theradose.provenance import write_atomically
from theradose.sections import StudySettings
from theradose.settings import from_json
from theradose.steps.entry import arguments, start


def run(chosen: Namespace) -> None:
    """Read the results folder, write summary.txt (`out`), print it."""
    study = StudyResults(from_json(StudySettings, chosen.settings), chosen.data, chosen.results)
    text = summary(study)
    write_atomically(chosen.out, text.encode())
    print(text, end="")


if __name__ == "__main__":
    start(arguments(__doc__, texts=("settings",), paths=("data", "results", "out")), run)
