"""Split the usable patients into training folds, validation and test."""

from argparse import Namespace

from theradose.cohort.layout import Dataset
from theradose.cohort.split import split_patients
from theradose.provenance import write_provenance
from theradose.sections import SplitSettings
from theradose.settings import from_json
from theradose.steps.entry import arguments, start
from theradose.tables import PATIENTS, SPLITS, read_table, write_table


def run(chosen: Namespace) -> None:
    """Read participants and their status, split, write the table."""
    settings = from_json(SplitSettings, chosen.settings)
    status = read_table(chosen.patients, PATIENTS)
    usable = status.loc[status["status"].isin(["ok", "flagged"]), "patient"]
    data = Dataset(chosen.data)
    participants = data.participants()
    table = split_patients(
        participants[participants["patient"].isin(usable)], seed=chosen.seed, **settings.model_dump()
    )
    write_table(table, chosen.out, SPLITS)
    write_provenance(chosen.out.parent, "split", [chosen.patients, data.participants_file], settings.model_dump())
    counts = table["partition"].value_counts().to_dict()
    print(f"split: {counts} by {settings.scheme}")


if __name__ == "__main__":
    start(arguments(__doc__, texts=("settings",), numbers=("seed",), paths=("data", "patients", "out")), run)
