"""Join radiomics and the clinical table into one covariate table, with a manifest and a dictionary of every column."""

from argparse import Namespace

from theradose.cohort.layout import Dataset
from theradose.features.covariates import assemble, pre_therapy_columns
from theradose.features.dictionary import DICTIONARY, covariates_dictionary, features_dictionary
from theradose.provenance import write_provenance
from theradose.sections import RadiomicsSettings
from theradose.settings import from_json
from theradose.steps.entry import arguments, start
from theradose.tables import COVARIATE_MANIFEST, COVARIATES, FEATURES, PATIENTS, read_table, write_table


def run(chosen: Namespace) -> None:
    """Read features, participants and their status; write covariates.tsv and covariate_manifest.tsv into a folder.

    A dictionary of its columns stands beside each table, features and covariates.
    """
    settings = from_json(RadiomicsSettings, chosen.settings)
    features = read_table(chosen.features, FEATURES)
    status = read_table(chosen.patients, PATIENTS)
    usable = list(status.loc[status["status"].isin(["ok", "flagged"]), "patient"])
    data = Dataset(chosen.data)
    participants, left_out = pre_therapy_columns(data.participants())
    table, manifest = assemble(features, participants, usable, settings.organs)
    write_table(table, chosen.out / "covariates.tsv", COVARIATES)
    write_table(manifest, chosen.out / "covariate_manifest.tsv", COVARIATE_MANIFEST)
    beside = chosen.features.with_name(f"{chosen.features.stem}.dictionary.tsv")
    write_table(features_dictionary(features), beside, DICTIONARY)
    write_table(covariates_dictionary(manifest), chosen.out / "covariates.dictionary.tsv", DICTIONARY)
    inputs = [chosen.features, chosen.patients, data.participants_file]
    write_provenance(chosen.out, "assemble_covariates", inputs, settings.model_dump(mode="json"))
    counts = manifest["block"].value_counts().to_dict()
    print(f"assemble_covariates: {len(table)} rows of {len(usable)} patients, columns {counts}")
    if left_out:
        print(f"assemble_covariates: left out, not declared as known before therapy: {', '.join(left_out)}")


if __name__ == "__main__":
    start(arguments(__doc__, texts=("settings",), paths=("features", "data", "patients", "out")), run)
