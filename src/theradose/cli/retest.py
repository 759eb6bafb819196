"""How much features and predicted doses scatter when the PETs of a finished study get new noise."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from theradose.cli.answers import answer, refusal
from theradose.vocabulary import counted

if TYPE_CHECKING:
    import pandas as pd

    from theradose.models.store import Trained

LINE = "  {:<18}{:<12}{:>9.2f} %{:>9.2f} %   {}"


def retest(
    results: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Results folder of a finished study.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder for the tables.")],
    data: Annotated[Path | None, typer.Option(help="Its data set; that of the project without it.")] = None,
    experiment: Annotated[str, typer.Option(help="An experiment on organ doses.")] = "organ_dose",
    predictor: Annotated[list[str] | None, typer.Option(help="May be repeated; all of the experiment without.")] = None,
    patients: Annotated[int, typer.Option(min=1, help="The first so many of the test patients.")] = 6,
    repeats: Annotated[int, typer.Option(min=2, help="How often each gets new noise.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Decides the noise.")] = 1,
    jobs: Annotated[int, typer.Option(min=1, help="Processes side by side.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Draw noise anew in the PETs of test patients; tell the CoV of every feature and predicted dose."""
    import json
    from functools import partial

    from theradose.cli.predict import is_virtual
    from theradose.cohort.layout import Dataset
    from theradose.cohort.pool import in_order
    from theradose.evaluation.retest import Retest, how_extracted, retested
    from theradose.evaluation.retest import retest as scattered
    from theradose.learning_schemas import RETEST_DOSES, RETEST_FEATURES
    from theradose.tables import DRAWS, write_table

    with refusal(as_json):
        models, chosen = _models(results / "experiments" / experiment, predictor), _test_patients(results, patients)
        study = json.loads((results / "study.json").read_text(encoding="utf-8"))
        folder = data or results.resolve().parents[1] / "data" / study["cohort"]["name"]
        asked = Retest(Dataset(folder).existing(), how_extracted(models), repeats, seed)
        found: list[tuple[pd.DataFrame, pd.DataFrame]] = []
        for patient, one in zip(chosen, in_order(partial(retested, asked), chosen, jobs), strict=True):
            sys.stderr.write(f"retest: patient {patient} ({len(found) + 1} of {len(chosen)})\n")
            found.append(one)
        features, doses = scattered(asked, models, [one for one, _ in found])
        draws = [row for _, drawn in found for row in drawn.to_dict("records")]
        write_table(features, out / "retest_features.tsv", RETEST_FEATURES)
        write_table(doses, out / "retest_doses.tsv", RETEST_DOSES)
        write_table(type(features)(draws), out / "retest_draws.tsv", DRAWS)
        report = {
            "experiment": experiment, "patients": chosen, "repeats": repeats, "seed": seed,
            "virtual": all(is_virtual(asked.data, patient) for patient in chosen),
            "doses": doses.to_dict("records"), "features": _shares(features),
        }  # fmt: skip
    answer(report, as_json, _lines(report, out))


def _models(folder: Path, names: list[str] | None) -> "dict[str, Trained]":
    """Return the models of an experiment by predictor, as it lists them; DataError when one predicts no organ doses."""
    from theradose.errors import DataError, Where
    from theradose.evaluation.results import ExperimentResults
    from theradose.models.new_patients import require_organ_dose
    from theradose.models.store import load_model

    if not (folder / "experiment.json").is_file():
        raise DataError("experiment is not there", where=Where(file=f"experiments/{folder.name}"), code="THR-201")
    known = ExperimentResults(folder.name, folder).predictors
    models = {name: load_model(folder / name / "model") for name in names or known}
    for trained in models.values():
        require_organ_dose(trained)
    return models


def _test_patients(results: Path, wanted: int) -> list[str]:
    """Return the first patients of the test partition; DataError when it has none."""
    from theradose.errors import DataError, Where
    from theradose.models.predictors import TEST
    from theradose.tables import SPLITS, read_table

    splits = read_table(results / "split" / "splits.tsv", SPLITS)
    found = sorted(splits.loc[splits["partition"] == TEST, "patient"])[:wanted]
    if not found:
        raise DataError("the study has no test patients", where=Where(file="split/splits.tsv"), expected="one or more")
    return found


def _shares(features: "pd.DataFrame") -> dict[str, dict[str, int]]:
    """Return for every organ how many features of the PET keep the bar, and how many have a CoV or none."""
    from theradose.evaluation.retest import PER_STEP_BAR_PCT

    return {
        str(voi): {
            "below_bar": int((own["cov_pct"] < PER_STEP_BAR_PCT).sum()),
            "with_cov": int(own["cov_pct"].notna().sum()),
            "without_cov": int(own["cov_pct"].isna().sum()),
        }
        for voi, own in features.groupby("voi", sort=False)
    }


def _lines(report: dict[str, Any], out: Path) -> list[str]:
    """Return the report for people."""
    from theradose.evaluation.retest import PER_STEP_BAR_PCT

    people = counted(len(report["patients"]), "virtual patient" if report["virtual"] else "patient")
    bar = f"< {PER_STEP_BAR_PCT:g} %"
    return [
        f"  {report['experiment']}: new noise in the PETs of {people}, {report['repeats']} times",
        f"  {'predicted dose':<18}{'organ':<12}{'CoV':>11}{'worst':>11}   {bar}",
        *(LINE.format(r["predictor"], r["voi"], r["cov_pct"], r["worst_cov_pct"], r["met"]) for r in report["doses"]),
        f"  features of the PET with a CoV {bar}:",
        *(
            f"    {voi:<12}{n['below_bar']} of {n['with_cov']}; {n['without_cov']} have no CoV (no ratio scale)"
            for voi, n in report["features"].items()
        ),
        f"  tables in {out}",
    ]
