"""One page for one new patient: predicted doses, limits, the plan, what it rests on and what it leaves out."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from theradose.errors import TheradoseError
from theradose.evaluation.figures import as_svg, sort_organs, words
from theradose.evaluation.figures_plan import risk_against_activity
from theradose.evaluation.report import TEMPLATE_FILES, render
from theradose.evaluation.report_tables import DASH, Cell, Head, Sheet, count, interval, three, words_cell
from theradose.models.patient_plan import PatientPlan, PlanRequest
from theradose.physics.limits import LIMITS, constant
from theradose.physics.planning import TARGET, OrganRisk, any_exceedance
from theradose.provenance import write_atomically

KINDS = {"bed": "BED", "dose": "dose"}
LEFT_OUT = (
    "Not in it: errors of the half-life, of alpha/beta and of the limits themselves, which are larger than most of the "
    "rest; other doses per activity in later cycles; what the model was not trained on."
)


@dataclass(frozen=True)
class PatientPage:
    """What is said of a patient: rows of `predict_new`, the request, and the plan or the reason for none."""

    patient: str
    virtual: bool
    radionuclide: str
    card: Mapping[str, Any]
    predicted: pd.DataFrame
    request: PlanRequest
    found: PatientPlan | TheradoseError

    @property
    def refused(self) -> str:
        """The reason why there is no plan, empty when there is one."""
        return str(self.found) if isinstance(self.found, TheradoseError) else ""


def _rows(page: PatientPage) -> dict[str, dict[str, Any]]:
    """Return the prediction of each organ, in the house's order."""
    rows = {str(row["voi"]): {str(k): v for k, v in row.items()} for row in page.predicted.to_dict("records")}
    return {organ: rows[organ] for organ in sort_organs(rows)}


def doses_table(page: PatientPage) -> Sheet:
    """Return the predicted dose per activity of every organ with its interval, and every reason for doubt."""
    level = f"{100.0 * page.card['interval']:g} % interval"
    heads = [Head("Organ", number=False), Head("Median", "Gy/GBq"), Head(level, "Gy/GBq"), Head("Doubt", number=False)]
    rows = []
    for organ, row in _rows(page).items():
        reach = interval(row["low_gy_per_gbq"], row["high_gy_per_gbq"]) or DASH
        doubt = words_cell("; ".join(row["reasons"]), "warn")
        rows.append([Cell(words(organ)), Cell(three(row["median_gy_per_gbq"])), Cell(reach, "nowrap"), doubt])
    return Sheet(heads, rows)


def _limit_cells(risk: OrganRisk | None, request: PlanRequest) -> list[Cell]:
    """Return an organ's limit, and where it comes from."""
    if risk is None or risk.kind == TARGET:
        return [Cell(DASH, "muted"), Cell("no limit: a target" if risk else "no limit known: not held", "muted")]
    name = LIMITS[risk.kind]
    source = Cell("given with the request")
    if name not in request.chosen.get(risk.organ, {}):
        table = constant(risk.organ, name, request.case)
        source = Cell(table.source, note=table.validity)
    return [Cell(f"{KINDS[risk.kind]} {risk.limit_gy:g}", "nowrap"), source]


def _dose_cells(row: Mapping[str, Any], total_gbq: float, given_gy: float) -> list[Cell]:
    """Return the predicted dose per activity, and that of all cycles together, each with its interval below."""
    values = [row[f"{name}_gy_per_gbq"] for name in ("median", "low", "high")]
    totals = [given_gy + total_gbq * value for value in values]
    return [Cell(three(some[0]), "", interval(*some[1:])) for some in (values, totals)]


def _above(risk: OrganRisk, found: PatientPlan) -> str:
    """Return the probability of exceeding a limit in %."""
    if risk.kind == TARGET:
        return DASH
    percent = 100.0 * risk.exceedance(found.plan.activity_gbq, found.request.cycles)
    return "<0.1" if percent < 0.05 else f"{percent:.1f}"


def _risk_row(row: Mapping[str, Any], risk: OrganRisk, alone_gbq: float, found: PatientPlan) -> list[Cell]:
    """Return what the plan gives to an organ beside one of its limits."""
    limit, source = _limit_cells(risk, found.request)
    holds = (risk.organ, risk.kind) == (found.plan.binding_organ, found.plan.binding_kind)
    bed = risk.total_bed_gy(found.plan.activity_gbq, found.request.cycles)
    return [
        Cell(words(risk.organ), "nowrap chosen" if holds else "nowrap"),
        *_dose_cells(row, found.plan.total_gbq, risk.given_dose_gy),
        Cell(three(bed)), limit, Cell(_above(risk, found)), Cell(three(alone_gbq)), source,
    ]  # fmt: skip


def _other_row(row: Mapping[str, Any], found: PatientPlan) -> list[Cell]:
    """Return what the plan gives to an organ that it cannot hold to anything, with the doubts about it."""
    limit, source = _limit_cells(None, found.request)
    doubt = Cell(source.text, source.kind, "; ".join(row["reasons"]))
    none = Cell(DASH, "muted")
    return [Cell(words(row["voi"])), *_dose_cells(row, found.plan.total_gbq, 0.0), none, limit, none, none, doubt]


