"""Organ doses, or TIACs with every radionuclide, of a new patient from a trained model."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

    from theradose.cohort.layout import Dataset
    from theradose.models.store import Trained

REGISTRY_PREFIX = "models:/"
TIAC = "tiac"
LINE = "  {:<16}{:<28}{:<10}{:<34}{}"


def model_folder(address: str) -> Path:
    """Return the model folder behind a path or the address of a registered model."""
    if address.startswith(REGISTRY_PREFIX):
        from theradose.ops.registry import fetch_model

        return fetch_model(address)
    return Path(address)


def covariates_of(data: "Dataset", trained: "Trained") -> tuple["pd.DataFrame | None", dict[str, str]]:
    """Extract what the model was trained on, with the presets it carries; also say who was refused, and why."""
    import pandas as pd

    from theradose.errors import DataError, TheradoseError
    from theradose.features.covariates import assemble, pre_therapy_columns
    from theradose.features.patient import patient_features, resolution_of
    from theradose.features.presets import preset_from
    from theradose.models.seen_images import doubts, pet_of

    if "radiomics" not in trained.card:
        raise DataError(
            "the model does not say how its features are extracted",
            remedy="train it with --radiomics and --presets, as the workflow does",
            code="THR-424",
        )
    radiomics, organs = trained.card["radiomics"], list(trained.predictors)
    presets = {m: preset_from(content, m, f"{m} of the model") for m, content in radiomics["presets"].items()}
    participants = pre_therapy_columns(data.participants())[0]
    people = participants.set_index("patient")
    settings = radiomics["settings"]
    asked = {"presets": presets, "organs": organs, "min_voxels": settings["min_voxels"]}
    tables: dict[str, pd.DataFrame] = {}
    refused: dict[str, str] = {}
    for patient, row in people.iterrows():
        name = str(patient)
        try:
            fwhm_mm = resolution_of(str(row["centre"]), settings.get("pet_fwhm_mm", {}))
            tables[name] = patient_features(data, name, weight_kg=float(row["weight_kg"]), fwhm_mm=fwhm_mm, **asked)
        except TheradoseError as error:
            refused[name] = str(error)
    if not tables:
        return None, refused
    found = assemble(pd.concat(tables.values(), ignore_index=True), participants, list(tables), organs)[0]
    found = found.merge(participants[["patient", "centre"]], on="patient", how="left")
    card = trained.card.get("images", {})
    unlike = {name: doubts(card, pet_of(data, name), str(people.loc[name, "centre"])) for name in tables}
    return found.assign(doubts=found["patient"].map(unlike)), refused


def number_or_none(value: float) -> float | None:
    """Return a number as JSON knows it: what is missing is null."""
    return float(value) if math.isfinite(value) else None


def organ_record(row: Any, administered_gbq: float) -> dict[str, Any]:
    """Return one prediction as a record: Gy/GBq, and Gy for the activity that is to be given."""
    names = {"point": "dose", "median": "median", "low": "low", "high": "high"}
    per_gbq = {name: getattr(row, f"{column}_gy_per_gbq") for name, column in names.items()}
    return {
        "organ": row.voi,
        "dose_gy_per_gbq": {name: number_or_none(value) for name, value in per_gbq.items()},
        "dose_gy": {name: number_or_none(value * administered_gbq) for name, value in per_gbq.items()},
        "in_doubt": bool(row.reasons),
        "reasons": row.reasons,
    }


def is_virtual(data: "Dataset", patient: str) -> bool:
    """Tell whether a patient's PET was made by a computer."""
    from theradose.imaging.nifti import read_sidecar

    rows = data.rows(patient, "pet")
    return any(bool(read_sidecar(data.root / str(file)).get("Virtual")) for file in rows["file"])


