"""The verb `plan` for the patients of a data set: predicted doses, limits, activity, and a page for each."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from theradose.cli.answers import answer
from theradose.cli.plan_answer import plan_lines, plan_report
from theradose.cli.predict import covariates_of, is_virtual, model_folder, organ_record

if TYPE_CHECKING:
    from theradose.evaluation.patient_page import PatientPage
    from theradose.models.patient_plan import PatientPlan, PlanRequest
    from theradose.models.store import Trained

Numbers = dict[str, list[float]]
LINE = "  {:<22}{:>16}   {:<22}{}"
OWN = ("limit_bed_gy", "limit_dose_gy", "alpha_beta_gy", "t_repair_h")


def _request(asked: Mapping[str, Any], options: Mapping[str, Numbers], organs: Sequence[str]) -> "PlanRequest":
    """Return the request with the numbers of each organ; a number alone (key empty) holds for all."""
    from theradose.models.patient_plan import PlanRequest

    def of(option: str) -> Numbers:
        numbers = options[option]
        found = {organ: numbers.get(organ, numbers.get("", [])) for organ in organs}
        return {organ: values for organ, values in found.items() if values}

    each = {name: of(name) for name in OWN}
    chosen = {organ: {name: own[organ][0] for name, own in each.items() if organ in own} for organ in organs}
    t_eff_h = {organ: values[0] for organ, values in of("t_eff_h").items()}
    return PlanRequest(**asked, t_eff_h=t_eff_h, given_gy=of("given_gy"), chosen=chosen)


def _require_one_history(given_gy: Mapping[str, Any], patients: int) -> None:
    """Raise SettingsError when the earlier cycles of one patient are given for several."""
    from theradose.errors import SettingsError, Where

    if given_gy and patients > 1:
        raise SettingsError(
            "earlier cycles belong to one patient",
            where=Where(field="given_gy"),
            got=f"{patients} patients",
            remedy="plan for this patient alone: a data set of one patient",
            code="wrong_given",
        )


def _plan_record(found: "PatientPlan") -> dict[str, Any]:
    """Return a plan as `plan` prints it, with what it assumes and leaves out."""
    request = found.request
    report = plan_report(
        found.risks, cycles=request.cycles, probability=request.probability,
        max_activity_gbq=request.max_activity_gbq, joint=request.joint,
    )  # fmt: skip
    return {
        **report, "assumed_t_eff_h": dict(found.assumed_t_eff_h), "without_limit": list(found.without_limit),
        "not_predicted": list(found.not_predicted), "residuals": {r.organ: int(r.residuals) for r in found.risks},
    }  # fmt: skip


def _pages(folder: Path, trained: "Trained", request: "PlanRequest") -> tuple[list["PatientPage"], dict[str, str]]:
    """Return what there is to say of every patient; also who could not be predicted, and why."""
    from theradose.cohort.layout import Dataset
    from theradose.errors import TheradoseError
    from theradose.evaluation.patient_page import PatientPage
    from theradose.models.new_patients import predict_new
    from theradose.models.patient_plan import plan_patient

    data = Dataset(folder).existing()
    people = data.participants().set_index("patient")
    _require_one_history(request.given_gy, len(people))
    covariates, unseen = covariates_of(data, trained)
    pages = []
    for key, rows in [] if covariates is None else predict_new(trained, covariates).groupby("patient"):
        patient, radionuclide = str(key), str(people.loc[str(key)].get("radionuclide", ""))
        found: PatientPlan | TheradoseError
        try:
            found = plan_patient(trained, rows, request, radionuclide=radionuclide)
        except TheradoseError as error:
            found = error.at(patient=patient)
        pages.append(PatientPage(patient, is_virtual(data, patient), radionuclide, trained.card, rows, request, found))
    return pages, unseen


def _record(page: "PatientPage") -> dict[str, Any]:
    """Return what is said of a patient: predictions per GBq, and the plan or the reason why there is none."""
    organs = [organ_record(row, math.nan) for row in page.predicted.itertuples()]
    for organ in organs:
        del organ["dose_gy"]  # of no activity yet
    plan = None if page.refused else _plan_record(page.found)  # type: ignore[arg-type] # refused says which it is
    return {"patient": page.patient, "virtual": page.virtual, "organs": organs, "plan": plan, "reason": page.refused}


def _dose_lines(organs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the predicted doses as a table."""
    lines = [LINE.format("organ", "median, Gy/GBq", "interval", "in doubt because").rstrip()]
    for organ in organs:
        cells = {name: "-" if v is None else f"{v:.3f}" for name, v in organ["dose_gy_per_gbq"].items()}
        interval, reasons = f"{cells['low']} to {cells['high']}", "; ".join(organ["reasons"])
        lines.append(LINE.format(organ["organ"], cells["median"], interval, reasons).rstrip())
    return lines


def _lines(report: Mapping[str, Any]) -> list[str]:
    """Return the answer for people."""
    model = report["model"]
    lines = [f"Model {model['experiment']}/{model['predictor']}; intervals are made to cover {model['interval']:.0%}"]
    for one in report["patients"]:
        lines += ["", f"Patient {one['patient']}{' (virtual)' if one['virtual'] else ''}", *_dose_lines(one["organs"])]
        plan = one["plan"]
        if plan is None:
            lines.append(f"  refused. {one['reason']}")
            continue
        lines += plan_lines(plan, False)
        assumed = ", ".join(f"{organ} {hours:g} h" for organ, hours in plan["assumed_t_eff_h"].items())
        lines += [f"  effective half-lives assumed, not given: {assumed} (--t-eff-h)"] if assumed else []
        for key in ("without_limit", "not_predicted"):
            lines += [f"  {key.replace('_', ' ')}, so not held: {', '.join(plan[key])}"] if plan[key] else []
    return [*lines, *(f"\nPatient {one['patient']}: refused. {one['reason']}" for one in report["refused"])]


def plan_patients(
    folder: Path,
    model: str,
    asked: Mapping[str, Any],
    options: Mapping[str, Numbers],
    *,
    report: Path | None,
    as_json: bool,
    require: Callable[[Numbers, dict[str, Numbers]], None],
) -> None:
    """Print the plan of every patient of a data set and write a page each into `report`; code 3 when some have none."""
    from theradose.errors import EXIT_QUARANTINED, EXIT_REFUSED
    from theradose.evaluation.patient_page import write_patient_page
    from theradose.models.new_patients import require_organ_dose
    from theradose.models.store import load_model

    trained = load_model(model_folder(model))
    require_organ_dose(trained)
    organs = list(trained.predictors)
    require({organ: [1.0] for organ in organs}, dict(options))
    pages, unseen = _pages(folder, trained, _request(asked, options, organs))
    written = [] if report is None else [write_patient_page(page, report).name for page in pages]
    said = {
        "model": {name: trained.card[name] for name in ("experiment", "predictor", "interval")},
        "patients": [_record(page) for page in pages],
        "refused": [{"patient": patient, "reason": reason} for patient, reason in unseen.items()],
        "pages": written,
    }
    answer(said, as_json, _lines(said))
    planned = sum(not page.refused for page in pages)
    if planned < len(pages) + len(unseen):
        raise typer.Exit(EXIT_QUARANTINED if planned else EXIT_REFUSED)