def plan_table(page: PatientPage, found: PatientPlan) -> Sheet:
    """Return what each organ gets from the plan beside its limit: dose, BED, risk, and its own highest activity."""
    heads = [
        Head("Organ", number=False), Head("Predicted", "Gy/GBq"), Head("In all", "Gy"), Head("BED", "Gy"),
        Head("Limit", "Gy"), Head("P(above)", "%"), Head("Alone", "GBq"), Head("Source of the limit", number=False),
    ]  # fmt: skip
    rows = _rows(page)
    pairs = sorted(zip(found.risks, found.plan.limits_gbq, strict=True), key=lambda pair: pair[1])
    body = [_risk_row(rows[risk.organ], risk, alone_gbq, found) for risk, alone_gbq in pairs]
    planned = {risk.organ for risk in found.risks}
    body += [_other_row(row, found) for organ, row in rows.items() if organ not in planned]
    level = f"{100.0 * page.card['interval']:g} %"
    note = f"Medians, below them the {level} interval. ★: holds the activity. Alone: per cycle, by this limit only."
    return Sheet(heads, body, note)


def numbers(found: PatientPlan) -> list[tuple[str, str, str]]:
    """Return the numbers at the top of the page: number, what it is, a remark."""
    plan, request = found.plan, found.request
    every = any_exceedance(found.risks, plan.activity_gbq, request.cycles)
    limit = f"{KINDS.get(plan.binding_kind, '')} limit of {words(plan.binding_organ)}"
    kept = "any limit is exceeded" if request.joint else "each limit by itself is exceeded"
    return [
        (
            f"{plan.activity_gbq:.2f} GBq",
            "in each cycle, at most",
            f"held by the {limit if plan.binding_organ else 'cap'}",
        ),
        (f"{plan.total_gbq:.1f} GBq", f"in {count(request.cycles, 'cycle')}", "all with the same activity"),
        (f"{100 * request.probability:g} %", "risk asked for", f"that {kept}, at most"),
        (f"{100 * every:.1f} %", "risk for any limit", "at most: the sum over organs"),
    ]


def basis(page: PatientPage, found: PatientPlan) -> list[str]:
    """Return in sentences what the plan rests on."""
    limited = [risk for risk in found.risks if math.isfinite(risk.limit_gy)]
    errors = ", ".join(
        f"{words(r.organ)} {100 * r.relative_std:.0f} % ({r.residuals:.0f})"
        for r in {r.organ: r for r in limited}.values()
    )
    assumed = ", ".join(f"{words(organ)} {hours:g} h" for organ, hours in found.assumed_t_eff_h.items())
    lines = [
        f"A dose is log-normal about its median. Spread of the model's out-of-fold errors, and how many: {errors}. "
        "Student's t allows for their number. Every cycle gives an organ the same dose per activity.",
    ]
    if assumed:
        lines.append(f"Effective half-lives for BED, declared for the population and not measured here: {assumed}.")
    earlier = [
        f"{words(organ)} {' + '.join(f'{gy:g}' for gy in doses)} Gy" for organ, doses in found.request.given_gy.items()
    ]
    if earlier:
        lines.append(f"Earlier cycles, taken as known and counted in all: {', '.join(earlier)}.")
    left_out = [f"{words(organ)} (no limit known)" for organ in found.without_limit]
    left_out += [f"{words(organ)} (not predicted by the model)" for organ in found.not_predicted]
    if left_out:
        lines.append(f"Not held to any limit: {', '.join(left_out)}.")
    if page.request.case != "standard":
        lines.append(f"Limits of the table's case: {page.request.case}.")
    return [*lines, LEFT_OUT]


def _plan(page: PatientPage) -> dict[str, Any]:
    """Return what the page shows of a plan, empty without one."""
    found = page.found
    if isinstance(found, TheradoseError):
        return {}
    gbq, cycles = found.plan.activity_gbq, found.request.cycles
    figure = risk_against_activity(found.risks, activity_gbq=gbq, cycles=cycles, probability=found.request.probability)
    picture = as_svg(figure, f"Risk of exceeding limits against activity, patient {page.patient}")
    return {"numbers": numbers(found), "table": plan_table(page, found), "figure": picture, "basis": basis(page, found)}


def write_patient_page(page: PatientPage, folder: Path) -> Path:
    """Write a patient's page into a folder and return its file, named by the patient's key in the data set."""
    card = page.card
    content = {
        "title": f"Plan for patient {page.patient}", "patient": page.patient, "virtual": page.virtual,
        "radionuclide": page.radionuclide, "model": f"{words(card['predictor'])} of {card['experiment']}",
        "doses": doses_table(page), "plan": _plan(page), "refused": page.refused,
    }  # fmt: skip
    path = folder / f"plan-{page.patient}.html"
    write_atomically(path, render(TEMPLATE_FILES[5], content))
    return path