def _report(data: "Dataset", trained: "Trained") -> dict[str, Any]:
    """Return the predictions for all patients of a folder with what they rest on."""
    from theradose.cli.predict_tiac import organ_records
    from theradose.models.new_patients import predict_new, require_organ_dose
    from theradose.models.new_tiac import predict_new_tiacs
    from theradose.vocabulary import RESEARCH_USE_ONLY

    tiacs = trained.card.get("kind") == TIAC
    if not tiacs:
        require_organ_dose(trained)
    covariates, refused = covariates_of(data, trained)
    ask = predict_new_tiacs if tiacs else predict_new
    given = data.participants().set_index("patient")["administered_mbq"]
    patients = [
        {
            "patient": patient,
            "virtual": is_virtual(data, str(patient)),
            "administered_mbq": number_or_none(given[patient]),
            "organs": organ_records(rows)
            if tiacs
            else [organ_record(row, given[patient] / 1000.0) for row in rows.itertuples()],
        }
        for patient, rows in ([] if covariates is None else ask(trained, covariates).groupby("patient"))
    ]
    card = trained.card
    model = {name: card[name] for name in ("kind", "experiment", "predictor", "interval")}
    return {
        "notice": RESEARCH_USE_ONLY,
        "model": model,
        "patients": patients,
        "refused": [{"patient": patient, "reason": reason} for patient, reason in refused.items()],
    }


def cell(values: dict[str, float | None], digits: int) -> str:
    """Return `1.23 (0.80 to 1.90)`, with a dash for what is missing."""
    words = {name: "-" if v is None else f"{v:.{digits}f}" for name, v in values.items()}
    return f"{words['point']} ({words['low']} to {words['high']})"


def _show(report: dict[str, Any]) -> None:
    """Print a report for people."""
    from theradose.cli.predict_tiac import tiac_lines

    model = report["model"]
    print(report["notice"])
    cover = f"{model['interval']:.0%} (a dash: too few training patients for it)"
    print(f"Model {model['experiment']}/{model['predictor']}; intervals are made to cover {cover}")
    tiacs = model["kind"] == TIAC
    about = "TIAC" if tiacs else "dose"
    print(f"The {about} is set a little below the median, where the expected percentage error is smallest.")
    for patient in report["patients"]:
        given = patient["administered_mbq"]
        words = "unknown activity" if given is None else f"{given:.0f} MBq"
        print(f"\nPatient {patient['patient']}{' (virtual)' if patient['virtual'] else ''}, {words}")
        if tiacs:
            print("\n".join(tiac_lines(patient["organs"], cell)))
            continue
        print(
            LINE.format("organ", "Gy/GBq (interval)", "median", "Gy for this activity (interval)", "in doubt because")
        )
        for organ in patient["organs"]:
            per_gbq, gy = organ["dose_gy_per_gbq"], organ["dose_gy"]
            median = "-" if per_gbq["median"] is None else f"{per_gbq['median']:.3f}"
            reasons = "; ".join(organ["reasons"])
            line = LINE.format(organ["organ"], cell(per_gbq, 3), median, cell(gy, 2), reasons)
            print(line.rstrip())
    for patient in report["refused"]:
        print(f"\nPatient {patient['patient']}: refused. {patient['reason']}")


def predict(
    folder: Annotated[
        Path, typer.Argument(help="Data set folder of one or more patients: PET, CT, mask, participants.")
    ],
    *,
    model: Annotated[str, typer.Option(help="Model folder, or a registered model such as models:/NAME@champion.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Predict dose or TIAC per organ with an interval for new patients, and doubts; code 3 when some were refused."""
    from theradose.cohort.layout import Dataset
    from theradose.errors import EXIT_QUARANTINED, EXIT_REFUSED
    from theradose.models.store import load_model

    report = _report(Dataset(folder).existing(), load_model(model_folder(model)))
    if as_json:
        print(json.dumps(report, indent=2, allow_nan=False))
    else:
        _show(report)
    if report["refused"]:
        raise typer.Exit(EXIT_QUARANTINED if report["patients"] else EXIT_REFUSED)
